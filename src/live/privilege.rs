//! Who runs this, on whose behalf, and what they may do.

use std::net::IpAddr;
use std::path::Path;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::{Gid, Uid, getegid, geteuid, setfsuid};
use socket2::{Domain, Protocol, Socket, Type};

use super::LiveError;
use crate::confine::{self, Needs, User};

/// The user on whose behalf the trace runs: under sudo the one who called it, since `ssh` would run as them
/// and firewalls and routing rules can tell users apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
}

impl Caller {
    /// The one who called, and where the kernel does not let this process act for them (root without CAP_SETUID, as in
    /// some containers) the process's own user, with a word on it.
    pub(super) fn find() -> (Self, Option<String>) {
        let User { uid, gid } = User::calling();
        let wanted = Self { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid) };
        let own = Self { uid: geteuid(), gid: getegid() };
        setfsuid(wanted.uid);
        let permitted = setfsuid(own.uid) == wanted.uid;
        if permitted {
            return (wanted, None);
        }
        let notice = format!(
            "without CAP_SETUID the connection is made as user {}, not {}: firewall rules that tell users apart may \
             decide otherwise for ssh",
            own.uid, wanted.uid
        );
        (own, Some(notice))
    }

    /// Whether the process acts as someone else than the caller.
    pub(super) fn is_other(self) -> bool {
        self.uid != geteuid()
    }

    /// Whether sockets that are to be the caller's have to be open before the rest is given up: a socket belongs for good
    /// to who opened it (netfilter's `skuid`, `ip rule uidrange`), and root goes on as nobody.
    pub(super) fn has_to_open_first(self) -> bool {
        self.uid.is_root()
    }

    /// Gives up all that is not needed to go on. What is open stays open; of what is not, only `port` can be reached.
    ///
    /// From here on the process is the caller. Where that is root itself, it is nobody: the sockets of root's
    /// connections are open by now. Without a capture there may be more sockets to open, so root remains root then,
    /// without capabilities.
    pub(super) fn give_up_the_rest(self, port: u16, captures: bool) -> Result<(), LiveError> {
        let user = User { uid: self.uid.as_raw(), gid: self.gid.as_raw() };
        let user = match (self.uid.is_root(), captures) {
            (true, true) => Some(User::NOBODY),
            (true, false) => None,
            (false, _) => Some(user),
        };
        confine::confine(&Needs { user, files: Vec::new(), ports: vec![port], aloof: true })?;
        Ok(())
    }
}

/// Whether frames can be captured and crafted: asked of the kernel, not guessed from ids.
pub(super) fn can_use_raw() -> bool {
    socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).is_ok()
}

/// Whether datagram ICMP sockets towards `target` are open to this user (`net.ipv4.ping_group_range`).
pub(super) fn can_ping(target: IpAddr) -> bool {
    let (domain, protocol) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    Socket::new(domain, Type::DGRAM, Some(protocol)).is_ok()
}

/// The capability that capturing needs.
pub(super) const CAPABILITY: &str = "CAP_NET_RAW";

/// What to tell a user who lacks it.
pub(super) fn remedy() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| "whichhop".into());
    format!(
        "without {CAPABILITY} no packet can be captured or crafted; going on with what the kernel tells any \
         user. Run it with sudo, or grant it once: sudo setcap cap_net_raw+ep {}",
        quote(&program)
    )
}

/// A path as one word of a shell.
fn quote(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+".contains(&b)) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Whether this is a container or WSL, whose host is a hop of its own.
///
/// In a network namespace other than the one this process's forebears live in, the first hop is somebody else's
/// doing, marker or not.
pub(super) fn contained() -> bool {
    let namespace = |process: u32| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let ours = namespace(std::process::id());
    let forebears = std::iter::successors(Some(std::process::id()), |process| parent(*process)).take(64);
    let apart = forebears.filter_map(namespace).any(|theirs| Some(theirs) != ours);
    !apart && is_marked()
}

/// The parent of a process, up to process 1.
fn parent(process: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    (parent > 0).then_some(parent)
}

fn is_marked() -> bool {
    let wsl = std::fs::read_to_string("/proc/version").is_ok_and(|v| v.to_lowercase().contains("microsoft"));
    let marked = ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists());
    wsl || marked || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word() {
        assert_eq!(quote(Path::new("/usr/bin/whichhop")), "/usr/bin/whichhop");
        assert_eq!(quote(Path::new("/my tools/it's")), r"'/my tools/it'\''s'");
    }
}
