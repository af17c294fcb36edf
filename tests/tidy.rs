//! Keeps the house tidy: imports point one way, and every rule's documentation has its five parts.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, and the rooms each may use.
const ROOMS: &[(&str, &[&str])] = &[
    ("packet", &[]),
    ("recording", &["packet"]),
    ("attempt", &["packet", "recording"]),
    ("path", &["packet", "recording", "attempt"]),
    ("evidence", &["packet", "recording", "attempt", "path"]),
    ("verdict", &["packet", "recording", "attempt", "path", "evidence"]),
    ("diagnose", &["packet", "recording", "attempt", "path", "evidence", "verdict"]),
    ("report", &["packet", "recording", "attempt", "path", "evidence", "verdict", "diagnose"]),
    ("probe", &["packet", "recording", "attempt", "path"]),
    ("testing", &["packet", "recording", "attempt", "path", "evidence", "verdict", "diagnose"]),
    ("live", &["packet", "recording", "diagnose", "probe"]),
    (
        "cli",
        &[
            "packet",
            "recording",
            "attempt",
            "path",
            "evidence",
            "verdict",
            "diagnose",
            "report",
            "probe",
            "live",
        ],
    ),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The room a source file lives in.
fn room(file: &Path) -> String {
    let inside = file.strip_prefix(src()).unwrap();
    inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The rooms named after `crate::` (or, in the binary, `whichhop::`) in a file, tests left out.
fn uses(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let code: String =
        code.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut rooms = Vec::new();
    for root in ["crate::", "whichhop::"] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            if let Some(list) = rest.strip_prefix('{') {
                let list = list.split('}').next().unwrap_or("");
                rooms.extend(list.split(',').map(|r| r.trim().split("::").next().unwrap_or("").to_owned()));
            } else {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                rooms.push(rest[..end].to_owned());
            }
        }
    }
    rooms
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for file in sources(&src()) {
        let here = room(&file);
        if here == "lib" || here == "main" {
            continue;
        }
        let (_, allowed) = ROOMS
            .iter()
            .find(|(name, _)| *name == here)
            .unwrap_or_else(|| panic!("a room without a rule: {here}"));
        for used in uses(&fs::read_to_string(&file).unwrap()) {
            let is_room = ROOMS.iter().any(|(name, _)| *name == used);
            if is_room && used != here && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{} uses {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the order of the rooms:\n{}", wrong.join("\n"));
}

#[test]
fn the_core_reads_no_clock_and_opens_nothing() {
    let banned = ["SystemTime", "Instant::now", "std::fs", "std::net::Tcp", "std::net::Udp", "tokio::"];
    let core =
        ["packet", "recording", "attempt", "path", "evidence", "verdict", "diagnose", "report", "probe"];
    let mut wrong = Vec::new();
    for file in sources(&src()).into_iter().filter(|f| core.contains(&room(f).as_str())) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        for word in banned {
            let named = code.lines().filter(|l| !l.trim_start().starts_with("//")).any(|l| {
                l.match_indices(word).any(|(at, _)| {
                    let before = l[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                })
            });
            if named {
                wrong.push(format!("{} names {word}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_is_documented_in_five_parts() {
    let mut rules = 0;
    for file in sources(&src().join("evidence")) {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            if !(line.starts_with("pub(super) fn ") && line.contains("-> Option<Evidence>")) {
                continue;
            }
            rules += 1;
            let doc: String = lines[..i].iter().rev().take_while(|l| l.starts_with("///")).copied().collect();
            for part in ["Says.", "Needs.", "Effect.", "Misleads when.", "Rests on."] {
                assert!(doc.contains(part), "{}: `{line}` lacks `{part}`", file.display());
            }
        }
    }
    assert!(rules > 10, "only {rules} rules found: has their form changed?");
}
