//! The time of a capture.

use crate::recording::Timestamp;

/// Nanoseconds since the Unix epoch. With the digits of a [`Timestamp`] beside them they would be read back as one piece, and
/// the processor waits where that was written in two.
type Nanos = i64;

/// A timestamp that lies farther back than this, in nanoseconds, tells of a clock that was set back.
const STEP_BACK: i64 = 10_000_000_000;

/// A timestamp that lies farther off than this, in nanoseconds, is doubted: it may be damaged.
const LEAP: i64 = 86_400_000_000_000;

/// So many records in a row bear a time out.
const ENOUGH: u32 = 8;

/// The times of records in a row, each of which goes on from the one before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    first: Nanos,
    last: Nanos,
    records: u32,
}

impl Span {
    #[inline]
    pub(super) fn of(at: Timestamp) -> Self {
        Self { first: at.nanos(), last: at.nanos(), records: 1 }
    }

    /// Takes the time of the next record too, if it goes on from the last.
    #[inline]
    pub(super) fn extend(&mut self, at: Timestamp) -> bool {
        let at = at.nanos();
        let goes_on = (0..=LEAP).contains(&at.saturating_sub(self.last));
        if goes_on {
            self.last = at;
            self.records = self.records.saturating_add(1);
        }
        goes_on
    }

    fn nanos(&self) -> i64 {
        self.last.saturating_sub(self.first)
    }
}

/// The time of the capture, which only goes forward: a clock that is set back goes on from there.
///
/// A leap is believed once enough records in a row stand far from the time before it; until then no time passes. Time
/// that nothing bears out does not pass even then, nor does time pass twice where a clock that leapt back leaps forward
/// again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The time that records go on from: that of the last, but for one that lies a little before it.
    latest: Nanos,
    elapsed: i64,
    /// A step forward that is shorter than this is an ordinary one: none while there is anything else to look at.
    ordinary: i64,
    /// The latest time that was ever believed, but perhaps for `latest`.
    highest: Nanos,
    /// How many records have borne the time out, those of the last leap included; more than [`ENOUGH`] are not counted.
    support: u32,
    doubt: Option<Doubt>,
}

/// Records in a row whose times lie far from the one before them.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    records: u32,
    /// The last of them, which agree on a time.
    agreed: Span,
}

impl Default for Clock {
    fn default() -> Self {
        Self { latest: 0, elapsed: 0, ordinary: 0, highest: Nanos::MIN, support: 0, doubt: None }
    }
}

impl Clock {
    /// Goes on to the time of one record, and says what time it is then.
    #[inline]
    pub(super) fn advance_to(&mut self, at: Timestamp) -> i64 {
        let nanos = at.nanos();
        // Nearly every record of a capture.
        if let Some(step) = nanos.checked_sub(self.latest)
            && (0..self.ordinary).contains(&step)
            && let Some(elapsed) = self.elapsed.checked_add(step)
        {
            (self.latest, self.elapsed) = (nanos, elapsed);
            return elapsed;
        }
        self.advance(Span::of(at))
    }

    /// Goes on to the last of these times, and says what time it is then.
    pub(super) fn advance(&mut self, span: Span) -> i64 {
        if self.support == 0 {
            self.latest = span.first;
        }
        self.highest = self.highest.max(self.latest);
        if is_leap(self.latest, span.first) {
            self.doubt(span);
        } else {
            self.go_on(span.first);
            if span.records > 1 {
                self.go_on(span.last);
            }
            self.support = self.support.saturating_add(span.records).min(ENOUGH);
            self.doubt = None;
        }
        let steady = self.doubt.is_none() && self.support == ENOUGH;
        self.ordinary = if steady { LEAP } else { 0 };
        self.elapsed
    }

    /// Nanoseconds since the capture began.
    #[inline]
    pub(super) fn now(&self) -> i64 {
        self.elapsed
    }

    /// What time it would be if the last record's, which is doubted, were believed.
    #[inline]
    pub(super) fn doubted(&self) -> Option<i64> {
        self.doubt.map(|doubt| self.believing(&doubt))
    }

    #[inline]
    fn go_on(&mut self, at: Nanos) {
        let step = at.saturating_sub(self.latest);
        if !(-STEP_BACK..0).contains(&step) {
            self.latest = at;
            self.highest = self.highest.max(at);
            self.elapsed = self.elapsed.saturating_add(step.max(0));
        }
    }

    #[cold]
    fn doubt(&mut self, span: Span) {
        let before = self.doubt.map_or(0, |doubt| doubt.records);
        let agreed = self.doubt.map(|doubt| doubt.agreed).filter(|agreed| !is_leap(agreed.last, span.first));
        let agreed = agreed.map_or(span, |Span { first, last, records }| Span {
            first,
            last: last.max(span.last),
            records: records.saturating_add(span.records),
        });
        let doubt = Doubt { records: before.saturating_add(span.records), agreed };
        let one_lie_among_them = agreed.records < 2 && doubt.records < 2 * ENOUGH;
        if doubt.records < ENOUGH || one_lie_among_them {
            self.doubt = Some(doubt);
            return;
        }
        *self = Self {
            latest: agreed.last,
            elapsed: self.believing(&doubt),
            ordinary: 0,
            highest: self.highest.max(agreed.last),
            support: ENOUGH,
            doubt: None,
        };
    }

    fn believing(&self, Doubt { agreed, .. }: &Doubt) -> i64 {
        let believed = self.support >= ENOUGH;
        let passed = if believed { agreed.first.saturating_sub(self.highest).max(0) } else { 0 };
        self.elapsed.saturating_add(passed).saturating_add(agreed.nanos().max(0))
    }
}

fn is_leap(from: Nanos, to: Nanos) -> bool {
    !(-LEAP..=LEAP).contains(&to.saturating_sub(from))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const WEEK: i64 = 7 * LEAP;
    const START: i64 = 1_700_000_000 * SECOND;
    const IN_2106: i64 = u32::MAX as i64 * SECOND;

    /// Shows a clock these times, in seconds from the start.
    fn steady(clock: &mut Clock, seconds: impl IntoIterator<Item = i64>) -> i64 {
        seconds.into_iter().map(|s| show(clock, START + s * SECOND)).last().unwrap()
    }

    fn show(clock: &mut Clock, nanos: i64) -> i64 {
        clock.advance_to(Timestamp::from_nanos(nanos))
    }

    fn started() -> Clock {
        let mut clock = Clock::default();
        assert_eq!(steady(&mut clock, 0..20), 19 * SECOND);
        clock
    }

    #[test]
    fn a_few_times_that_lie_move_no_time() {
        for lies in [&[IN_2106][..], &[0], &[IN_2106, IN_2106 + 1], &[0, 0, 0], &[IN_2106, 0, IN_2106, 0]] {
            let mut clock = started();
            for lie in lies {
                assert_eq!(show(&mut clock, *lie), 19 * SECOND, "{lies:?}");
                assert!(clock.doubted().is_some());
            }
            assert_eq!(steady(&mut clock, [20]), 20 * SECOND, "{lies:?}");
            assert_eq!(clock.doubted(), None);
        }
    }

    #[test]
    fn every_second_time_may_lie() {
        let mut clock = started();
        for second in 20..100 {
            show(&mut clock, IN_2106);
            assert_eq!(steady(&mut clock, [second]), second * SECOND);
        }
    }

    #[test]
    fn a_gap_is_believed_once_enough_records_say_so() {
        let mut clock = started();
        for i in 1..8 {
            assert_eq!(show(&mut clock, START + WEEK + i), 19 * SECOND);
            assert_eq!(clock.doubted(), Some(WEEK + i), "meanwhile it is known what it would come to");
        }
        assert_eq!(show(&mut clock, START + WEEK + 8), WEEK + 8);
        assert_eq!(clock.doubted(), None);
    }

    #[test]
    fn a_lie_among_those_after_a_gap_is_none_of_them() {
        let mut clock = started();
        for at in [START + WEEK; 6].into_iter().chain([IN_2106, START + WEEK]) {
            assert_eq!(show(&mut clock, at), 19 * SECOND);
        }
        assert_eq!(show(&mut clock, START + WEEK + 1), WEEK + 1);
    }

    #[test]
    fn gaps_between_few_records_are_gaps_too() {
        let mut clock = started();
        let bursts = (1..=4).flat_map(|week| [week * WEEK, week * WEEK + 1, week * WEEK + 2]);
        assert_eq!(bursts.map(|at| show(&mut clock, START + at)).last(), Some(3 * WEEK + 2));
        assert_eq!(clock.doubted(), Some(4 * WEEK + 2));
    }

    #[test]
    fn no_doubt_lasts() {
        let mut clock = started();
        let longest = (0..100).map(|i| {
            show(&mut clock, START + i * WEEK);
            clock.doubt.map_or(0, |doubt| doubt.records)
        });
        assert_eq!(longest.max(), Some(15), "what is kept of it has a bound");
    }

    #[test]
    fn a_clock_that_leaps_back_goes_on_from_there_and_no_time_passes_twice() {
        let mut clock = started();
        for i in 0..8 {
            show(&mut clock, i * SECOND);
        }
        assert_eq!(clock.now(), (19 + 7) * SECOND);
        assert_eq!(steady(&mut clock, 30..38), (19 + 7 + 18) * SECOND);
    }

    #[test]
    fn the_first_times_may_lie() {
        for lie in [0, IN_2106] {
            let mut clock = Clock::default();
            show(&mut clock, lie);
            assert_eq!(steady(&mut clock, 0..20), 19 * SECOND, "{lie}");
        }
    }

    #[test]
    fn a_span_says_what_its_times_say() {
        let span = |nanos: &[i64]| {
            let mut span = Span::of(Timestamp::from_nanos(nanos[0]));
            assert!(nanos[1..].iter().all(|at| span.extend(Timestamp::from_nanos(*at))));
            span
        };
        assert!(!Span::of(Timestamp::from_nanos(1)).extend(Timestamp::from_nanos(0)));
        assert!(!Span::of(Timestamp::from_nanos(0)).extend(Timestamp::from_nanos(LEAP + 1)));
        for start in [START + 20 * SECOND, START + 15 * SECOND, START - 3600 * SECOND, START + WEEK, 0] {
            for times in [
                &[start, start + 1, start + 7 * SECOND][..],
                &[start, start + LEAP, start + 2 * LEAP],
                &(start..start + 9).collect::<Vec<_>>(),
            ] {
                let (mut one_by_one, mut at_once) = (started(), started());
                for at in times {
                    show(&mut one_by_one, *at);
                }
                at_once.advance(span(times));
                let says = |clock: &Clock| (clock.elapsed, clock.latest, clock.support, clock.doubted());
                assert_eq!(says(&at_once), says(&one_by_one), "{times:?}");
            }
        }
    }
}
