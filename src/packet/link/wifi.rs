//! IEEE 802.11, alone or after what a monitoring interface knows of the frame.

use super::ethernet::llc;
use super::{Layer, skip, take};
use crate::packet::{Link, MacAddr, Undecoded};

/// A frame from its frame control field on.
pub(super) fn frame<'a>(bytes: &'a [u8], said: &mut Link) -> Result<Layer<'a>, Undecoded> {
    data(bytes, false, said)
}

/// A frame after radiotap (radiotap.org): version, padding, length, words of flags for the fields present, fields.
pub(super) fn radiotap<'a>(bytes: &'a [u8], said: &mut Link) -> Result<Layer<'a>, Undecoded> {
    /// Bits of the first word: the 8-byte time, the byte of flags. (The highest says that another word follows.)
    const TSFT: u32 = 1;
    const FLAGS: u32 = 1 << 1;
    /// Flags: the 802.11 header is padded to 4 bytes; the frame failed its check.
    const PADDED: u8 = 0x20;
    const BAD: u8 = 0x40;

    let ([version, _, l0, l1, p0, p1, p2, p3], _) = take::<8>(bytes)?;
    if *version != 0 {
        return Err(Undecoded::Malformed);
    }
    let first = u32::from_le_bytes([*p0, *p1, *p2, *p3]);
    let len = usize::from(u16::from_le_bytes([*l0, *l1]));
    // It counts what was read just now.
    if len < 8 {
        return Err(Undecoded::Malformed);
    }
    let rest = skip(bytes, len)?;
    let header = &bytes[..len];
    let mut words = header.get(4..).unwrap_or_default().chunks_exact(4);
    let present = words.by_ref().take_while(|word| word[3] & 0x80 != 0).count() + 1;
    let fields = 4 + 4 * present;
    let at = if first & TSFT == 0 { fields } else { fields.next_multiple_of(8) + 8 };
    let flags = if first & FLAGS == 0 { 0 } else { *header.get(at).ok_or(Undecoded::Malformed)? };
    if flags & BAD != 0 {
        return Err(Undecoded::WifiDamaged);
    }
    data(rest, flags & PADDED != 0, said)
}

/// A frame after Prism or AVS monitor information: the two are told apart by AVS's magic number.
pub(super) fn monitor<'a>(bytes: &'a [u8], said: &mut Link) -> Result<Layer<'a>, Undecoded> {
    const PRISM: usize = 144;
    let ([m0, m1, m2, _, l0, l1, l2, l3], _) = take::<8>(bytes)?;
    let len = match [*m0, *m1, *m2] {
        [0x80, 0x21, 0x10] => u32::from_be_bytes([*l0, *l1, *l2, *l3]) as usize,
        _ => PRISM,
    };
    data(skip(bytes, len)?, false, said)
}

/// A data frame; `padded` says that its header is filled up to 4 bytes.
fn data<'a>(bytes: &'a [u8], padded: bool, said: &mut Link) -> Result<Layer<'a>, Undecoded> {
    const TO_DS: u8 = 0x01;
    const FROM_DS: u8 = 0x02;
    const PROTECTED: u8 = 0x40;
    const ORDER: u8 = 0x80;

    let ([control, flags], _) = take::<2>(bytes)?;
    let (version, kind, subtype) = (control & 3, control >> 2 & 3, control >> 4);
    if version != 0 {
        return Err(Undecoded::Malformed);
    }
    // Data is type 2; bit 2 of the subtype says that there is none in it.
    if kind != 2 || subtype & 4 != 0 {
        return Err(Undecoded::WifiWithoutData);
    }
    if flags & PROTECTED != 0 {
        return Err(Undecoded::WifiEncrypted);
    }
    let (header, rest) = take::<24>(bytes)?;
    let [_, _, _, _, a1 @ .., sequence, _] = *header;
    let [r0, r1, r2, r3, r4, r5, t0, t1, t2, t3, t4, t5, x0, x1, x2, x3, x4, x5] = a1;
    let (first, second, third) =
        ([r0, r1, r2, r3, r4, r5], [t0, t1, t2, t3, t4, t5], [x0, x1, x2, x3, x4, x5]);
    let mut len = 24;
    let mut source = if flags & FROM_DS == 0 { second } else { third };
    let destination = if flags & TO_DS == 0 { first } else { third };
    if flags & (TO_DS | FROM_DS) == TO_DS | FROM_DS {
        source = *take::<6>(rest)?.0;
        len += 6;
    }
    let mut aggregate = false;
    if subtype & 8 != 0 {
        let ([quality, _], _) = take::<2>(skip(bytes, len)?)?;
        aggregate = quality & 0x80 != 0;
        len += if flags & ORDER == 0 { 2 } else { 6 };
    }
    // The number of a later fragment of the frame.
    if sequence & 0x0f != 0 {
        return Err(Undecoded::WifiPart);
    }
    said.source = Some(MacAddr(source));
    said.destination = Some(MacAddr(destination));
    let body = skip(bytes, if padded { len.next_multiple_of(4) } else { len })?;
    llc(if aggregate { only_part(body)? } else { body })
}

/// The one part of an aggregate (A-MSDU): destination, source, length, data. One packet is told for one frame, so an
/// aggregate of several is not read at all.
fn only_part(body: &[u8]) -> Result<&[u8], Undecoded> {
    let ([_, _, _, _, _, _, _, _, _, _, _, _, l0, l1], rest) = take::<14>(body)?;
    let len = usize::from(u16::from_be_bytes([*l0, *l1]));
    // A frame check sequence may follow, but no header of another part.
    match rest.get(len.next_multiple_of(4)..) {
        Some(more) if more.len() >= 14 => Err(Undecoded::WifiPart),
        _ => Ok(rest.get(..len).unwrap_or(rest)),
    }
}

#[cfg(test)]
mod tests {
    use crate::packet::samples::SYN_V4;
    use crate::packet::{Link, LinkType, MacAddr, Undecoded, decode};

    const SNAP: [u8; 8] = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    /// The three addresses, and sequence control.
    const HEADER: [u8; 20] = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 0x10, 0];

    fn frame(control: u8, flags: u8, more: &[u8]) -> Vec<u8> {
        [&[control, flags, 0, 0], &HEADER[..], more, &SNAP, &SYN_V4].concat()
    }

    fn read(link: LinkType, frame: &[u8]) -> Result<Link, Undecoded> {
        decode(link, frame).map(|packet| packet.link)
    }

    #[test]
    fn addresses_stand_where_the_direction_says() {
        let mac = |n| Some(MacAddr([n; 6]));
        for (flags, more, source, destination) in
            [(0, &[][..], 2, 1), (1, &[], 2, 3), (2, &[], 3, 1), (3, &[4; 6], 4, 3)]
        {
            let link = read(LinkType::IEEE802_11, &frame(0x08, flags, more)).unwrap();
            assert_eq!((link.source, link.destination), (mac(source), mac(destination)), "{flags}");
        }
    }

    #[test]
    fn what_holds_no_packet_that_can_be_read_is_told_by_kind() {
        let why =
            |control, flags, more: &[u8]| read(LinkType::IEEE802_11, &frame(control, flags, more)).err();
        assert_eq!(why(0x80, 0, &[]), Some(Undecoded::WifiWithoutData), "beacon");
        assert_eq!(why(0xd4, 0, &[]), Some(Undecoded::WifiWithoutData), "acknowledgment");
        assert_eq!(why(0xc8, 0, &[0, 0]), Some(Undecoded::WifiWithoutData), "null data");
        assert_eq!(why(0x08, 0x40, &[]), Some(Undecoded::WifiEncrypted));
        assert_eq!(why(0x09, 0, &[]), Some(Undecoded::Malformed), "version 1");
        assert_eq!(why(0x88, 0x80, &[0; 6]), None, "HT control");
        let mut fragment = frame(0x08, 0, &[]);
        fragment[22] = 0x11;
        assert_eq!(read(LinkType::IEEE802_11, &fragment).err(), Some(Undecoded::WifiPart));
        let whole = frame(0x88, 1, &[0, 0]);
        for cut in 0..whole.len() - 40 {
            assert_eq!(read(LinkType::IEEE802_11, &whole[..cut]).err(), Some(Undecoded::Truncated), "{cut}");
        }
    }

    #[test]
    fn an_aggregate_of_several_is_not_read() {
        let part = [&[7; 12][..], &[0, 68], &SNAP, &SYN_V4].concat();
        let parts = |n: usize| [&[0x88, 1, 0, 0], &HEADER[..], &[0x80, 0], &part.repeat(n)].concat();
        assert_eq!(read(LinkType::IEEE802_11, &parts(1)).err(), None);
        assert_eq!(read(LinkType::IEEE802_11, &parts(2)).err(), Some(Undecoded::WifiPart));
    }

    #[test]
    fn radiotap_says_where_the_frame_begins_and_whether_it_is_good() {
        let with = |header: &[u8]| {
            read(LinkType::IEEE802_11_RADIOTAP, &[header, &frame(0x08, 1, &[])].concat()).err()
        };
        assert_eq!(with(&[0, 0, 8, 0, 0, 0, 0, 0]), None);
        assert_eq!(with(&[0, 0, 9, 0, 2, 0, 0, 0, 0x10]), None);
        assert_eq!(with(&[0, 0, 9, 0, 2, 0, 0, 0, 0x40]), Some(Undecoded::WifiDamaged));
        let with_time = [&[0, 0, 17, 0, 3, 0, 0, 0][..], &[0x40; 8], &[0x10]].concat();
        assert_eq!(with(&with_time), None, "the time is not the flags");
        assert_eq!(with(&[1, 0, 8, 0, 0, 0, 0, 0]), Some(Undecoded::Malformed));
        assert_eq!(with(&[0, 0, 8, 0, 2, 0, 0, 0]), Some(Undecoded::Malformed), "no room for the flags");
        assert_eq!(with(&[0, 0, 0, 0, 0, 0, 0, 0]), Some(Undecoded::Malformed), "shorter than itself");
        assert_eq!(with(&[0, 0, 255, 255, 0, 0, 0, 0]), Some(Undecoded::Truncated));
    }
}
