//! What a report must keep to, given what is true: the promises of `verdict` as a reader of the JSON sees them.

// Shared by several test programs and an example; each uses its part.
#![allow(dead_code)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is true of the path that was traced, in the names of the JSON report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expected {
    /// Right outcomes; more than one where it depends on how long one waits.
    pub(crate) outcomes: Vec<String>,
    /// Where the fault is; `None` when there is none.
    pub(crate) segment: Option<String>,
    /// The culprit.
    pub(crate) guilty: Option<String>,
    /// Packets seen by the client alone fit another segment just as well: any of them may be suspected first.
    pub(crate) beyond: bool,
}

/// How a recording under `fixtures/` came about, and what is true of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Known {
    /// What is wrong with the path, in one line.
    pub(crate) about: String,
    /// The command line that recorded it.
    pub(crate) made: String,
    /// `ipv4` or `ipv6`.
    pub(crate) family: String,
    /// Added to every round trip through transit.
    pub(crate) delay_ms: Option<u64>,
    /// Whether frames were captured; else there are only the kernel's own means.
    pub(crate) privileged: bool,
    /// What `--azure-net` named.
    pub(crate) azure_nets: Vec<String>,
    #[serde(flatten)]
    pub(crate) expected: Expected,
}

/// A recording under `fixtures/`.
#[derive(Clone, Debug)]
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) truth: Known,
    pub(crate) recording: Vec<u8>,
}

impl Fixture {
    pub(crate) const RECORDING: &str = "capture.pcapng";
    pub(crate) const TRUTH: &str = "truth.json";

    pub(crate) fn directory() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
    }

    /// All of them, by name.
    pub(crate) fn all() -> Vec<Self> {
        let entries = fs::read_dir(Self::directory()).expect("the fixtures are there");
        let mut directories: Vec<PathBuf> = entries
            .map(|entry| entry.expect("it can be read").path())
            .filter(|path| path.join(Self::RECORDING).exists())
            .collect();
        directories.sort();
        directories.iter().map(|directory| Self::read(directory)).collect()
    }

    pub(crate) fn read(directory: &Path) -> Self {
        let name = directory.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let bytes = |file| {
            let path = directory.join(file);
            fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        };
        let truth = serde_json::from_slice(&bytes(Self::TRUTH)).unwrap_or_else(|e| panic!("{name}: {e}"));
        Self { name, truth, recording: bytes(Self::RECORDING) }
    }
}

/// A report in JSON.
#[derive(Clone, Debug)]
pub(crate) struct Report(Value);

impl Report {
    /// # Panics
    /// When `json` is not one report.
    pub(crate) fn parse(json: &str) -> Self {
        let value: Value = serde_json::from_str(json).unwrap_or_else(|e| panic!("no JSON ({e}): {json:?}"));
        assert_eq!(value["schema"], "whichhop.report/1", "{json}");
        Self(value)
    }

    /// The address diagnosed.
    pub(crate) fn address(&self) -> &str {
        text(&self.0["target"]["address"])
    }

    pub(crate) fn outcome(&self) -> &str {
        text(&self.0["outcome"])
    }

    pub(crate) fn segment(&self) -> Option<&str> {
        self.0["verdict"]["segment"].as_str()
    }

    /// Suspects that stand and their segments, the most suspected first.
    pub(crate) fn standing(&self) -> Vec<(&str, &str)> {
        suspects(&self.0["verdict"]["standing"])
    }

    /// The address of the most suspected, where one is known.
    pub(crate) fn first_address(&self) -> Option<&str> {
        self.0["verdict"]["standing"][0]["address"].as_str()
    }

    /// Suspects that are cleared and their segments.
    pub(crate) fn cleared(&self) -> Vec<(&str, &str)> {
        suspects(&self.0["verdict"]["cleared"])
    }

    /// Suspects that only an assumption spares.
    pub(crate) fn spared(&self) -> Vec<&str> {
        let assuming = list(&self.0["verdict"]["assuming"]).iter();
        assuming.flat_map(|assumed| list(&assumed["suspects"])).map(text).collect()
    }

    /// The other addresses of the name, and how they did.
    pub(crate) fn other_addresses(&self) -> Vec<(&str, &str)> {
        let list = self.0["other_addresses"].as_array().map_or(&[][..], Vec::as_slice);
        list.iter().map(|other| (text(&other["address"]), text(&other["outcome"]))).collect()
    }

    /// What limits the findings.
    pub(crate) fn caveats(&self) -> Vec<&str> {
        list(&self.0["caveats"]).iter().map(text).collect()
    }

    /// Numbers of all records that the evidence cites.
    pub(crate) fn cited(&self) -> Vec<u64> {
        list(&self.0["evidence"])
            .iter()
            .flat_map(|evidence| list(&evidence["packets"]))
            .map(|number| number.as_u64().unwrap_or_else(|| panic!("no record number: {number}")))
            .collect()
    }

    /// Whether a rule found something.
    pub(crate) fn found(&self, rule: &str) -> bool {
        list(&self.0["evidence"]).iter().any(|evidence| text(&evidence["rule"]) == rule)
    }

    /// The exit status that goes with it.
    pub(crate) fn exit_status(&self) -> i32 {
        let segments: Vec<&str> = self.standing().into_iter().map(|(_, segment)| segment).collect();
        match (self.outcome(), segments.first()) {
            ("open", _) => 0,
            // Somebody relays it, and SSH works through them.
            ("intercepted", _) if self.found("banner-read") => 0,
            (_, Some(first)) if segments.iter().all(|s| s == first) => 1,
            _ => 3,
        }
    }

    /// What may not be, whatever was seen or missed: a guilty one cleared, nobody left standing, a wrong segment named,
    /// records cited that there are not among `records`.
    pub(crate) fn unsound(&self, expected: &Expected, records: u64) -> Vec<String> {
        let mut broken = Vec::new();
        let accuses = !["open", "completed"].contains(&self.outcome());
        // Where packets fit another segment just as well, the report may name what it takes for granted instead.
        let spared = |guilty: &String| expected.beyond && self.spared().contains(&guilty.as_str());
        let named_for = expected.segment.as_ref().filter(|_| !expected.guilty.as_ref().is_some_and(spared));
        if let Some(guilty) = &expected.guilty {
            if self.cleared().iter().any(|(suspect, _)| suspect == guilty) {
                broken.push(format!("{guilty} is guilty and was cleared"));
            }
            let stands = self.standing().iter().any(|(suspect, _)| suspect == guilty);
            if accuses && !stands && !spared(guilty) {
                broken.push(format!("{guilty} is guilty and does not stand"));
            }
        }
        if accuses && self.standing().is_empty() {
            broken.push(format!("the outcome is {}, and nobody stands", self.outcome()));
        }
        if let (Some(named), Some(right)) = (self.segment(), named_for)
            && named != right
        {
            broken.push(format!("the segment named is {named}, but it is {right}"));
        }
        let only = self
            .standing()
            .first()
            .map(|(_, segment)| *segment)
            .filter(|first| accuses && self.standing().iter().all(|(_, segment)| segment == first));
        if self.segment() != only {
            broken.push(format!("the segment named is {:?}, but {only:?} is the one of all", self.segment()));
        }
        for number in self.cited() {
            if number == 0 || number > records {
                broken.push(format!("record {number} is cited, of {records}"));
            }
        }
        broken
    }

    /// What a whole recording lets one find out, and was not: the outcome, and the right segment first.
    pub(crate) fn imprecise(&self, expected: &Expected) -> Vec<String> {
        let mut broken = Vec::new();
        if !expected.outcomes.iter().any(|outcome| outcome == self.outcome()) {
            broken.push(format!("the outcome is {}, not {}", self.outcome(), expected.outcomes.join(" or ")));
        }
        if let Some(right) = &expected.segment
            && !expected.beyond
            && let Some((suspect, first)) = self.standing().first()
            && first != right
        {
            broken.push(format!("{suspect} ({first}) is suspected first, but it is in {right}"));
        }
        broken
    }

    /// What a recording with gaps may not let one find out, and must not say: a wrong one first, though somebody beyond
    /// the client was let off.
    pub(crate) fn misleading(&self, expected: &Expected) -> Vec<String> {
        let broken = self.imprecise(expected);
        let beyond = ["edge", "transit", "azure-edge", "vm"];
        let all = beyond.iter().all(|segment| self.standing().iter().any(|(_, one)| one == segment));
        if all && self.outcome() != "open" { Vec::new() } else { broken }
    }

    /// The verdict in a few lines, for the message of a test that fails.
    pub(crate) fn summary(&self) -> String {
        let mut summary = format!("outcome {}, segment {:?}\n", self.outcome(), self.segment());
        let join =
            |list: Vec<(&str, &str)>| list.iter().map(|(suspect, _)| *suspect).collect::<Vec<_>>().join(" ");
        let _ = writeln!(summary, "standing {}", join(self.standing()));
        let _ = writeln!(summary, "cleared  {}", join(self.cleared()));
        for caveat in self.caveats() {
            let _ = writeln!(summary, "caveat   {caveat}");
        }
        summary
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn suspects(value: &Value) -> Vec<(&str, &str)> {
    list(value).iter().map(|one| (text(&one["suspect"]), text(&one["segment"]))).collect()
}
