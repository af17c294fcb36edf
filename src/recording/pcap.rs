//! Classic pcap: one header, then frames of one link type.

use pcap_parser::parse_pcap_header;

use super::cursor::Endian;
use super::found::FrameFound;
use super::{Direction, Frame, Timestamp};
use crate::packet::LinkType;

/// Length of the file header.
pub(super) const HEADER: usize = 24;
/// Length of the header before each frame.
pub(super) const FRAME_HEADER: usize = 16;
/// The longest frame believed where the file does not say that it holds longer ones; as libpcap and Wireshark.
const LONGEST_FRAME: u32 = 262_144;

/// What the file header says.
pub(super) struct Capture {
    endian: Endian,
    nanos_per_tick: i64,
    digits: u8,
    link: LinkType,
    longest: u32,
}

/// Whether a file that starts so is a classic pcap.
pub(super) fn is_magic(start: [u8; 4]) -> bool {
    const MAGICS: [u32; 2] = [0xa1b2_c3d4, 0xa1b2_3c4d];
    MAGICS.contains(&u32::from_le_bytes(start)) || MAGICS.contains(&u32::from_be_bytes(start))
}

impl Capture {
    /// Reads the file header, [`HEADER`] bytes that start with a magic number; `longest` bounds a frame.
    pub(super) fn open(header: &[u8], longest: u32) -> Result<Self, String> {
        let (_, header) =
            parse_pcap_header(header).map_err(|_| "the pcap header cannot be read".to_owned())?;
        if header.version_major != 2 {
            let (major, minor) = (header.version_major, header.version_minor);
            return Err(format!("pcap version {major}.{minor}, where only version 2 is known"));
        }
        let (nanos_per_tick, digits) = if header.is_nanosecond_precision() { (1, 9) } else { (1_000, 6) };
        Ok(Self {
            endian: if header.is_bigendian() { Endian::Big } else { Endian::Little },
            nanos_per_tick,
            digits,
            // The high half of the field holds flags on the frame check sequence.
            link: LinkType(header.network.0 as u16),
            longest: header.snaplen.max(LONGEST_FRAME).min(longest),
        })
    }

    /// Reads the header of a frame, [`FRAME_HEADER`] bytes.
    pub(super) fn frame(&self, header: &[u8]) -> Result<FrameFound, String> {
        let header = header.first_chunk().ok_or("the header of a frame is too short")?;
        let Head { at, len, original_len } = self.head(header);
        if len > self.longest {
            return Err(format!(
                "a frame says it has {len} captured bytes, where {} are the most",
                self.longest
            ));
        }
        Ok(FrameFound {
            at: Some(at),
            interface: 0,
            link: self.link,
            direction: Direction::Unknown,
            original_len,
            start: FRAME_HEADER,
            len: len as usize,
        })
    }

    /// The time of the frame that `bytes` begin with, and the frame, if it is whole and nothing is wrong with it.
    #[inline]
    pub(super) fn whole_frame<'a>(&self, bytes: &'a [u8]) -> Option<(Timestamp, Frame<'a>)> {
        let (header, rest) = bytes.split_first_chunk()?;
        let Head { at, len, original_len } = self.head(header);
        let bytes = rest.get(..len as usize).filter(|_| len <= self.longest)?;
        let frame =
            Frame { interface: 0, link: self.link, direction: Direction::Unknown, original_len, bytes };
        Some((at, frame))
    }

    #[inline]
    fn head(&self, header: &[u8; FRAME_HEADER]) -> Head {
        let [s0, s1, s2, s3, t0, t1, t2, t3, l0, l1, l2, l3, o0, o1, o2, o3] = *header;
        let seconds = self.endian.u32([s0, s1, s2, s3]);
        let ticks = self.endian.u32([t0, t1, t2, t3]);
        let nanos = i64::from(seconds) * 1_000_000_000 + i64::from(ticks) * self.nanos_per_tick;
        Head {
            at: Timestamp::from_nanos(nanos).with_digits(self.digits),
            len: self.endian.u32([l0, l1, l2, l3]),
            original_len: self.endian.u32([o0, o1, o2, o3]),
        }
    }
}

/// What stands before a frame.
struct Head {
    at: Timestamp,
    len: u32,
    original_len: u32,
}
