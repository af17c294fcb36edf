//! The tracker, packet by packet.

use super::{About, Attempt, Connections, Entry, Handshake, Outcome, ResetBy, Tracker, What, ssh_line};
use crate::recording::{Body, Said};
use crate::testing::{Script, address, attempt, attempts, feed};

/// A handshake, from 0.000 to 0.002.
const ESTABLISHED: &str = "
    0.000 > S
    0.001 < S.
    0.002 > .
";

fn after_handshake(more: &str) -> Attempt {
    attempt(&format!("{ESTABLISHED}{more}"))
}

fn ended(attempt: &Attempt) -> (Handshake, Outcome) {
    (attempt.handshake, attempt.outcome)
}

fn acceptable(entry: &Entry) -> Option<bool> {
    match entry.what {
        What::Rst { acceptable, .. } => Some(acceptable),
        _ => None,
    }
}

fn about(attempt: &Attempt) -> Vec<About> {
    let about = |e: &Entry| if let What::Icmp(seen) = e.what { Some(seen.about) } else { None };
    attempt.timeline.iter().filter_map(about).collect()
}

#[test]
fn a_syn_sent_again_is_the_same_attempt() {
    let one = attempt("0.0 > S\n 1.0 > S\n 3.0 > S");
    assert_eq!((one.syn, one.syn_ack, one.timeline.len()), (3, 0, 3));
    assert_eq!(one.first_syn.nanos(), 0);
    assert_eq!(ended(&one), (Handshake::Unanswered, Outcome::Timeout));
}

#[test]
fn a_new_initial_sequence_number_on_a_used_pair_is_a_new_attempt() {
    let two = attempts("0 > S\n 0.1 < R.\n 5 > S seq=7000\n 5.1 < S. ack=7001\n 5.2 > . seq=7001");
    assert_eq!(two.len(), 2);
    assert_eq!(ended(&two[0]), (Handshake::Reset, Outcome::Reset));
    assert_eq!(ended(&two[1]), (Handshake::Completed, Outcome::NoBanner));
    assert_eq!((two[0].syn, two[1].syn, two[1].isn.0), (1, 1, 7000));
}

#[test]
fn what_comes_late_for_an_earlier_attempt_on_the_pair_is_not_the_later_ones_answer() {
    let two = attempts("0 > S\n 5 > S seq=7000\n 5.1 < S. ack=1001\n 5.2 < R. ack=1001");
    assert_eq!(ended(&two[1]), (Handshake::Unanswered, Outcome::Timeout));
    assert_eq!(two[1].syn_ack, 0);
}

#[test]
fn packets_without_a_syn_are_no_attempt() {
    assert!(attempts("0 > P. data=\"x\"\n 0.1 < P. data=\"y\"\n 0.2 < R.\n 0.3 < S.").is_empty());
}

#[test]
fn a_reset_is_believed_if_it_acknowledges_the_syn() {
    for (ack, believed) in [("ack=1001", true), ("ack=1000", true), ("ack=999", false), ("ack=1002", false)] {
        let one = attempt(&format!("0 > S\n 0.1 < R. {ack}"));
        assert_eq!(one.handshake == Handshake::Reset, believed, "{ack}");
        assert_eq!(one.outcome == Outcome::Reset, believed, "{ack}");
        assert_eq!(acceptable(&one.timeline[1]), Some(believed), "{ack}: noted either way");
    }
}

#[test]
fn a_reset_without_ack_proves_nothing() {
    let one = attempt("0 > S\n 0.1 < R ack=1001");
    assert_eq!(ended(&one), (Handshake::Unanswered, Outcome::Timeout));
    assert_eq!(acceptable(&one.timeline[1]), Some(false));
}

#[test]
fn our_own_kernels_reset_of_a_probes_syn_ack_is_no_refusal() {
    let one = attempt("0 > S ttl=5\n 0.1 < S.\n 0.1001 > R");
    assert_eq!(ended(&one), (Handshake::HalfOpen, Outcome::HalfOpen));
    assert_eq!(one.reset_after_handshake_by, None);
    assert!(matches!(one.timeline[2].what, What::Rst { from_client: true, .. }));
}

#[test]
fn syn_acks_that_the_client_ignores_leave_it_half_open() {
    let one = attempt("0 > S\n 0.1 < S.\n 1.0 > S\n 1.1 < S.\n 2.1 < S.");
    assert_eq!((one.syn, one.syn_ack), (2, 3));
    assert_eq!(ended(&one), (Handshake::HalfOpen, Outcome::HalfOpen));
}

#[test]
fn a_syn_ack_that_acknowledges_something_else_is_not_ours() {
    let one = attempt("0 > S\n 0.1 < S. ack=1000\n 0.2 < S. ack=5");
    assert_eq!((one.syn_ack, one.handshake), (0, Handshake::Unanswered));
}

#[test]
fn a_reset_while_half_open_is_a_reset() {
    assert_eq!(ended(&attempt("0 > S\n 0.1 < S.\n 0.2 < R.")), (Handshake::Reset, Outcome::Reset));
}

#[test]
fn an_ack_completes_the_handshake_whether_or_not_it_carries_data() {
    let silent = after_handshake("");
    assert_eq!(ended(&silent), (Handshake::Completed, Outcome::NoBanner));
    let with_data = attempt("0 > S\n 0.1 < S.\n 0.2 > P. data=\"hello\"");
    assert_eq!((with_data.handshake, with_data.client_bytes), (Handshake::Completed, 5));
}

#[test]
fn what_only_a_connected_server_sends_completes_the_handshake() {
    let banner = "0.3 < P. data=\"SSH-2.0-x\\r\\n\"";
    for seen in [&format!("0.1 < S.\n {banner}"), banner] {
        let one = attempt(&format!("0 > S\n {seen}"));
        assert_eq!(ended(&one), (Handshake::Completed, Outcome::Open), "{seen}");
        assert_eq!(one.server_banner.as_deref(), Some("SSH-2.0-x"));
    }
    let closed = attempt("0 > S\n 0.1 < S.\n 0.3 < F.");
    assert_eq!(ended(&closed), (Handshake::Completed, Outcome::Closed));
    let acknowledged = attempt("0 > S\n 0.1 < S.\n 0.2 > P. ack=1 data=\"x\"\n 0.3 < . ack=1002");
    assert_eq!(acknowledged.handshake, Handshake::Completed);
    let client_alone = attempt("0 > S\n 0.2 > . \n 0.3 > P. data=\"x\"");
    assert_eq!(ended(&client_alone), (Handshake::Completed, Outcome::Completed));
}

#[test]
fn who_sends_its_syn_again_is_not_connected() {
    let forged = "< P. seq=77 data=\"SSH-2.0-forged\\r\\n\"";
    let refuted = attempt(&format!("0 > S\n 0.1 {forged}\n 1 > S\n 1.1 {forged}\n 3 > S\n 3.1 < F. seq=77"));
    assert_eq!(ended(&refuted), (Handshake::Unanswered, Outcome::Timeout));
    assert_eq!((refuted.server_banner, refuted.server_bytes), (None, 0));
    let late = attempt(&format!(
        "0 > S\n 0.1 {forged}\n 1 > S\n 1.1 {forged}\n 1.2 < S.\n 1.3 > .\n 1.4 < P. data=\"SSH-2.0-x\\r\\n\""
    ));
    assert_eq!(ended(&late), (Handshake::Completed, Outcome::Open));
    assert_eq!(late.server_banner.as_deref(), Some("SSH-2.0-x"));
    let half_open = attempt("0 > S\n 0.1 < S.\n 0.2 < F.\n 1 > S\n 1.1 < S.");
    assert_eq!(ended(&half_open), (Handshake::HalfOpen, Outcome::HalfOpen));
}

#[test]
fn an_ack_of_something_else_completes_nothing() {
    let one = attempt("0 > S\n 0.1 < S.\n 0.2 > . ack=9000");
    assert_eq!(one.handshake, Handshake::HalfOpen, "9000 is the server's own number, not the next");
}

#[test]
fn sequence_numbers_wrap() {
    let one = attempt(
        "0 > S seq=4294967295
         0.1 < S. seq=4294967290 ack=0
         0.2 > . seq=0 ack=4294967291
         0.3 < P. seq=4294967291 ack=0 data=\"SSH-2.0-wrap\\r\\n\"",
    );
    assert_eq!((one.outcome, one.server_bytes), (Outcome::Open, 14));
}

#[test]
fn the_first_of_fin_and_reset_decides() {
    let fin_first = after_handshake("0.3 < F.\n 0.4 < R seq=9002");
    assert_eq!(fin_first.outcome, Outcome::Closed);
    assert_eq!(fin_first.reset_after_handshake_by, Some(ResetBy::Server));
    let reset_first = after_handshake("0.3 < R\n 0.4 < F.");
    assert_eq!(reset_first.outcome, Outcome::ResetAfterHandshake);
    assert_eq!(reset_first.handshake, Handshake::Completed);
}

#[test]
fn a_connection_that_goes_on_was_not_reset() {
    let banner = "0.4 < P. data=\"SSH-2.0-x\\r\\n\"\n 0.5 > . ack=9012\n";
    for reset in ["< R", "< R seq=39000", "< R. seq=9001"] {
        let one = after_handshake(&format!("0.3 {reset}\n {banner}"));
        assert_eq!((one.outcome, one.reset_after_handshake_by), (Outcome::Open, None), "{reset}");
    }
    let closed = after_handshake("0.3 < R\n 0.4 < FP. len=3\n 0.5 > . ack=9005\n");
    assert_eq!((closed.outcome, closed.reset_after_handshake_by), (Outcome::Closed, None));
    let both = after_handshake(&format!("0.3 < R\n {banner} 0.6 > R"));
    assert_eq!(
        (both.outcome, both.reset_after_handshake_by),
        (Outcome::ResetAfterHandshake, Some(ResetBy::Client))
    );
    let again = after_handshake(&format!("0.3 < R\n {banner} 0.6 < R seq=9012"));
    assert_eq!(
        (again.outcome, again.reset_after_handshake_by),
        (Outcome::ResetAfterHandshake, Some(ResetBy::Server))
    );
    let fin_before = after_handshake("0.2 < F.\n 0.3 < R seq=9002\n 0.31 > . ack=9002\n");
    assert_eq!(fin_before.reset_after_handshake_by, Some(ResetBy::Server), "the ACK was on its way");
    let server_alone = after_handshake("0.3 < R\n 0.4 < P. data=\"SSH-2.0-x\\r\\n\"\n");
    assert_eq!(server_alone.outcome, Outcome::ResetAfterHandshake, "it may know of no reset");
}

#[test]
fn data_on_a_syn_ack_counts() {
    let banner = "0.1 < S. ack=1101 data=\"SSH-2.0-x\\r\\n\"\n";
    let one = attempt(&format!("0 > S len=100\n {banner} 0.2 > . seq=1101 ack=9012"));
    assert_eq!((one.outcome, one.server_bytes), (Outcome::Open, 11));
    assert_eq!(one.server_banner.as_deref(), Some("SSH-2.0-x"));
    let twice = attempt(&format!(
        "0 > S len=100\n {banner} 1.1 < S. ack=1101\n 1.2 > . seq=1101\n 1.3 < P. ack=1101 data=\"SSH-2.0-x\\r\\n\""
    ));
    assert_eq!(
        (twice.outcome, twice.server_bytes),
        (Outcome::Open, 11),
        "the client did not take it at first"
    );
}

#[test]
fn who_reset_is_told_apart() {
    assert_eq!(after_handshake("0.3 > R").reset_after_handshake_by, Some(ResetBy::Client));
    assert_eq!(after_handshake("0.3 > R\n 0.4 < R").reset_after_handshake_by, Some(ResetBy::Both));
    let ours = after_handshake("0.3 > R");
    assert_eq!(ours.outcome, Outcome::ResetAfterHandshake);
    assert_eq!(ours.outcome_of_path, Outcome::NoBanner, "our own reset is not the server's");
}

#[test]
fn a_clients_own_end_of_it_is_an_outcome_and_no_deed_of_the_path() {
    let banner = "0.3 < P. data=\"SSH-2.0-x\\r\\n\"\n";
    let through = "0.4 < P. seq=9012 len=1400\n";
    for (more, outcome, of_path) in [
        ("1 > R", Outcome::ResetAfterHandshake, Outcome::NoBanner),
        ("1 > F.", Outcome::Closed, Outcome::NoBanner),
        ("1 > F.\n 1.1 > R seq=1002", Outcome::Closed, Outcome::NoBanner),
        ("1 > R\n 1.1 < F.", Outcome::ResetAfterHandshake, Outcome::NoBanner),
        ("0.3 < P. data=\"HTTP/1.1 400\\r\\n\"\n 1 > R", Outcome::ResetAfterHandshake, Outcome::NotSsh),
        (&format!("{banner} 1 > R"), Outcome::ResetAfterHandshake, Outcome::Open),
        (&format!("{banner} 1 > F."), Outcome::Open, Outcome::Open),
        (&format!("{banner}{through} 1 > R"), Outcome::Open, Outcome::Open),
        ("1 < R", Outcome::ResetAfterHandshake, Outcome::ResetAfterHandshake),
    ] {
        let one = after_handshake(more);
        assert_eq!((one.outcome, one.outcome_of_path), (outcome, of_path), "{more}");
    }
}

#[test]
fn a_reset_outside_the_window_is_noted_and_not_believed() {
    for (seq, believed) in [("9001", true), ("74536", true), ("74537", false), ("9000", false), ("1", false)]
    {
        let one = after_handshake(&format!("0.3 < R seq={seq}"));
        assert_eq!(acceptable(&one.timeline[3]), Some(believed), "{seq}");
        assert_eq!(one.outcome == Outcome::ResetAfterHandshake, believed, "{seq}");
        assert_eq!(one.reset_after_handshake_by.is_some(), believed, "{seq}");
    }
}

#[test]
fn a_banner_is_put_together_from_segments_in_any_order() {
    let one = after_handshake(
        "0.3 < P. seq=9005 data=\"2.0-OpenSSH_9.2\\r\\n\"
         0.4 < P. seq=9001 data=\"SSH-\"
         0.5 < P. seq=9001 data=\"SSH-\"  # again",
    );
    assert_eq!(one.server_banner.as_deref(), Some("SSH-2.0-OpenSSH_9.2"));
    assert_eq!((one.outcome, one.server_bytes), (Outcome::Open, 21));
}

#[test]
fn lines_may_come_before_the_banner() {
    let one = after_handshake("0.3 < P. data=\"Authorised use only\\r\\nnot SSH- yet\\r\\nSSH-2.0-x\\r\\n\"");
    assert_eq!(one.server_banner.as_deref(), Some("SSH-2.0-x"));
    assert_eq!(one.outcome, Outcome::Open);
}

#[test]
fn what_is_no_line_beginning_with_ssh_is_not_ssh() {
    for data in ["220 mail ESMTP\\r\\n", "HTTP/1.1 400\\r\\nX: SSH-2.0\\r\\n", "ssh-2.0-x\\r\\n"] {
        let one = after_handshake(&format!("0.3 < P. data=\"{data}\""));
        assert_eq!((one.outcome, one.server_banner), (Outcome::NotSsh, None), "{data}");
    }
}

#[test]
fn words_of_refusal_and_then_a_fin_are_a_refusal() {
    let one = after_handshake("0.3 < P. data=\"Exceeded MaxStartups\\r\\n\"\n 0.4 < F. seq=9023");
    assert_eq!(one.outcome, Outcome::Closed);
}

#[test]
fn a_reset_counts_until_the_key_exchange_is_through() {
    let banner = "0.3 < P. data=\"SSH-2.0-x\\r\\n\"\n";
    let soon = after_handshake(&format!("{banner} 0.4 < R seq=9012"));
    assert_eq!(soon.outcome, Outcome::ResetAfterHandshake);
    let late = after_handshake(&format!("{banner} 0.4 < P. seq=9012 len=1400\n 9.0 < R seq=10412"));
    assert_eq!(late.outcome, Outcome::Open);
}

#[test]
fn bytes_that_were_not_captured_are_not_taken_for_silence() {
    let one = after_handshake("0.3 < P. data=\"SSH-2.0-x\\r\\n\" cut=54");
    assert_eq!((one.outcome, one.server_bytes), (Outcome::Completed, 11));
}

#[test]
fn another_port_is_not_judged_as_ssh() {
    let one = attempt("0 > 50022:443 S\n 0.1 < 50022:443 S.\n 0.2 > 50022:443 .");
    assert_eq!(ended(&one), (Handshake::Completed, Outcome::Completed));
}

#[test]
fn an_error_is_matched_by_destination_ports_and_sequence_number() {
    let one = attempt("0 > S ttl=64 | 3/13 10.22.1.1 qsrc=203.0.113.9 qid=1");
    assert_eq!(ended(&one), (Handshake::Rejected, Outcome::Rejected));
    let icmp = one.icmp.unwrap();
    assert_eq!((icmp.icmp_type, icmp.code, icmp.from), (3, 13, address("10.22.1.1")));
    assert_eq!(about(&one), [About::SomeSyn], "no number of it says which");
}

#[test]
fn an_error_names_its_syn_by_identification() {
    let one = attempt(
        "0.0 > S ttl=1 id=101
         0.1 > S ttl=2 id=102
         0.2 < 11/0 10.22.1.1 about=1
         0.3 < 11/0 198.18.1.1 about=2 quote=8
         0.4 < 11/0 198.18.9.9 about=2 qid=7",
    );
    assert_eq!(about(&one), [About::Syn(0), About::Syn(1), About::SomeSyn]);
}

#[test]
fn an_error_with_a_rewritten_sequence_number_is_known_by_its_timestamp() {
    let syns = "0.0 > S ttl=1 id=101 ts=501/0\n 0.1 > S ttl=2 id=102 ts=502/0\n";
    let with = |error: &str| about(&attempt(&format!("{syns}0.2 < 11/0 10.22.1.1 {error}")));
    assert_eq!(with("about=1 qseq=777777"), [About::Syn(0)]);
    assert_eq!(with("about=2 qseq=777777"), [About::Syn(1)]);
    assert!(with("about=1 qseq=777777 qid=55").is_empty(), "and by its identification");
    // 16 bits and a port can be guessed in a flood.
    assert!(with("about=1 qseq=777777 quote=8").is_empty());
}

#[test]
fn an_error_over_v6_names_its_syn_by_timestamp() {
    let one = attempt(
        "client fd22::2
         target 2001:db8::4
         0.0 > S ttl=1 ts=501/0
         0.1 > S ttl=2 ts=502/0
         0.2 < 3/0 fd22::1 about=1
         0.3 < 3/0 2001:db8::1 about=2",
    );
    assert_eq!(about(&one), [About::Syn(0), About::Syn(1)]);
    assert_eq!(one.handshake, Handshake::Unanswered);
}

#[test]
fn an_error_about_our_reset_refuses_nothing() {
    let one = attempt(
        "0.0 > S ttl=5
         0.1 < S.
         0.2 > R
         0.3 < 3/1 198.18.1.1",
    );
    assert_eq!(about(&one), [About::Later]);
    assert_eq!(ended(&one), (Handshake::HalfOpen, Outcome::HalfOpen));
    let unanswered = attempt("0.0 > S ttl=5\n 0.2 > R\n 0.3 < 3/1 198.18.1.1");
    assert_eq!(about(&unanswered), [About::Later]);
    assert_eq!((unanswered.handshake, unanswered.icmp), (Handshake::Unanswered, None));
}

#[test]
fn an_error_about_another_connection_is_left_alone() {
    let two = attempts(
        "0.0 > 20000:22 S
         0.1 > 20001:22 S
         0.2 < 3/13 10.22.1.1 about=1",
    );
    assert_eq!(
        two.iter().map(|a| a.handshake).collect::<Vec<_>>(),
        [Handshake::Rejected, Handshake::Unanswered]
    );
}

#[test]
fn time_exceeded_refuses_a_full_syn_but_not_a_probe() {
    let probe = attempt("0 > S ttl=3 | 11/0 198.18.1.1");
    assert_eq!(ended(&probe), (Handshake::Unanswered, Outcome::Timeout));
    assert_eq!(about(&probe), [About::Syn(0)]);
    let full = attempt("0 > S ttl=64 | 11/0 198.18.1.1");
    assert_eq!(ended(&full), (Handshake::Rejected, Outcome::Rejected));
    assert_eq!(full.icmp.unwrap().icmp_type, 11);
}

#[test]
fn packet_too_big_refuses_nothing() {
    let one = attempt("0 > S | 3/4 198.18.1.1");
    assert_eq!(one.handshake, Handshake::Unanswered);
    assert_eq!(one.timeline.len(), 2);
}

#[test]
fn a_syn_ack_overrules_an_error_that_came_first() {
    let one = attempt("0.0 > S\n 0.1 < 3/1 10.22.1.1\n 1.0 > S\n 1.1 < S.\n 1.2 > .");
    assert_eq!(ended(&one), (Handshake::Completed, Outcome::NoBanner));
}

#[test]
fn an_error_after_completion_changes_nothing() {
    let one = after_handshake("0.3 < 3/13 10.22.1.1 about=1\n 0.4 < 3/1 10.22.1.1 about=3");
    assert_eq!(ended(&one), (Handshake::Completed, Outcome::NoBanner));
    assert_eq!(one.icmp, None);
    assert_eq!(about(&one), [About::Syn(0), About::Later]);
}

#[test]
fn whether_a_frame_was_for_this_machine_is_noted() {
    let to_us = |line: &str| {
        let one = attempt(&format!("0 > S\n {line}"));
        let What::SynAck(segment) = one.timeline[1].what else { panic!() };
        (segment.to_us, segment.checksum_ok)
    };
    assert_eq!(to_us("0.1 < S."), (Some(true), Some(true)));
    assert_eq!(to_us("0.1 < stray S."), (Some(false), Some(true)));
    assert_eq!(to_us("0.1 < S. badsum"), (Some(true), Some(false)));
}

#[test]
fn too_many_attempts_at_once_are_counted_and_the_oldest_forgotten() {
    let mut tracker = Tracker::with_capacity(2);
    feed(
        &mut tracker,
        &Script::new(
            "0.0 > 20000:22 S
             0.1 > 20001:22 S
             0.2 > 20000:22 S        # the same again
             0.3 > 20002:22 S
             0.4 < 20000:22 R.       # about the one forgotten
             0.5 < 20001:22 R.
             0.6 < 3/13 10.22.1.1 about=1",
        ),
    );
    assert_eq!(tracker.evicted(), 1);
    let ports: Vec<(u16, Handshake)> = tracker.attempts().map(|a| (a.client.port(), a.handshake)).collect();
    assert_eq!(ports, [(20001, Handshake::Reset), (20002, Handshake::Unanswered)]);
}

#[test]
fn a_forgotten_pair_may_be_used_again() {
    let mut tracker = Tracker::with_capacity(1);
    feed(&mut tracker, &Script::new("0 > 20000:22 S\n 1 > 20000:22 S seq=7\n 2 < 20000:22 R. ack=8"));
    assert_eq!(tracker.evicted(), 1);
    assert_eq!(tracker.attempts().next().unwrap().handshake, Handshake::Reset);
}

#[test]
fn a_very_long_connection_keeps_the_beginning_and_the_end_of_its_timeline() {
    let mut lines: Vec<String> =
        (0..600).map(|i| format!("1.{i:03} < P. seq={} data=\"x\"", 9001 + i)).collect();
    lines.push("2 < F. seq=9601".to_owned());
    let one = after_handshake(&lines.join("\n"));
    assert_eq!((one.timeline.len(), one.server_bytes), (49, 600));
    assert!(matches!(one.timeline.last().unwrap().what, What::Fin { from_client: false, .. }));
}

#[test]
fn an_identification_line_is_cut_and_cleaned() {
    assert_eq!(ssh_line(b"SSH-2.0-x\r\n").as_deref(), Some("SSH-2.0-x"));
    assert_eq!(ssh_line(b"a\nSSH-2.0-y").as_deref(), Some("SSH-2.0-y"));
    assert_eq!(ssh_line(b"xSSH-2.0\n"), None);
    assert_eq!(ssh_line(&[b"SSH-".as_slice(), &[b'v'; 400]].concat()).unwrap().len(), 255);
}

#[test]
fn a_kernel_connection_is_what_its_events_say() {
    let script = Script::new(
        "0.0 ! connect 0 started
         0.1 ! connect 0 established
         0.2 ! connect 0 received \"hello\\r\\nSSH-\"
         0.3 ! connect 0 received \"2.0-x\\r\\n\"
         0.4 ! connect 1 started port=50023
         0.5 ! connect 1 failed 111 port=50023
         0.6 ! connect 0 sent identification
         0.7 ! connect 0 kexinit
         0.8 ! connect 0 closed",
    );
    let mut connections = Connections::default();
    let mut over = Vec::new();
    for record in script.records() {
        let Body::Event(event) = &record.body else { panic!() };
        connections.event(record.number, record.at, event);
        over.push(connections.get(0).unwrap().is_over());
    }
    assert_eq!(over.iter().position(|over| *over), Some(8), "the banner is not the end");
    let [first, second] = connections.iter().collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!(first.banner().as_deref(), Some("SSH-2.0-x"));
    assert_eq!(first.records.iter().map(|r| r.0).collect::<Vec<_>>(), [1, 2, 3, 4, 7, 8, 9]);
    assert!(first.said(Said::Identification).is_some() && first.said(Said::KeyExchange).is_none());
    assert_eq!((first.key_exchange.unwrap().nanos(), first.waited()), (700_000_000, 0));
    assert_eq!(first.client.unwrap().port(), 50022);
    assert_eq!(second.failed.as_ref().unwrap().0, 111);
    assert!(second.is_over() && second.banner().is_none() && second.established.is_none());
}

#[test]
fn data_that_does_not_acknowledge_the_syn_is_nobodys_answer() {
    let forged = "0.01 < P. seq=77 ack=99999999 data=\"SSH-2.0-forged\"\n 0.02 < F. seq=77 ack=99999999\n";
    let unanswered = attempt(&format!("0 > S\n {forged}"));
    assert_eq!(ended(&unanswered), (Handshake::Unanswered, Outcome::Timeout));
    let established = after_handshake(forged);
    assert_eq!(ended(&established), (Handshake::Completed, Outcome::NoBanner));
    assert_eq!((established.server_banner, established.server_bytes), (None, 0));
}

#[test]
fn the_kernels_reset_of_a_forged_syn_ack_is_not_the_clients_word() {
    let one = attempt("0 > S\n 0.01 < S. ack=99999999\n 0.011 > R seq=99999999\n 1 > S\n 1.1 < S.\n 1.2 > .");
    assert_eq!(ended(&one), (Handshake::Completed, Outcome::NoBanner));
    assert_eq!(one.reset_after_handshake_by, None);
    assert!(!one.timeline.iter().any(|e| matches!(e.what, What::Rst { .. })));
}

#[test]
fn resets_that_nobody_believes_do_not_crowd_out_what_comes_after() {
    use std::fmt::Write as _;
    let mut script = "0 > S\n".to_owned();
    for i in 0..600 {
        writeln!(script, "0.{:04} < R seq=7", i + 1).unwrap();
    }
    let one = attempt(&format!("{script}1 > S\n 1.1 < S.\n 1.2 > ."));
    assert_eq!(ended(&one), (Handshake::Completed, Outcome::NoBanner));
    assert!(one.timeline.iter().any(|e| matches!(e.what, What::SynAck(_))), "{}", one.timeline.len());
}

#[test]
fn timelines_of_all_attempts_together_have_a_bound() {
    use crate::packet::{LinkType, decode};
    use crate::recording::{RecordNumber, Timestamp};
    let syn = |port: u16| {
        crate::packet::build::Syn::plain(
            (address("10.22.0.1"), port).into(),
            (address("198.19.0.4"), 22).into(),
            crate::packet::SeqNumber(7),
        )
    };
    let mut tracker = Tracker::default();
    for port in 1..=2200 {
        let bytes = crate::packet::build::syn(&syn(port));
        let packet = decode(LinkType::RAW, &bytes).unwrap();
        for _ in 0..520 {
            tracker.push(RecordNumber(1), Timestamp::from_nanos(0), &packet);
        }
    }
    let kept: usize = tracker.attempts().map(|a| a.timeline.len()).sum();
    let attempts = tracker.attempts().count();
    assert!(kept <= 1 << 20, "{kept} entries");
    assert_eq!((attempts as u64 + tracker.evicted(), attempts), (2200, (1 << 20) / 512));
    assert_eq!(tracker.attempts().last().unwrap().client.port(), 2200, "the oldest go first");
}

#[test]
fn very_many_attempts_on_one_pair_take_no_longer_than_on_many() {
    use crate::packet::{LinkType, decode};
    use crate::recording::{RecordNumber, Timestamp};
    let mut tracker = Tracker::with_capacity(1000);
    let mut error = Vec::new();
    for isn in 0..100_000_u32 {
        let bytes = crate::packet::build::syn(&crate::packet::build::Syn::plain(
            (address("10.22.0.1"), 50_000).into(),
            (address("198.19.0.4"), 22).into(),
            crate::packet::SeqNumber(isn.wrapping_mul(1 << 16)),
        ));
        tracker.push(RecordNumber(1), Timestamp::from_nanos(0), &decode(LinkType::RAW, &bytes).unwrap());
        error = bytes;
    }
    assert_eq!((tracker.attempts().count(), tracker.evicted()), (1000, 99_000));
    // An error about the latest is still put down to it.
    let mut message = error[..28].to_vec();
    message.splice(
        0..0,
        [0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 22, 1, 1, 10, 22, 0, 1, 3, 13, 0, 0, 0, 0, 0, 0],
    );
    tracker.push(RecordNumber(2), Timestamp::from_nanos(1), &decode(LinkType::RAW, &message).unwrap());
    assert_eq!(tracker.attempts().last().unwrap().handshake, Handshake::Rejected);
}
