//! Connections of every kind between the client and the VM of a lab, and tcpdump looking on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::libc::linger;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt::Linger};
use nix::unistd::Pid;

use crate::lab::{Lab, Namespace, Role, VM, program};

/// A running tcpdump.
pub(crate) struct Tap {
    tcpdump: Child,
    capture: PathBuf,
}

impl Tap {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(namespace: &Namespace, interface: &str, capture: &Path) -> Self {
        let spawn = || {
            Command::new(program("tcpdump").unwrap())
                .args(["-n", "-U", "-B", "16384", "-Z", "root", "-i", interface, "-w"])
                .arg(capture)
                .stdin(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
        };
        let mut tcpdump = namespace.enter(spawn).unwrap().unwrap();
        let mut lines = BufReader::new(tcpdump.stderr.take().unwrap()).lines();
        let listens = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("listening on")));
        assert!(listens.is_some(), "tcpdump ended");
        // What it says at its end must find a reader.
        thread::spawn(move || lines.for_each(drop));
        Self { tcpdump, capture: capture.to_owned() }
    }

    /// Ends it, and says where the capture is.
    pub(crate) fn stop(mut self) -> PathBuf {
        // What is on its way to the capture arrives: libpcap hands it on within a second.
        thread::sleep(Duration::from_millis(1500));
        kill(Pid::from_raw(self.tcpdump.id() as i32), Signal::SIGINT).unwrap();
        assert!(self.tcpdump.wait().unwrap().success());
        self.capture
    }
}

/// Rules for the VM: a port that drops, one that resets and one that rejects.
const SERVER_RULES: &str = "table inet traffic {
    chain in {
        type filter hook input priority 0;
        tcp dport 7010 drop
        tcp dport 7011 reject with tcp reset
        tcp dport 7012 reject with icmpx type admin-prohibited
    }
}";

/// A rule for the client: it never sees the answers from one port.
const CLIENT_RULES: &str = "table inet traffic {
    chain in {
        type filter hook input priority 0;
        tcp sport 7013 drop
    }
}";

/// What a server on the VM does with each connection.
const SERVERS: [(u16, fn(TcpStream)); 5] = [
    (7001, |mut stream| {
        let _ = stream.write_all(b"220 mail.example.com ESMTP\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    }),
    (7002, drop),
    (7003, reset),
    (7004, |mut stream| {
        let mut data = vec![0; 30_000];
        let _ = stream.read_exact(&mut data);
        let _ = stream.write_all(&data);
    }),
    (7013, drop),
];

/// Closes with a reset instead of a FIN.
#[allow(clippy::needless_pass_by_value, reason = "it closes")]
fn reset(stream: TcpStream) {
    setsockopt(&stream, Linger, &linger { l_onoff: 1, l_linger: 0 }).unwrap();
}

/// Makes connections of every kind; how many attempts that were.
pub(crate) fn make(lab: &Lab) -> usize {
    lab.node(Role::Vm).nft(SERVER_RULES).unwrap();
    lab.client().nft(CLIENT_RULES).unwrap();
    lab.node(Role::Vm)
        .enter(|| {
            for (port, serve) in SERVERS {
                let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap();
                // The thread ends with the test program; its connections end by themselves.
                thread::spawn(move || listener.incoming().flatten().for_each(serve));
            }
        })
        .unwrap();
    lab.client()
        .enter(|| {
            thread::scope(|scope| {
                let both: Vec<_> = VM.map(|vm| scope.spawn(move || connect(vm))).into();
                both.into_iter().map(|one| one.join().unwrap()).sum()
            })
        })
        .unwrap()
}

/// Connections to one address of the VM.
fn connect(vm: IpAddr) -> usize {
    let mut attempts = 0;
    let mut to = |port: u16| {
        attempts += 1;
        TcpStream::connect_timeout(&SocketAddr::new(vm, port), Duration::from_millis(1400))
    };
    for _ in 0..3 {
        let mut ssh = to(22).unwrap();
        assert!(ssh.read(&mut [0; 100]).unwrap() > 0);
        ssh.write_all(b"SSH-2.0-parity\r\n").unwrap();
        drop(ssh);
        let mut ssh = to(22).unwrap();
        assert!(ssh.read(&mut [0; 100]).unwrap() > 0);
        reset(ssh);
    }
    let mut mail = to(7001).unwrap();
    assert!(mail.read(&mut [0; 100]).unwrap() > 0);
    drop(mail);
    assert_eq!(to(7002).unwrap().read(&mut [0; 10]).unwrap(), 0);
    // The reset may come before connect(2) returns.
    assert!(to(7003).and_then(|mut stream| stream.read(&mut [0; 10])).is_err());
    let mut echo = to(7004).unwrap();
    echo.write_all(&vec![7; 30_000]).unwrap();
    let mut back = Vec::new();
    echo.read_to_end(&mut back).unwrap();
    assert_eq!(back.len(), 30_000);
    for port in [23, 7010, 7011, 7012, 7013] {
        assert!(to(port).is_err(), "port {port}");
    }
    attempts
}
