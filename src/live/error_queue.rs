//! A socket's queue of ICMP errors, which tells any user who sent them.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
    sockopt::{Ipv4RecvErr, Ipv6RecvErr},
};
use socket2::Socket;

use crate::recording::QueuedIcmp;

/// Origins of an error in the queue, from linux/errqueue.h.
const SO_EE_ORIGIN_ICMP: u8 = 2;
const SO_EE_ORIGIN_ICMP6: u8 = 3;

/// Has the kernel keep errors about what is sent to `target`, or no longer. As long as it does, an error ends even a TCP
/// connection that is established.
pub(super) fn keep(socket: &Socket, target: IpAddr, on: bool) -> io::Result<()> {
    match target {
        IpAddr::V4(_) => setsockopt(socket, Ipv4RecvErr, &on)?,
        IpAddr::V6(_) => setsockopt(socket, Ipv6RecvErr, &on)?,
    }
    Ok(())
}

/// The next ICMP error in the socket's error queue, and what it quotes from the ICMP or TCP header on.
pub(super) fn next(socket: &Socket) -> Option<(QueuedIcmp, Vec<u8>)> {
    let mut data = [0; 256];
    let mut control = nix::cmsg_space!([u8; 128]);
    let mut parts = [IoSliceMut::new(&mut data)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
    let answer = message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, from) if error.ee_origin == SO_EE_ORIGIN_ICMP => {
            let from = Ipv4Addr::from(u32::from_be(from?.sin_addr.s_addr)).into();
            Some(QueuedIcmp { from, icmp_type: error.ee_type, code: error.ee_code })
        }
        ControlMessageOwned::Ipv6RecvErr(error, from) if error.ee_origin == SO_EE_ORIGIN_ICMP6 => {
            let from = Ipv6Addr::from(from?.sin6_addr.s6_addr).into();
            Some(QueuedIcmp { from, icmp_type: error.ee_type, code: error.ee_code })
        }
        _ => None,
    })?;
    let len = message.bytes;
    Some((answer, data[..len].to_vec()))
}
