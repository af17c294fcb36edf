//! Lines of text: wrapped to a width, and free of characters that a terminal would obey.

use std::borrow::Cow;

use crate::recording::is_hostile;

/// Columns that prose keeps to.
pub(super) const WIDTH: usize = 80;

/// `text` with every character escaped that would act on a terminal or reorder what is read: control
/// characters, bidirectional controls, line separators and invisible characters. Text from the network
/// must pass through here before it is shown.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_hostile(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Breaks `text` into lines of at most [`WIDTH`] columns: the first begins with `first`, the others with as
/// many spaces. A word too long for a line is broken.
pub(super) fn wrap(first: &str, text: &str) -> Vec<String> {
    let indent = " ".repeat(columns(first));
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        let mut word = word;
        if !empty && columns(&line) + 1 + columns(word) > WIDTH {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        while columns(&line) + columns(word) > WIDTH {
            let room = WIDTH.saturating_sub(columns(&line)).max(1);
            let at = word.char_indices().nth(room).map_or(word.len(), |(at, _)| at);
            line.push_str(&word[..at]);
            word = &word[at..];
            lines.push(std::mem::replace(&mut line, indent.clone()));
        }
        line.push_str(word);
        empty = false;
    }
    if !empty || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Columns that `text` takes, one to a character.
pub(super) fn columns(text: &str) -> usize {
    text.chars().count()
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn list(items: &[String], last: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., tail] => format!("{} {last} {tail}", head.join(", ")),
    }
}

/// `text` with its first letter in upper case.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Numbers in ascending order with runs of three and more joined: `12, 17, 20–24`.
pub(super) fn runs(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for n in numbers {
        match runs.last_mut() {
            Some((_, end)) if n == *end || n.checked_sub(1) == Some(*end) => *end = n,
            _ => runs.push((n, n)),
        }
    }
    runs.into_iter()
        .flat_map(|(from, to)| match to - from {
            0 => vec![from.to_string()],
            1 => vec![from.to_string(), to.to_string()],
            _ => vec![format!("{from}–{to}")],
        })
        .collect()
}

/// Nanoseconds as milliseconds, rounded to three decimals: no float touches them.
pub(super) fn milliseconds(ns: i64) -> String {
    let micros = ns.unsigned_abs().saturating_add(500) / 1000;
    let sign = if ns < 0 && micros > 0 { "-" } else { "" };
    format!("{sign}{}.{:03}", micros / 1000, micros % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_disarms_terminals_and_leaves_letters() {
        assert_eq!(printable("SSH-2.0-Café_日本"), "SSH-2.0-Café_日本");
        assert_eq!(printable("a\x1b[2Jb\r\nc\u{9b}d"), "a\\u{1b}[2Jb\\r\\nc\\u{9b}d");
        assert_eq!(printable("x\u{202e}y\u{2066}\u{200b}"), "x\\u{202e}y\\u{2066}\\u{200b}");
        assert_eq!(printable("\\"), "\\");
    }

    #[test]
    fn wrap_keeps_to_the_width() {
        let long = format!("word {} end {}", "x".repeat(200), "é".repeat(79));
        let lines = wrap("  e1  ", &long);
        assert!(lines.iter().all(|l| columns(l) <= WIDTH), "{lines:#?}");
        let joined: String = lines.iter().map(|l| l.trim_start()).collect();
        assert_eq!(joined.matches('x').count(), 200);
        assert_eq!(joined.matches('é').count(), 79);
        assert!(lines[1..].iter().all(|l| l.starts_with("      ")), "{lines:#?}");
    }

    #[test]
    fn wrap_of_nothing_is_the_prefix() {
        assert_eq!(wrap("- ", " "), ["- "]);
    }

    #[test]
    fn wrap_fills_a_line_to_its_last_column() {
        assert_eq!(wrap("", &"x".repeat(80)), ["x".repeat(80)]);
        assert_eq!(wrap("", &"x".repeat(81)).len(), 2);
    }

    #[test]
    fn runs_join_neighbours() {
        assert_eq!(runs([3, 5, 6, 8, 9, 10, 10, 11]), ["3", "5", "6", "8–11"]);
        assert_eq!(runs([]), Vec::<String>::new());
    }

    #[test]
    fn lists() {
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(list(&items, "or"), "a, b or c");
        assert_eq!(list(&items[..2], "and"), "a and b");
        assert_eq!(list(&items[..1], "and"), "a");
    }
}
