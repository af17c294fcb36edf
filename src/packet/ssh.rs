//! The first messages of SSH (RFC 4253), as far as they are sent and read in the clear.

/// What a client of this program says who it is, line end included.
pub const IDENTIFICATION: &str = concat!("SSH-2.0-whichhop_", env!("CARGO_PKG_VERSION"), "\r\n");

/// RFC 4253 section 6.1: no implementation needs to take a longer packet.
const LONGEST_PACKET: u32 = 35_000;

const DISCONNECT: u8 = 1;
const KEXINIT: u8 = 20;

/// RFC 4253 section 11.1: the application ends the connection.
const BY_APPLICATION: u32 = 11;

/// Blocks that packets fill while no cipher is agreed on, and the least padding, in bytes (RFC 4253 section 6).
const BLOCK: usize = 8;
const LEAST_PADDING: usize = 4;

/// A name that no server knows (RFC 4251 section 6: names with an at-sign are anybody's to make up).
const FILLER: &str = "filling-the-segment-to-its-full-size@whichhop.invalid";

/// Bytes of fillers in one list at most: some servers read no longer lists.
const FILLED: usize = 1_000;

/// The algorithms offered: those that every server of the last ten years has one of.
const OFFERS: [&str; 10] = [
    "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,diffie-hellman-group14-sha256",
    "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256",
    "chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr,aes128-gcm@openssh.com",
    "chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr,aes128-gcm@openssh.com",
    "hmac-sha2-256-etm@openssh.com,hmac-sha2-256,hmac-sha1",
    "hmac-sha2-256-etm@openssh.com,hmac-sha2-256,hmac-sha1",
    "none,zlib@openssh.com",
    "none,zlib@openssh.com",
    "",
    "",
];

/// Which of the lists may be filled up: those of ciphers, MACs and compression.
const FILLABLE: std::ops::Range<usize> = 2..8;

/// A client's SSH_MSG_KEXINIT of at least `size` bytes, as far as lists may be long: about 6,500.
pub fn kexinit(cookie: [u8; 16], size: usize) -> Vec<u8> {
    let mut lists = OFFERS.map(str::to_owned);
    let bare: usize = lists.iter().map(|list| 4 + list.len()).sum::<usize>() + 31;
    let mut missing = size.saturating_sub(bare);
    for list in &mut lists[FILLABLE] {
        let mut filled = 0;
        while missing > 0 && filled < FILLED {
            list.push(',');
            list.push_str(FILLER);
            filled += FILLER.len() + 1;
            missing = missing.saturating_sub(FILLER.len() + 1);
        }
    }
    let mut payload = vec![KEXINIT];
    payload.extend(cookie);
    for list in &lists {
        string(&mut payload, list);
    }
    // No guessed packet follows; reserved.
    payload.extend([0; 5]);
    packet(&payload)
}

/// An SSH_MSG_DISCONNECT, which a server answers by closing.
pub fn disconnect() -> Vec<u8> {
    let mut payload = vec![DISCONNECT];
    payload.extend(BY_APPLICATION.to_be_bytes());
    string(&mut payload, "whichhop has seen enough");
    string(&mut payload, "");
    packet(&payload)
}

fn string(payload: &mut Vec<u8>, text: &str) {
    payload.extend((text.len() as u32).to_be_bytes());
    payload.extend(text.as_bytes());
}

/// A packet without encryption and MAC (RFC 4253 section 6), its padding all zeros.
fn packet(payload: &[u8]) -> Vec<u8> {
    let unpadded = 4 + 1 + payload.len();
    let padding = LEAST_PADDING + (BLOCK - (unpadded + LEAST_PADDING) % BLOCK) % BLOCK;
    let mut packet = ((1 + payload.len() + padding) as u32).to_be_bytes().to_vec();
    packet.push(padding as u8);
    packet.extend(payload);
    packet.resize(packet.len() + padding, 0);
    packet
}

/// What the bytes behind a server's identification line turn out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstPacket {
    /// Too few to tell, or the packet is not whole yet.
    Unfinished,
    /// A whole SSH_MSG_KEXINIT of so many bytes.
    Kexinit(usize),
    /// Something else.
    Other,
}

/// Reads the first packet behind an identification line.
pub fn first_packet(bytes: &[u8]) -> FirstPacket {
    let &[l0, l1, l2, l3, _, message, ..] = bytes else { return FirstPacket::Unfinished };
    let len = u32::from_be_bytes([l0, l1, l2, l3]);
    let whole = len as usize + 4;
    match message {
        KEXINIT if len <= LONGEST_PACKET && bytes.len() >= whole => FirstPacket::Kexinit(whole),
        KEXINIT if len <= LONGEST_PACKET => FirstPacket::Unfinished,
        _ => FirstPacket::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kexinit_is_as_long_as_asked_and_reads_back() {
        for size in [0, 500, 1_700, 6_500] {
            let packet = kexinit([7; 16], size);
            assert!(packet.len() >= size && packet.len() < size.max(900) + 200, "{size}: {}", packet.len());
            assert_eq!(packet.len() % BLOCK, 0);
            assert_eq!(first_packet(&packet), FirstPacket::Kexinit(packet.len()));
            assert_eq!(first_packet(&packet[..packet.len() - 1]), FirstPacket::Unfinished);
        }
        assert!(kexinit([0; 16], 60_000).len() < 9_000, "lists are not made longer than servers read");
    }

    #[test]
    fn its_lists_hold_legal_names() {
        let packet = kexinit([0; 16], 6_500);
        let mut rest = &packet[6 + 16..];
        for _ in 0..10 {
            let (len, after) = rest.split_first_chunk::<4>().unwrap();
            let (list, after) = after.split_at(u32::from_be_bytes(*len) as usize);
            // RFC 4251 section 6: printable US-ASCII, at most 64 characters, no empty name.
            let names = std::str::from_utf8(list).unwrap();
            assert!(names.is_empty() || names.split(',').all(|n| (1..=64).contains(&n.len())), "{names}");
            assert!(names.bytes().all(|b| b.is_ascii_graphic()));
            rest = after;
        }
    }

    #[test]
    fn only_a_kexinit_is_one() {
        assert_eq!(first_packet(&disconnect()), FirstPacket::Other);
        assert_eq!(first_packet(b"HTTP/1.1 400 Bad Request"), FirstPacket::Other);
        assert_eq!(first_packet(&[0, 0, 4]), FirstPacket::Unfinished);
        assert_eq!(first_packet(&[0xff, 0, 0, 0, 4, KEXINIT]), FirstPacket::Other);
    }

    #[test]
    fn the_identification_is_a_line_as_the_protocol_wants_it() {
        assert!(IDENTIFICATION.starts_with("SSH-2.0-") && IDENTIFICATION.ends_with("\r\n"));
        assert!(IDENTIFICATION.len() <= 255 && !IDENTIFICATION[8..].contains('-'));
    }
}
