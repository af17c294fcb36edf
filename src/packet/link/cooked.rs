//! Linux cooked captures: what a capture of all interfaces at once is.

use super::ethernet::{llc, typed};
use super::{Layer, take, wifi};
use crate::packet::{Link, MacAddr, Undecoded};

/// Linux's number, in cooked captures, for a frame that starts with an 802.2 LLC header.
const ETH_P_802_2: u16 = 0x0004;

/// LINUX_SLL: packet type, ARPHRD type, address length, address, protocol.
pub(super) fn v1<'a>(frame: &'a [u8], said: &mut Link) -> Result<Layer<'a>, Undecoded> {
    let (header, rest) = take::<16>(frame)?;
    let [k0, k1, h0, h1, l0, l1, from @ .., p0, p1] = *header;
    said.source = address(u16::from_be_bytes([l0, l1]), from);
    said.cooked_type = Some(u16::from_be_bytes([k0, k1]));
    network(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([p0, p1]), rest, said)
}

/// LINUX_SLL2: protocol, 2 reserved bytes, interface index, ARPHRD type, packet type, address length, address.
pub(super) fn v2<'a>(frame: &'a [u8], said: &mut Link) -> Result<Layer<'a>, Undecoded> {
    let (header, rest) = take::<20>(frame)?;
    let [p0, p1, _, _, _, _, _, _, h0, h1, kind, length, from @ ..] = *header;
    said.source = address(length.into(), from);
    said.cooked_type = Some(kind.into());
    network(u16::from_be_bytes([h0, h1]), u16::from_be_bytes([p0, p1]), rest, said)
}

/// Tunnel devices have 4- or 16-byte addresses, loopback and Ethernet 6-byte ones.
fn address(length: u16, [m0, m1, m2, m3, m4, m5, ..]: [u8; 8]) -> Option<MacAddr> {
    (length == 6).then_some(MacAddr([m0, m1, m2, m3, m4, m5]))
}

fn network<'a>(
    hardware: u16,
    protocol: u16,
    rest: &'a [u8],
    said: &mut Link,
) -> Result<Layer<'a>, Undecoded> {
    match (hardware, protocol) {
        // What stands in the protocol field of these is no EtherType.
        (801, _) => wifi::frame(rest, said),
        (802, _) => wifi::monitor(rest, said),
        (803, _) => wifi::radiotap(rest, said),
        // Frame Relay and netlink, likewise.
        (770 | 824, _) => Err(Undecoded::CookedHardware(hardware)),
        (_, ETH_P_802_2) => llc(rest),
        (_, ether_type) => typed(ether_type, rest),
    }
}
