//! Our own eyes on the wire: one libpcap handle for each interface that is up.

use std::future::poll_fn;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::thread;

use pcap::{Active, Precision};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::interface::Interface;
use super::readiness::watch;
use crate::packet::{LinkType, MacAddr};
use crate::recording::{CaptureCounters, Direction, Timestamp};

/// Bytes kept of each frame: all headers, a banner, and what an ICMPv6 error quotes (up to 1280 bytes).
/// More would let large offloaded frames crowd the ring.
const SNAPLEN: i32 = 2048;

/// Frames taken from one handle before the others get their turn.
const TURN: usize = 256;

/// A captured frame, borrowed from the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// Place of its interface in [`Captures::interfaces`].
    pub(super) interface: u32,
    pub(super) link: LinkType,
    pub(super) at: Timestamp,
    pub(super) direction: Direction,
    pub(super) original_len: u32,
    pub(super) bytes: &'a [u8],
}

/// A capture that could not be opened, or broke off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) interface: String,
    pub(super) error: String,
}

/// All captures of one trace.
#[derive(Default)]
pub(super) struct Captures {
    handles: Vec<Handle>,
}

struct Handle {
    interface: Interface,
    link: LinkType,
    digits: u8,
    /// `None` once it broke off.
    ring: Option<AsyncFd<pcap::Capture<Active>>>,
}

impl Captures {
    /// Opens one on each of `interfaces`, and tells which could not be opened.
    pub(super) fn open(interfaces: &[&Interface], targets: &[IpAddr], buffer: u32) -> (Self, Vec<Lost>) {
        // The kernel takes tens of milliseconds over each ring, most of them waiting: so all at once.
        let rings: Vec<_> = thread::scope(|scope| {
            let openers: Vec<_> =
                interfaces.iter().map(|i| scope.spawn(|| Ring::open(&i.name, targets, buffer))).collect();
            openers.into_iter().map(|o| o.join().unwrap_or_else(|_| Err("libpcap failed".into()))).collect()
        });
        let mut captures = Self::default();
        let mut lost = Vec::new();
        for (interface, ring) in interfaces.iter().zip(rings) {
            match ring.and_then(|ring| Handle::new(interface, ring)) {
                Ok(handle) => captures.handles.push(handle),
                Err(error) => lost.push(Lost { interface: interface.name.clone(), error }),
            }
        }
        (captures, lost)
    }

    /// Name and link type of each, in order.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = (&str, LinkType)> {
        self.handles.iter().map(|h| (h.interface.name.as_str(), h.link))
    }

    /// Whether nothing can be seen (any more).
    pub(super) fn is_empty(&self) -> bool {
        self.handles.iter().all(|h| h.ring.is_none())
    }

    /// Waits until some ring may hold frames.
    pub(super) async fn ready(&self) {
        poll_fn(|cx| self.poll_ready(cx)).await;
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = Poll::Pending;
        for ring in self.handles.iter().filter_map(|h| h.ring.as_ref()) {
            // An error of the poll itself shows again, in words, when the ring is read.
            if let Poll::Ready(polled) = ring.poll_read_ready(cx) {
                // Cleared before the ring is emptied, so that a frame coming in between wakes us again.
                if let Ok(mut guard) = polled {
                    guard.clear_ready();
                }
                ready = Poll::Ready(());
            }
        }
        ready
    }

    /// Hands over what the rings hold, some frames of each; says whether there may be more.
    ///
    /// Stops at the first error of `take`.
    pub(super) fn drain<E>(
        &mut self,
        lost: &mut Vec<Lost>,
        mut take: impl FnMut(Seen<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut more = false;
        for (number, handle) in self.handles.iter_mut().enumerate() {
            let Some(ring) = &mut handle.ring else { continue };
            let mut broken = None;
            for turn in 0.. {
                if turn == TURN {
                    more = true;
                    break;
                }
                match ring.get_mut().next_packet() {
                    Ok(packet) => take(Seen {
                        interface: number as u32,
                        link: handle.link,
                        at: timestamp(packet.header.ts.tv_sec, packet.header.ts.tv_usec, handle.digits),
                        direction: direction(&handle.interface, handle.link, packet.data),
                        original_len: packet.header.len,
                        bytes: packet.data,
                    })?,
                    Err(pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => break,
                    Err(error) => {
                        broken = Some(words(&error));
                        break;
                    }
                }
            }
            if let Some(error) = broken {
                handle.ring = None;
                lost.push(Lost { interface: handle.interface.name.clone(), error });
            }
        }
        Ok(more)
    }

    /// The interfaces that are still captured on.
    pub(super) fn running(&self) -> Vec<String> {
        let running = self.handles.iter().filter(|h| h.ring.is_some());
        running.map(|h| h.interface.name.clone()).collect()
    }

    /// Closes the capture on an interface.
    pub(super) fn close(&mut self, interface: &str) {
        for handle in self.handles.iter_mut().filter(|h| h.interface.name == interface) {
            handle.ring = None;
        }
    }

    /// What each capture that still runs has counted.
    pub(super) fn counters(&mut self) -> Vec<CaptureCounters> {
        self.handles.iter_mut().filter_map(Handle::counters).collect()
    }
}

impl Drop for Captures {
    /// Closes all rings at once, for the same reason that they are opened at once.
    fn drop(&mut self) {
        let rings = self.handles.iter_mut().filter_map(|h| h.ring.take()).map(AsyncFd::into_inner);
        thread::scope(|scope| {
            for ring in rings {
                // Where no thread is to be had, the ring is dropped here, with what should have dropped it.
                let _ = thread::Builder::new().spawn_scoped(scope, move || drop(ring));
            }
        });
    }
}

/// An open libpcap handle.
struct Ring {
    capture: pcap::Capture<Active>,
    link: LinkType,
    digits: u8,
}

impl Ring {
    fn open(interface: &str, targets: &[IpAddr], buffer: u32) -> Result<Self, String> {
        let buffer = i32::try_from(buffer).unwrap_or(i32::MAX);
        let inactive = || {
            pcap::Capture::from_device(interface).map(|c| {
                c.snaplen(SNAPLEN).buffer_size(buffer).promisc(false).immediate_mode(true).timeout(10)
            })
        };
        let nanos = inactive().and_then(|c| c.precision(Precision::Nano).open());
        let (capture, digits) = match nanos {
            Ok(capture) => (capture, 9),
            Err(_) => (inactive().and_then(pcap::Capture::open).map_err(|e| words(&e))?, 6),
        };
        let link = link_type(capture.get_datalink().0);
        let mut capture = capture.setnonblock().map_err(|e| words(&e))?;
        capture.filter(&filter(targets, link), true).map_err(|e| words(&e))?;
        Ok(Self { capture, link, digits })
    }
}

impl Handle {
    fn new(interface: &Interface, ring: Ring) -> Result<Self, String> {
        let Ring { capture, link, digits } = ring;
        let ring = watch(capture, Interest::READABLE).map_err(|e| e.to_string())?;
        Ok(Self { interface: interface.clone(), link, digits, ring: Some(ring) })
    }

    fn counters(&mut self) -> Option<CaptureCounters> {
        let stats = self.ring.as_mut()?.get_mut().stats().ok()?;
        Some(CaptureCounters {
            interface: self.interface.name.clone(),
            received: stats.received.into(),
            dropped: stats.dropped.into(),
            interface_dropped: stats.if_dropped.into(),
        })
    }
}

/// libpcap's words for an error.
fn words(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(text) => text.clone(),
        other => other.to_string(),
    }
}

fn timestamp(seconds: i64, fraction: i64, digits: u8) -> Timestamp {
    let nanos = if digits == 9 { fraction } else { fraction * 1000 };
    Timestamp::from_nanos(seconds * 1_000_000_000 + nanos).with_digits(digits)
}

/// libpcap tells its own DLT numbers; two of raw IP differ from those of files.
fn link_type(dlt: i32) -> LinkType {
    match dlt {
        12 | 14 => LinkType::RAW,
        other => LinkType(u16::try_from(other).unwrap_or(u16::MAX)),
    }
}

/// What concerns the targets: their own traffic, and every ICMP error, since routers on the way send them.
fn filter(targets: &[IpAddr], link: LinkType) -> String {
    let mut terms: Vec<_> = targets.iter().map(|t| format!("host {t}")).collect();
    terms.push(
        "(icmp and (icmp[0] = 3 or icmp[0] = 4 or icmp[0] = 5 or icmp[0] = 11 or icmp[0] = 12))".into(),
    );
    terms.push("(icmp6 and ip6[40] < 128)".into());
    let terms = terms.join(" or ");
    if link == LinkType::ETHERNET {
        // A tagged frame shows untagged on the VLAN's own interface.
        return format!("({terms}) and not vlan");
    }
    terms
}

/// Which way a frame went: libpcap does not say, but its addresses do.
fn direction(interface: &Interface, link: LinkType, frame: &[u8]) -> Direction {
    if link == LinkType::LINUX_SLL {
        return match frame.get(..2) {
            Some([0, 4]) => Direction::Outbound,
            Some(_) => Direction::Inbound,
            None => Direction::Unknown,
        };
    }
    if let (LinkType::ETHERNET, false, Some(mac)) = (link, interface.loopback, interface.mac) {
        return match frame.get(6..12) {
            Some(source) if MacAddr(source.try_into().unwrap_or_default()) == mac => Direction::Outbound,
            Some(_) => Direction::Inbound,
            None => Direction::Unknown,
        };
    }
    let Some((source, destination)) = addresses(link, frame) else { return Direction::Unknown };
    let ours = |address| interface.addresses.contains(&address);
    match (ours(source), ours(destination)) {
        (true, false) => Direction::Outbound,
        (false, true) => Direction::Inbound,
        // From us to us, on the loopback: both.
        _ => Direction::Unknown,
    }
}

/// The outermost IP addresses of a frame: those within a tunnel are whatever its sender likes.
fn addresses(link: LinkType, frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let packet = if link == LinkType::ETHERNET { frame.get(14..)? } else { frame };
    let v4 = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    let v6 = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
    match packet.first()? >> 4 {
        4 => Some((v4(12)?, v4(16)?)),
        6 => Some((v6(8)?, v6(24)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::interface::sample;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn ethernet(source: [u8; 6]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 9];
        frame.extend(source);
        frame.extend([8, 0]);
        frame
    }

    #[test]
    fn the_link_layer_source_tells_the_direction() {
        let eth = sample("eth0", 2, Some(MAC), &["10.22.0.1"]);
        assert_eq!(direction(&eth, LinkType::ETHERNET, &ethernet(MAC)), Direction::Outbound);
        assert_eq!(direction(&eth, LinkType::ETHERNET, &ethernet([2, 0, 0, 0, 0, 7])), Direction::Inbound);
        assert_eq!(direction(&eth, LinkType::ETHERNET, &[1, 2, 3]), Direction::Unknown);
    }

    #[test]
    fn a_cooked_capture_says_it_itself() {
        let ppp = sample("ppp0", 3, None, &["10.22.0.1"]);
        assert_eq!(direction(&ppp, LinkType::LINUX_SLL, &[0, 4, 2, 0]), Direction::Outbound);
        assert_eq!(direction(&ppp, LinkType::LINUX_SLL, &[0, 0, 2, 0]), Direction::Inbound);
        assert_eq!(direction(&ppp, LinkType::LINUX_SLL, &[]), Direction::Unknown);
    }

    #[test]
    fn raw_ip_is_named_as_files_name_it() {
        assert_eq!(link_type(12), LinkType::RAW);
        assert_eq!(link_type(1), LinkType::ETHERNET);
    }

    #[test]
    fn timestamps_keep_their_precision() {
        assert_eq!(timestamp(1, 5, 9).to_string(), "1.000000005");
        assert_eq!(timestamp(1, 5, 6).to_string(), "1.000005");
    }

    #[test]
    fn libpcap_takes_the_filter() {
        let targets = ["198.19.0.4", "2001:db8::4"].map(|a| a.parse().unwrap());
        for (dlt, link) in [(1, LinkType::ETHERNET), (12, LinkType::RAW), (113, LinkType::LINUX_SLL)] {
            let dead = pcap::Capture::dead(pcap::Linktype(dlt)).unwrap();
            let program = dead.compile(&filter(&targets, link), true).unwrap();
            assert!(!program.get_instructions().is_empty());
        }
    }

    #[test]
    fn the_filter_takes_what_concerns_the_target_alone() {
        let dead = pcap::Capture::dead(pcap::Linktype(1)).unwrap();
        let target: IpAddr = "198.19.0.4".parse().unwrap();
        let program = dead.compile(&filter(&[target], LinkType::ETHERNET), true).unwrap();
        let frame = |protocol: u8, source: [u8; 4], kind: u8| {
            let mut frame = ethernet(MAC);
            frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, protocol, 0, 0]);
            frame.extend(source);
            frame.extend([10, 22, 0, 1, kind, 0, 0, 0, 0, 0, 0, 0]);
            frame
        };
        assert!(program.filter(&frame(6, [198, 19, 0, 4], 0)), "the target's own");
        assert!(!program.filter(&frame(6, [198, 19, 0, 5], 0)), "another host's");
        assert!(program.filter(&frame(1, [198, 18, 0, 1], 11)), "a router's time exceeded");
        assert!(program.filter(&frame(1, [198, 18, 0, 1], 3)), "a router's unreachable");
        assert!(!program.filter(&frame(1, [198, 18, 0, 1], 0)), "another host's echo reply");
    }
}
