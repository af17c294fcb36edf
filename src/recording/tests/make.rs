//! Files made by hand, in either byte order.

#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) big: bool,
}

pub(super) const LITTLE: Order = Order { big: false };
pub(super) const BIG: Order = Order { big: true };

pub(super) const FRAME: [u8; 18] = *b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\x00abcd";

impl Order {
    pub(super) fn u16(self, n: u16) -> [u8; 2] {
        if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    pub(super) fn u32(self, n: u32) -> [u8; 4] {
        if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    pub(super) fn u64(self, n: u64) -> [u8; 8] {
        if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    pub(super) fn block(self, kind: u32, parts: &[&[u8]]) -> Vec<u8> {
        let mut body = parts.concat();
        body.resize(body.len().next_multiple_of(4), 0);
        let len = self.u32(body.len() as u32 + 12);
        [&self.u32(kind)[..], &len, &body, &len].concat()
    }

    pub(super) fn section(self) -> Vec<u8> {
        self.block(0x0a0d_0d0a, &[&self.u32(0x1a2b_3c4d), &self.u16(1), &self.u16(0), &[0xff; 8]])
    }

    pub(super) fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut option = [&self.u16(code)[..], &self.u16(value.len() as u16), value].concat();
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    pub(super) fn interface(self, link: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
        self.block(1, &[&self.u16(link), &[0; 2], &self.u32(snaplen), options])
    }

    pub(super) fn enhanced(self, interface: u32, ticks: u64, frame: &[u8], options: &[u8]) -> Vec<u8> {
        let mut data = frame.to_vec();
        data.resize(data.len().next_multiple_of(4), 0);
        let (high, low) = ((ticks >> 32) as u32, ticks as u32);
        let len = self.u32(frame.len() as u32);
        let head = [self.u32(interface), self.u32(high), self.u32(low), len, self.u32(1500)];
        self.block(6, &[&head.concat(), &data, options])
    }

    pub(super) fn simple(self, original_len: u32, frame: &[u8]) -> Vec<u8> {
        self.block(3, &[&self.u32(original_len), frame])
    }

    pub(super) fn obsolete(self, interface: u16, ticks: u64, frame: &[u8], options: &[u8]) -> Vec<u8> {
        let mut data = frame.to_vec();
        data.resize(data.len().next_multiple_of(4), 0);
        let (high, low) = ((ticks >> 32) as u32, ticks as u32);
        let len = self.u32(frame.len() as u32);
        let head = [self.u32(high), self.u32(low), len, self.u32(1500)];
        self.block(2, &[&self.u16(interface), &[0xff; 2], &head.concat(), &data, options])
    }

    pub(super) fn pcap(self, magic: u32, network: u32, frames: &[(u32, u32, &[u8])]) -> Vec<u8> {
        let mut file = [&self.u32(magic)[..], &self.u16(2), &self.u16(4), &[0; 8]].concat();
        file.extend(self.u32(65_535));
        file.extend(self.u32(network));
        for (seconds, ticks, frame) in frames {
            file.extend([*seconds, *ticks, frame.len() as u32, 1500].map(|n| self.u32(n)).concat());
            file.extend_from_slice(frame);
        }
        file
    }
}
