//! Attempts counted: by outcome, by server and by hour.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::time;
use crate::attempt::{Attempt, Outcome};

/// Servers, and hours, counted one by one, at most; the attempts of all others are counted together.
const COUNTED: usize = 65_536;

/// Servers shown: those with most attempts.
const SHOWN: usize = 20;

/// Counts of attempts, in bounded memory.
#[derive(Debug, Default)]
pub struct Summary {
    all: Outcomes,
    servers: Groups<SocketAddr>,
    hours: Groups<i64>,
}

/// How many attempts had each outcome.
type Outcomes = BTreeMap<Outcome, u64>;

/// Attempts by something of which there may be too much.
#[derive(Debug)]
struct Groups<K> {
    known: BTreeMap<K, Outcomes>,
    others: Outcomes,
}

impl<K> Default for Groups<K> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), others: Outcomes::new() }
    }
}

impl<K: Ord> Groups<K> {
    fn count(&mut self, key: K, outcome: Outcome) {
        let full = self.known.len() >= COUNTED;
        let outcomes = match self.known.get_mut(&key) {
            Some(known) => known,
            None if full => &mut self.others,
            None => self.known.entry(key).or_default(),
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
}

impl Summary {
    /// Counts one attempt.
    pub fn count(&mut self, attempt: &Attempt) {
        *self.all.entry(attempt.outcome).or_default() += 1;
        self.servers.count(attempt.server, attempt.outcome);
        self.hours.count(time::hour_of(attempt.first_syn), attempt.outcome);
    }

    /// The servers with most attempts, the busiest first, and the attempts of all others.
    fn busiest(&self) -> (Vec<(SocketAddr, &Outcomes)>, Outcomes) {
        let mut servers: Vec<_> =
            self.servers.known.iter().map(|(server, outcomes)| (*server, outcomes)).collect();
        servers.sort_by_key(|(server, outcomes)| (std::cmp::Reverse(sum(outcomes)), *server));
        let mut others = self.servers.others.clone();
        for (_, outcomes) in servers.iter().skip(SHOWN) {
            for (outcome, count) in *outcomes {
                *others.entry(*outcome).or_default() += count;
            }
        }
        servers.truncate(SHOWN);
        (servers, others)
    }

    /// The counts as one JSON object on one line, ended by a newline.
    pub fn json(&self) -> String {
        let (servers, other_servers) = self.busiest();
        let view = SummaryView {
            schema: "whichhop.summary/1",
            all: Counts::of(&self.all),
            by_server: servers
                .into_iter()
                .map(|(server, outcomes)| ServerView {
                    server: server.ip(),
                    server_port: server.port(),
                    counts: Counts::of(outcomes),
                })
                .collect(),
            other_servers: (!other_servers.is_empty()).then(|| Counts::of(&other_servers)),
            by_hour: (self.hours.known.iter())
                .map(|(hour, outcomes)| HourView {
                    hour: time::hour_json(*hour),
                    counts: Counts::of(outcomes),
                })
                .collect(),
            other_hours: (!self.hours.others.is_empty()).then(|| Counts::of(&self.hours.others)),
        };
        let mut line = serde_json::to_string(&view)
            .unwrap_or_else(|error| unreachable!("strings and numbers always serialise: {error}"));
        line.push('\n');
        line
    }

    /// The counts as text for people.
    pub fn text(&self) -> String {
        let mut out = format!("Attempts: {}\n", sum(&self.all));
        for (outcome, count) in &self.all {
            let _ = writeln!(out, "{count:>10}  {outcome}");
        }
        let (servers, others) = self.busiest();
        let servers = servers.into_iter().map(|(server, outcomes)| (server.to_string(), outcomes));
        section(&mut out, "By server", servers, &others);
        let hours = self.hours.known.iter().map(|(hour, outcomes)| (time::hour(*hour), outcomes));
        section(&mut out, "By hour (UTC)", hours, &self.hours.others);
        out
    }
}

fn section<'a>(
    out: &mut String,
    title: &str,
    rows: impl Iterator<Item = (String, &'a Outcomes)>,
    rest: &'a Outcomes,
) {
    let rest = (!rest.is_empty()).then(|| ("all others".to_owned(), rest));
    let rows: Vec<_> = rows.chain(rest).collect();
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}");
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, outcomes) in rows {
        let each: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        let _ = writeln!(out, "{:>10}  {name:<width$}  {}", sum(outcomes), each.join(", "));
    }
}

#[derive(Serialize)]
struct SummaryView {
    schema: &'static str,
    #[serde(flatten)]
    all: Counts,
    by_server: Vec<ServerView>,
    other_servers: Option<Counts>,
    by_hour: Vec<HourView>,
    other_hours: Option<Counts>,
}

#[derive(Serialize)]
struct Counts {
    attempts: u64,
    by_outcome: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct ServerView {
    server: IpAddr,
    server_port: u16,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Serialize)]
struct HourView {
    hour: String,
    #[serde(flatten)]
    counts: Counts,
}

impl Counts {
    fn of(outcomes: &Outcomes) -> Self {
        let by_outcome = outcomes.iter().map(|(outcome, count)| (outcome.name(), *count)).collect();
        Self { attempts: sum(outcomes), by_outcome }
    }
}

fn sum(outcomes: &Outcomes) -> u64 {
    outcomes.values().sum()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::samples;
    use super::*;

    #[test]
    fn nothing_counted() {
        assert_eq!(Summary::default().text(), "Attempts: 0\n");
    }

    #[test]
    fn the_busiest_servers_come_first() {
        let mut summary = Summary::default();
        let mut attempt = samples::edge_reset().attempts[0].clone();
        for i in 0..22_u16 {
            attempt.server.set_port(1000 + i);
            attempt.first_syn = attempt.first_syn.plus(400_000_000_000);
            attempt.outcome = if i % 3 == 0 { Outcome::Timeout } else { Outcome::Open };
            for _ in 0..=i {
                summary.count(&attempt);
            }
        }
        let text = summary.text();
        let lines: Vec<&str> = text.lines().collect();
        let servers = lines.iter().position(|line| *line == "By server").unwrap();
        assert_eq!(lines[servers + 1], "        22  198.19.0.4:1021  22 timeout");
        assert_eq!(lines[servers + 2], "        21  198.19.0.4:1020  21 open");
        assert_eq!(lines[servers + SHOWN], "         3  198.19.0.4:1002  3 open");
        assert_snapshot!([&lines[..servers], &lines[servers + SHOWN + 1..]].concat().join("\n"), @r"
        Attempts: 253
                92  timeout
               161  open

                 3  all others       1 timeout, 2 open

        By hour (UTC)
                36  2017-11-27 12:00  12 timeout, 24 open
               117  2017-11-27 13:00  39 timeout, 78 open
               100  2017-11-27 14:00  41 timeout, 59 open
        ");
    }

    #[test]
    fn a_flood_of_servers_takes_bounded_memory() {
        let mut groups = Groups::default();
        for i in 0..COUNTED + 5 {
            groups.count(i, Outcome::Timeout);
        }
        groups.count(0, Outcome::Open);
        assert_eq!((groups.known.len(), sum(&groups.others)), (COUNTED, 5));
        assert_eq!(sum(&groups.known[&0]), 2);
    }
}
