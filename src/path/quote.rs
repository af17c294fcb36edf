//! What boxes on the way changed: a router that says time exceeded quotes the SYN as it arrived there.

use std::fmt;
use std::net::SocketAddr;

use super::{Path, Probe, Reply, ReplyKind, SWEPT, Via};
use crate::recording::RecordNumber;

/// A field of a SYN that a box on the way changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Source address and port: address translation that leaves quotes untranslated.
    Source,
    /// DSCP.
    Dscp,
    /// ECN bits.
    Ecn,
    /// IPv4 identification.
    Identification,
    /// Initial sequence number.
    SequenceNumber,
    /// Window.
    Window,
    /// Kinds of options, in order.
    Options,
    /// Maximum segment size.
    Mss,
    /// TSval.
    Timestamp,
    /// TTL or hop limit, more than had run out.
    HopLimit,
    /// TCP checksum, though all else that it covers and that is quoted is as it was sent: something that is not quoted
    /// was changed, or what is quoted was changed back.
    Checksum,
}

impl Field {
    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Dscp => "dscp",
            Self::Ecn => "ecn",
            Self::Identification => "identification",
            Self::SequenceNumber => "sequence-number",
            Self::Window => "window",
            Self::Options => "options",
            Self::Mss => "mss",
            Self::Timestamp => "timestamp",
            Self::HopLimit => "hop-limit",
            Self::Checksum => "checksum",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source address",
            Self::Dscp => "DSCP",
            Self::Ecn => "ECN",
            Self::Identification => "IP identification",
            Self::SequenceNumber => "sequence number",
            Self::Window => "window",
            Self::Options => "TCP options",
            Self::Mss => "MSS",
            Self::Timestamp => "TCP timestamp",
            Self::HopLimit => "hop limit",
            Self::Checksum => "TCP checksum",
        })
    }
}

/// A change of SYNs on their way, placed between two hops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was changed.
    pub field: Field,
    /// How it was sent.
    pub sent: String,
    /// How it was quoted.
    pub quoted: String,
    /// The last hop that quoted it as it was sent; 0 where none did.
    pub after: u8,
    /// The first hop that quoted it changed.
    pub by: u8,
    /// The records that show it.
    pub records: Vec<RecordNumber>,
}

/// One quoted field beside what was sent.
struct Seen {
    via: Via,
    hop: u8,
    sent: String,
    quoted: String,
    records: [RecordNumber; 2],
}

impl Seen {
    fn differs(&self) -> bool {
        self.sent != self.quoted
    }
}

impl Path {
    /// Notes at each hop what the quotes of `probes` show to have changed on the way there.
    #[must_use]
    pub fn with_changes(mut self, probes: &[Probe]) -> Self {
        for change in changes(probes) {
            let index = usize::from(change.by) - 1;
            if let Some(hop) = self.hops.get_mut(index) {
                hop.changes.push(change);
            }
        }
        self
    }
}

/// Every change that the quotes of `probes` show, in path order.
///
/// A field counts as changed from a hop on only if every later quote of the same kind of probe shows it changed too: a
/// router that garbles what it quotes changes nothing on the way.
fn changes(probes: &[Probe]) -> Vec<Change> {
    let mut all: Vec<(Field, Seen)> = Vec::new();
    for probe in probes.iter().filter(|p| (1..SWEPT).contains(&p.hop_limit)) {
        for reply in probe.replies.iter().filter(|r| r.kind == ReplyKind::TimeExceeded && r.exact) {
            compare(probe, reply, &mut all);
        }
    }
    let mut fields: Vec<Field> = all.iter().map(|(field, _)| *field).collect();
    fields.sort_unstable();
    fields.dedup();
    let of = |field: Field| all.iter().filter(move |(f, _)| *f == field).map(|(_, seen)| seen);
    let mut found: Vec<Change> = fields.into_iter().filter_map(|field| place(field, of(field))).collect();
    found.sort_by_key(|c| (c.by, c.field));
    found
}

/// Between which hops a field changes.
fn place<'a>(field: Field, seen: impl Iterator<Item = &'a Seen>) -> Option<Change> {
    let seen: Vec<&Seen> = seen.collect();
    let first = seen.iter().filter(|s| s.differs()).min_by_key(|s| (s.hop, s.records))?;
    // What bleaches a mark leaves the unmarked as they are.
    let by_value = matches!(field, Field::Dscp | Field::Ecn);
    let alike = || seen.iter().filter(|s| s.via == first.via && (!by_value || s.sent == first.sent));
    if alike().any(|s| s.hop >= first.hop && !s.differs()) {
        return None;
    }
    let last_equal = alike().filter(|s| s.hop < first.hop).max_by_key(|s| s.hop);
    let records = first.records.into_iter().chain(last_equal.into_iter().flat_map(|s| s.records));
    Some(Change {
        field,
        sent: first.sent.clone(),
        quoted: first.quoted.clone(),
        after: last_equal.map_or(0, |s| s.hop),
        by: first.hop,
        records: records.collect(),
    })
}

/// Puts each field that is quoted beside what was sent.
fn compare(probe: &Probe, reply: &Reply, all: &mut Vec<(Field, Seen)>) {
    let (Some((client, segment)), Some(quote)) = (probe.sent, reply.quote) else { return };
    let before = all.len();
    let mut add = |field: Field, sent: String, quoted: String| {
        let (via, hop, records) = (probe.via, probe.hop_limit, [probe.record, reply.record]);
        all.push((field, Seen { via, hop, sent, quoted, records }));
    };
    let source = SocketAddr::new(quote.source, quote.tcp.source_port);
    add(Field::Source, client.to_string(), source.to_string());
    add(Field::Dscp, segment.dscp().to_string(), (quote.traffic_class >> 2).to_string());
    add(Field::Ecn, (segment.traffic_class & 3).to_string(), (quote.traffic_class & 3).to_string());
    if let (Some(sent), Some(quoted)) = (segment.identification, quote.identification) {
        add(Field::Identification, sent.to_string(), quoted.to_string());
    }
    add(Field::SequenceNumber, segment.seq.0.to_string(), quote.tcp.seq.0.to_string());
    let left = quote.hop_limit.0;
    add(Field::HopLimit, "1".to_owned(), if left > 1 { left.to_string() } else { "1".to_owned() });
    if let Some(rest) = quote.tcp.rest {
        add(Field::Window, segment.window.to_string(), rest.window.to_string());
        if rest.is_whole {
            let text = |mss: Option<u16>| mss.map_or_else(|| "none".to_owned(), |mss| mss.to_string());
            add(Field::Options, segment.options.to_string(), rest.options.to_string());
            add(Field::Mss, text(segment.mss), text(rest.mss));
        }
        if let (Some((sent, _)), Some(quoted)) = (segment.timestamps, rest.timestamp) {
            add(Field::Timestamp, sent.to_string(), quoted.to_string());
        }
        // A router may leave it out; and where another field differs, that is why this one does.
        let covered = |field: Field| {
            !matches!(field, Field::Dscp | Field::Ecn | Field::Identification | Field::HopLimit)
        };
        let explained = all[before..].iter().any(|(field, seen)| covered(*field) && seen.differs());
        if let Some(sent) = segment.checksum.filter(|_| rest.checksum != 0 && !explained) {
            let text = |checksum: u16| format!("{checksum:#06x}");
            let (via, hop, records) = (probe.via, probe.hop_limit, [probe.record, reply.record]);
            let seen = Seen { via, hop, sent: text(sent), quoted: text(rest.checksum), records };
            all.push((Field::Checksum, seen));
        }
    }
}
