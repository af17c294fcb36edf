//! A VPN: a tunnel over UDP from the client to the edge, through which the VM's networks are reached. Both ends are TUN
//! devices, which have no link layer.

use std::io;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::namespace::{Namespace, tool};

/// The UDP port at both ends.
pub(super) const PORT: u16 = 51820;

const READY_WITHIN: Duration = Duration::from_secs(5);

/// As IPv4 in UDP leaves it on links of 1,500 bytes, rounded as WireGuard does.
const SETTINGS: &str = "link set tun0 mtu 1420 up\n";

const CLIENT: &str = "addr add 10.22.9.2 peer 10.22.9.1 dev tun0\n\
                      addr add fd22:9::2 peer fd22:9::1 dev tun0 nodad\n\
                      route add 198.19.0.0/24 dev tun0\n\
                      route add 2001:db8:19::/64 dev tun0\n";

const EDGE: &str = "addr add 10.22.9.1 peer 10.22.9.2 dev tun0\n\
                    addr add fd22:9::1 peer fd22:9::2 dev tun0 nodad\n";

/// The running tunnel; dropping it takes the devices and their routes with it.
pub(super) struct Tunnel([Child; 2]);

impl Tunnel {
    pub(super) fn start(client: &Namespace, edge: &Namespace) -> io::Result<Self> {
        let tunnel = Self([carry(client, "10.22.1.2", "10.22.1.1")?, carry(edge, "10.22.1.1", "10.22.1.2")?]);
        for (node, addresses) in [(client, CLIENT), (edge, EDGE)] {
            wait_for_device(node)?;
            node.ip(&format!("{SETTINGS}{addresses}"))?;
        }
        Ok(tunnel)
    }
}

impl Tunnel {
    /// Freezes the client's end: its kernel goes on handing packets to it. [`Drop`] ends it all the same.
    pub(super) fn freeze_client(&self) -> io::Result<()> {
        Ok(kill(Pid::from_raw(self.0[0].id() as i32), Signal::SIGSTOP)?)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        for end in &mut self.0 {
            let _ = end.kill();
            let _ = end.wait();
        }
    }
}

/// One end: what goes into the device leaves in UDP, and the other way round.
fn carry(node: &Namespace, here: &str, there: &str) -> io::Result<Child> {
    node.enter(|| {
        Command::new(tool("socat"))
            .arg("TUN,tun-name=tun0,iff-no-pi")
            .arg(format!("UDP4-DATAGRAM:{there}:{PORT},bind={here}:{PORT}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    })?
}

fn wait_for_device(node: &Namespace) -> io::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < READY_WITHIN {
        if node.sysctl("net/ipv4/conf/tun0/forwarding").is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(io::Error::other(format!("socat makes no tun0 in {}", node.name())))
}
