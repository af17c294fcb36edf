//! Credentials, capabilities and Landlock.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use caps::CapSet;
use landlock::{
    ABI, Access, AccessFs, AccessNet, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{
    Gid, Uid, getegid, geteuid, getgid, getuid, setfsgid, setfsuid, setgroups, setresgid, setresuid,
};

use super::{Confined, Kept, Needs, User};

/// The newest Landlock asked for; older kernels do what they can.
const LANDLOCK: ABI = ABI::V6;

/// Reads the caller from the process and, for root only, from the environment that sudo sets.
pub(super) fn calling(variable: impl Fn(&str) -> Option<OsString>) -> User {
    decide(getuid(), getgid(), variable)
}

fn decide(uid: Uid, gid: Gid, variable: impl Fn(&str) -> Option<OsString>) -> User {
    let number = |name| variable(name)?.to_str()?.parse::<u32>().ok().filter(|n| *n != u32::MAX);
    match (uid.is_root(), number("SUDO_UID"), number("SUDO_GID")) {
        (true, Some(uid), Some(gid)) => User { uid, gid },
        _ => User { uid: uid.as_raw(), gid: gid.as_raw() },
    }
}

/// Whom root can become and still read `files`.
pub(super) fn reader(files: &[PathBuf]) -> Option<User> {
    let user = unprivileged(calling(|name| std::env::var_os(name)));
    if !geteuid().is_root() || files.is_empty() {
        return Some(user);
    }
    // They will be gone too when it counts.
    let _ = setgroups(&[]);
    setfsgid(Gid::from_raw(user.gid));
    setfsuid(Uid::from_raw(user.uid));
    let can_read = files.iter().all(|file| File::open(file).is_ok());
    setfsuid(geteuid());
    setfsgid(getegid());
    can_read.then_some(user)
}

/// The user, unless that is root.
fn unprivileged(user: User) -> User {
    if user.uid == 0 { User::NOBODY } else { user }
}

pub(super) fn confine(needs: &Needs) -> Result<Confined, Kept> {
    let kept = |what| move |why: io::Error| Kept { what, why };
    // Root alone may shrink the bounding set. For all others it is void under no_new_privs.
    let _ = caps::clear(None, CapSet::Bounding);
    let as_user = match needs.user.filter(|_| geteuid().is_root()) {
        Some(user) => become_user(user).map_err(|e| kept("root")(e.into()))?,
        None => false,
    };
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(|e| kept("capabilities")(io::Error::other(e)))?;
    }
    prctl::set_no_new_privs().map_err(|e| kept("the gain of privileges")(e.into()))?;
    if needs.aloof {
        prctl::set_dumpable(false).map_err(|e| kept("being looked into")(e.into()))?;
    }
    let fenced = fence(needs).map_err(|e| kept("files")(io::Error::other(e)))?;
    Ok(Confined { as_user, fenced })
}

/// Whether the process could become `user`, for good: not where root lacks CAP_SETUID, or a user namespace `user`.
fn become_user(user: User) -> Result<bool, Errno> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let changed =
        setgroups(&[]).and_then(|()| setresgid(gid, gid, gid)).and_then(|()| setresuid(uid, uid, uid));
    match changed {
        Ok(()) => Ok(true),
        Err(Errno::EPERM | Errno::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Puts all files, TCP ports and other processes out of reach; whether the kernel can.
fn fence(needs: &Needs) -> Result<bool, RulesetError> {
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    for file in &needs.files {
        // What cannot be opened now fails again, in words, when it is read.
        if let Ok(file) = PathFd::new(file) {
            ruleset = ruleset.add_rule(PathBeneath::new(file, AccessFs::ReadFile))?;
        }
    }
    for port in &needs.ports {
        ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    if !needs.ports.is_empty() {
        // bind(2) to an address leaves the choice of the port to the kernel.
        ruleset = ruleset.add_rule(NetPort::new(0, AccessNet::BindTcp))?;
    }
    Ok(ruleset.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(uid: u32, sudo: &[(&str, &str)]) -> (u32, u32) {
        let user = decide(Uid::from_raw(uid), Gid::from_raw(uid), |name| {
            sudo.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v))
        });
        (user.uid, user.gid)
    }

    #[test]
    fn sudo_names_the_caller() {
        assert_eq!(called(0, &[("SUDO_UID", "1000"), ("SUDO_GID", "1001")]), (1000, 1001));
    }

    #[test]
    fn only_root_may_be_told_who_called() {
        assert_eq!(called(33, &[("SUDO_UID", "0"), ("SUDO_GID", "0")]), (33, 33));
    }

    #[test]
    fn nonsense_from_sudo_is_ignored() {
        assert_eq!(called(0, &[]), (0, 0));
        assert_eq!(called(0, &[("SUDO_UID", "1000")]), (0, 0));
        assert_eq!(called(0, &[("SUDO_UID", "-1"), ("SUDO_GID", "1")]), (0, 0));
        assert_eq!(called(0, &[("SUDO_UID", "4294967295"), ("SUDO_GID", "1")]), (0, 0));
    }

    #[test]
    fn nobody_stands_in_for_root() {
        assert_eq!(unprivileged(User { uid: 0, gid: 0 }), User::NOBODY);
        assert_eq!(unprivileged(User { uid: 5, gid: 0 }).uid, 5);
    }
}
