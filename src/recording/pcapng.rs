//! pcapng (draft-ietf-opsawg-pcapng): sections of blocks, each section with interfaces of its own.
//!
//! Numbers count what Wireshark counts: packets in their three kinds of block, systemd journal entries,
//! custom blocks and Sysdig events. All other blocks are passed over.

use pcap_parser::{
    CB_MAGIC, DCB_MAGIC, EPB_MAGIC, IDB_MAGIC, ISB_MAGIC, NRB_MAGIC, SHB_MAGIC, SJE_MAGIC, SPB_MAGIC,
};

use super::cursor::{Cursor, Endian};
use super::found::{Found, FrameFound};
use super::{Direction, Event, Timestamp, journal};
use crate::packet::LinkType;

pub(super) const SECTION_HEADER: u32 = SHB_MAGIC;
pub(super) const INTERFACE_DESCRIPTION: u32 = IDB_MAGIC;
/// The packet block that the enhanced one replaced.
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = SPB_MAGIC;
const NAME_RESOLUTION: u32 = NRB_MAGIC;
pub(super) const INTERFACE_STATISTICS: u32 = ISB_MAGIC;
pub(super) const ENHANCED_PACKET: u32 = EPB_MAGIC;
pub(super) const JOURNAL: u32 = SJE_MAGIC;
/// Sysdig events, in their three forms.
const SYSDIG: [u32; 3] = [0x204, 0x216, 0x221];
/// Custom blocks, the second kind not to be copied.
const CUSTOM: [u32; 2] = [CB_MAGIC, DCB_MAGIC];

pub(super) const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Length of a block without a body: type, length, length again.
pub(super) const BLOCK_MIN: usize = 12;

pub(super) const OPTION_END: u16 = 0;
/// Flags of a packet (epb_flags, pack_flags).
pub(super) const OPTION_FLAGS: u16 = 2;
/// Frames lost since the one before (epb_dropcount).
const OPTION_DROPS: u16 = 4;
/// Frames lost for want of room, by the interface and by the operating system (isb_ifdrop, isb_osdrop).
const OPTION_IFDROP: u16 = 5;
const OPTION_OSDROP: u16 = 7;
pub(super) const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;

/// Interfaces of a section, at most: as many take some 20 MB, and no machine has them.
pub(super) const MOST_INTERFACES: usize = 1 << 18;

/// Where a section is read: its byte order and the interfaces described in it so far.
pub(super) struct Section {
    endian: Endian,
    interfaces: Vec<Interface>,
    /// Interfaces of the sections before this one.
    earlier: u32,
    /// Frames that the sections before this one lost.
    lost_earlier: u64,
}

/// What a packet needs to know of its interface.
struct Interface {
    link: LinkType,
    snaplen: u32,
    clock: Clock,
    lost: Lost,
}

/// Frames that an interface says it lost: so far, frame by frame, and in all, in its statistics.
#[derive(Clone, Copy, Default)]
struct Lost {
    between: u64,
    in_all: u64,
}

/// Type and total length of a block.
pub(super) struct BlockHead {
    pub(super) kind: u32,
    /// Whole length, rounded up to the 4 bytes that blocks are aligned to.
    pub(super) len: u64,
    /// The length as it is written at both ends.
    pub(super) written: u32,
}

/// A block of a kind that holds no record: it may be passed over, however long it is.
pub(super) fn is_skipped(kind: u32) -> bool {
    kind_name(kind).is_none() || matches!(kind, NAME_RESOLUTION | INTERFACE_STATISTICS)
}

/// The name of a kind of block, for messages, with its article.
pub(super) fn describe(kind: u32) -> String {
    let Some(name) = kind_name(kind) else { return format!("a block of type {kind:#x}") };
    format!("{} {name}", if name.starts_with(['e', 'i', 'o']) { "an" } else { "a" })
}

fn kind_name(kind: u32) -> Option<&'static str> {
    Some(match kind {
        SECTION_HEADER => "section header block",
        INTERFACE_DESCRIPTION => "interface description block",
        OBSOLETE_PACKET => "packet block",
        SIMPLE_PACKET => "simple packet block",
        NAME_RESOLUTION => "name resolution block",
        INTERFACE_STATISTICS => "interface statistics block",
        ENHANCED_PACKET => "enhanced packet block",
        JOURNAL => "systemd journal block",
        _ if SYSDIG.contains(&kind) => "Sysdig event block",
        _ if CUSTOM.contains(&kind) => "custom block",
        _ => return None,
    })
}

impl Section {
    /// Before the first section header; the byte order is not known yet.
    pub(super) fn none() -> Self {
        Self { endian: Endian::Little, interfaces: Vec::new(), earlier: 0, lost_earlier: 0 }
    }

    /// Type and length of the block that begins with `start`.
    pub(super) fn head(&self, start: [u8; BLOCK_MIN]) -> Result<BlockHead, String> {
        let [k0, k1, k2, k3, l0, l1, l2, l3, b0, b1, b2, b3] = start;
        let kind = [k0, k1, k2, k3];
        // A section header reads the same in both byte orders, and brings its own.
        let endian = if u32::from_le_bytes(kind) == SECTION_HEADER {
            byte_order([b0, b1, b2, b3]).ok_or_else(|| {
                format!("a section header has byte-order magic {b0:02x}{b1:02x}{b2:02x}{b3:02x}")
            })?
        } else {
            self.endian
        };
        let kind = endian.u32(kind);
        let written = endian.u32([l0, l1, l2, l3]);
        if (written as usize) < BLOCK_MIN {
            let name = describe(kind);
            return Err(format!("{name} says it has {written} bytes, where {BLOCK_MIN} are the least"));
        }
        // Wireshark, too, forgives writers that leave the padding out of the length.
        Ok(BlockHead { kind, len: u64::from(written).next_multiple_of(4), written })
    }

    /// Checks the length at the end of a block against the one at its start.
    pub(super) fn check_end(&self, head: &BlockHead, end: [u8; 4]) -> Result<(), String> {
        // The byte order of a section header is not the section's yet.
        let same = if head.kind == SECTION_HEADER {
            head.written == u32::from_le_bytes(end) || head.written == u32::from_be_bytes(end)
        } else {
            head.written == self.endian.u32(end)
        };
        if same {
            return Ok(());
        }
        let (name, written, end) = (describe(head.kind), head.written, self.endian.u32(end));
        Err(format!("{name} says {written} bytes at its start and {end} at its end"))
    }

    /// Takes in a whole block; what it holds, if that is a record.
    pub(super) fn block(&mut self, head: &BlockHead, block: &[u8]) -> Result<Option<Found>, String> {
        let body = block.get(8..block.len().saturating_sub(4)).unwrap_or_default();
        let fields = Cursor::new(body, self.endian);
        let frame = match head.kind {
            ENHANCED_PACKET => self.enhanced_packet(fields),
            SIMPLE_PACKET => self.simple_packet(fields),
            OBSOLETE_PACKET => self.obsolete_packet(fields),
            SECTION_HEADER => return self.open(body).map(|()| None),
            INTERFACE_DESCRIPTION => return self.describe_interface(fields).map(|()| None),
            INTERFACE_STATISTICS => {
                self.statistics(fields);
                return Ok(None);
            }
            JOURNAL => {
                let (at, event) = journal::decode(body);
                return Ok(Some(Found::Event { at, event: Box::new(event) }));
            }
            kind if SYSDIG.contains(&kind) => {
                return Ok(Some(Found::Event { at: sysdig_time(fields), event: Box::new(Event::Unknown) }));
            }
            kind if CUSTOM.contains(&kind) => {
                return Ok(Some(Found::Event { at: None, event: Box::new(Event::Unknown) }));
            }
            _ => return Ok(None),
        };
        frame
            .map(|frame| Some(Found::Frame(frame)))
            .map_err(|what| format!("{}: {what}", describe(head.kind)))
    }

    /// A section header: a new byte order, and no interfaces.
    fn open(&mut self, body: &[u8]) -> Result<(), String> {
        const SHORT: &str = "a section header block is too short";
        let (order, rest) = body.split_first_chunk().ok_or(SHORT)?;
        let endian = byte_order(*order).ok_or("a section header without byte-order magic")?;
        let mut fields = Cursor::new(rest, endian);
        let (Some(major), Some(minor), Some(_)) = (fields.u16(), fields.u16(), fields.u64()) else {
            return Err(SHORT.to_owned());
        };
        if major != 1 {
            return Err(format!("pcapng version {major}.{minor}, where only version 1 is known"));
        }
        self.lost_earlier = self.lost();
        self.endian = endian;
        self.earlier = self.earlier.saturating_add(self.interfaces.len() as u32);
        self.interfaces.clear();
        Ok(())
    }

    fn describe_interface(&mut self, mut fields: Cursor<'_>) -> Result<(), String> {
        let (Some(link), Some(_), Some(snaplen)) = (fields.u16(), fields.u16(), fields.u32()) else {
            return Err("an interface description block is too short".to_owned());
        };
        let mut clock = Clock::default();
        for (code, value) in options(fields) {
            match (code, value) {
                (OPTION_TSRESOL, &[resolution, ..]) => clock.set_resolution(resolution),
                (OPTION_TSOFFSET, value) => {
                    if let Some(offset) = Cursor::new(value, self.endian).u64() {
                        clock.offset = offset as i64;
                    }
                }
                _ => {}
            }
        }
        if self.interfaces.len() >= MOST_INTERFACES {
            return Err(format!("a section describes more than {MOST_INTERFACES} interfaces"));
        }
        self.interfaces.push(Interface { link: LinkType(link), snaplen, clock, lost: Lost::default() });
        Ok(())
    }

    /// Statistics of an interface; those that come last count.
    fn statistics(&mut self, mut fields: Cursor<'_>) {
        let (Some(index), Some(_), Some(_)) = (fields.u32(), fields.u32(), fields.u32()) else { return };
        let Some(interface) = self.interfaces.get_mut(index as usize) else { return };
        let drops = options(fields).filter(|(code, _)| matches!(*code, OPTION_IFDROP | OPTION_OSDROP));
        interface.lost.in_all =
            drops.fold(0, |all, (_, value)| all.saturating_add(count(value, self.endian)));
    }

    /// Frames that were lost, as far as the capture says: its statistics or the frames themselves, whichever say more.
    pub(super) fn lost(&self) -> u64 {
        let lost = self.interfaces.iter().map(|i| i.lost.between.max(i.lost.in_all));
        lost.fold(self.lost_earlier, u64::saturating_add)
    }

    fn enhanced_packet(&mut self, mut fields: Cursor<'_>) -> Result<FrameFound, String> {
        let (Some(index), Some(high), Some(low), Some(len), Some(original_len)) =
            (fields.u32(), fields.u32(), fields.u32(), fields.u32(), fields.u32())
        else {
            return Err("its fixed fields are cut short".to_owned());
        };
        self.timed_packet(index, [high, low], len, original_len, fields)
    }

    fn obsolete_packet(&mut self, mut fields: Cursor<'_>) -> Result<FrameFound, String> {
        let (Some(index), Some(drops), Some(high), Some(low), Some(len), Some(original_len)) =
            (fields.u16(), fields.u16(), fields.u32(), fields.u32(), fields.u32(), fields.u32())
        else {
            return Err("its fixed fields are cut short".to_owned());
        };
        let frame = self.timed_packet(u32::from(index), [high, low], len, original_len, fields);
        // All ones where it is not known.
        if let (Some(interface), true) = (self.interfaces.get_mut(usize::from(index)), drops != u16::MAX) {
            interface.lost.between = interface.lost.between.saturating_add(drops.into());
        }
        frame
    }

    /// The rest of a packet block with 20 bytes of fixed fields: data and options.
    fn timed_packet(
        &mut self,
        index: u32,
        [high, low]: [u32; 2],
        len: u32,
        original_len: u32,
        mut rest: Cursor<'_>,
    ) -> Result<FrameFound, String> {
        self.interface(index)?;
        let (earlier, endian) = (self.earlier, self.endian);
        let interface = &mut self.interfaces[index as usize];
        if rest.bytes(len as usize).is_none() {
            return Err(format!("its {len} captured bytes do not fit into it"));
        }
        // A frame that is whole is used, whatever its options say.
        let mut direction = Direction::Unknown;
        if rest.bytes((len as usize).wrapping_neg() % 4).is_some() {
            for (code, value) in options(rest) {
                match code {
                    OPTION_FLAGS => {
                        direction = Cursor::new(value, endian).u32().map_or(direction, direction_of);
                    }
                    OPTION_DROPS => {
                        let lost = &mut interface.lost.between;
                        *lost = lost.saturating_add(count(value, endian));
                    }
                    _ => {}
                }
            }
        }
        Ok(FrameFound {
            at: Some(interface.clock.instant(u64::from(high) << 32 | u64::from(low))),
            interface: earlier.saturating_add(index),
            link: interface.link,
            direction,
            original_len,
            start: 28,
            len: len as usize,
        })
    }

    /// A packet without a time, on the first interface.
    fn simple_packet(&self, mut fields: Cursor<'_>) -> Result<FrameFound, String> {
        let interface = self.interface(0)?;
        let original_len = fields.u32().ok_or("its fixed fields are cut short")?;
        let len = if interface.snaplen == 0 { original_len } else { original_len.min(interface.snaplen) };
        if fields.bytes(len as usize).is_none() {
            return Err(format!("its {len} captured bytes do not fit into it"));
        }
        Ok(FrameFound {
            at: None,
            interface: self.earlier,
            link: interface.link,
            direction: Direction::Unknown,
            original_len,
            start: 12,
            len: len as usize,
        })
    }

    fn interface(&self, index: u32) -> Result<&Interface, String> {
        self.interfaces.get(index as usize).ok_or_else(|| {
            format!("it names interface {index}, where the section has described {}", self.interfaces.len())
        })
    }
}

/// The byte order that the byte-order magic of a section header shows.
fn byte_order(magic: [u8; 4]) -> Option<Endian> {
    if u32::from_le_bytes(magic) == BYTE_ORDER {
        Some(Endian::Little)
    } else if u32::from_be_bytes(magic) == BYTE_ORDER {
        Some(Endian::Big)
    } else {
        None
    }
}

/// Code and value of each option, up to the end of options or to the first that does not fit.
fn options(mut fields: Cursor<'_>) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let code = fields.u16()?;
        let len = usize::from(fields.u16()?);
        if code == OPTION_END {
            return None;
        }
        let value = fields.bytes(len)?;
        // The padding of the last option may be missing without harm.
        let _ = fields.bytes(len.wrapping_neg() % 4);
        Some((code, value))
    })
}

/// A count of frames; all ones where it is not known.
fn count(value: &[u8], endian: Endian) -> u64 {
    Cursor::new(value, endian).u64().filter(|count| *count != u64::MAX).unwrap_or(0)
}

/// The direction bits of a packet's flags.
fn direction_of(flags: u32) -> Direction {
    match flags & 0b11 {
        1 => Direction::Inbound,
        2 => Direction::Outbound,
        _ => Direction::Unknown,
    }
}

/// The time of a Sysdig event: ns since the epoch, after the number of the processor.
fn sysdig_time(mut fields: Cursor<'_>) -> Option<Timestamp> {
    let _cpu = fields.u16()?;
    fields.u64().map(|nanos| Timestamp::from_nanos(nanos as i64))
}

/// How an interface counts time.
struct Clock {
    unit: Unit,
    /// Seconds to add (if_tsoffset).
    offset: i64,
    digits: u8,
}

/// Length of one tick.
enum Unit {
    /// So many ns.
    Nanos(u32),
    /// So many ticks make one ns (saturating).
    PerNano(u128),
    /// 2^-n s.
    PowerOfTwo(u32),
}

impl Default for Clock {
    /// Microseconds, where if_tsresol does not say otherwise.
    fn default() -> Self {
        Self { unit: Unit::Nanos(1_000), offset: 0, digits: 6 }
    }
}

impl Clock {
    /// Takes in if_tsresol: 10^-n s, or with the highest bit set 2^-n s.
    fn set_resolution(&mut self, resolution: u8) {
        let n = resolution & 0x7f;
        if resolution & 0x80 != 0 {
            (self.unit, self.digits) = (Unit::PowerOfTwo(u32::from(n)), 9);
        } else if n <= 9 {
            (self.unit, self.digits) = (Unit::Nanos(10_u32.pow(u32::from(9 - n))), n);
        } else {
            (self.unit, self.digits) = (Unit::PerNano(10_u128.saturating_pow(u32::from(n - 9))), 9);
        }
    }

    /// The instant `ticks` after the interface's epoch, rounded down to the ns, held within the years 1677 to 2262.
    fn instant(&self, ticks: u64) -> Timestamp {
        let nanos = match self.unit {
            // Two's complement: this is how the writer keeps instants before 1970.
            Unit::Nanos(1) if self.offset == 0 => return Timestamp::from_nanos(ticks as i64),
            Unit::Nanos(n) => i128::from(ticks) * i128::from(n),
            Unit::PerNano(n) => (u128::from(ticks) / n) as i128,
            Unit::PowerOfTwo(n) => (i128::from(ticks) * 1_000_000_000) >> n,
        };
        let nanos = nanos + i128::from(self.offset) * 1_000_000_000;
        let nanos = nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        Timestamp::from_nanos(nanos).with_digits(self.digits)
    }
}
