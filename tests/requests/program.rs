//! What a tool does that finds blocking boxes by requests: connects, sends one with a small TTL, and sees what comes.
//!
//! It does so in the order of CenTrace: all hop limits with the one request, then all with the other, twice.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::SockRef;

use crate::Case;
use crate::lab::{Lab, Manner, Namespace, Role, VM};

/// Hop limits tried; the VM is at 5.
const MOST: u8 = 6;
const ROUNDS: usize = 2;

/// How long an answer is waited for: longer than any takes in the lab, shorter than it takes the kernel to send again.
const PATIENCE: Duration = Duration::from_millis(120);

/// Long enough for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// What the kernel sends everything else with.
const FULL: u32 = 64;

/// Makes the lab of a case, and gives back what the client's interface saw of the requests.
pub(crate) fn capture(mut lab: Lab, case: &Case) -> io::Result<Vec<u8>> {
    for port in [80, 443] {
        lab.listen(Role::Vm, port, Manner::Http)?;
    }
    if let Some((before, conduct)) = case.middlebox {
        lab.put_box(before, conduct)?;
    }
    let server = SocketAddr::new(VM[usize::from(case.v6)], case.kind.port());
    let tcpdump = Tcpdump::on(lab.client(), case.kind.port())?;
    lab.client().enter(|| sweep(server, case))??;
    tcpdump.end()
}

fn sweep(server: SocketAddr, case: &Case) -> io::Result<()> {
    let mut connections = 0;
    for _ in 0..ROUNDS {
        for tested in [false, true] {
            for hop in 1..=MOST {
                connections += 1;
                trial(server, u32::from(hop), &case.kind.request(tested, connections))?;
            }
        }
    }
    Ok(())
}

/// One request, on a connection of its own.
fn trial(server: SocketAddr, hop_limit: u32, request: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&server, CONNECT)?;
    // Whoever speaks first has done so.
    thread::sleep(PATIENCE / 3);
    limit(&stream, hop_limit)?;
    stream.write_all(request)?;
    thread::sleep(PATIENCE);
    // Nothing is sent again, and the server learns that it is over.
    limit(&stream, FULL)?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

fn limit(stream: &TcpStream, hops: u32) -> io::Result<()> {
    let socket = SockRef::from(stream);
    if stream.local_addr()?.is_ipv4() { socket.set_ttl_v4(hops) } else { socket.set_unicast_hops_v6(hops) }
}

/// tcpdump, already listening, whose file comes out of it.
struct Tcpdump(Child, thread::JoinHandle<io::Result<Vec<u8>>>);

impl Tcpdump {
    fn on(node: &Namespace, port: u16) -> io::Result<Self> {
        let filter = format!("port {port} or icmp or icmp6");
        let mut command = node.command("tcpdump");
        command.args(["-n", "--immediate-mode", "-U", "-i", "eth0", "-w", "-", &filter]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut errors = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert_ne!(errors.read_line(&mut line)?, 0, "tcpdump ended");
        }
        thread::spawn(move || io::copy(&mut errors, &mut io::sink()));
        let mut out = child.stdout.take().expect("it is piped");
        let file = thread::spawn(move || {
            let mut file = Vec::new();
            io::copy(&mut out, &mut file).map(|_| file)
        });
        Ok(Self(child, file))
    }

    /// What it saw, once frames under way have arrived.
    fn end(mut self) -> io::Result<Vec<u8>> {
        thread::sleep(PATIENCE);
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGINT)?;
        self.0.wait()?;
        self.1.join().expect("it reads on to the end")
    }
}
