//! Classic pcap: one header, then frames of one link type; and the variants of it that libpcap and Wireshark read.

use super::cursor::{Cursor, Endian};
use super::found::FrameFound;
use super::{Direction, Frame, Timestamp};
use crate::packet::LinkType;

/// Length of the file header, but for [`Capture::more_header`].
pub(super) const HEADER: usize = 24;
/// The longest frame believed where the file does not say that it holds longer ones; as libpcap and Wireshark.
const LONGEST_FRAME: u32 = 262_144;

/// What the magic number says of a file.
#[derive(Clone, Copy)]
struct Variant {
    magic: u32,
    nanos_per_tick: i64,
    digits: u8,
    /// Bytes in the file header beyond [`HEADER`].
    more_header: usize,
    /// Bytes before each frame.
    frame_header: usize,
}

/// The usual one.
const MICROS: Variant =
    Variant { magic: 0xa1b2_c3d4, nanos_per_tick: 1_000, digits: 6, more_header: 0, frame_header: 16 };

const VARIANTS: [Variant; 5] = [
    MICROS,
    Variant { magic: 0xa1b2_3c4d, nanos_per_tick: 1, digits: 9, ..MICROS },
    // Kuznetzov's: interface, protocol and packet type follow the lengths.
    Variant { magic: 0xa1b2_cd34, frame_header: 24, ..MICROS },
    // IXIA's, captured by hardware and by software: the length of all that follows ends the file header.
    Variant { magic: 0x1c00_01ac, nanos_per_tick: 1, digits: 9, more_header: 4, ..MICROS },
    Variant { magic: 0x1c00_01ab, more_header: 4, ..MICROS },
];

/// In which order the two lengths of a frame stand: captured and original, or the other way round as old writers had
/// it. Files of one version were written by both.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lengths {
    InOrder,
    Swapped,
    /// The captured length is the smaller one.
    Either,
}

/// What the file header says.
pub(super) struct Capture {
    endian: Endian,
    variant: Variant,
    lengths: Lengths,
    link: LinkType,
    longest: u32,
}

/// The variant and byte order of a file that starts so, if it is a classic pcap.
fn variant(start: [u8; 4]) -> Option<(Variant, Endian)> {
    [Endian::Little, Endian::Big].into_iter().find_map(|endian| {
        let magic = endian.u32(start);
        VARIANTS.into_iter().find(|variant| variant.magic == magic).map(|variant| (variant, endian))
    })
}

/// Whether a file that starts so is a classic pcap.
pub(super) fn is_magic(start: [u8; 4]) -> bool {
    variant(start).is_some()
}

impl Capture {
    /// Reads the file header, [`HEADER`] bytes that start with a magic number; `longest` bounds a frame.
    pub(super) fn open(header: &[u8], longest: u32) -> Result<Self, String> {
        let unreadable = || "the pcap header cannot be read".to_owned();
        let (magic, rest) = header.split_first_chunk().ok_or_else(unreadable)?;
        let (variant, endian) = variant(*magic).ok_or_else(unreadable)?;
        let mut fields = Cursor::new(rest, endian);
        let (Some(major), Some(minor), Some(_zone), Some(_accuracy), Some(snaplen), Some(network)) =
            (fields.u16(), fields.u16(), fields.u32(), fields.u32(), fields.u32(), fields.u32())
        else {
            return Err(unreadable());
        };
        let lengths = match (major, minor) {
            // The second is DG/UX's tcpdump, read as libpcap reads it.
            (2, ..3) | (543, 0) => Lengths::Swapped,
            (2, 3) => Lengths::Either,
            (2, _) => Lengths::InOrder,
            _ => return Err(format!("pcap version {major}.{minor}, where only version 2 is known")),
        };
        Ok(Self {
            endian,
            variant,
            lengths,
            // The high half of the field holds flags on the frame check sequence.
            link: LinkType(network as u16),
            longest: snaplen.max(LONGEST_FRAME).min(longest),
        })
    }

    /// Bytes of the file header that follow the first [`HEADER`].
    pub(super) fn more_header(&self) -> usize {
        self.variant.more_header
    }

    /// Length of the header before each frame.
    pub(super) fn frame_header(&self) -> usize {
        self.variant.frame_header
    }

    /// Reads the header of a frame, [`Capture::frame_header`] bytes.
    pub(super) fn frame(&self, header: &[u8]) -> Result<FrameFound, String> {
        let mut fields = Cursor::new(header, self.endian);
        let (Some(seconds), Some(ticks), Some(len), Some(original_len)) =
            (fields.u32(), fields.u32(), fields.u32(), fields.u32())
        else {
            return Err("the header of a frame is too short".to_owned());
        };
        let swapped = match self.lengths {
            Lengths::InOrder => false,
            Lengths::Swapped => true,
            Lengths::Either => len > original_len,
        };
        let (len, original_len) = if swapped { (original_len, len) } else { (len, original_len) };
        if len > self.longest {
            return Err(format!(
                "a frame says it has {len} captured bytes, where {} are the most",
                self.longest
            ));
        }
        Ok(FrameFound {
            at: Some(self.instant(seconds, ticks)),
            interface: 0,
            link: self.link,
            direction: Direction::Unknown,
            original_len,
            start: self.variant.frame_header,
            len: len as usize,
        })
    }

    /// The time of the frame that `bytes` begin with, the frame, and what follows; none if it is not whole, or anything
    /// about it is unusual.
    #[inline(always)]
    pub(super) fn whole_frame<'a>(&self, bytes: &'a [u8]) -> Option<(Timestamp, Frame<'a>, &'a [u8])> {
        let (header, rest) = bytes.split_first_chunk::<{ MICROS.frame_header }>()?;
        let [s0, s1, s2, s3, t0, t1, t2, t3, l0, l1, l2, l3, o0, o1, o2, o3] = *header;
        let len = self.endian.u32([l0, l1, l2, l3]);
        let usual = self.variant.frame_header == MICROS.frame_header && self.lengths == Lengths::InOrder;
        if !usual || len > self.longest {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(len as usize)?;
        let at = self.instant(self.endian.u32([s0, s1, s2, s3]), self.endian.u32([t0, t1, t2, t3]));
        let original_len = self.endian.u32([o0, o1, o2, o3]);
        let frame =
            Frame { interface: 0, link: self.link, direction: Direction::Unknown, original_len, bytes };
        Some((at, frame, rest))
    }

    #[inline]
    fn instant(&self, seconds: u32, ticks: u32) -> Timestamp {
        let nanos = i64::from(seconds) * 1_000_000_000 + i64::from(ticks) * self.variant.nanos_per_tick;
        Timestamp::from_nanos(nanos).with_digits(self.variant.digits)
    }
}
