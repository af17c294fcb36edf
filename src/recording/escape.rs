//! Bytes as text that survives any terminal, log and JSON string, and back.

use std::fmt::Write as _;

/// Writes bytes as text: printable ASCII as it is, all else (backslash included) as `\xNN`.
///
/// ```
/// use whichhop::recording::escape_bytes;
/// assert_eq!(escape_bytes(b"SSH-2.0-a\\b\r\n"), r"SSH-2.0-a\x5cb\x0d\x0a");
/// ```
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str(r"\x5c"),
            b' '..=b'~' => text.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => _ = write!(text, "\\x{byte:02x}"),
        }
    }
    text
}

/// Reads back what [`escape_bytes`] wrote; `None` if the text is not of that form.
///
/// ```
/// use whichhop::recording::unescape_bytes;
/// assert_eq!(unescape_bytes(r"hi\x0d\x0a").as_deref(), Some(&b"hi\r\n"[..]));
/// assert_eq!(unescape_bytes(r"hi\n"), None);
/// ```
pub fn unescape_bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                bytes.push(hex_digit(*high)? << 4 | hex_digit(*low)?);
                after
            }
            (b' '..=b'~', after) if byte != b'\\' => {
                bytes.push(byte);
                after
            }
            _ => return None,
        };
    }
    Some(bytes)
}

/// Whether a terminal obeys `c` or a reader is misled by it: control characters, line separators, what changes the
/// direction of text, and what cannot be seen.
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The value of one hexadecimal digit.
fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_banner_reads_as_it_is_but_for_its_line_end() {
        assert_eq!(escape_bytes(b"SSH-2.0-OpenSSH_9.8 ~\r\n"), r"SSH-2.0-OpenSSH_9.8 ~\x0d\x0a");
    }

    #[test]
    fn text_that_was_never_written_here_is_refused() {
        for text in ["\\", r"\x", r"\x0", r"\x0g", r"\n", "é", "a\tb", r"\\"] {
            assert_eq!(unescape_bytes(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes: Vec<u8>) {
            let text = escape_bytes(&bytes);
            prop_assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(unescape_bytes(&text), Some(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = unescape_bytes(&text);
        }
    }
}
