//! What a client asks for with the first bytes it sends, as far as a box on the way may read it in the clear.

use std::fmt;

/// A request, borrowed from a segment's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request<'a> {
    /// An SSH identification line (RFC 4253 section 4.2).
    Ssh {
        /// The line, without its end.
        line: &'a [u8],
    },
    /// An HTTP/1 request (RFC 9112).
    Http {
        /// Method and target.
        line: &'a [u8],
        /// The Host field.
        host: &'a [u8],
    },
    /// A TLS ClientHello (RFC 8446 section 4.1.2); its random parts tell it from no other.
    Tls {
        /// The server's name (RFC 6066 section 3), empty where it has none.
        name: &'a [u8],
    },
    /// Anything else.
    Other(&'a [u8]),
}

/// Header fields read of an HTTP request, at most.
const FIELDS: usize = 32;

impl<'a> Request<'a> {
    /// Reads the first bytes of a client; total, like [`super::decode()`].
    pub fn of(data: &'a [u8]) -> Self {
        if data.starts_with(b"SSH-") {
            return Self::Ssh { line: until(data, |byte| byte == b'\r' || byte == b'\n') };
        }
        if let Some(name) = server_name(data) {
            return Self::Tls { name };
        }
        http(data).unwrap_or(Self::Other(data))
    }
}

impl fmt::Display for Request<'_> {
    /// With what anybody may have put into it escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssh { line } => write!(f, "SSH identification {}", Shown(line)),
            Self::Http { line, host: [] } => write!(f, "HTTP request {}", Shown(line)),
            Self::Http { line, host } => write!(f, "HTTP request {} of {}", Shown(line), Shown(host)),
            Self::Tls { name: [] } => f.write_str("TLS ClientHello without a name"),
            Self::Tls { name } => write!(f, "TLS ClientHello for {}", Shown(name)),
            Self::Other(data) => write!(f, "data beginning {}", Shown(data)),
        }
    }
}

/// Bytes of text shown, at most.
const SHOWN: usize = 60;

/// Bytes as text, cut short.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}", self.0[..self.0.len().min(SHOWN)].escape_ascii())?;
        f.write_str(if self.0.len() > SHOWN { "…\"" } else { "\"" })
    }
}

fn until(data: &[u8], is_end: impl Fn(u8) -> bool) -> &[u8] {
    &data[..data.iter().position(|byte| is_end(*byte)).unwrap_or(data.len())]
}

fn http(data: &[u8]) -> Option<Request<'_>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    // One that is cut short, or goes on in another segment, has what comes first.
    request.parse(data).ok()?;
    let (method, target) = (request.method?, request.path?);
    let line = data.get(..method.len() + 1 + target.len())?;
    let host = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("host"));
    Some(Request::Http { line, host: host.map_or(&[], |field| field.value) })
}

/// The server's name in a ClientHello; empty without one, `None` for anything else.
///
/// By hand: this reads one field of one message, for which the crates at hand bring a dozen others.
fn server_name(data: &[u8]) -> Option<&[u8]> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    const SERVER_NAME: u16 = 0;
    let [HANDSHAKE, 3, _, _, _, CLIENT_HELLO, _, _, _, hello @ ..] = data else { return None };
    // Version and random; session, cipher suites, compression methods.
    let mut hello = Bytes(hello);
    hello.take(2 + 32)?;
    let name = || -> Option<&[u8]> {
        hello.vector(1)?;
        hello.vector(2)?;
        hello.vector(1)?;
        let _all = hello.number(2)?;
        loop {
            let kind = hello.number(2)?;
            let extension = hello.vector(2)?;
            if kind == usize::from(SERVER_NAME) {
                let mut list = Bytes(extension);
                list.take(2 + 1)?;
                return list.vector(2);
            }
        }
    };
    Some({ name }().unwrap_or_default())
}

/// Bytes that are read from their front on.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, len: usize) -> Option<usize> {
        Some(self.take(len)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// What follows its own length, which takes so many bytes.
    fn vector(&mut self, len: usize) -> Option<&'a [u8]> {
        let len = self.number(len)?;
        self.take(len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A ClientHello for a name, or without the extension.
    fn hello(name: Option<&str>, random: u8) -> Vec<u8> {
        let vector =
            |len: usize, bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[4 - len..], bytes].concat();
        let listed = name.map(|name| {
            let entry = [&[0][..], &vector(2, name.as_bytes())].concat();
            [&[0, 0][..], &vector(2, &vector(2, &entry))].concat()
        });
        let alpn = [&[0, 16][..], &vector(2, &vector(2, b"\x02h2"))].concat();
        let extensions = [alpn, listed.unwrap_or_default()].concat();
        let body = [
            &[3, 3][..],
            &[random; 32],
            &vector(1, &[random; 32]),
            &vector(2, &[0x13, 1]),
            &vector(1, &[0]),
            &vector(2, &extensions),
        ]
        .concat();
        [&[22, 3, 1][..], &vector(2, &[&[1][..], &vector(3, &body)].concat())].concat()
    }

    #[test]
    fn a_client_hello_is_its_name() {
        let (one, other) = (hello(Some("blocked.example"), 1), hello(Some("blocked.example"), 2));
        assert_eq!(Request::of(&one), Request::Tls { name: b"blocked.example" });
        assert_eq!(Request::of(&one), Request::of(&other), "but for its random bytes");
        assert_eq!(Request::of(&hello(None, 1)), Request::Tls { name: b"" });
        assert_eq!(Request::of(&one[..60]), Request::Tls { name: b"" }, "cut off before it");
        assert_eq!(Request::of(&one).to_string(), "TLS ClientHello for \"blocked.example\"");
    }

    #[test]
    fn an_http_request_is_its_first_line_and_host() {
        let whole = b"GET /a HTTP/1.1\r\nAccept: */*\r\nHOST: blocked.example\r\n\r\n";
        let expected = Request::Http { line: b"GET /a", host: b"blocked.example" };
        assert_eq!(Request::of(whole), expected);
        assert_eq!(Request::of(&whole[..whole.len() - 2]), expected, "its end is in another segment");
        assert_eq!(expected.to_string(), "HTTP request \"GET /a\" of \"blocked.example\"");
        let bare = Request::of(b"GET / HTTP/1.0\r\n\r\n");
        assert_eq!(bare, Request::Http { line: b"GET /", host: b"" });
        assert!(matches!(Request::of(b"\x00\x01 no request"), Request::Other(_)));
    }

    #[test]
    fn an_identification_is_its_line() {
        assert_eq!(Request::of(b"SSH-2.0-x\r\nmore"), Request::Ssh { line: b"SSH-2.0-x" });
    }

    #[test]
    fn what_steers_a_terminal_is_not_shown() {
        assert_eq!(Request::of(b"\x1b[2J\"").to_string(), "data beginning \"\\x1b[2J\\\"\"");
        let long = Request::of(&[b'a'; 100]).to_string();
        assert!(long.ends_with("a…\"") && long.len() < 90, "{long}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(data in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..160) {
            let mut damaged = hello(Some("blocked.example"), 1);
            damaged.truncate(cut);
            damaged.extend(&data);
            for bytes in [&data, &damaged] {
                prop_assert!(Request::of(bytes).to_string().bytes().all(|byte| byte >= b' '));
            }
        }
    }
}
