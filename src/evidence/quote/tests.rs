//! The way there has four routers: 10.22.1.1, 198.18.1.1, 198.18.2.1 and 198.18.3.1.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::path::Change;
use crate::testing::{Found, diagnose};

/// A sweep whose answers from hop 3 on are quoted as `changed` says.
fn sweep(changed: &str) -> Found {
    found([changed, changed])
}

/// The same, each of the last two hops by itself.
fn found([third, fourth]: [&str; 2]) -> Found {
    diagnose(&format!(
        "0.000 ! start
         0.000 ! route gw=10.22.1.1
         0.000 ! connect 0 started
         0.001 > S id=1
         0.02 > 20000:22 S ttl=1 mss=1460 ts=101/0 | 11/0 10.22.1.1
         0.04 > 20000:22 S ttl=2 mss=1460 ts=102/0 | 11/0 198.18.1.1
         0.06 > 20000:22 S ttl=3 mss=1460 ts=103/0 | 11/0 198.18.2.1 {third}
         0.08 > 20000:22 S ttl=4 mss=1460 ts=104/0 | 11/0 198.18.3.1 {fourth}
         3.4 ! connect 0 abandoned 3400
         9.0 ! capture
         9.1 ! end"
    ))
}

/// The field, and how it was sent and quoted, of the one change at hop 3.
fn change(found: &Found) -> (&'static str, &str, &str) {
    let changes: Vec<&Change> = found.0.path.hops.iter().flat_map(|h| &h.changes).collect();
    let [change] = changes[..] else { panic!("{changes:?}") };
    assert_eq!((change.after, change.by), (2, 3));
    assert_eq!(found.0.path.hop(3).unwrap().changes.len(), 1);
    (change.field.name(), &change.sent, &change.quoted)
}

const RULE: &str = "changed-on-the-way";

#[test]
fn a_clamped_mss_is_placed_between_two_hops() {
    let found = sweep("qmss=1350");
    assert_eq!(change(&found), ("mss", "1460", "1350"));
    assert_eq!(
        found.says(RULE),
        "SYNs are changed on their way: MSS 1350 instead of 1460 between hop 2 (198.18.1.1) and hop 3 (198.18.2.1)"
    );
    assert_eq!(found.cites(RULE), [7, 8, 9, 10]);
    assert!(found.claims(RULE).is_empty());
}

#[test]
fn so_are_other_rewrites() {
    assert_eq!(change(&sweep("qtos=40")), ("dscp", "0", "10"));
    assert_eq!(change(&sweep("qtos=1")), ("ecn", "0", "1"));
    assert_eq!(change(&sweep("qseq=77")), ("sequence-number", "1000", "77"));
    assert_eq!(change(&sweep("left=9")), ("hop-limit", "1", "9"));
}

#[test]
fn a_translated_source_shows_where_the_quote_is_not_translated_back() {
    assert_eq!(change(&sweep("qsrc=198.18.200.2")), ("source", "10.22.0.2:20000", "198.18.200.2:20000"));
    let port = sweep("qsrc=198.18.200.2 qsport=4711");
    assert_eq!(change(&port), ("source", "10.22.0.2:20000", "198.18.200.2:4711"));
    assert_eq!(port.0.path.hops.len(), 4, "the answers are still known to be about our SYNs");
}

#[test]
fn without_a_difference_nothing_is_claimed() {
    assert!(!sweep("").has(RULE));
    assert!(!sweep("quote=8").has(RULE), "what is not quoted is not changed");
    assert!(!sweep("quote=20").has(RULE), "the options are missing from the quote, not from the SYN");
    assert!(!sweep("left=0").has(RULE));
    assert!(!sweep("quote=8 qmss=1350").has(RULE), "eight bytes show no MSS");
}

#[test]
fn a_router_that_garbles_its_quotes_changes_nothing_on_the_way() {
    assert!(!found(["qmss=1350", ""]).has(RULE), "hop 4 got it as it was sent");
    assert!(found(["quote=8", "qmss=1350"]).has(RULE));
}

#[test]
fn a_checksum_alone_shows_a_change_that_is_not_quoted() {
    let found = sweep("quote=20 qsum=1");
    let (field, _, quoted) = change(&found);
    assert_eq!((field, quoted), ("checksum", "0x0001"));
    assert!(found.says(RULE).contains("something else than what is quoted"), "{}", found.says(RULE));
    assert_eq!(
        change(&sweep("qsum=1 qmss=1350")).0,
        "mss",
        "the checksum follows what is seen to have changed"
    );
    assert_eq!(change(&sweep("qsum=1 qseq=77")).0, "sequence-number");
    assert!(!sweep("qsum=0").has(RULE), "left out");
    assert!(!sweep("quote=8 qsum=1").has(RULE), "not quoted");
    let unfinished = diagnose(
        "0.00 > 20000:22 S ttl=1 badsum | 11/0 10.22.1.1
         0.02 > 20000:22 S ttl=2 badsum | 11/0 198.18.1.1",
    );
    assert!(!unfinished.has(RULE), "wrong from the beginning");
}

/// What a box may rewrite, the field, and the least that must be quoted of the segment to show that it was not
/// rewritten and that it was: without its number a SYN is known by its timestamp.
const REWRITES: [(&str, &str, [usize; 2]); 7] = [
    ("qmss=1300", "mss", [36, 36]),
    ("qtos=40", "dscp", [8, 8]),
    ("qtos=1", "ecn", [8, 8]),
    ("qseq=77", "sequence-number", [8, 36]),
    ("qsrc=198.18.200.2", "source", [8, 8]),
    ("left=9", "hop-limit", [8, 8]),
    ("qsum=1", "checksum", [20, 20]),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever is sent, however little is quoted of it: no difference, no claim; and what a box rewrites from one
    /// router on is placed before the first that shows it and behind the last that shows that it was not.
    #[test]
    fn what_is_claimed_differs_and_lies_between_its_hops(
        mss in 536_u16..9000,
        window in 1_u16..,
        tos in any::<u8>(),
        stamp in 1_u32..1_000_000,
        quoted in prop::collection::vec(prop::sample::select(vec![8_usize, 12, 19, 20, 24, 35, 36, 60]), 2..7),
        by in 1_usize..8,
        rewrite in 0_usize..REWRITES.len(),
    ) {
        let (words, field, least) = REWRITES[rewrite];
        prop_assume!(field != "mss" || mss != 1300);
        prop_assume!(field != "dscp" || tos >> 2 != 10);
        prop_assume!(field != "ecn" || tos & 3 != 1);
        let words = if field == "dscp" { format!("qtos={}", 0x28 | tos & 3) } else { words.to_owned() };
        let words = if field == "ecn" { format!("qtos={}", tos & !3 | 1) } else { words };
        let mut script = String::new();
        for (n, quote) in quoted.iter().enumerate() {
            let (hop, rewritten) = (n + 1, if n + 1 >= by { words.as_str() } else { "" });
            writeln!(
                script,
                "{:.2} > 20000:22 S ttl={hop} mss={mss} win={window} tos={tos} ts={}/0 | 11/0 198.18.{hop}.1 quote={quote} {rewritten}",
                n as f64 / 10.0,
                stamp + hop as u32,
            ).unwrap();
        }
        let found = diagnose(&script);
        let changes: Vec<&Change> = found.0.path.hops.iter().flat_map(|h| &h.changes).collect();
        let shows = |hop: usize| quoted[hop - 1] >= least[usize::from(hop >= by)];
        let first = (by..=quoted.len()).find(|hop| shows(*hop));
        let expected: Vec<_> = first
            .map(|first| ((1..by).rev().find(|hop| shows(*hop)).unwrap_or(0) as u8, first as u8))
            .into_iter()
            .collect();
        prop_assert_eq!(changes.iter().map(|c| (c.after, c.by)).collect::<Vec<_>>(), expected, "{}", script);
        prop_assert!(changes.iter().all(|c| c.field.name() == field && c.sent != c.quoted), "{:?}", changes);
        prop_assert_eq!(found.has(RULE), !changes.is_empty());
    }
}

#[test]
fn where_hops_quote_too_little_the_interval_is_wider() {
    let found = found(["quote=8", "qmss=1350"]);
    let change = &found.0.path.hop(4).unwrap().changes[0];
    assert_eq!((change.after, change.by), (2, 4));
}
