//! The tools: how each is run, and how its output is read.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use whichhop::attempt::Outcome;

use crate::lab::{AZURE_NETS, Family, Fault, VM, program};
use crate::reading::{Hop, Reading};

/// The highest TTL asked for; the VM is at 5.
const MOST: u8 = 8;

/// A tool over the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Whichhop,
    /// whichhop with `--deep`.
    Deep,
    Tcptraceroute,
    Traceroute,
    Mtr,
    Nmap,
    Scamper,
    Trippy,
    Hping,
}

impl Tool {
    const ALL: [Self; 9] = [
        Self::Whichhop,
        Self::Deep,
        Self::Tcptraceroute,
        Self::Traceroute,
        Self::Mtr,
        Self::Nmap,
        Self::Scamper,
        Self::Trippy,
        Self::Hping,
    ];

    /// Those that are on this machine.
    pub(crate) fn installed() -> Vec<Self> {
        let here = |tool: &Self| tool.is_whichhop() || program(tool.program()).is_some();
        Self::ALL.into_iter().filter(here).collect()
    }

    const fn is_whichhop(self) -> bool {
        matches!(self, Self::Whichhop | Self::Deep)
    }

    /// Whether it can trace over that IP version.
    pub(crate) const fn speaks(self, family: Family) -> bool {
        matches!(family, Family::V4) || !matches!(self, Self::Tcptraceroute | Self::Hping)
    }

    /// Whether it has anything to find out about a fault: `--deep` is for ports that are silent.
    pub(crate) fn is_for(self, fault: Fault) -> bool {
        self != Self::Deep || fault.truth().outcomes.contains(&Outcome::Timeout)
    }

    /// No run takes longer.
    pub(crate) const fn patience(self) -> Duration {
        Duration::from_secs(if matches!(self, Self::Deep) { 100 } else { 30 })
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Whichhop => "whichhop",
            Self::Deep => "whichhop --deep",
            Self::Tcptraceroute => "tcptraceroute",
            Self::Traceroute => "traceroute -T",
            Self::Mtr => "mtr --tcp",
            Self::Nmap => "nmap",
            Self::Scamper => "scamper",
            Self::Trippy => "trippy",
            Self::Hping => "hping3",
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Whichhop | Self::Deep => "whichhop",
            Self::Tcptraceroute => "tcptraceroute",
            Self::Traceroute => "traceroute",
            Self::Mtr => "mtr",
            Self::Nmap => "nmap",
            Self::Scamper => "scamper",
            Self::Trippy => "trip",
            Self::Hping => "hping3",
        }
    }

    /// What it calls itself, in one line.
    pub(crate) fn version(self, whichhop: &Path) -> String {
        let argument = match self {
            Self::Tcptraceroute | Self::Scamper => "-v",
            _ => "--version",
        };
        let program = if self.is_whichhop() { whichhop.to_owned() } else { self.program().into() };
        let output = Command::new(program).arg(argument).output();
        let said = output.map(|o| [o.stdout, o.stderr].concat()).unwrap_or_default();
        String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned()
    }

    /// The command lines of one run: a probe or two per hop, and a second of patience, which the lab's answers never
    /// need.
    pub(crate) fn lines(self, whichhop: &Path, family: Family) -> Vec<Vec<String>> {
        let vm = VM[family as usize].to_string();
        let six = if family == Family::V6 { "-6" } else { "" };
        let line = match self {
            Self::Whichhop | Self::Deep => {
                let nets = AZURE_NETS.map(|net| format!("--azure-net={net}")).join(" ");
                let deep = if self == Self::Deep { "--deep" } else { "" };
                format!("{} trace --json {deep} {nets} {vm}", whichhop.display())
            }
            Self::Tcptraceroute => format!("tcptraceroute -n -q 2 -w 1 -m {MOST} {vm} 22"),
            Self::Traceroute => format!("traceroute {six} -n -T -O info -p 22 -q 2 -w 1 -m {MOST} {vm}"),
            Self::Mtr => format!("mtr {six} -n --tcp -P 22 -c 2 -G 1 -m {MOST} --csv {vm}"),
            Self::Nmap => format!("nmap {six} -n -Pn -p 22 --traceroute --max-retries 1 -oX - {vm}"),
            // Its command is one argument.
            Self::Scamper => {
                let trace = format!("trace -P tcp -d 22 -q 2 -w 1 -m {MOST}");
                return vec![["scamper", "-c", &trace, "-i", &vm].map(str::to_owned).into()];
            }
            Self::Trippy => format!("trip {six} --tcp -P 22 -m csv -C 2 --max-ttl {MOST} {vm}"),
            Self::Hping => {
                return (1..=MOST)
                    .map(|ttl| words(&format!("hping3 -n -S -p 22 -c 1 -t {ttl} {vm}")))
                    .collect();
            }
        };
        vec![words(&line)]
    }

    /// Reads what it printed.
    pub(crate) fn read(self, said: &str) -> Reading {
        match self {
            Self::Whichhop | Self::Deep => verdict(said),
            Self::Tcptraceroute | Self::Traceroute | Self::Scamper => {
                Reading::Hops(said.lines().filter_map(numbered).collect())
            }
            Self::Mtr => Reading::Hops(said.lines().filter_map(|line| csv(line, 4)).collect()),
            Self::Trippy => Reading::Hops(said.lines().filter_map(|line| csv(line, 2)).collect()),
            Self::Nmap => Reading::Hops(nmap(said)),
            Self::Hping => Reading::Hops(hping(said)),
        }
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn verdict(said: &str) -> Reading {
    let report: Value = serde_json::from_str(said).unwrap_or_default();
    let list = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Reading::Verdict {
        outcome: text(&report["outcome"]),
        standing: list(&report["verdict"]["standing"])
            .iter()
            .map(|one| (text(&one["suspect"]), text(&one["segment"])))
            .collect(),
        cleared: list(&report["verdict"]["cleared"]).iter().map(|one| text(&one["suspect"])).collect(),
        assumed_away: list(&report["verdict"]["assuming"])
            .iter()
            .flat_map(|assumption| list(&assumption["suspects"]))
            .map(|one| one.as_str().map_or_else(|| text(&one["suspect"]), str::to_owned))
            .collect(),
    }
}

/// ` 2  198.18.1.2  0.1 ms !X`: a number, an address and perhaps a mark.
fn numbered(line: &str) -> Option<Hop> {
    let mut fields = line.split_whitespace();
    let number = fields.next()?.parse().ok()?;
    let address: IpAddr = fields.clone().find_map(|field| field.parse().ok())?;
    Some(Hop { number, address, refuses: fields.any(|field| field.starts_with('!')) })
}

/// Comma-separated values: the hop's number in column `at`, its address in the next. Of several (trippy joins those of
/// one hop with colons) the first counts, as it does where a tool prints one.
fn csv(line: &str, at: usize) -> Option<Hop> {
    let mut fields = line.split(',').skip(at);
    let number = fields.next()?.trim().parse().ok()?;
    let addresses = fields.next()?.trim();
    let address = addresses.parse().ok().or_else(|| addresses.split(':').next()?.parse().ok())?;
    Some(Hop { number, address, refuses: false })
}

/// Its hops; and where the port is filtered, its trace is of another port or of pings, so that there the state of the
/// port counts: an ICMP error names who refuses.
fn nmap(said: &str) -> Vec<Hop> {
    let attribute = |line: &str, name: &str| {
        let from = line.find(&format!("{name}=\""))? + name.len() + 2;
        line[from..].split('"').next().map(str::to_owned)
    };
    let mut hops: Vec<Hop> = said
        .lines()
        .filter(|line| line.starts_with("<hop "))
        .filter_map(|line| {
            let number = attribute(line, "ttl")?.parse().ok()?;
            let address = attribute(line, "ipaddr")?.parse().ok()?;
            Some(Hop { number, address, refuses: false })
        })
        .collect();
    let refusing = said.lines().find_map(|line| attribute(line, "reason_ip"));
    if let Some(refusing) = refusing.and_then(|address| address.parse::<IpAddr>().ok()) {
        for hop in &mut hops {
            hop.refuses = hop.address == refusing;
        }
    }
    hops
}

/// One run per TTL, each with a line that begins with its name.
fn hping(said: &str) -> Vec<Hop> {
    let mut hops = Vec::new();
    let mut ttl = 0;
    for line in said.lines() {
        if line.starts_with("HPING ") {
            ttl += 1;
        }
        let reached = line.starts_with("len=");
        let refuses = line.starts_with("ICMP ");
        if reached || refuses || line.starts_with("TTL 0 ") {
            let address = line.split_whitespace().find_map(|field| field.strip_prefix("ip=")?.parse().ok());
            if let Some(address) = address {
                hops.push(Hop { number: ttl, address, refuses });
            }
        }
    }
    // What comes behind the target's first answer are more of it.
    let reached = hops.iter().filter(|hop| VM.contains(&hop.address)).map(|hop| hop.number).min();
    hops.retain(|hop| reached.is_none_or(|reached| hop.number <= reached));
    hops
}
