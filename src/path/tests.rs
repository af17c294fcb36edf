//! Probes and their replies, and the path put together from them.

use super::{Networks, Path, Probe, ReplyKind, Segment, Via};
use crate::packet::IcmpErrorKind;
use crate::testing::{address, path, probes};

/// Per probe its hop limit, and per reply its record and whether it is sure.
fn told(text: &str) -> Vec<(u8, Vec<(u64, bool)>)> {
    let replies = |p: &Probe| p.replies.iter().map(|r| (r.record.0, r.exact)).collect();
    probes(text).iter().map(|p| (p.hop_limit, replies(p))).collect()
}

/// The first address of every hop, `*` for a silent one.
fn addresses(path: &Path) -> Vec<String> {
    path.hops.iter().map(|h| h.address.map_or("*".to_owned(), |a| a.to_string())).collect()
}

#[test]
fn a_time_exceeded_goes_to_the_syn_it_quotes() {
    assert_eq!(
        told(
            "0.00 > 20000:22 S ttl=1
              0.02 > 20000:22 S ttl=2
              0.03 < 11/0 198.18.1.1 about=2
              0.04 < 11/0 10.22.1.1 about=1"
        ),
        [(1, vec![(4, true)]), (2, vec![(3, true)])]
    );
}

#[test]
fn a_time_exceeded_that_may_be_about_any_syn_of_its_flow_tells_nothing() {
    let rewritten = "qid=9 quote=8";
    assert_eq!(
        told(&format!(
            "0.00 > 20000:22 S ttl=1
             0.02 > 20000:22 S ttl=2
             0.03 < 11/0 198.18.1.1 {rewritten}"
        )),
        [(1, vec![]), (2, vec![])]
    );
    assert_eq!(
        told(&format!(
            "0.00 > 20000:22 S ttl=2
             0.02 > 20000:22 S ttl=2
             0.03 < 11/0 198.18.1.1 {rewritten}"
        ))
        .iter()
        .flat_map(|(_, replies)| replies)
        .collect::<Vec<_>>(),
        [&(3, true)],
        "all had the same hop limit"
    );
}

#[test]
fn a_reset_goes_to_the_largest_hop_limit_sent_before_it() {
    assert_eq!(
        told(
            "0.00 > 20000:22 S ttl=1
              0.02 > 20000:22 S ttl=3
              0.04 > 20000:22 S ttl=2
              0.05 < 20000:22 R.
              0.06 > 20000:22 S ttl=4"
        ),
        [(1, vec![]), (3, vec![(4, false)]), (2, vec![]), (4, vec![])]
    );
}

#[test]
fn a_reset_is_sure_where_all_syns_had_one_hop_limit() {
    assert_eq!(told("0 > 20000:22 S ttl=3 | R."), [(3, vec![(2, true)])]);
    assert_eq!(
        told("0 > 20000:22 S ttl=3\n 1 > 20000:22 S ttl=3 | R.").iter().map(|(_, r)| r.len()).sum::<usize>(),
        1
    );
}

#[test]
fn a_reset_that_no_client_would_believe_is_no_reply() {
    assert_eq!(told("0 > 20000:22 S ttl=3 | R. ack=77"), [(3, vec![])]);
    assert_eq!(told("0 > 20000:22 S ttl=3 | R"), [(3, vec![])]);
}

#[test]
fn a_syn_ack_goes_to_the_syn_whose_timestamp_it_echoes() {
    assert_eq!(
        told(
            "0.00 > 20000:22 S ttl=4 ts=104/0
              0.02 > 20000:22 S ttl=5 ts=105/0
              0.04 > 20000:22 S ttl=6 ts=106/0
              0.05 < 20000:22 S. ts=1/105"
        ),
        [(4, vec![]), (5, vec![(4, true)]), (6, vec![])]
    );
    assert_eq!(
        told(
            "0.00 > 20000:22 S ttl=4 ts=104/0
              0.02 > 20000:22 S ttl=5 ts=105/0
              0.05 < 20000:22 S. ts=1/999"
        ),
        [(4, vec![]), (5, vec![(3, false)])],
        "an echo of nothing we sent"
    );
}

#[test]
fn what_comes_behind_another_packet_of_ours_may_answer_that_one() {
    assert_eq!(
        told(
            "0.0 > 20000:22 S ttl=5 ts=1/0
              0.1 < 20000:22 S. ts=9/1
              0.2 > 20000:22 R
              1.1 < 20000:22 S. ts=9/1
              1.2 < 20000:22 R."
        ),
        [(5, vec![(2, true)])]
    );
}

#[test]
fn an_error_about_our_reset_is_no_reply_to_a_syn() {
    assert_eq!(
        told("0.0 > 20000:22 S ttl=5 | S.\n 0.2 > 20000:22 R | 11/0 10.22.1.1"),
        [(5, vec![(2, true)])]
    );
}

#[test]
fn echoes_are_matched_by_sequence() {
    let all = probes(
        "0.0 > echo 1 ttl=1
         0.1 > echo 2 ttl=9
         0.2 < echo-reply 2
         0.3 < 11/0 10.22.1.1 about=1
         0.4 < echo-reply 7",
    );
    assert_eq!(all.iter().map(|p| p.via).collect::<Vec<_>>(), [Via::Echo, Via::Echo]);
    assert_eq!(all[0].time_exceeded().unwrap().from, address("10.22.1.1"));
    assert_eq!(all[1].replies[0].kind, ReplyKind::EchoReply);
    assert_eq!((all[0].replies.len(), all[1].replies.len()), (1, 1));
}

#[test]
fn probes_to_another_address_are_left_out() {
    assert!(told("0 > server=198.19.0.9 S | R.\n 1 > server=198.19.0.9 echo 1 | echo-reply 1").is_empty());
}

#[test]
fn the_kernels_own_means_give_probes_too() {
    let all = probes(
        "0.0 ! ask 0 connect ttl=1
         0.1 ! ask 1 connect ttl=2
         0.2 ! ask 2 echo ttl=3
         0.3 ! ask 3 connect ttl=4
         0.4 ! ask 4 connect ttl=5
         0.5 ! answer 0 11/0 10.22.1.1
         0.6 ! answer 1 3/13 10.22.1.1
         0.7 ! answer 2 echo-reply 198.19.0.4
         0.8 ! answer 3 failed 111
         0.9 ! answer 4 failed 110
         1.0 ! answer 9 established",
    );
    let kinds: Vec<Option<ReplyKind>> = all.iter().map(|p| p.replies.first().map(|r| r.kind)).collect();
    let prohibited =
        ReplyKind::Unreachable { kind: IcmpErrorKind::Prohibited, icmp_type: 3, code: 13, quoted: None };
    assert_eq!(
        kinds,
        [
            Some(ReplyKind::TimeExceeded),
            Some(prohibited),
            Some(ReplyKind::EchoReply),
            Some(ReplyKind::Rst),
            None
        ]
    );
    assert_eq!((all[0].via, all[2].via, all[3].hop_limit), (Via::Tcp(22), Via::Echo, 4));
    assert!(all.iter().flat_map(|p| &p.replies).all(|r| r.exact && r.hop_limit.is_none()));
}

#[test]
fn silent_hops_between_answering_ones_are_part_of_the_path() {
    let path = path(
        "0.0 > echo 1 ttl=1 | 11/0 10.22.1.1
         0.1 > echo 2 ttl=2
         0.2 > echo 3 ttl=3 | 11/0 198.18.2.1
         0.3 > echo 4 ttl=4",
    );
    assert_eq!(addresses(&path), ["10.22.1.1", "*", "198.18.2.1"]);
    assert_eq!(path.target, None);
    assert_eq!(path.hops.iter().map(|h| h.number).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_target_that_answers_ends_the_path_and_silent_hops_lead_up_to_it() {
    let path = path(
        "0.0 > echo 1 ttl=1 | 11/0 10.22.1.1
         0.1 > echo 2 ttl=4 | echo-reply 2
         0.2 > echo 3 ttl=5 | echo-reply 3",
    );
    assert_eq!(path.target, Some(4));
    assert_eq!(addresses(&path), ["10.22.1.1", "*", "*"]);
}

#[test]
fn all_who_answer_at_one_distance_are_kept_those_on_the_ports_way_first() {
    let path = path(
        "0.0 > echo 1 ttl=1 | 11/0 10.22.1.1
         0.1 > echo 2 ttl=2 | 11/0 198.18.1.1 after=9
         0.2 > 20000:22 S ttl=2 | 11/0 198.18.1.2 after=3
         0.3 > 20001:443 S ttl=2 | 11/0 198.18.1.1 after=4",
    );
    let hop = path.hop(2).unwrap();
    assert_eq!((hop.address, &hop.others[..]), (Some(address("198.18.1.2")), &[address("198.18.1.1")][..]));
    assert_eq!(hop.rtt, Some(3_000_000), "the least");
    assert_eq!(hop.answered, ["tcp/22", "tcp/443", "icmp"], "the failing port first");
    assert_eq!(path.hop_of(address("198.18.1.2")).unwrap().number, 2);
    assert!(path.hop(0).is_none() && path.hop(3).is_none());
}

#[test]
fn answers_of_the_failing_port_are_no_measure_of_the_distance() {
    let forged = path("0.0 > 20000:22 S ttl=2 | R.\n 0.1 > echo 1 ttl=4 | 11/0 198.18.3.1");
    assert_eq!((forged.target, forged.hops.len()), (None, 4));
}

#[test]
fn a_closed_port_measures_the_distance_only_if_it_is_sure_which_syn_was_refused() {
    assert_eq!(path("0.0 > 20000:61999 S ttl=4 | R.").target, Some(4));
    let sweep = "0.0 > 20000:61999 S ttl=3\n 0.1 > 20000:61999 S ttl=4 | R.";
    assert_eq!(path(sweep).target, None);
}

#[test]
fn the_target_is_farther_than_the_last_router() {
    let path = path(
        "0.0 > echo 1 ttl=3 | echo-reply 1       # a box answers pings for the target
         0.1 > 20000:22 S ttl=4 | 11/0 198.18.3.1",
    );
    assert_eq!(path.target, Some(5));
}

#[test]
fn a_host_that_forwards_to_itself_is_no_router_on_the_way() {
    let path = path("0.0 > echo 1 ttl=4 | 11/0 198.19.0.4\n 0.1 > echo 2 ttl=5 | echo-reply 2");
    assert_eq!(path.target, Some(5));
    let port = "0.0 > 20000:61999 S ttl=5 | 3/3 198.19.0.4";
    assert_eq!(crate::testing::path(port).target, Some(5), "port unreachable, by the target itself");
    let host = "0.0 > 20000:61999 S ttl=5 | 3/1 198.19.0.4";
    assert_eq!(crate::testing::path(host).target, None);
}

#[test]
fn a_router_without_a_route_is_placed_by_what_it_quotes() {
    let path = path(
        "0.0 > echo 1 ttl=1 | 11/0 10.22.1.1
         0.1 > 20000:22 S ttl=9 | 3/0 198.18.2.1 left=7",
    );
    assert_eq!(addresses(&path), ["10.22.1.1", "*", "198.18.2.1"]);
}

#[test]
fn a_router_that_quotes_more_hops_than_were_sent_is_not_placed() {
    let path = path("0.1 > 20000:22 S ttl=3 | 3/0 198.18.2.1 left=62");
    assert!(path.hops.is_empty(), "a box on the way set the hop limit anew");
}

#[test]
fn a_router_whose_neighbour_is_silent_or_that_forbids_is_not_placed() {
    for answer in ["3/1 198.18.2.1 left=7 after=3000", "3/13 198.18.2.1 left=7", "3/0 198.19.0.4 left=7"] {
        let path = path(&format!("0.1 > 20000:22 S ttl=9 | {answer}"));
        assert!(path.hops.is_empty(), "{answer}");
    }
    let at_once = path("0.1 > 20000:22 S ttl=9 | 3/1 198.18.2.1 left=7 after=10");
    assert_eq!(at_once.hops.len(), 3);
}

#[test]
fn a_refusing_router_that_is_known_already_stays_where_it_is() {
    let path = path(
        "0.0 > echo 1 ttl=1 | 11/0 10.22.1.1
         0.1 > 20000:22 S ttl=9 | 3/0 10.22.1.1 left=6",
    );
    assert_eq!(path.hops.len(), 1);
}

#[test]
fn no_probes_no_path() {
    let path = Path::assemble(&[], address("198.19.0.4"), 22, &Networks::default());
    assert!(path.hops.is_empty() && path.target.is_none());
}

/// The segments that hop 2 may lie in, where the edge routes the port over a way of its own.
fn apart(of_port: &[&str]) -> Vec<&'static str> {
    let port = of_port
        .iter()
        .enumerate()
        .map(|(i, router)| format!("\n 0.{i}3 > 2000{i}:22 S ttl=2 | 11/0 {router}"));
    let path = path(&format!(
        "0.0 > echo 1 ttl=1 | 11/0 10.22.1.1
         0.01 > echo 2 ttl=2 | 11/0 10.22.2.1
         0.02 > echo 3 ttl=3 | 11/0 198.18.1.1{}",
        port.collect::<String>()
    ));
    path.hop(2).unwrap().segments.iter().map(Segment::name).collect()
}

#[test]
fn a_hop_lies_where_the_routers_lie_that_the_port_passes() {
    assert!(!apart(&[]).contains(&"azure-edge"));
    assert!(apart(&["198.18.9.1"]).iter().all(|s| *s != "edge"), "the controls' router does not count");
    let both = apart(&["10.22.2.1", "198.18.9.1"]);
    assert!(both.contains(&"edge") && both.contains(&"azure-edge"), "{both:?}");
}
