//! How an attempt ended, as the literature on connection tampering names it: what came from the server's side, and
//! behind which step of the client's.
//!
//! The 19 signatures of Sundara Raman et al., "Global, Passive Detection of Connection Tampering" (SIGCOMM 2023,
//! table 1), which a server sees, as the client sees them; and the ends beside them that the table leaves out.

use super::outcome::{Handshake, words};
use super::seg::Head;
use crate::packet::{SeqNumber, TcpFlags};

words! {
    /// How an attempt ended.
    Signature {
        /// ⟨SYN → ∅⟩: nothing answered the SYN.
        SynSilence = "syn-silence",
        /// ⟨SYN → RST⟩: resets without ACK, which no RFC 9293 client believes.
        SynRst = "syn-rst",
        /// ⟨SYN → RST+ACK⟩: how a closed port answers.
        SynRstAck = "syn-rst-ack",
        /// ⟨SYN → RST; RST+ACK⟩: both kinds.
        SynRstRstAck = "syn-rst-rst-ack",
        /// ⟨SYN; ACK → ∅⟩: the handshake is done, neither side got anything through.
        SynAckSilence = "syn-ack-silence",
        /// ⟨SYN; ACK → RST⟩: one.
        SynAckRst = "syn-ack-rst",
        /// ⟨SYN; ACK → RST; RST⟩: several.
        SynAckRstRst = "syn-ack-rst-rst",
        /// ⟨SYN; ACK → RST+ACK⟩: one.
        SynAckRstAck = "syn-ack-rst-ack",
        /// ⟨SYN; ACK → RST+ACK; RST+ACK⟩: several.
        SynAckRstAckRstAck = "syn-ack-rst-ack-rst-ack",
        /// Both kinds behind the handshake; not in the table.
        SynAckRstAndRstAck = "syn-ack-rst-rst-ack",
        /// The server's side closed behind the handshake; not in the table.
        SynAckFin = "syn-ack-fin",
        /// ⟨PSH+ACK → ∅⟩: nothing the client sent was ever acknowledged.
        PshSilence = "psh-silence",
        /// ⟨PSH+ACK → RST⟩: one.
        PshRst = "psh-rst",
        /// ⟨PSH+ACK → RST+ACK⟩: one.
        PshRstAck = "psh-rst-ack",
        /// ⟨PSH+ACK → RST; RST+ACK⟩: at least one of each.
        PshRstRstAck = "psh-rst-rst-ack",
        /// ⟨PSH+ACK → RST+ACK; RST+ACK⟩: several.
        PshRstAckRstAck = "psh-rst-ack-rst-ack",
        /// ⟨PSH+ACK → RST = RST⟩: several, their acknowledgment numbers the same.
        PshRstRstSame = "psh-rst-rst-same",
        /// ⟨PSH+ACK → RST ≠ RST⟩: several, their acknowledgment numbers differing, none of them 0.
        PshRstRstDiffering = "psh-rst-rst-differing",
        /// ⟨PSH+ACK → RST; RST₀⟩: several, their acknowledgment numbers differing, one of them 0.
        PshRstRstZero = "psh-rst-rst-zero",
        /// The server's side closed behind the client's first data; not in the table.
        PshFin = "psh-fin",
        /// ⟨PSH+ACK; Data → RST⟩: one or more.
        PshDataRst = "psh-data-rst",
        /// ⟨PSH+ACK; Data → RST+ACK⟩: one or more.
        PshDataRstAck = "psh-data-rst-ack",
        /// Both kinds behind later data; not in the table.
        PshDataRstRstAck = "psh-data-rst-rst-ack",
        /// Later data was sent again and never acknowledged; not in the table.
        PshDataSilence = "psh-data-silence",
        /// The server's side closed behind later data; not in the table.
        PshDataFin = "psh-data-fin",
    }
}

/// The client's last step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// Its SYN: the handshake is not done.
    #[default]
    Syn,
    /// The ACK that completes the handshake.
    Ack,
    /// Its first data: in SSH, the identification line.
    FirstData,
    /// More data.
    LaterData,
}

/// What ended the attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    /// Nothing yet.
    #[default]
    None,
    /// Resets of the server's side.
    Resets,
    /// A FIN of the server's side.
    Fin,
    /// Whatever follows has its own cause: the client closed, an ICMP error answered the SYN, or a SYN/ACK was not
    /// taken.
    Other,
}

/// Finds the signature of one attempt, packet by packet, in a few bytes.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate fact of the packets seen")]
pub(super) struct Classifier {
    step: Step,
    end: End,
    resets: Resets,
    /// A SYN/ACK came.
    answered: bool,
    /// The server's side sent data, or acknowledged some.
    heard: bool,
    /// Some of the client's data is not acknowledged, and the client sent it again.
    unacknowledged: bool,
    resent: bool,
    /// The client closed or reset.
    left: bool,
}

/// The resets of the server's side.
#[derive(Clone, Copy, Debug, Default)]
struct Resets {
    /// Without and with ACK: none, one, several.
    bare: u8,
    with_ack: u8,
    /// Acknowledgment number of the first without ACK; whether another's differs, and whether any is 0.
    ack: SeqNumber,
    differing: bool,
    zero: bool,
    /// The client had to believe one.
    believed: bool,
}

impl Classifier {
    /// A SYN/ACK came; whether with data.
    pub(super) fn syn_ack(&mut self, with_data: bool) {
        self.answered = true;
        self.heard |= with_data;
    }

    /// An ICMP error about the SYN came.
    pub(super) fn icmp(&mut self) {
        if self.end == End::None && self.step == Step::Syn {
            self.end = End::Other;
        }
    }

    /// The client sent something other than its SYN and a reset, `handshake` being how far it is by then; whether it is `new`
    /// data, or data sent `again`.
    pub(super) fn client_sent(&mut self, handshake: Handshake, new: bool, again: bool, fin: bool) {
        // Looked up, not asked for: which it is could only be guessed at.
        const AFTER: [[Step; 2]; 4] = [
            [Step::Ack, Step::FirstData],
            [Step::Ack, Step::FirstData],
            [Step::FirstData, Step::LaterData],
            [Step::LaterData, Step::LaterData],
        ];
        if handshake != Handshake::Completed {
            return;
        }
        self.goes_on();
        if self.end == End::None {
            self.step = AFTER[self.step as usize][usize::from(new)];
            self.unacknowledged |= new;
            self.resent |= again & self.unacknowledged;
        }
        self.left |= fin;
    }

    /// The client reset.
    pub(super) fn client_reset(&mut self) {
        self.left = true;
        if self.end == End::None {
            self.end = End::Other;
        }
    }

    /// The server's side sent something other than a SYN/ACK and a reset.
    pub(super) fn server_sent(&mut self, heard: bool, all_acknowledged: bool, fin: bool) {
        self.goes_on();
        self.heard |= heard;
        self.unacknowledged &= !all_acknowledged;
        self.resent &= !all_acknowledged;
        if fin && self.end == End::None {
            self.end = if self.left { End::Other } else { End::Fin };
        }
    }

    /// A reset of the server's side came; whether the client had to believe it.
    pub(super) fn server_reset(&mut self, handshake: Handshake, seg: &Head, believed: bool) {
        if handshake == Handshake::Completed && self.step == Step::Syn && self.end == End::None {
            self.step = Step::Ack;
        }
        match self.end {
            End::Fin => return,
            // A copy of the SYN that drew the reset may have drawn an ICMP error too.
            End::Other if self.left || self.step != Step::Syn => return,
            End::None | End::Other | End::Resets => self.end = End::Resets,
        }
        let resets = &mut self.resets;
        resets.believed |= believed;
        if seg.flags.has(TcpFlags::ACK) {
            resets.with_ack = (resets.with_ack + 1).min(2);
            return;
        }
        if resets.bare == 0 {
            resets.ack = seg.ack;
        }
        resets.differing |= seg.ack != resets.ack;
        resets.zero |= seg.ack == SeqNumber(0);
        resets.bare = (resets.bare + 1).min(2);
    }

    /// The connection goes on: resets that nobody had to believe were no end.
    fn goes_on(&mut self) {
        if !self.resets.believed {
            self.take_resets_back();
        }
    }

    /// Resets were no end, whatever they looked like.
    #[inline]
    pub(super) fn take_resets_back(&mut self) {
        if self.end == End::Resets {
            self.end = End::None;
            self.resets = Resets::default();
        }
    }

    /// The signature of what was seen, if there is one.
    pub(super) fn signature(mut self, handshake: Handshake) -> Option<Signature> {
        if self.end == End::None && self.step == Step::Syn && handshake == Handshake::Completed {
            self.step = Step::Ack;
        }
        match self.end {
            End::Resets => Some(self.of_resets()),
            End::Fin => match self.step {
                Step::Syn => None,
                Step::Ack => Some(Signature::SynAckFin),
                Step::FirstData => Some(Signature::PshFin),
                Step::LaterData => Some(Signature::PshDataFin),
            },
            End::None => self.of_silence(),
            End::Other => None,
        }
    }

    fn of_resets(self) -> Signature {
        use Signature as S;
        let Resets { bare, with_ack, differing, zero, .. } = self.resets;
        match (self.step, bare, with_ack) {
            (Step::Syn, _, 0) => S::SynRst,
            (Step::Syn, 0, _) => S::SynRstAck,
            (Step::Syn, ..) => S::SynRstRstAck,
            (Step::Ack, 1, 0) => S::SynAckRst,
            (Step::Ack, _, 0) => S::SynAckRstRst,
            (Step::Ack, 0, 1) => S::SynAckRstAck,
            (Step::Ack, 0, _) => S::SynAckRstAckRstAck,
            (Step::Ack, ..) => S::SynAckRstAndRstAck,
            (Step::FirstData, 1, 0) => S::PshRst,
            (Step::FirstData, 0, 1) => S::PshRstAck,
            (Step::FirstData, 0, _) => S::PshRstAckRstAck,
            (Step::FirstData, _, 0) => match (differing, zero) {
                (false, _) => S::PshRstRstSame,
                (true, false) => S::PshRstRstDiffering,
                (true, true) => S::PshRstRstZero,
            },
            (Step::FirstData, ..) => S::PshRstRstAck,
            (Step::LaterData, _, 0) => S::PshDataRst,
            (Step::LaterData, 0, _) => S::PshDataRstAck,
            (Step::LaterData, ..) => S::PshDataRstRstAck,
        }
    }

    fn of_silence(self) -> Option<Signature> {
        match self.step {
            Step::Syn => (!self.answered && !self.left).then_some(Signature::SynSilence),
            Step::Ack => (!self.heard).then_some(Signature::SynAckSilence),
            Step::FirstData | Step::LaterData if !self.heard => Some(Signature::PshSilence),
            Step::LaterData if self.resent => Some(Signature::PshDataSilence),
            Step::FirstData | Step::LaterData => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{Census, Limits, Ports};
    use super::Signature;
    use crate::packet::decode;
    use crate::recording::Body;
    use crate::testing::{Script, attempts};

    const ESTABLISHED: &str = "0.000 > S\n 0.001 < S.\n 0.002 > .\n";
    /// The client identified itself, and the server took it.
    const SPOKEN: &str = "0.003 > P. len=20\n 0.004 < . ack=1021\n";

    /// The signature of a script's first attempt, in a trace and in a census alike.
    fn of(text: &str) -> Option<&'static str> {
        let tracked = attempts(text).first().expect("an attempt").signature;
        let mut census = Census::new(Ports::Only(vec![22..=22]), Limits::default());
        let script = Script::new(text);
        for record in script.records() {
            if let Body::Frame(frame) = record.body {
                census.push(record.at, &decode(frame.link, frame.bytes).expect("a packet"));
            }
        }
        census.end();
        let counted = census.next_decided().expect("an attempt").signature;
        assert_eq!(counted, tracked, "a census and a trace see the same in {text}");
        tracked.map(Signature::name)
    }

    fn established(more: &str) -> Option<&'static str> {
        of(&format!("{ESTABLISHED}{more}"))
    }

    fn spoken(more: &str) -> Option<&'static str> {
        established(&format!("{SPOKEN}{more}"))
    }

    const RST: &str = "< R seq=9001";
    const RST_ACK: &str = "< R. seq=9001";

    #[test]
    fn before_the_handshake_is_done() {
        assert_eq!(of("0 > S\n 1 > S\n 3 > S"), Some("syn-silence"));
        assert_eq!(of("0 > S\n 0.1 < R"), Some("syn-rst"));
        assert_eq!(of("0 > S\n 0.1 < R\n 0.2 < R"), Some("syn-rst"));
        assert_eq!(of("0 > S\n 0.1 < R."), Some("syn-rst-ack"));
        assert_eq!(of("0 > S\n 0.1 < R.\n 0.2 < R."), Some("syn-rst-ack"));
        assert_eq!(of("0 > S\n 0.1 < R.\n 0.2 < R"), Some("syn-rst-rst-ack"));
        assert_eq!(of("0 > S\n 0.1 < R\n 0.2 < R."), Some("syn-rst-rst-ack"));
    }

    #[test]
    fn an_answer_other_than_a_reset_is_no_silence() {
        assert_eq!(of("0 > S ttl=3 | 11/0 10.22.1.1"), None);
        assert_eq!(of("0 > S | 3/13 10.22.1.1"), None);
        assert_eq!(of("0 > S\n 0.1 < S."), None, "the client did not take it");
        assert_eq!(of("0 > S\n 0.1 > R"), None, "the client gave up");
        assert_eq!(of("0 > S ttl=3 | 11/0 10.22.1.1\n 0.1 < R."), Some("syn-rst-ack"), "a copy was reset");
    }

    #[test]
    fn a_reset_that_nobody_had_to_believe_ends_nothing() {
        assert_eq!(of("0 > S\n 0.1 < R\n 0.2 < S.\n 0.3 > .\n 0.4 < P. len=20"), None);
        assert_eq!(of("0 > S\n 0.1 < R\n 0.2 < S.\n 0.3 > ."), Some("syn-ack-silence"));
        for seq in [0, 9000, 300_000, 1_500_000_000, 3_000_000_000_u32] {
            let outside = format!("0.1 < R seq={seq}");
            assert_eq!(established(&outside), Some("syn-ack-rst"), "{seq} counts all the same");
            assert_eq!(established(&format!("{outside}\n 0.2 < P. len=20")), None, "{seq}");
        }
    }

    #[test]
    fn a_reset_that_the_client_did_not_take_ends_nothing() {
        for reset in [RST, RST_ACK, "< R seq=39000"] {
            let goes_on = format!("0.1 {reset}\n 0.2 < P. len=20\n 0.3 > . ack=9021\n");
            assert_eq!(established(&goes_on), None, "{reset}");
            let speaks = format!("{goes_on} 0.4 > P. ack=9021 len=20\n");
            assert_eq!(established(&format!("{speaks} 0.5 < . seq=9021 ack=1021")), None, "{reset}");
            let again = format!("{speaks} 0.5 < R seq=9021");
            assert_eq!(established(&again), Some("psh-rst"), "{reset}: only the second is taken");
        }
    }

    #[test]
    fn who_goes_on_alone_may_have_taken_a_reset() {
        let sent_before = "0.05 < P. len=20\n 0.1 < R seq=9021\n 0.11 > . ack=9021";
        assert_eq!(established(sent_before), Some("syn-ack-rst"), "the ACK was on its way");
        let server_alone = format!("0.1 {RST}\n 0.2 < P. len=20\n 0.5 < P. len=20");
        assert_eq!(established(&server_alone), Some("syn-ack-rst"));
        let on_its_way = format!("0.1 {RST}\n 0.11 > P. len=20\n 0.12 < . ack=1021");
        assert_eq!(established(&on_its_way), Some("syn-ack-rst"), "the server saw no reset");
        let client_alone = format!("0.1 {RST}\n 0.2 > P. len=20\n 0.5 > P. len=20");
        assert_eq!(established(&client_alone), Some("syn-ack-rst"));
        let refused = format!("0.1 {RST}\n 0.2 < P. len=20\n 0.21 > R");
        assert_eq!(established(&refused), Some("syn-ack-rst"));
        let made_up = format!("0.1 {RST}\n 0.2 < P. len=20\n 0.3 > . ack=9500");
        assert_eq!(established(&made_up), Some("syn-ack-rst"), "nobody sent that");
    }

    #[test]
    fn data_on_a_syn_ack_is_the_servers() {
        assert_eq!(of("0 > S len=100\n 0.1 < S. ack=1101 len=11\n 0.2 > . seq=1101 ack=9012"), None);
        assert_eq!(
            of("0 > S len=100\n 0.1 < S. ack=1101\n 0.2 > . seq=1101 ack=9001"),
            Some("syn-ack-silence")
        );
    }

    #[test]
    fn behind_the_handshake() {
        assert_eq!(established(""), Some("syn-ack-silence"));
        assert_eq!(established("2 > F."), Some("syn-ack-silence"), "the client waited in vain");
        assert_eq!(established(&format!("0.1 {RST}")), Some("syn-ack-rst"));
        assert_eq!(established(&format!("0.1 {RST}\n 0.2 {RST}")), Some("syn-ack-rst-rst"));
        assert_eq!(established(&format!("0.1 {RST_ACK}")), Some("syn-ack-rst-ack"));
        let twice = format!("0.1 {RST_ACK}\n 0.2 {RST_ACK}");
        assert_eq!(established(&twice), Some("syn-ack-rst-ack-rst-ack"));
        let both = format!("0.1 {RST_ACK}\n 0.2 {RST}");
        assert_eq!(established(&both), Some("syn-ack-rst-rst-ack"));
        assert_eq!(established("0.1 < F."), Some("syn-ack-fin"));
    }

    #[test]
    fn what_the_client_ends_itself_has_no_signature() {
        assert_eq!(established("0.1 > F.\n 0.2 < F. ack=1002"), None);
        assert_eq!(established("0.1 > R"), None);
        assert_eq!(established("0.1 > R seq=123000000"), Some("syn-ack-silence"), "not the client's");
        assert_eq!(established(&format!("0.1 > R\n 0.2 {RST}")), None);
        assert_eq!(spoken("0.1 < P. len=20 ack=1021"), None, "nothing ended it");
    }

    #[test]
    fn behind_the_first_data() {
        assert_eq!(established("0.1 > P. len=20"), Some("psh-silence"));
        assert_eq!(established("0.1 > P. len=20\n 0.2 < P. len=20"), None, "the server spoke");
        assert_eq!(spoken(&format!("0.1 {RST}")), Some("psh-rst"));
        assert_eq!(spoken(&format!("0.1 {RST_ACK}")), Some("psh-rst-ack"));
        assert_eq!(spoken(&format!("0.1 {RST_ACK}\n 0.2 {RST_ACK}")), Some("psh-rst-ack-rst-ack"));
        assert_eq!(spoken(&format!("0.1 {RST}\n 0.2 {RST_ACK}")), Some("psh-rst-rst-ack"));
        assert_eq!(spoken("0.1 < F. ack=1021"), Some("psh-fin"));
        let again = format!("0.05 > P. seq=1001 len=20\n 0.1 {RST}");
        assert_eq!(spoken(&again), Some("psh-rst"), "sent again is not more");
    }

    #[test]
    fn acknowledgment_numbers_of_several_resets() {
        let two = |one: u32, other: u32| spoken(&format!("0.1 {RST} ack={one}\n 0.2 {RST} ack={other}"));
        assert_eq!(two(1021, 1021), Some("psh-rst-rst-same"));
        assert_eq!(two(0, 0), Some("psh-rst-rst-same"), "as RFC 9293 writes them");
        assert_eq!(two(1021, 2481), Some("psh-rst-rst-differing"));
        assert_eq!(two(1021, 0), Some("psh-rst-rst-zero"));
        assert_eq!(two(0, 1021), Some("psh-rst-rst-zero"));
    }

    /// A script as a capture holds it that was taken on both sides of a router, every line `times` times.
    fn copied(text: &str, times: usize) -> String {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate();
        let copies = lines.flat_map(|(number, line)| {
            let (at, packet) = line.split_once(' ').expect("a time");
            let at: f64 = at.parse().expect("a time");
            (0..times).map(move |copy| format!("{:.6} {packet} id={}\n", at + 1e-5 * copy as f64, number + 1))
        });
        copies.collect()
    }

    #[test]
    fn a_reset_that_was_captured_twice_is_one() {
        for (resets, expected) in [
            (format!("0.1 {RST}"), "psh-rst"),
            (format!("0.1 {RST_ACK}"), "psh-rst-ack"),
            ("0.1 < R seq=0".to_owned(), "psh-rst"),
            (format!("0.1 {RST}\n 0.2 {RST}"), "psh-rst-rst-same"),
            (format!("0.1 {RST}\n 0.10002 {RST}"), "psh-rst-rst-same"),
            (format!("0.1 {RST_ACK}\n 0.2 {RST_ACK}"), "psh-rst-ack-rst-ack"),
            (format!("0.1 {RST}\n 0.1001 {RST} ack=7"), "psh-rst-rst-zero"),
        ] {
            let text = format!("{ESTABLISHED}{SPOKEN}{resets}");
            for times in 1..4 {
                assert_eq!(of(&copied(&text, times)), Some(expected), "{times} times {resets}");
            }
        }
    }

    #[test]
    fn resets_that_are_alike_are_several_where_the_rest_was_captured_once() {
        let two = |reset: &str| spoken(&format!("0.1 {reset} id=7\n 0.100001 {reset} id=7"));
        assert_eq!(two(RST), Some("psh-rst-rst-same"));
        assert_eq!(two(RST_ACK), Some("psh-rst-ack-rst-ack"));
        // The capture holds all twice: four that are alike, and have no identification, are two.
        let four = format!("0.1 {RST} id=0\n").repeat(4);
        assert_eq!(
            of(&format!("{}{four}", copied(&format!("{ESTABLISHED}{SPOKEN}"), 2))),
            Some("psh-rst-rst-same")
        );
    }

    #[test]
    fn data_that_was_captured_twice_was_not_sent_again() {
        let later = format!("{ESTABLISHED}{SPOKEN} 0.05 > P. seq=1021 len=900");
        let lost = format!("{later}\n 0.3 > P. seq=1021 len=900");
        for times in 1..4 {
            assert_eq!(of(&copied(&later, times)), None, "{times} times");
            assert_eq!(of(&copied(&lost, times)), Some("psh-data-silence"), "{times} times");
        }
        // The SYN once, for the capture began with it; the identification tells.
        let once = "0.05 > P. seq=1021 len=900 id=7\n 0.05001 > P. seq=1021 len=900 id=7";
        assert_eq!(spoken(once), None);
        let unlike = "0.05 > P. seq=1021 len=900 id=7\n 0.05001 > P. seq=1021 len=900 id=8";
        assert_eq!(spoken(unlike), Some("psh-data-silence"));
        // Without identifications, as over IPv6, the SYN tells.
        let v6 = |text: &str| format!("client fd22::2\n target 2001:db8::4\n {text}");
        assert_eq!(of(&v6(&copied(&later, 2))), None);
        assert_eq!(of(&v6(&copied(&lost, 2))), Some("psh-data-silence"));
        let single = format!("{later}\n 0.05001 > P. seq=1021 len=900");
        assert_eq!(of(&v6(&single)), Some("psh-data-silence"), "the SYN came once");
    }

    #[test]
    fn behind_later_data() {
        let later = |more: &str| spoken(&format!("0.05 > P. seq=1021 len=900\n {more}"));
        assert_eq!(later(&format!("0.1 {RST}")), Some("psh-data-rst"));
        assert_eq!(later(&format!("0.1 {RST}\n 0.2 {RST}")), Some("psh-data-rst"));
        assert_eq!(later(&format!("0.1 {RST_ACK}")), Some("psh-data-rst-ack"));
        assert_eq!(later(&format!("0.1 {RST_ACK}\n 0.2 {RST}")), Some("psh-data-rst-rst-ack"));
        assert_eq!(later("0.1 < F. ack=1921"), Some("psh-data-fin"));
        assert_eq!(later("0.1 < P. len=9 ack=1921"), None);
        let lost = "0.3 > P. seq=1021 len=900\n";
        assert_eq!(later(lost), Some("psh-data-silence"));
        assert_eq!(later(""), None, "it may still be on its way");
        assert_eq!(later(&format!("{lost} 0.4 < . ack=1921")), None, "taken at last");
    }

    #[test]
    fn the_first_of_close_and_reset_decides() {
        assert_eq!(spoken("0.1 < F. ack=1021\n 0.2 < R seq=9002"), Some("psh-fin"));
        assert_eq!(spoken(&format!("0.1 {RST}\n 0.2 < F. ack=1021")), Some("psh-rst"));
    }

    #[test]
    fn the_19_of_the_table_are_told_apart_and_documented() {
        let names: BTreeSet<&str> = Signature::ALL.iter().map(|s| s.name()).collect();
        assert_eq!(names.len(), Signature::ALL.len());
        let page =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/report.md")).expect("a page");
        for name in &names {
            assert!(page.contains(&format!("| `{name}` |")), "{name} is not documented");
        }
        let beside = page.lines().filter(|l| l.starts_with("| `") && l.ends_with("| – |")).count();
        assert_eq!(names.len() - beside, 19);
    }
}
