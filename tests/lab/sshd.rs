//! A real OpenSSH server with its own configuration and host key.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::namespace::{Namespace, run, tool};

/// All addresses of the host.
pub(super) const EVERYWHERE: [&str; 2] = ["0.0.0.0", "::"];

/// Those that only the host itself reaches.
pub(super) const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];

const READY_WITHIN: Duration = Duration::from_secs(10);

/// A running sshd; dropping it stops it. Sessions it has begun end with the namespace.
pub(super) struct Sshd(Child);

impl Sshd {
    /// Starts it, with further lines of configuration, and waits until it listens there, IPv4 and IPv6.
    pub(super) fn start(
        namespace: &Namespace,
        directory: &Path,
        [v4, v6]: [&str; 2],
        port: u16,
        more: &str,
    ) -> io::Result<Self> {
        // sshd wants it, also on machines where no sshd was ever started.
        DirBuilder::new().recursive(true).mode(0o755).create("/run/sshd")?;
        let config = directory.join("sshd_config");
        let text = format!(
            "ListenAddress {v4}:{port}\n\
             ListenAddress [{v6}]:{port}\n\
             HostKey \"{}\"\n\
             PidFile none\n\
             UsePAM no\n\
             PasswordAuthentication no\n\
             {more}",
            directory.join("host_key").display()
        );
        fs::write(&config, text)?;
        let log = directory.join("sshd.log");
        let _ = fs::remove_file(&log);
        let child = namespace.enter(|| {
            Command::new(tool("sshd"))
                .arg("-D")
                .arg("-f")
                .arg(&config)
                .arg("-E")
                .arg(&log)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        })??;
        let mut sshd = Self(child);
        sshd.wait_until_it_listens(port, directory)?;
        Ok(sshd)
    }

    /// Freezes it: the kernel goes on taking connections for it. [`Drop`] ends it all the same.
    pub(super) fn freeze(&self) -> io::Result<()> {
        Ok(kill(Pid::from_raw(self.0.id() as i32), Signal::SIGSTOP)?)
    }

    /// Looks at the kernel's tables: a connection to ask would be one that sshd counts.
    fn wait_until_it_listens(&mut self, port: u16, directory: &Path) -> io::Result<()> {
        let begun = Instant::now();
        let tables = ["tcp", "tcp6"].map(|name| format!("/proc/{}/net/{name}", self.0.id()));
        while begun.elapsed() < READY_WITHIN {
            if let Some(status) = self.0.try_wait()? {
                return Err(io::Error::other(format!("sshd ended: {status}: {}", log(directory))));
            }
            if tables.iter().all(|table| listens(table, port)) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Err(io::Error::other(format!("sshd does not listen: {}", log(directory))))
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes the host key, once per lab.
pub(super) fn make_host_key(directory: &Path) -> io::Result<()> {
    let file = directory.join("host_key");
    let file =
        file.to_str().ok_or_else(|| io::Error::other("the temporary directory's name is not UTF-8"))?;
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", file], "")
}

/// What sshd wrote.
pub(super) fn log(directory: &Path) -> String {
    fs::read_to_string(directory.join("sshd.log")).unwrap_or_default()
}

/// Whether a table as in proc(5), `/proc/net/tcp`, has a listener on `port`.
fn listens(table: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let wanted = format!(":{port:04X}");
    fs::read_to_string(table).unwrap_or_default().lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().unwrap_or_default();
        let state = fields.nth(1).unwrap_or_default();
        local.ends_with(&wanted) && state == LISTEN
    })
}
