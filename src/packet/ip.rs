//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, with options and extension headers.

use etherparse::checksum::Sum16BitWords;
use etherparse::err::{ipv4, ipv6};
use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice, ip_number,
};

use super::{Fragment, HopLimit, Ip, Undecoded};

/// No real packet comes near this many extension headers; a forged one must not cost more than this.
const MAX_EXTENSION_HEADERS: usize = 16;

/// What ends a datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The length in the header; where it has none, so many bytes beyond those there are.
    Claimed(u32),
    /// The end of the bytes. Quotes are cut, and some quoting routers rewrite the length.
    Captured,
}

/// An IP header, extension headers included, and what follows it.
struct Datagram<'a> {
    ip: Ip,
    payload: &'a [u8],
    /// The extension headers go on beyond the bytes there are, so `ip.protocol` is not the transport.
    cut: bool,
}

/// Reads an IP header: its fields and the captured part of its payload, padding excluded; `missing` bytes of the frame
/// were not captured.
pub(super) fn read(bytes: &[u8], missing: u32) -> Result<(Ip, &[u8]), Undecoded> {
    let Datagram { ip, payload, cut } = datagram(bytes, End::Claimed(missing))?;
    if cut {
        return Err(Undecoded::cut_short(payload.len(), ip.payload_len));
    }
    if ip.source.is_ipv6() && ip.fragment != Fragment::Later && is_extension(IpNumber(ip.protocol)) {
        return Err(Undecoded::Extensions);
    }
    Ok((ip, payload))
}

/// Reads the IP header of a quoted packet. The payload is `None` where the quote ends before the transport.
pub(super) fn read_quoted(bytes: &[u8]) -> Result<(Ip, Option<&[u8]>), Undecoded> {
    let Datagram { ip, payload, cut } = datagram(bytes, End::Captured)?;
    Ok((ip, (!cut).then_some(payload)))
}

fn datagram(bytes: &[u8], end: End) -> Result<Datagram<'_>, Undecoded> {
    match bytes.first().ok_or(Undecoded::Truncated)? >> 4 {
        4 => v4(bytes, end),
        6 => v6(bytes, end),
        version => Err(Undecoded::IpVersion(version)),
    }
}

fn v4(bytes: &[u8], end: End) -> Result<Datagram<'_>, Undecoded> {
    let header = Ipv4HeaderSlice::from_slice(bytes).map_err(|e| match e {
        ipv4::HeaderSliceError::Len(_) => Undecoded::Truncated,
        ipv4::HeaderSliceError::Content(_) => Undecoded::Malformed,
    })?;
    let rest = &bytes[header.slice().len()..];
    let claimed = match (header.total_len(), end) {
        (_, End::Captured) => rest.len() as u32,
        (0, End::Claimed(missing)) => (rest.len() as u32).saturating_add(missing),
        (_, End::Claimed(_)) => header.payload_len().map_err(|_| Undecoded::Malformed)?.into(),
    };
    let fragment = fragment(header.fragments_offset().value(), header.more_fragments());
    let captured = trim(rest, claimed);
    let start = Extensions { next: header.protocol(), fragment, identification: None, rest: captured };
    // The other extension headers' numbers mean nothing in IPv4.
    let (extensions, cut) =
        if start.next == ip_number::AUTH { skip_extensions(start) } else { (start, false) };
    let skipped = captured.len() - extensions.rest.len();
    Ok(Datagram {
        ip: Ip {
            source: header.source_addr().into(),
            destination: header.destination_addr().into(),
            hop_limit: HopLimit(header.ttl()),
            traffic_class: header.dcp().value() << 2 | header.ecn().value(),
            identification: Some(header.identification().into()),
            flow_label: None,
            dont_fragment: header.dont_fragment(),
            fragment,
            protocol: extensions.next.0,
            payload_len: claimed - skipped as u32,
            is_damaged: header.header_checksum() != 0
                && Sum16BitWords::new().add_slice(header.slice()).ones_complement() != 0,
        },
        payload: extensions.rest,
        cut,
    })
}

fn v6(bytes: &[u8], end: End) -> Result<Datagram<'_>, Undecoded> {
    let header = Ipv6HeaderSlice::from_slice(bytes).map_err(|e| match e {
        ipv6::HeaderSliceError::Len(_) => Undecoded::Truncated,
        ipv6::HeaderSliceError::Content(_) => Undecoded::Malformed,
    })?;
    let rest = &bytes[header.slice().len()..];
    let claimed = match (header.payload_length(), end) {
        (_, End::Captured) => rest.len() as u32,
        (0, End::Claimed(missing)) => {
            let all = (rest.len() as u32).saturating_add(missing);
            match header.next_header() {
                ip_number::IPV6_NO_NEXT_HEADER => 0,
                ip_number::IPV6_HOP_BY_HOP => jumbo_length(rest).unwrap_or(all),
                _ => all,
            }
        }
        (length, End::Claimed(_)) => length.into(),
    };
    let captured = trim(rest, claimed);
    let (extensions, cut) = skip_extensions(Extensions {
        next: header.next_header(),
        fragment: Fragment::Whole,
        identification: None,
        rest: captured,
    });
    let skipped = captured.len() - extensions.rest.len();
    Ok(Datagram {
        ip: Ip {
            source: header.source_addr().into(),
            destination: header.destination_addr().into(),
            hop_limit: HopLimit(header.hop_limit()),
            traffic_class: header.traffic_class(),
            identification: extensions.identification,
            flow_label: Some(header.flow_label().value()),
            dont_fragment: true,
            fragment: extensions.fragment,
            protocol: extensions.next.0,
            payload_len: claimed - skipped as u32,
            is_damaged: false,
        },
        payload: extensions.rest,
        cut,
    })
}

/// The part of `rest` within the `claimed` bytes.
fn trim(rest: &[u8], claimed: u32) -> &[u8] {
    rest.get(..claimed as usize).unwrap_or(rest)
}

fn fragment(offset: u16, more: bool) -> Fragment {
    match (offset, more) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    }
}

/// What the walk over extension headers knows so far.
struct Extensions<'a> {
    /// The kind of header that `rest` starts with.
    next: IpNumber,
    fragment: Fragment,
    identification: Option<u32>,
    rest: &'a [u8],
}

/// Walks to the first header that is not an extension header, and says whether the bytes ended before that.
/// Stops at a later fragment's data, which is no header.
fn skip_extensions(mut at: Extensions<'_>) -> (Extensions<'_>, bool) {
    for _ in 0..MAX_EXTENSION_HEADERS {
        if at.fragment == Fragment::Later {
            break;
        }
        let header = match at.next {
            next if is_plain_extension(next) => {
                Ipv6RawExtHeaderSlice::from_slice(at.rest).ok().map(|h| (h.next_header(), h.slice().len()))
            }
            ip_number::AUTH => {
                IpAuthHeaderSlice::from_slice(at.rest).ok().map(|h| (h.next_header(), h.slice().len()))
            }
            ip_number::IPV6_FRAG => Ipv6FragmentHeaderSlice::from_slice(at.rest).ok().map(|h| {
                at.fragment = fragment(h.fragment_offset().value(), h.more_fragments());
                at.identification = Some(h.identification());
                (h.next_header(), h.slice().len())
            }),
            _ => break,
        };
        let Some((next, length)) = header else { return (at, true) };
        at.next = next;
        at.rest = &at.rest[length..];
    }
    (at, false)
}

/// Whether it is the number of an extension header that is laid out as most are.
fn is_plain_extension(number: IpNumber) -> bool {
    matches!(
        number,
        ip_number::IPV6_HOP_BY_HOP
            | ip_number::IPV6_ROUTE
            | ip_number::IPV6_DEST_OPTIONS
            | ip_number::MOBILITY
            | ip_number::HIP
            | ip_number::SHIM6
    )
}

/// Whether it is the number of any extension header that is walked over.
fn is_extension(number: IpNumber) -> bool {
    is_plain_extension(number) || matches!(number, ip_number::AUTH | ip_number::IPV6_FRAG)
}

/// The jumbo payload option (RFC 2675): the payload's length where 16 bits do not hold it.
fn jumbo_length(bytes: &[u8]) -> Option<u32> {
    let header = Ipv6RawExtHeaderSlice::from_slice(bytes).ok()?;
    let mut options = header.payload();
    loop {
        options = match options {
            [0, rest @ ..] => rest,
            [0xc2, 4, a, b, c, d, ..] => return Some(u32::from_be_bytes([*a, *b, *c, *d])),
            [_, length, rest @ ..] => rest.get(usize::from(*length)..)?,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{SYN_ACK_V6, SYN_V4, address, patched, v4, v6};
    use crate::packet::{LinkType, Packet, Tcp, Transport, decode};

    const TCP: &[u8] = SYN_V4.split_at(20).1;

    fn raw(bytes: &[u8]) -> Packet<'_> {
        decode(LinkType::RAW, bytes).unwrap()
    }

    fn undecoded(bytes: &[u8]) -> Undecoded {
        decode(LinkType::RAW, bytes).unwrap_err()
    }

    fn tcp<'a>(packet: &Packet<'a>) -> Tcp<'a> {
        match packet.transport {
            Transport::Tcp(tcp) => tcp,
            ref other => panic!("not TCP: {other:?}"),
        }
    }

    #[test]
    fn v4_fields() {
        let expected = Ip {
            source: address("10.22.0.1"),
            destination: address("198.19.0.4"),
            hop_limit: HopLimit(64),
            traffic_class: 0,
            identification: Some(0x7701),
            flow_label: None,
            dont_fragment: true,
            fragment: Fragment::Whole,
            protocol: 6,
            payload_len: 40,
            is_damaged: false,
        };
        assert_eq!(raw(&SYN_V4).ip, expected);
        assert_eq!(raw(&patched(&SYN_V4, 1, &[0xb9])).ip.traffic_class, 0xb9);
        assert!(!raw(&patched(&SYN_V4, 6, &[0])).ip.dont_fragment);
        let damaged = patched(&SYN_V4, 10, &[SYN_V4[10] ^ 1]);
        assert!(raw(&damaged).ip.is_damaged);
        assert!(!raw(&patched(&SYN_V4, 10, &[0, 0])).ip.is_damaged, "hardware has still to fill it in");
    }

    #[test]
    fn v6_fields() {
        let expected = Ip {
            source: address("2001:db8::4"),
            destination: address("fd22::1"),
            hop_limit: HopLimit(60),
            traffic_class: 0xb8,
            identification: None,
            flow_label: Some(0xabcde),
            dont_fragment: true,
            fragment: Fragment::Whole,
            protocol: 6,
            payload_len: 20,
            is_damaged: false,
        };
        assert_eq!(raw(&SYN_ACK_V6).ip, expected);
    }

    #[test]
    fn v4_options_are_skipped() {
        let mut packet = [&SYN_V4[..20], &[0x94, 4, 0, 0], TCP].concat();
        packet[0] = 0x46;
        packet[3] = 64;
        let packet = raw(&packet);
        assert_eq!(packet.ip.payload_len, 40);
        assert_eq!(tcp(&packet).destination_port, 22);
        assert_eq!(tcp(&packet).checksum_ok(&packet.ip), Some(true));
    }

    #[test]
    fn padding_is_not_payload() {
        let ack =
            [&patched(&SYN_V4[..20], 3, &[40])[..], &patched(&TCP[..20], 12, &[0x50, 0x10]), &[0xee; 6]];
        let packet = ack.concat();
        let packet = raw(&packet);
        assert_eq!((packet.ip.payload_len, tcp(&packet).payload_len), (20, 0));
        assert_eq!(tcp(&packet).payload, b"");
        let padded = [&SYN_ACK_V6[..], &[0xee; 6]].concat();
        assert_eq!(tcp(&raw(&padded)).payload, b"");
    }

    #[test]
    fn what_the_header_claims_outlives_the_capture() {
        let packet = patched(&SYN_V4, 2, &[0x05, 0xdc]);
        let packet = raw(&packet);
        assert_eq!(packet.ip.payload_len, 1480);
        assert_eq!((tcp(&packet).payload_len, tcp(&packet).payload), (1440, &b""[..]));
        assert_eq!(tcp(&packet).checksum_ok(&packet.ip), None);
    }

    #[test]
    fn length_zero_is_the_rest_of_the_frame() {
        let large = [&patched(&SYN_V4, 2, &[0, 0])[..], &vec![0xab; 70_000]].concat();
        let packet = raw(&large);
        assert_eq!((packet.ip.payload_len, tcp(&packet).payload_len), (70_040, 70_000));
        assert_eq!(tcp(&packet).payload.len(), 70_000);
        assert_eq!(tcp(&packet).checksum_ok(&packet.ip), None);

        let large = [&patched(&SYN_ACK_V6, 4, &[0, 0])[..], &vec![0xab; 70_000]].concat();
        assert_eq!(tcp(&raw(&large)).payload_len, 70_000);
        let empty = [&v6(59, &[])[..], &[0; 6]].concat();
        assert_eq!(raw(&empty).ip.payload_len, 0);
    }

    #[test]
    fn jumbo_payloads_say_their_own_length() {
        let jumbo = [&[6, 0, 0xc2, 4, 0, 1, 0x11, 0x94][..], TCP, &vec![0xab; 69_996], b"pad"].concat();
        let packet = patched(&v6(0, &jumbo), 4, &[0, 0]);
        let packet = raw(&packet);
        assert_eq!(packet.ip.payload_len, 0x0001_1194 - 8);
        assert_eq!(tcp(&packet).payload.len(), 0x0001_1194 - 8 - 40);
    }

    #[test]
    fn v4_fragments() {
        let first = patched(&SYN_V4[..44], 2, &[0, 44, 0x77, 1, 0x20, 0]);
        let packet = raw(&first);
        assert_eq!(packet.ip.fragment, Fragment::First);
        assert_eq!(tcp(&packet).options.0, [2, 4, 5, 0xb4]);
        assert_eq!(tcp(&packet).payload_len, 0);
        assert_eq!(tcp(&packet).checksum_ok(&packet.ip), None);

        let tiny = patched(&SYN_V4[..28], 2, &[0, 28, 0x77, 1, 0x20, 0]);
        assert_eq!(undecoded(&tiny), Undecoded::Truncated);

        for offset in [[0x20, 3], [0, 3]] {
            let later = patched(&SYN_V4, 6, &offset);
            let packet = raw(&later);
            assert_eq!(packet.ip.fragment, Fragment::Later);
            assert!(matches!(packet.transport, Transport::LaterFragment));
        }
    }

    #[test]
    fn v6_fragments() {
        let with = |offset: u16| {
            let [o0, o1] = offset.to_be_bytes();
            v6(44, &[&[6, 0, o0, o1, 1, 2, 3, 4], TCP].concat())
        };
        for (offset, fragment) in
            [(0, Fragment::Whole), (1, Fragment::First), (0x19, Fragment::Later), (0x18, Fragment::Later)]
        {
            let packet = with(offset);
            let packet = raw(&packet);
            assert_eq!(packet.ip.fragment, fragment);
            assert_eq!(packet.ip.identification, Some(0x0102_0304));
            assert_eq!((packet.ip.protocol, packet.ip.payload_len), (6, 40));
            assert_eq!(matches!(packet.transport, Transport::Tcp(_)), fragment != Fragment::Later);
        }
    }

    #[test]
    fn extension_headers_are_walked() {
        let chain = [
            &[43, 0, 1, 4, 0, 0, 0, 0][..],                     // hop-by-hop: PadN
            &[60, 0, 0, 0, 0, 0, 0, 0],                         // routing, no segments left
            &[51, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0],            // destination options, 16 bytes
            &[0, 0, 0, 0],                                      // … its end
            &[44, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9], // AH, 16 bytes
            &[6, 0, 0, 0, 0, 0, 0, 7],                          // fragment, whole
            TCP,
        ]
        .concat();
        let packet = v6(0, &chain);
        let ip = raw(&packet).ip;
        assert_eq!((ip.protocol, ip.payload_len, ip.identification), (6, 40, Some(7)));
        assert_eq!(tcp(&raw(&packet)).window, 0xfaf1);

        let protected = [&[6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1][..], TCP].concat();
        let packet = v4(51, &protected);
        assert_eq!((raw(&packet).ip.protocol, raw(&packet).ip.payload_len), (6, 40));
        assert_eq!(tcp(&raw(&packet)).window, 0xfaf1);
    }

    #[test]
    fn extension_headers_end() {
        let endless = v6(60, &[60, 0, 1, 4, 0, 0, 0, 0].repeat(200));
        assert_eq!(undecoded(&endless), Undecoded::Extensions);
        let most =
            v6(60, &[&[60, 0, 1, 4, 0, 0, 0, 0].repeat(15)[..], &[6, 0, 1, 4, 0, 0, 0, 0], TCP].concat());
        assert_eq!(raw(&most).ip.protocol, 6);

        let chain = v6(60, &[&[6, 0, 1, 4, 0, 0, 0, 0][..], TCP].concat());
        assert_eq!(undecoded(&chain[..44]), Undecoded::Truncated);
        let overlong = v6(60, &[6, 9, 1, 4, 0, 0, 0, 0]);
        assert_eq!(undecoded(&overlong), Undecoded::Malformed);
        let encrypted = v6(50, &[1; 40]);
        assert_eq!(undecoded(&encrypted), Undecoded::Unopened(crate::packet::Unopened::Esp));
    }

    #[test]
    fn contradictions_and_cuts() {
        assert_eq!(undecoded(&patched(&SYN_V4, 0, &[0x44])), Undecoded::Malformed);
        assert_eq!(undecoded(&patched(&SYN_V4, 3, &[19])), Undecoded::Malformed);
        assert_eq!(undecoded(&patched(&SYN_V4, 0, &[0x55])), Undecoded::IpVersion(5));
        for cut in 0..40 {
            assert_eq!(undecoded(&SYN_V4[..cut]), Undecoded::Truncated, "{cut}");
        }
        for cut in 0..60 {
            assert_eq!(undecoded(&SYN_ACK_V6[..cut]), Undecoded::Truncated, "{cut}");
        }
    }
}
