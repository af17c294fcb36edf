//! TCP segments (RFC 9293), with options in the order in which they came: the order is evidence.

use std::fmt;

use super::Ip;

/// A TCP sequence number; its ordering is modulo 2³² (RFC 9293 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Bytes of data that the IP header claims.
    pub payload_len: u32,
    /// The captured part of the whole segment, for the checksum.
    pub(super) segment: &'a [u8],
}

impl Tcp<'_> {
    /// Whether the checksum is right; `None` where the capture holds too little of the segment to tell.
    ///
    /// A segment sent by the capturing machine usually holds an unfinished checksum (offload).
    pub fn checksum_ok(&self, ip: &Ip) -> Option<bool> {
        super::build::tcp_checksum_ok(ip, self.segment)
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
                (8, &[a, b, c, d, e, f, g, h]) => TcpOption::Timestamps {
                    value: u32::from_be_bytes([a, b, c, d]),
                    echo: u32::from_be_bytes([e, f, g, h]),
                },
                _ => TcpOption::Other(kind),
            })
        })
    }

    /// TSval and TSecr, if the segment carries timestamps.
    pub fn timestamps(self) -> Option<(u32, u32)> {
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
