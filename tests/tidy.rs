//! Keeps the house tidy: imports point one way, and every rule's documentation has its five parts.
#![allow(clippy::unwrap_used, reason = "a page or a source file that is missing fails the test")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use whichhop::attempt::{Handshake, Outcome};
use whichhop::evidence::{Assumption, Suspect};
use whichhop::path::Segment;

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
    ("confine", &[]),
    ("live", &["packet", "recording", "diagnose", "probe", "confine"]),
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
            "confine",
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

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn src() -> PathBuf {
    top().join("src")
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
        if here == "lib" || here == "main" || file.ends_with("tests.rs") {
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
    let pure =
        ["packet", "recording", "attempt", "path", "evidence", "verdict", "diagnose", "report", "probe"];
    let mut wrong = Vec::new();
    for file in sources(&src()).into_iter().filter(|f| pure.contains(&room(f).as_str())) {
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

/// The parts of a rule's documentation, in their order.
const PARTS: [&str; 5] = ["Says", "Needs", "Effect", "Misleads when", "Rests on"];

/// A rule: its function, and its documentation without the slashes.
struct Rule {
    function: String,
    doc: String,
}

impl Rule {
    /// The name or names it gives its evidence, as documented: `` `one`, `other` ``.
    fn title(&self) -> &str {
        self.doc.lines().next().unwrap_or_default()
    }

    fn names(&self) -> Vec<&str> {
        self.title().split(", ").map(|name| name.trim_matches('`')).collect()
    }

    /// Where GitHub and rustdoc put a heading of that title.
    fn anchor(&self) -> String {
        self.names().join("-")
    }
}

/// A file of rules: what it is about (`title: the rest`), and its rules in the order in which they stand.
struct Family {
    file: PathBuf,
    about: String,
    rules: Vec<Rule>,
}

/// The files of rules, in the order in which `gather` asks them.
fn families() -> Vec<Family> {
    let folder = src().join("evidence");
    let gather = fs::read_to_string(folder.join("mod.rs")).unwrap();
    let mut families: Vec<Family> =
        sources(&folder).into_iter().map(family).filter(|f| !f.rules.is_empty()).collect();
    families.sort_by_key(|f| {
        let module = f.file.file_stem().unwrap().to_str().unwrap();
        gather
            .find(&format!("\n        {module}::"))
            .unwrap_or_else(|| panic!("gather asks nothing of {module}"))
    });
    families
}

fn family(file: PathBuf) -> Family {
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let about = lines.iter().map_while(|l| l.strip_prefix("//!")).map(unindented).collect::<Vec<_>>();
    let rules = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains("-> Option<Evidence>"))
        .filter_map(|(at, line)| {
            let function = line.strip_prefix("pub(super) fn ")?.split('(').next()?.to_owned();
            let doc: Vec<&str> = lines[..at].iter().rev().map_while(|l| l.strip_prefix("///")).collect();
            let doc = doc.into_iter().rev().map(unindented).collect::<Vec<_>>().join("\n");
            Some(Rule { function, doc })
        })
        .collect();
    Family { about: about.join("\n"), rules, file }
}

fn unindented(line: &str) -> &str {
    line.strip_prefix(' ').unwrap_or(line)
}

#[test]
fn every_rule_is_documented_in_five_parts() {
    let families = families();
    for family in &families {
        for rule in &family.rules {
            let mut rest = rule.doc.as_str();
            for part in PARTS {
                let mark = format!("\n- **{part}.** ");
                let at = rest.find(&mark).unwrap_or_else(|| {
                    panic!(
                        "{}: `{}` lacks `{part}`, or has it too early",
                        family.file.display(),
                        rule.function
                    )
                });
                rest = &rest[at + mark.len()..];
            }
        }
    }
    let rules: usize = families.iter().map(|f| f.rules.len()).sum();
    assert!(rules > 10, "only {rules} rules found: has their form changed?");
}

#[test]
fn every_rule_bears_its_documented_name() {
    for family in families() {
        let text = fs::read_to_string(&family.file).unwrap();
        let code = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for name in family.rules.iter().flat_map(Rule::names) {
            let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            assert!(is_name, "{}: `{name}` is not a rule's name", family.file.display());
            assert!(code.contains(&format!("\"{name}\"")), "{}: no evidence `{name}`", family.file.display());
        }
        for (at, _) in code.match_indices("rule: \"") {
            let name = code[at..].split('"').nth(1).unwrap();
            let documented = family.rules.iter().any(|r| r.names().contains(&name));
            assert!(documented, "{}: `{name}` is documented nowhere", family.file.display());
        }
    }
}

/// `docs/rules.md`, as the documentation of the rules says it.
fn rules_page() -> String {
    let families = families();
    let mut page = String::from(
        "<!-- Made by `make rules` from the doc comments in src/evidence. Change those. -->\n\n\
         # The rules\n\n\
         Each piece of evidence in a report bears the name of the rule that found it. Hop numbers count from the\n\
         client; *clears* means that a suspect could not have produced the packets seen, *implicates* only that it\n\
         could have, and that this speaks for it, and *spares* that it could have only if the [assumption](report.md#assumptions)\n\
         that the report names is false.\n",
    );
    for family in &families {
        let (title, about) = family.about.split_once(": ").unwrap();
        let (first, about) = about.split_at(1);
        write!(page, "\n## {title}\n\n{}{about}\n", first.to_uppercase()).unwrap();
        for rule in &family.rules {
            let (title, doc) = rule.doc.split_once('\n').unwrap();
            write!(page, "\n### {title}\n{}\n", linked(doc, &families)).unwrap();
        }
    }
    page
}

/// Rustdoc's links to a rule's function, as links to its heading.
fn linked(doc: &str, families: &[Family]) -> String {
    let mut doc = doc.to_owned();
    for rule in families.iter().flat_map(|f| &f.rules) {
        doc = doc
            .replace(&format!("[`{}`]", rule.function), &format!("[{}](#{})", rule.title(), rule.anchor()));
    }
    doc
}

/// `make rules` sets the variable, and writes the page anew.
#[test]
fn the_page_of_rules_is_current() {
    let file = top().join("docs/rules.md");
    let page = rules_page();
    if std::env::var_os("WHICHHOP_WRITE_DOCS").is_some_and(|v| v == "1") {
        fs::write(&file, page).unwrap();
        return;
    }
    let is = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        is == page,
        "docs/rules.md is not what the rules' documentation says: `make rules` writes it anew"
    );
}

#[test]
fn the_page_of_the_report_names_every_word_of_it() {
    let page = fs::read_to_string(top().join("docs/report.md")).unwrap();
    let words = (Suspect::ALL.iter().map(|s| s.name()))
        .chain(Outcome::ALL.iter().map(|o| o.name()))
        .chain(Handshake::ALL.iter().map(|h| h.name()))
        .chain(Segment::ALL.iter().map(|s| s.name()))
        .chain(Assumption::ALL.iter().map(|a| a.name()));
    let missing: Vec<&str> = words.filter(|w| !page.contains(&format!("`{w}`"))).collect();
    assert!(missing.is_empty(), "docs/report.md does not name {missing:?}");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut links = 0;
    for folder in [top(), &top().join("docs")] {
        for entry in fs::read_dir(folder).unwrap() {
            let page = entry.unwrap().path();
            if page.extension().is_none_or(|e| e != "md") {
                continue;
            }
            let text = fs::read_to_string(&page).unwrap();
            for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = link.split('#').next().unwrap_or_default();
                if file.is_empty() || link.starts_with("https://") {
                    continue;
                }
                links += 1;
                assert!(folder.join(file).exists(), "{} links to {link}", page.display());
            }
        }
    }
    assert!(links > 5, "only {links} links found");
}
