//! Giving up: what a process may do that it no longer needs, before it looks at the first byte of a stranger's.
//!
//! Whoever finds a flaw in the decoding of packets then holds a process without root, without capabilities, without
//! files to open and without hosts to connect to. On systems other than Linux nothing is given up.

#[cfg(target_os = "linux")]
mod linux;

use std::io;
use std::path::PathBuf;

/// A user and a group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl User {
    /// The user on whose behalf the process runs: under sudo the one who called it, if root says so.
    #[cfg(target_os = "linux")]
    pub fn calling() -> Self {
        linux::calling(|name| std::env::var_os(name))
    }

    /// A user who owns nothing (the kernel's overflow ids).
    pub const NOBODY: Self = Self { uid: 65_534, gid: 65_534 };
}

/// What the process still needs.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Whom it goes on as, if it is root; root remains where `None`, without its capabilities.
    pub user: Option<User>,
    /// Files that it will yet open for reading. Those that are open already stay so.
    pub files: Vec<PathBuf>,
    /// TCP ports that it will yet connect to, from any port of its own.
    pub ports: Vec<u16>,
    /// No process of the same user may look into it: it holds what they may not open.
    pub aloof: bool,
}

/// How far the kernel went along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Confined {
    /// It runs as the user asked for.
    pub as_user: bool,
    /// Files and ports are out of reach (Landlock, Linux 5.13 and newer; ports 6.7).
    pub fenced: bool,
}

/// What could not be given up.
#[derive(Debug, thiserror::Error)]
#[error("cannot give up {what}, which is not needed: {why}")]
pub struct Kept {
    what: &'static str,
    why: io::Error,
}

/// Gives up all but `needs`, for good: root, groups, every capability in every set, the chance to gain them again,
/// files and ports.
///
/// Only the calling thread and those it starts are bound, so call it while there is no other. Kernels without Landlock
/// leave files and ports open, which is no error; a privilege that stays although it could be given up is one.
pub fn confine(needs: &Needs) -> Result<Confined, Kept> {
    #[cfg(target_os = "linux")]
    return linux::confine(needs);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = needs;
        Ok(Confined { as_user: false, fenced: false })
    }
}

/// For a program that only reads: what is open already, and the files `later`.
///
/// Root goes on as the user who called sudo, else as [`User::NOBODY`]; where they may not read all of `later`, it stays
/// root, without capabilities.
pub fn confine_reader(later: Vec<PathBuf>) -> Result<Confined, Kept> {
    #[cfg(target_os = "linux")]
    let user = linux::reader(&later);
    #[cfg(not(target_os = "linux"))]
    let user = None;
    confine(&Needs { user, files: later, ..Needs::default() })
}
