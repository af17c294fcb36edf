//! The kernel's error numbers, in words.

use std::io;

use nix::errno::Errno;

/// The number of `error`, 0 where it did not come from the kernel.
pub(super) fn number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

/// Name and meaning, such as `ECONNREFUSED (Connection refused)`.
pub(super) fn text(number: i32) -> String {
    let errno = Errno::from_raw(number);
    format!("{errno:?} ({})", errno.desc())
}

/// As [`text`], or the error's own words where it has no number.
pub(super) fn describe(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_name_and_words() {
        assert_eq!(text(111), "ECONNREFUSED (Connection refused)");
        assert_eq!(describe(&io::Error::from_raw_os_error(113)), "EHOSTUNREACH (No route to host)");
        assert_eq!(describe(&io::Error::other("gone")), "gone");
    }
}
