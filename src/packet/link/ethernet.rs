//! Ethernet, and what EtherTypes announce.

use etherparse::{EtherType, ether_type};

use super::{Layer, LinkType, ppp, take};
use crate::packet::{Link, MacAddr, Undecoded};

/// EtherTypes below this are lengths of an IEEE 802.3 frame (and, in cooked captures, Linux's own numbers).
const FIRST_ETHER_TYPE: u16 = 0x0600;
/// Ethernet within something else (in GRE, NVGRE and Geneve).
const BRIDGED: EtherType = EtherType(0x6558);
/// PPP within something else (in GRE: PPTP).
const PPP: EtherType = EtherType(0x880b);
const MPLS: [EtherType; 2] = [EtherType(0x8847), EtherType(0x8848)];
const PPPOE_SESSION: EtherType = EtherType(0x8864);

#[inline]
pub(super) fn ethernet<'a>(frame: &'a [u8], said: &mut Link) -> Result<Layer<'a>, Undecoded> {
    let (header, rest) = take::<14>(frame)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
    said.source = Some(MacAddr([s0, s1, s2, s3, s4, s5]));
    said.destination = Some(MacAddr([d0, d1, d2, d3, d4, d5]));
    match u16::from_be_bytes([t0, t1]) {
        // By far the commonest, here as well.
        0x0800 | 0x86dd => Ok(Layer::Ip(rest)),
        length if length < FIRST_ETHER_TYPE => llc(rest),
        ether_type => typed(ether_type, rest),
    }
}

/// What an EtherType announces, past all VLAN tags.
pub(in crate::packet) fn typed(mut ether_type: u16, mut bytes: &[u8]) -> Result<Layer<'_>, Undecoded> {
    loop {
        match EtherType(ether_type) {
            ether_type::IPV4 | ether_type::IPV6 => return Ok(Layer::Ip(bytes)),
            // Ends: each round takes off four bytes.
            ether_type::VLAN_TAGGED_FRAME
            | ether_type::PROVIDER_BRIDGING
            | ether_type::VLAN_DOUBLE_TAGGED_FRAME => {
                let ([_, _, t0, t1], rest) = take::<4>(bytes)?;
                ether_type = u16::from_be_bytes([*t0, *t1]);
                bytes = rest;
                // A length, as without a tag.
                if ether_type < FIRST_ETHER_TYPE {
                    return llc(bytes);
                }
            }
            BRIDGED => return Ok(Layer::Link(LinkType::ETHERNET, bytes)),
            PPP => return ppp::ppp(bytes),
            PPPOE_SESSION => return ppp::pppoe(bytes),
            other if MPLS.contains(&other) => return mpls(bytes),
            _ => return Err(Undecoded::NotIp(ether_type)),
        }
    }
}

/// MPLS labels (RFC 3032). They do not say what they carry: its first nibble does (RFC 4928).
pub(in crate::packet) fn mpls(mut bytes: &[u8]) -> Result<Layer<'_>, Undecoded> {
    // Ends: each round takes off four bytes.
    loop {
        let ([_, _, bottom, _], rest) = take::<4>(bytes)?;
        bytes = rest;
        if bottom & 1 == 1 {
            break;
        }
    }
    match bytes.first().ok_or(Undecoded::Truncated)? >> 4 {
        4 | 6 => Ok(Layer::Ip(bytes)),
        // A pseudowire's control word (RFC 4385), then an Ethernet frame (RFC 4448); or the frame alone, whose address
        // may begin so.
        0 => {
            let (_, frame) = take::<4>(bytes)?;
            let frame = if is_likely(bytes) && !is_likely(frame) { bytes } else { frame };
            Ok(Layer::Link(LinkType::ETHERNET, frame))
        }
        _ if is_likely(bytes) => Ok(Layer::Link(LinkType::ETHERNET, bytes)),
        _ => Err(Undecoded::Mpls),
    }
}

/// Whether an Ethernet frame begins here: its EtherType is a usual one.
pub(in crate::packet) fn is_likely(frame: &[u8]) -> bool {
    let (Some([t0, t1]), Some(first)) = (frame.get(12..14), frame.get(14)) else { return false };
    matches!(
        (t0, t1, first >> 4),
        (0x08, 0x00, 4) | (0x86, 0xdd, 6) | (0x08, 0x06, _) | (0x81, 0x00, _) | (0x88, 0xa8, _)
    )
}

/// IEEE 802.2 LLC: IP by its own number, or behind SNAP with an EtherType (RFC 1042).
pub(super) fn llc(bytes: &[u8]) -> Result<Layer<'_>, Undecoded> {
    match bytes {
        [0xaa, 0xaa, 0x03, 0, 0, 0 | 0xf8, t0, t1, rest @ ..] => typed(u16::from_be_bytes([*t0, *t1]), rest),
        [0x06, 0x06, 0x03, rest @ ..] => Ok(Layer::Ip(rest)),
        [0xaa, 0xaa, 0x03, ..] if bytes.len() < 8 => Err(Undecoded::Truncated),
        [_, _, _, ..] => Err(Undecoded::Llc),
        _ => Err(Undecoded::Truncated),
    }
}
