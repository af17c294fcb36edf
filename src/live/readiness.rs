//! Waiting for a descriptor of our own.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets the event loop watch `owner`'s descriptor.
///
/// Being `AsFd`, `owner` keeps that descriptor open as long as it lives.
#[allow(deprecated, reason = "its successor asks for `unsafe`, to promise what `AsFd` promises here")]
pub(super) fn watch<T: AsFd + AsRawFd>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(owner, interest)
}
