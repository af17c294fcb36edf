//! TCP segments (RFC 9293), with options in the order in which they came: the order is evidence.

use std::fmt;

use super::{Fragment, Ip, Undecoded};

/// A TCP sequence number; its ordering is modulo 2³² (RFC 9293 section 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeqNumber(pub u32);

impl SeqNumber {
    /// This number advanced by `n`.
    #[must_use]
    pub fn plus(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }

    /// How far `self` is ahead of `earlier`, negative if behind.
    pub fn distance_from(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }
}

/// The control bits of a TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Self = Self(0x10);

    /// Whether every bit of `other` is set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// SYN without ACK, RST or FIN: an attempt to connect.
    pub fn is_syn(self) -> bool {
        self.0 & 0x17 == Self::SYN.0
    }

    /// SYN without ACK, with RST or FIN: no client connects so. A listener takes a reset for one, and Linux drops the
    /// other; scanners send both.
    pub fn is_malformed_syn(self) -> bool {
        self.0 & 0x12 == Self::SYN.0 && self.0 & 0x05 != 0
    }

    /// SYN with ACK, without RST: the answer of a listener.
    pub fn is_syn_ack(self) -> bool {
        self.0 & 0x16 == Self::SYN.0 | Self::ACK.0
    }
}

impl std::ops::BitOr for TcpFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (bit, name) in [(2, "SYN"), (1, "FIN"), (4, "RST"), (8, "PSH"), (0x10, "ACK"), (0x20, "URG")] {
            if self.0 & bit != 0 {
                if !first {
                    f.write_str(",")?;
                }
                first = false;
                f.write_str(name)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

/// Bytes of a TCP header without options.
const FIXED_LEN: usize = 20;

/// The header length, in bytes, that the byte with the data offset says; `None` if that is too small to be true.
pub(super) fn header_len(offset_byte: u8) -> Option<usize> {
    let len = usize::from(offset_byte >> 4) * 4;
    (len >= FIXED_LEN).then_some(len)
}

/// A TCP segment, borrowed from the captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub seq: SeqNumber,
    /// Acknowledgment number; meaningless without the ACK bit, yet kept: forgers fill it in.
    pub ack: SeqNumber,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window, unscaled.
    pub window: u16,
    /// Options as captured.
    pub options: TcpOptions<'a>,
    /// Data as captured; may be shorter than [`Tcp::payload_len`].
    pub payload: &'a [u8],
    /// Bytes of data on the wire: as many as the IP header claims, if the frame had them.
    pub payload_len: u32,
    /// The IP header claims more data than the frame had on the wire.
    pub overclaims: bool,
    /// The captured part of the whole segment, for the checksum.
    pub(super) segment: &'a [u8],
}

impl<'a> Tcp<'a> {
    /// Reads a segment, of which the 20 bytes of the fixed header must be captured; options and data may be cut. Where the
    /// length of the frame is known, `missing` bytes of it were not captured.
    #[inline]
    pub(super) fn read(ip: &Ip, segment: &'a [u8], missing: Option<u32>) -> Result<Self, Undecoded> {
        let whole = ip.fragment == Fragment::Whole;
        let Some((fixed, rest)) = segment.split_first_chunk::<FIXED_LEN>() else {
            let claimed = if whole { ip.payload_len } else { u32::MAX };
            return Err(Undecoded::cut_short(segment.len(), claimed));
        };
        let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, w0, w1, ..] = *fixed;
        let header_len = header_len(offset).ok_or(Undecoded::Malformed)?;
        if whole && header_len as u32 > ip.payload_len {
            return Err(Undecoded::Malformed);
        }
        let (options, payload) =
            rest.split_at_checked(header_len - FIXED_LEN).unwrap_or((rest, &rest[rest.len()..]));
        let claimed = ip.payload_len.saturating_sub(header_len as u32);
        let there = missing.map_or(claimed, |missing| {
            (segment.len() as u32).saturating_add(missing).saturating_sub(header_len as u32)
        });
        Ok(Self {
            source_port: u16::from_be_bytes([s0, s1]),
            destination_port: u16::from_be_bytes([d0, d1]),
            seq: SeqNumber(u32::from_be_bytes([q0, q1, q2, q3])),
            ack: SeqNumber(u32::from_be_bytes([a0, a1, a2, a3])),
            flags: TcpFlags(flags),
            window: u16::from_be_bytes([w0, w1]),
            options: TcpOptions(options),
            payload,
            payload_len: claimed.min(there),
            overclaims: claimed > there,
            segment,
        })
    }

    /// What was captured behind the fixed header: options, then data.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.segment.get(FIXED_LEN..).unwrap_or_default()
    }

    /// Whether the checksum is right; `None` where the capture holds too little of the segment to tell.
    ///
    /// A segment sent by the capturing machine usually holds an unfinished checksum (offload).
    pub fn checksum_ok(&self, ip: &Ip) -> Option<bool> {
        super::build::tcp_checksum_ok(ip, self.segment)
    }

    /// The checksum, right or wrong, that the segment has on the wire; `None` where that cannot be told, as before
    /// offload has finished it.
    pub fn checksum(&self, ip: &Ip) -> Option<u16> {
        super::build::tcp_checksum(ip, self.segment)
    }
}

/// TCP options as bytes, read one by one in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions<'a>(pub &'a [u8]);

/// One TCP option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpOption {
    /// Padding.
    Nop,
    /// Maximum segment size, in bytes.
    Mss(u16),
    /// Window scale shift (RFC 7323).
    WindowScale(u8),
    /// SACK permitted (RFC 2018).
    SackPermitted,
    /// SACK blocks.
    Sack,
    /// Timestamps (RFC 7323).
    Timestamps {
        /// TSval: the sender's clock.
        value: u32,
        /// TSecr: the echoed clock of the other side.
        echo: u32,
    },
    /// Any other option, by kind.
    Other(u8),
}

impl<'a> TcpOptions<'a> {
    /// The options in order, up to the end-of-options mark or the first malformed one.
    pub fn iter(self) -> impl Iterator<Item = TcpOption> + 'a {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (&kind, after) = rest.split_first()?;
            if kind == 0 {
                return None;
            }
            if kind == 1 {
                rest = after;
                return Some(TcpOption::Nop);
            }
            let len = usize::from(*after.first()?);
            if len < 2 || len > rest.len() {
                return None;
            }
            let (body, next) = (&rest[2..len], &rest[len..]);
            rest = next;
            Some(match (kind, body) {
                (2, &[a, b]) => TcpOption::Mss(u16::from_be_bytes([a, b])),
                (3, &[shift]) => TcpOption::WindowScale(shift),
                (4, []) => TcpOption::SackPermitted,
                (5, _) => TcpOption::Sack,
                (8, &[v0, v1, v2, v3, e0, e1, e2, e3]) => TcpOption::Timestamps {
                    value: u32::from_be_bytes([v0, v1, v2, v3]),
                    echo: u32::from_be_bytes([e0, e1, e2, e3]),
                },
                _ => TcpOption::Other(kind),
            })
        })
    }

    /// TSval and TSecr, if the segment carries timestamps.
    pub fn timestamps(self) -> Option<(u32, u32)> {
        // As most stacks order them on a SYN and behind it: found without a look at what stands before.
        if let [2, 4, _, _, 4, 2, 8, 10, v0, v1, v2, v3, e0, e1, e2, e3, ..]
        | [1, 1, 8, 10, v0, v1, v2, v3, e0, e1, e2, e3, ..] = *self.0
        {
            return Some((u32::from_be_bytes([v0, v1, v2, v3]), u32::from_be_bytes([e0, e1, e2, e3])));
        }
        self.iter().find_map(|o| match o {
            TcpOption::Timestamps { value, echo } => Some((value, echo)),
            _ => None,
        })
    }

    /// The MSS option.
    pub fn mss(self) -> Option<u16> {
        self.iter().find_map(|o| if let TcpOption::Mss(mss) = o { Some(mss) } else { None })
    }

    /// The window scale option.
    pub fn window_scale(self) -> Option<u8> {
        self.iter().find_map(|o| if let TcpOption::WindowScale(s) = o { Some(s) } else { None })
    }

    /// Which options, in which order.
    pub fn layout(self) -> OptionLayout {
        let mut kinds = [0; 12];
        let mut len = 0;
        for option in self.iter().take(12) {
            kinds[len] = match option {
                TcpOption::Nop => 1,
                TcpOption::Mss(_) => 2,
                TcpOption::WindowScale(_) => 3,
                TcpOption::SackPermitted => 4,
                TcpOption::Sack => 5,
                TcpOption::Timestamps { .. } => 8,
                TcpOption::Other(kind) => kind,
            };
            len += 1;
        }
        OptionLayout { kinds, len: len as u8 }
    }
}

/// The kinds of a segment's first twelve options, in order: a fingerprint of the stack that sent it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OptionLayout {
    kinds: [u8; 12],
    len: u8,
}

impl fmt::Display for OptionLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, kind) in self.kinds[..usize::from(self.len)].iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match kind {
                1 => f.write_str("nop"),
                2 => f.write_str("mss"),
                3 => f.write_str("ws"),
                4 => f.write_str("sok"),
                5 => f.write_str("sack"),
                8 => f.write_str("ts"),
                other => write!(f, "?{other}"),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{SYN_ACK_V6, SYN_V4, patched};
    use crate::packet::{LinkType, Packet, Transport, decode};

    fn read(bytes: &[u8]) -> (Ip, Tcp<'_>) {
        match decode(LinkType::RAW, bytes).unwrap() {
            Packet { ip, transport: Transport::Tcp(tcp), .. } => (ip, tcp),
            other => panic!("not TCP: {other:?}"),
        }
    }

    #[test]
    fn fields_and_options_in_order() {
        let (ip, tcp) = read(&SYN_V4);
        assert_eq!((tcp.source_port, tcp.destination_port), (50022, 22));
        assert_eq!((tcp.seq, tcp.ack, tcp.window), (SeqNumber(0x1234_5678), SeqNumber(0), 0xfaf1));
        assert!(tcp.flags.is_syn() && !tcp.flags.is_syn_ack());
        assert_eq!(tcp.options.layout().to_string(), "mss,sok,ts,nop,ws");
        assert_eq!(tcp.options.mss(), Some(1460));
        assert_eq!(tcp.options.timestamps(), Some((0x0102_0304, 0)));
        assert_eq!(tcp.options.window_scale(), Some(7));
        assert_eq!(tcp.payload_len, 0);
        assert_eq!(tcp.checksum_ok(&ip), Some(true));

        let (ip, tcp) = read(&SYN_ACK_V6);
        assert!(tcp.flags.is_syn_ack());
        assert_eq!((tcp.seq, tcp.ack), (SeqNumber(0x9abc_def0), SeqNumber(0x1234_5679)));
        assert_eq!(tcp.options.iter().count(), 0);
        assert_eq!(tcp.checksum_ok(&ip), Some(true));
    }

    #[test]
    fn a_flipped_bit_spoils_the_checksum() {
        for packet in [SYN_V4, SYN_ACK_V6] {
            for at in 12..packet.len() {
                let header = if packet[0] >> 4 == 4 { 20 } else { 40 };
                // A larger data offset contradicts the length: not TCP at all.
                if at == header + 12 {
                    continue;
                }
                let spoilt = patched(&packet, at, &[packet[at] ^ 0x04]);
                let (ip, tcp) = read(&spoilt);
                assert_eq!(tcp.checksum_ok(&ip), Some(false), "byte {at}");
            }
        }
    }

    #[test]
    fn cut_in_the_options() {
        for cut in 40..60 {
            let (ip, tcp) = read(&SYN_V4[..cut]);
            assert_eq!(tcp.options.0, &SYN_V4[40..cut]);
            assert_eq!((tcp.payload, tcp.payload_len), (&b""[..], 0));
            assert_eq!(tcp.options.mss(), (cut >= 44).then_some(1460));
            assert_eq!(tcp.options.timestamps().is_some(), cut >= 56);
            assert_eq!(tcp.checksum_ok(&ip), None);
        }
    }

    #[test]
    fn data_follows_the_options() {
        let banner = b"SSH-2.0-OpenSSH_9.9\r\n";
        let packet = [&patched(&SYN_V4, 3, &[60 + 21])[..], banner].concat();
        let (_, tcp) = read(&packet);
        assert_eq!((tcp.payload, tcp.payload_len), (&banner[..], 21));
        let (_, tcp) = read(&packet[..64]);
        assert_eq!((tcp.payload, tcp.payload_len), (&banner[..4], 21));
    }

    #[test]
    fn contradictions() {
        let undecoded = |at, bytes: &[u8]| decode(LinkType::RAW, &patched(&SYN_V4, at, bytes)).unwrap_err();
        assert_eq!(undecoded(32, &[0x40]), Undecoded::Malformed, "header shorter than its fixed part");
        assert_eq!(undecoded(32, &[0xb0]), Undecoded::Malformed, "header longer than the segment");
        assert_eq!(undecoded(3, &[39]), Undecoded::Malformed, "segment shorter than a header");
    }

    #[test]
    fn options_stop_at_the_first_malformed_one() {
        for (bytes, layout) in [
            (&[1, 1, 5, 10, 0, 0, 0, 0, 0, 0, 0, 0][..], "nop,nop,sack"),
            (&[4, 2, 0, 4, 2], "sok"),
            (&[4, 2, 2, 0], "sok"),
            (&[4, 2, 2, 9], "sok"),
            (&[2], ""),
            (&[30, 2, 3, 3, 7], "?30,ws"),
        ] {
            assert_eq!(TcpOptions(bytes).layout().to_string(), layout, "{bytes:?}");
        }
    }
}
