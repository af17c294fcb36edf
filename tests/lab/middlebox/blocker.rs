//! A box that answers for the server with a page of its own.

use etherparse::{IpHeaders, TcpHeader};

use super::{Leaving, Middlebox, Segment, Trigger, Way};

const PAGE: &[u8] = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 8\r\n\r\nblocked\n";

/// TTL or hop limit of the page.
const TTL: u8 = 64;

/// Swallows the packet it waits for, answers it with a page and a FIN, and leaves the server to wait.
pub(crate) struct Blocker(pub(super) Trigger);

impl Middlebox for Blocker {
    fn take(&mut self, way: Way, frame: &[u8], leaving: &mut Leaving) {
        match Segment::read(frame).filter(|segment| self.0.fits(way, segment)) {
            Some(seen) => leaving.push((Way::Back, page(&seen))),
            None => leaving.push((way, frame.to_vec())),
        }
    }
}

fn page(seen: &Segment<'_>) -> Vec<u8> {
    let mut ethernet = seen.ethernet.clone();
    std::mem::swap(&mut ethernet.source, &mut ethernet.destination);
    let mut ip = seen.ip.clone();
    match &mut ip {
        IpHeaders::Ipv4(header, _) => {
            std::mem::swap(&mut header.source, &mut header.destination);
            header.time_to_live = TTL;
        }
        IpHeaders::Ipv6(header, _) => {
            std::mem::swap(&mut header.source, &mut header.destination);
            header.hop_limit = TTL;
        }
    }
    let tcp = TcpHeader {
        source_port: seen.tcp.destination_port,
        destination_port: seen.tcp.source_port,
        sequence_number: seen.tcp.acknowledgment_number,
        acknowledgment_number: seen.end(),
        ack: true,
        psh: true,
        fin: true,
        window_size: 1024,
        ..TcpHeader::default()
    };
    Segment { ethernet, ip, tcp, payload: PAGE }.frame()
}
