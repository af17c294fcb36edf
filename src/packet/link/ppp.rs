//! PPP (RFC 1661) in its several framings, and Cisco HDLC.

use super::ethernet::{mpls, typed};
use super::{Layer, take};
use crate::packet::Undecoded;

/// HDLC's address and control before PPP (RFC 1662).
const ADDRESS_CONTROL: [u8; 2] = [0xff, 0x03];

/// PPP from the protocol field on, or from HDLC's address and control on, which both ends may agree to leave out.
pub(super) fn ppp(frame: &[u8]) -> Result<Layer<'_>, Undecoded> {
    let frame = frame.strip_prefix(&ADDRESS_CONTROL).unwrap_or(frame);
    // An odd first byte is all of the protocol field: both ends may agree to leave out a zero before it.
    let (protocol, rest) = match frame {
        [short, rest @ ..] if short & 1 == 1 => (u16::from(*short), rest),
        [p0, p1, rest @ ..] => (u16::from_be_bytes([*p0, *p1]), rest),
        _ => return Err(Undecoded::Truncated),
    };
    match protocol {
        0x0021 | 0x0057 => Ok(Layer::Ip(rest)),
        0x0281 | 0x0283 => mpls(rest),
        other => Err(Undecoded::PppProtocol(other)),
    }
}

/// A serial line: Cisco HDLC has addresses of its own.
pub(super) fn serial(frame: &[u8]) -> Result<Layer<'_>, Undecoded> {
    match frame {
        [0x0f | 0x8f, 0, ..] => cisco_hdlc(frame),
        _ => ppp(frame),
    }
}

/// Cisco HDLC: address, control, EtherType.
pub(super) fn cisco_hdlc(frame: &[u8]) -> Result<Layer<'_>, Undecoded> {
    let ([_, _, t0, t1], rest) = take::<4>(frame)?;
    typed(u16::from_be_bytes([*t0, *t1]), rest)
}

/// PPP after a byte of direction, which pppd writes in the place of HDLC's address, with control or a zero after it.
pub(super) fn directed(frame: &[u8]) -> Result<Layer<'_>, Undecoded> {
    let (_, rest) = take::<1>(frame)?;
    match rest {
        [0x03, after @ ..] => ppp(after),
        [0, after @ ..] if after.first() == Some(&0) => ppp(after),
        _ => ppp(rest),
    }
}

/// PPPoE (RFC 2516): version and type, code, session, length.
pub(super) fn pppoe(frame: &[u8]) -> Result<Layer<'_>, Undecoded> {
    let ([version, code, ..], rest) = take::<6>(frame)?;
    match (*version, *code) {
        (0x11, 0) => ppp(rest),
        _ => Err(Undecoded::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use crate::packet::samples::SYN_V4;
    use crate::packet::{LinkType, Undecoded, decode};

    fn why(link: LinkType, header: &[u8]) -> Option<Undecoded> {
        decode(link, &[header, &SYN_V4].concat()).err()
    }

    #[test]
    fn what_both_ends_may_leave_out_may_be_missing() {
        for header in [&[0xff, 3, 0, 0x21][..], &[0xff, 3, 0x21], &[0, 0x21], &[0x21]] {
            assert_eq!(why(LinkType::PPP, header), None, "{header:?}");
            assert_eq!(why(LinkType::PPP_HDLC, header), None, "{header:?}");
            assert_eq!(why(LinkType::PPP_WITH_DIR, &[&[1], header].concat()), None, "{header:?}");
        }
        for header in [&[0, 0, 0, 0x21][..], &[1, 3, 0, 0x21], &[0, 0, 0x21]] {
            assert_eq!(why(LinkType::PPP_PPPD, header), None, "{header:?}");
        }
    }

    #[test]
    fn other_protocols_are_told_by_number() {
        assert_eq!(why(LinkType::PPP, &[0xff, 3, 0xc0, 0x21]), Some(Undecoded::PppProtocol(0xc021)));
        assert_eq!(why(LinkType::PPP, &[0xfd]), Some(Undecoded::PppProtocol(0xfd)));
        assert_eq!(why(LinkType::C_HDLC, &[0x8f, 0, 0x80, 0x35]), Some(Undecoded::NotIp(0x8035)));
        assert_eq!(why(LinkType::PPP_ETHER, &[0x11, 9, 0, 0, 0, 0]), Some(Undecoded::Malformed));
        assert_eq!(decode(LinkType::PPP, &[0xc0]).err(), Some(Undecoded::Truncated));
    }
}
