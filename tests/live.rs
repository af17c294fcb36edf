//! Whole traces by the real program, through real kernels with a known fault: the verdict, the conduct on the wire,
//! and that a replay of the recording gives the very same report.
//!
//! A test that fails keeps its recordings under `target/tmp`.

#![cfg(all(feature = "live", target_os = "linux"))]
#![allow(clippy::disallowed_methods, reason = "the lab lives in real time")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "live/forger.rs"]
mod forger;
#[path = "live/hostile.rs"]
mod hostile;
mod inspect;
mod lab;
#[path = "live/mishaps.rs"]
mod mishaps;
#[path = "live/privileges.rs"]
mod privileges;
mod report;
#[path = "live/tool.rs"]
mod tool;
#[path = "report/truth.rs"]
mod truth;
#[path = "live/wire.rs"]
mod wire;

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use lab::{AZURE_NETS, CLIENT, DEAD, Fault, Lab, Loss, Namespace, Options, Role, VM};
use report::{Expected, Fixture};
use tool::{Bench, NOBODY, Ran, ran};
use wire::Wire;

/// How a fault is traced.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// 0 for IPv4, 1 for IPv6.
    family: usize,
    /// Whether the trace is told where Azure begins.
    azure: bool,
    json: bool,
    user: Option<u32>,
    options: Options,
    /// Whether it must not only be sound, but also right.
    right: bool,
}

/// By root, IPv4, on links without delay.
const PLAIN: Way = Way {
    family: 0,
    azure: true,
    json: true,
    user: None,
    options: Options { delay: None, loss: None },
    right: true,
};

impl Way {
    fn name(&self, fault: Fault) -> String {
        let mut name = format!("{}-{}", fault.name(), ["ipv4", "ipv6"][self.family]);
        for (holds, part) in [
            (self.azure, "-azure"),
            (self.user.is_some(), "-unprivileged"),
            (self.options.delay.is_some(), "-delay"),
            (self.options.loss.is_some(), "-loss"),
        ] {
            if holds {
                name += part;
            }
        }
        name
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![];
        if self.json {
            arguments.push("--json".to_owned());
        }
        if self.azure {
            arguments.extend(AZURE_NETS.map(|net| format!("--azure-net={net}")));
        }
        arguments.push(VM[self.family].to_string());
        arguments
    }
}

/// Traces `fault` in each of these ways at the same time, each in a lab of its own.
fn trace_all(test: &str, faults_and_ways: &[(Fault, Way)]) {
    if Lab::for_test(test, Options::default()).is_none() {
        return;
    }
    let broken: Vec<String> = thread::scope(|scope| {
        let traces: Vec<_> =
            faults_and_ways.iter().map(|&(fault, way)| scope.spawn(move || trace_one(fault, way))).collect();
        traces.into_iter().flat_map(|trace| trace.join().expect("a trace does not panic")).collect()
    });
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Makes a lab with the fault, traces, replays; what went wrong.
fn trace_one(fault: Fault, way: Way) -> Vec<String> {
    let name = way.name(fault);
    let mut lab = Lab::new(way.options).expect("the lab is made");
    lab.apply(fault).expect("the fault can be made");
    let bench = Bench::new();
    let arguments = way.arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = match way.user {
        Some(user) => bench.trace_as(user, &lab, &arguments),
        None => bench.trace(&lab, &arguments),
    };
    let traced = ran(&mut command);
    let mut broken = check(&bench, fault, way, &traced);
    if way.right && way.user.is_none() {
        broken.extend(left_half_open(lab.node(Role::Vm), fault));
    }
    if broken.is_empty() {
        return broken;
    }
    let kept = bench.keep(&name);
    let told = bench.replay(&["--json"]);
    let summary = if told.stdout.is_empty() { told.stderr } else { told.report().summary() };
    vec![format!("== {name}: {kept}\n{}\n{summary}{}", broken.join("\n"), traced.stderr)]
}

fn check(bench: &Bench, fault: Fault, way: Way, traced: &Ran) -> Vec<String> {
    let mut broken = Vec::new();
    let replayed = bench.replay(if way.json { &["--json"] } else { &[] });
    if replayed.stdout != traced.stdout {
        broken.push(format!("traced:\n{}replayed:\n{}", traced.stdout, replayed.stdout));
    }
    if replayed.status != traced.status {
        broken.push(format!("traced: {:?}, replayed: {:?}", traced.status, replayed.status));
    }
    let wanted_notice = if way.user.is_some() { "CAP_NET_RAW" } else { "" };
    if !traced.stderr.contains(wanted_notice) || (wanted_notice.is_empty() && !traced.stderr.is_empty()) {
        broken.push(format!("said: {:?}", traced.stderr));
    }
    let replayed = if way.json { replayed } else { bench.replay(&["--json"]) };
    let wire = Wire::read(&bench.recording());
    let report = replayed.report();
    let expected = Expected::from(fault.truth());
    broken.extend(report.unsound(&expected, wire.records));
    if way.right {
        broken.extend(report.imprecise(&expected));
    }
    if way.options.loss.is_some_and(|loss| loss.share > 0.1) {
        broken.extend(report.misleading(&expected));
    }
    broken.extend(wire.misconduct());
    // SSH works through a proxy that relays it.
    let status = if fault == Fault::EdgeProxyRelays { 0 } else { report.exit_status() };
    if traced.status != Some(status) {
        broken.push(format!("exit status {:?} instead of {status}", traced.status));
    }
    if report.address() != VM[way.family].to_string() {
        broken.push(format!("{} was diagnosed", report.address()));
    }
    broken
}

/// Connections that the VM's kernel still holds half open, once what was under way has arrived.
fn left_half_open(vm: &Namespace, fault: Fault) -> Option<String> {
    // The VM's answers are lost on their way, or turned into something else: nobody can know that there is anything to
    // reset. Or the resets are lost.
    if matches!(
        fault,
        Fault::EdgeDropBack
            | Fault::AzureDropBack
            | Fault::VmDropOut
            | Fault::TransitResetsAnswer
            | Fault::EdgeDropAcks
            | Fault::EdgeRejectsAcks
    ) {
        return None;
    }
    let begun = Instant::now();
    loop {
        let half_open = vm.enter(half_open).expect("the VM can be entered");
        if half_open.is_empty() {
            return None;
        }
        if begun.elapsed() > Duration::from_secs(2) {
            return Some(format!("left half open on the VM:\n{}", half_open.join("\n")));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Lines of tables as in proc(5), `/proc/net/tcp`, for connections that have sent their SYN/ACK.
fn half_open() -> Vec<String> {
    const SYN_RECV: &str = "03";
    ["tcp", "tcp6"]
        .map(|table| std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).expect("a table"))
        .iter()
        .flat_map(|table| table.lines())
        .filter(|line| line.split_whitespace().nth(3) == Some(SYN_RECV))
        .map(str::to_owned)
        .collect()
}

/// One test per fault: IPv4 and IPv6, with Azure's networks named and without, as JSON and as text.
macro_rules! faults {
    ($($test:ident: $fault:ident,)*) => {
        $(
            #[test]
            fn $test() {
                trace_every_way(stringify!($test), Fault::$fault);
            }
        )*

        const TRACED: &[Fault] = &[$(Fault::$fault),*];
    };
}

faults! {
    healthy: Healthy,
    vm_sshd_stopped: VmSshdStopped,
    vm_reject_reset: VmRejectReset,
    vm_reject_icmp: VmRejectIcmp,
    vm_reject_admin: VmRejectAdmin,
    vm_drop_in: VmDropIn,
    vm_drop_out: VmDropOut,
    vm_sshd_other_port: VmSshdOtherPort,
    vm_sshd_loopback: VmSshdLoopback,
    vm_off: VmOff,
    vm_initial_ttl_255: VmInitialTtl255,
    vm_sshd_frozen: VmSshdFrozen,
    vm_sshd_closes: VmSshdCloses,
    vm_sshd_busy: VmSshdBusy,
    vm_other_service: VmOtherService,
    vm_web_server: VmWebServer,
    azure_drop_before_ttl: AzureDropBeforeTtl,
    azure_drop_after_ttl: AzureDropAfterTtl,
    azure_drop_back: AzureDropBack,
    azure_reset: AzureReset,
    azure_admin_prohibited: AzureAdminProhibited,
    azure_endpoint_wrong_port: AzureEndpointWrongPort,
    azure_balancer_dead_host: AzureBalancerDeadHost,
    azure_balancer_silent: AzureBalancerSilent,
    azure_firewall_closes: AzureFirewallCloses,
    azure_reset_on_ssh: AzureResetOnSsh,
    azure_stall_on_ssh: AzureStallOnSsh,
    azure_rejects_ssh: AzureRejectsSsh,
    azure_injects_fixed_ttl: AzureInjectsFixedTtl,
    azure_injects_copied_ttl: AzureInjectsCopiedTtl,
    azure_injects_beside: AzureInjectsBeside,
    transit_blackhole: TransitBlackhole,
    transit_unreachable: TransitUnreachable,
    transit_proxy_resets: TransitProxyResets,
    transit_reset_on_ssh: TransitResetOnSsh,
    transit_mtu: TransitMtu,
    transit_injects_copied_ttl: TransitInjectsCopiedTtl,
    transit_injects_random_ttl: TransitInjectsRandomTtl,
    transit_injects_counter: TransitInjectsCounter,
    transit_injects_beside: TransitInjectsBeside,
    transit_injects_no_ack: TransitInjectsNoAck,
    transit_injects_old_ack: TransitInjectsOldAck,
    transit_resets_answer: TransitResetsAnswer,
    edge_drop_before_ttl: EdgeDropBeforeTtl,
    edge_drop_after_ttl: EdgeDropAfterTtl,
    edge_drop_back: EdgeDropBack,
    edge_drop_acks: EdgeDropAcks,
    edge_rejects_acks: EdgeRejectsAcks,
    edge_reset: EdgeReset,
    edge_admin_prohibited: EdgeAdminProhibited,
    edge_reset_behind_nat: EdgeResetBehindNat,
    edge_redirect_closed: EdgeRedirectClosed,
    edge_leads_elsewhere: EdgeLeadsElsewhere,
    edge_proxy_silent: EdgeProxySilent,
    edge_tproxy_silent: EdgeTproxySilent,
    edge_proxy_http: EdgeProxyHttp,
    edge_proxy_resets: EdgeProxyResets,
    edge_proxy_closes: EdgeProxyCloses,
    edge_proxy_relays: EdgeProxyRelays,
    edge_synproxy: EdgeSynproxy,
    edge_synproxy_vm_drop_in: EdgeSynproxyVmDropIn,
    edge_reset_on_ssh: EdgeResetOnSsh,
    edge_stall_on_ssh: EdgeStallOnSsh,
    edge_reset_on_banner: EdgeResetOnBanner,
    edge_stall_on_banner: EdgeStallOnBanner,
    edge_injects_echoes: EdgeInjectsEchoes,
    edge_injects_three: EdgeInjectsThree,
    client_drop_out: ClientDropOut,
    client_reject_out: ClientRejectOut,
    client_drop_in: ClientDropIn,
    client_redirect: ClientRedirect,
    client_proxy_closes: ClientProxyCloses,
    client_no_route: ClientNoRoute,
    client_dead_gateway: ClientDeadGateway,
    client_wrong_neighbour: ClientWrongNeighbour,
    client_policy_prohibit: ClientPolicyProhibit,
    client_policy_dead_gateway: ClientPolicyDeadGateway,
    client_two_gateways_edge_reset: ClientTwoGatewaysEdgeReset,
    silent_transit_edge_reset: SilentTransitEdgeReset,
    silent_transit_vm_sshd_stopped: SilentTransitVmSshdStopped,
    silent_transit_azure_drop: SilentTransitAzureDrop,
    rationed_transit_azure_drop: RationedTransitAzureDrop,
    opaque_azure_healthy: OpaqueAzureHealthy,
    opaque_azure_drop: OpaqueAzureDrop,
    opaque_azure_vm_sshd_stopped: OpaqueAzureVmSshdStopped,
    nat_vm_sshd_stopped: NatVmSshdStopped,
    nat_azure_drop: NatAzureDrop,
    ecmp_transit_drop: EcmpTransitDrop,
    asymmetric_azure_reset: AsymmetricAzureReset,
    detour_vm_sshd_stopped: DetourVmSshdStopped,
    clamped_mss_azure_reset: ClampedMssAzureReset,
    bleached_dscp_vm_sshd_stopped: BleachedDscpVmSshdStopped,
    bleached_dscp_vm_reject_reset: BleachedDscpVmRejectReset,
    shifted_sequence_azure_reset: ShiftedSequenceAzureReset,
    shifted_sequence_vm_sshd_stopped: ShiftedSequenceVmSshdStopped,
    untranslated_nat_vm_sshd_stopped: UntranslatedNatVmSshdStopped,
    restored_ttl_vm_sshd_stopped: RestoredTtlVmSshdStopped,
    rationed_path_azure_reset: RationedPathAzureReset,
    asymmetric_vm_sshd_stopped: AsymmetricVmSshdStopped,
    nat_ports_azure_drop: NatPortsAzureDrop,
    dropped_dscp_vm_sshd_stopped: DroppedDscpVmSshdStopped,
    strict_edge_healthy: StrictEdgeHealthy,
    strict_edge_vm_sshd_stopped: StrictEdgeVmSshdStopped,
    strict_edge_azure_reset: StrictEdgeAzureReset,
    strict_edge_azure_drop: StrictEdgeAzureDrop,
    limited_edge_healthy: LimitedEdgeHealthy,
    limited_edge_azure_reset: LimitedEdgeAzureReset,
    greylisted_healthy: GreylistedHealthy,
    greylisted_vm_sshd_stopped: GreylistedVmSshdStopped,
    vpn_healthy: VpnHealthy,
    vpn_vm_sshd_stopped: VpnVmSshdStopped,
    vpn_edge_drop: VpnEdgeDrop,
    vpn_edge_reset: VpnEdgeReset,
    vpn_client_frozen: VpnClientFrozen,
    vpn_dead: VpnDead,
}

fn trace_every_way(test: &str, fault: Fault) {
    let ways = [(0, true, true), (0, false, false), (1, true, false), (1, false, true)];
    let right = fault.awaits().is_none();
    let ways = ways.map(|(family, azure, json)| (fault, Way { family, azure, json, right, ..PLAIN }));
    trace_all(test, &ways);
}

#[test]
fn every_fault_is_traced() {
    assert_eq!(TRACED, Fault::ALL);
}

/// Those that wait for a technique get theirs with it.
#[test]
fn every_fault_that_is_told_has_a_fixture() {
    for fault in Fault::ALL.iter().filter(|fault| fault.awaits().is_none()) {
        let fixture = Fixture::read(&Fixture::directory().join(fault.name()));
        assert_eq!(fixture.truth.expected, Expected::from(fault.truth()), "{}", fault.name());
    }
}

/// A usual size, and one that no table has: of that, routers' rations may not leave enough to be sure of the next byte.
#[test]
fn the_size_that_a_black_hole_lets_pass_is_told() {
    for mtu in [1_400, 1_387] {
        for family in [0, 1] {
            let Some(mut lab) =
                Lab::for_test("the_size_that_a_black_hole_lets_pass_is_told", Options::default())
            else {
                return;
            };
            lab.apply(Fault::TransitMtu).unwrap();
            lab.node(Role::Transit1).ip(&format!("link set eth1 mtu {mtu}\n")).unwrap();
            lab.node(Role::Transit2).ip(&format!("link set eth0 mtu {mtu}\n")).unwrap();
            let bench = Bench::new();
            let traced = ran(&mut bench.trace(&lab, &["--json", &VM[family].to_string()]));
            let sure = format!("packets of up to {mtu} bytes get beyond it, and of {} do not", mtu + 1);
            let passes = format!("packets of {mtu} bytes get beyond it, and of ");
            let told = traced.stdout.contains(&sure) || (mtu != 1_400 && traced.stdout.contains(&passes));
            assert!(told, "{sure}: {}\n{}", traced.stdout, bench.keep("size"));
        }
    }
}

/// Where ways back differ, ports are led elsewhere, or connections are cut off, one segment is left all the same.
#[test]
fn odd_ways_and_odd_boxes_leave_one_segment() {
    const TEST: &str = "odd_ways_and_odd_boxes_leave_one_segment";
    for fault in [
        Fault::AsymmetricVmSshdStopped,
        Fault::DetourVmSshdStopped,
        Fault::RestoredTtlVmSshdStopped,
        Fault::EdgeLeadsElsewhere,
        Fault::EdgeStallOnBanner,
        Fault::AzureBalancerDeadHost,
        Fault::StrictEdgeAzureReset,
    ] {
        for family in [0, 1] {
            let Some(mut lab) = Lab::for_test(TEST, Options::default()) else { return };
            lab.apply(fault).unwrap();
            let bench = Bench::new();
            let arguments = Way { family, ..PLAIN }.arguments();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let traced = ran(&mut bench.trace(&lab, &arguments));
            let expected = Expected::from(fault.truth());
            let report = traced.report();
            let kept = || bench.keep(TEST);
            assert_eq!(report.segment(), expected.segment.as_deref(), "{}: {}", fault.name(), kept());
        }
    }
}

#[test]
fn slow_links_change_no_verdict() {
    let options = Options { delay: Some(Duration::from_millis(80)), loss: None };
    let faults = [
        Fault::Healthy,
        Fault::EdgeReset,
        Fault::VmSshdStopped,
        Fault::AzureDropAfterTtl,
        Fault::ClientDropIn,
        Fault::TransitUnreachable,
    ];
    trace_all("slow_links_change_no_verdict", &faults.map(|fault| (fault, Way { options, ..PLAIN })));
}

/// `WHICHHOP_LOSS_SEED=n` tries other losses.
fn first_seed() -> u64 {
    let given = std::env::var("WHICHHOP_LOSS_SEED").ok();
    given.map_or(0, |text| text.parse().expect("WHICHHOP_LOSS_SEED is a number"))
}

#[test]
fn lossy_links_clear_no_culprit() {
    let faults = [
        Fault::Healthy,
        Fault::EdgeReset,
        Fault::VmSshdStopped,
        Fault::AzureReset,
        Fault::AzureDropBeforeTtl,
        Fault::ClientDropIn,
        Fault::VmRejectIcmp,
        Fault::TransitUnreachable,
    ];
    let mut seed = first_seed();
    let ways = faults.map(|fault| {
        seed += 1;
        let options = Options { delay: None, loss: Some(Loss { share: 0.05, seed }) };
        (fault, Way { options, right: false, family: seed as usize % 2, ..PLAIN })
    });
    trace_all("lossy_links_clear_no_culprit", &ways);
}

/// Of a hundred round trips 36 fail: the right one is suspected first, or nobody beyond the client is let off.
#[test]
fn very_lossy_links_mislead_nobody() {
    const TEST: &str = "very_lossy_links_mislead_nobody";
    let faults = [
        Fault::Healthy,
        Fault::EdgeReset,
        Fault::EdgeDropAfterTtl,
        Fault::AzureDropBeforeTtl,
        Fault::VmSshdStopped,
    ];
    let mut seed = first_seed();
    for _ in 0..2 {
        let ways: Vec<_> = faults
            .iter()
            .flat_map(|&fault| [0, 1].map(|family| (fault, family)))
            .map(|(fault, family)| {
                seed += 1;
                let options = Options { delay: None, loss: Some(Loss { share: 0.2, seed }) };
                (fault, Way { options, right: false, family, ..PLAIN })
            })
            .collect();
        trace_all(TEST, &ways);
    }
}

#[test]
fn without_privilege_no_culprit_is_cleared() {
    let faults = [
        Fault::Healthy,
        Fault::EdgeReset,
        Fault::VmSshdStopped,
        Fault::EdgeDropAfterTtl,
        Fault::ClientNoRoute,
        Fault::EdgeAdminProhibited,
        Fault::ClientRedirect,
        Fault::ClientRejectOut,
    ];
    let way = Way { user: Some(NOBODY), right: false, ..PLAIN };
    let mut all: Vec<_> = faults.iter().map(|&fault| (fault, way)).collect();
    all.push((Fault::EdgeReset, Way { family: 1, azure: false, ..way }));
    all.push((Fault::Healthy, Way { json: false, azure: false, ..way }));
    trace_all("without_privilege_no_culprit_is_cleared", &all);
}

/// To an ordinary program the kernel calls a port unreachable a refusal; its error queue knows better.
#[test]
fn without_privilege_icmp_errors_name_their_sender() {
    let faults =
        [Fault::VmRejectIcmp, Fault::VmRejectAdmin, Fault::AzureAdminProhibited, Fault::EdgeAdminProhibited];
    let ways = [0, 1].map(|family| Way { family, user: Some(NOBODY), ..PLAIN });
    let all: Vec<_> = faults.iter().flat_map(|&fault| ways.map(|way| (fault, way))).collect();
    trace_all("without_privilege_icmp_errors_name_their_sender", &all);
}

#[test]
fn without_privilege_the_remedy_is_told() {
    let Some(mut lab) = Lab::for_test("without_privilege_the_remedy_is_told", Options::default()) else {
        return;
    };
    let bench = Bench::new();
    let traced = ran(&mut bench.trace_as(NOBODY, &lab, &["--json", "198.19.0.4"]));
    assert_eq!(traced.status, Some(0), "{traced:?}");
    let (before, program) = traced.stderr.split_once("sudo setcap cap_net_raw+ep ").unwrap();
    assert!(before.starts_with("whichhop: without CAP_NET_RAW "), "{before}");
    assert_eq!(program.trim_end().trim_matches('\''), bench.program());
    assert_eq!(traced.report().outcome(), "open");

    lab.apply(Fault::ClientNoRoute).unwrap();
    let bench = Bench::new();
    let traced = ran(&mut bench.trace_as(NOBODY, &lab, &["--json", "198.19.0.4"]));
    assert_eq!((traced.status, traced.report().outcome()), (Some(1), "local-failure"), "{traced:?}");
    assert_eq!(traced.report().segment(), Some("client"));
}

#[test]
fn of_two_addresses_the_one_that_fails_is_traced() {
    let Some(lab) = Lab::for_test("of_two_addresses_the_one_that_fails_is_traced", Options::default()) else {
        return;
    };
    let bench = Bench::new();
    let traced = ran(&mut bench.trace(&lab, &["--json", "user@vm2"]));
    let report = traced.report();
    assert_eq!(report.address(), DEAD.to_string(), "{}", traced.stdout);
    assert_eq!(report.other_addresses(), [(VM[0].to_string().as_str(), "open")], "{}", traced.stdout);
    assert!(["timeout", "rejected"].contains(&report.outcome()), "{}", traced.stdout);
    assert_eq!(traced.status, Some(report.exit_status()));
    // Nobody has the address: a stale name, a stale address or a VM that is off.
    for guilty in ["client-name", "azure-public-ip", "vm-down"] {
        assert!(
            report.standing().iter().any(|(suspect, _)| *suspect == guilty),
            "{guilty}: {}",
            report.summary()
        );
    }
    let text = bench.replay(&[]).stdout;
    assert!(text.contains("198.19.0.99") && text.contains("198.19.0.4"), "both are named: {text}");
    assert_eq!(bench.replay(&["--json"]).stdout, traced.stdout);
}

#[test]
fn the_ip_version_and_the_source_can_be_chosen() {
    let Some(lab) = Lab::for_test("the_ip_version_and_the_source_can_be_chosen", Options::default()) else {
        return;
    };
    let second: IpAddr = [10, 22, 1, 3].into();
    lab.client().ip("addr add 10.22.1.3/24 dev eth0\n").unwrap();
    for (arguments, target, source) in [
        (&["-4", "vm1"][..], VM[0], CLIENT[0]),
        (&["-6", "vm1"], VM[1], CLIENT[1]),
        (&["-b", "10.22.1.2", "vm1"], VM[0], CLIENT[0]),
        (&["-b", "10.22.1.3", "vm1"], VM[0], second),
        (&["-b", "fd22:1::2", "vm1"], VM[1], CLIENT[1]),
    ] {
        let bench = Bench::new();
        let traced = ran(&mut bench.trace(&lab, &[&["--json"], arguments].concat()));
        assert_eq!(traced.status, Some(0), "{arguments:?}: {traced:?}");
        assert_eq!(traced.report().address(), target.to_string(), "{arguments:?}");
        assert_eq!(traced.report().other_addresses(), [], "{arguments:?}");
        let wire = Wire::read(&bench.recording());
        assert!(wire.syns.iter().all(|(from, _)| from.ip() == source), "{arguments:?}: {:?}", wire.syns);
        assert!(!wire.syns.is_empty());
    }
}

#[test]
fn what_cannot_be_traced_is_said_with_status_2() {
    let Some(lab) = Lab::for_test("what_cannot_be_traced_is_said_with_status_2", Options::default()) else {
        return;
    };
    for (arguments, said) in [
        (&["no-such-host"][..], "unknown host no-such-host: "),
        (&["-6", "vm2"], "vm2"),
        (&["-4", "2001:db8:19::4"], "2001:db8:19::4"),
        (&["-b", "fd22:1::2", "198.19.0.4"], "198.19.0.4"),
    ] {
        let bench = Bench::new();
        let refused = ran(&mut bench.trace(&lab, arguments));
        assert_eq!((refused.status, refused.stdout.as_str()), (Some(2), ""), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.starts_with("whichhop: ") && refused.stderr.contains(said), "{refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    }
}

/// ssh would run as the caller, and firewalls can tell users apart.
#[test]
fn under_sudo_the_caller_connects() {
    const CALLER: &str = "1234";
    let Some(lab) = Lab::for_test("under_sudo_the_caller_connects", Options::default()) else { return };
    let rule = "table inet t { chain o { type filter hook output priority 0; meta skuid 1234 tcp dport 22 drop; }; }";
    lab.client().nft(&format!("{rule}\n")).unwrap();

    let bench = Bench::new();
    let by_root = ran(&mut bench.trace(&lab, &["--json", "198.19.0.4"]));
    assert_eq!((by_root.status, by_root.report().outcome()), (Some(0), "open"), "{by_root:?}");

    let bench = Bench::new();
    let mut command = bench.trace(&lab, &["--json", "198.19.0.4"]);
    let by_caller = ran(command.env("SUDO_UID", CALLER).env("SUDO_GID", CALLER));
    let report = by_caller.report();
    assert_eq!((by_caller.status, report.outcome()), (Some(1), "local-failure"), "{by_caller:?}");
    assert_eq!(report.standing()[0].0, "client-firewall-out", "{}", report.summary());
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(bench.recording()).unwrap());
    assert_eq!(owner.to_string(), CALLER, "the recording is the caller's");
    assert_eq!(bench.replay(&["--json"]).stdout, by_caller.stdout);
}

/// `ufw limit` turns away the sixth SYN within half a minute.
#[test]
fn behind_a_trace_the_users_own_ssh_gets_through_where_syns_are_limited() {
    const LIMIT: &str = "table inet t { chain i { type filter hook input priority 0; tcp dport 22 tcp flags & (fin | syn | rst | ack) == syn limit rate over 10/minute burst 5 packets reject with tcp reset; }; }";
    let test = "behind_a_trace_the_users_own_ssh_gets_through_where_syns_are_limited";
    let Some(lab) = Lab::for_test(test, Options::default()) else { return };
    lab.node(Role::Vm).nft(&format!("{LIMIT}\n")).unwrap();
    let scan = || {
        let mut keyscan = lab.client().command("ssh-keyscan");
        ran(keyscan.args(["-t", "ed25519", "198.19.0.4"])).stdout.contains("ssh-ed25519")
    };
    let bench = Bench::new();
    let traced = ran(&mut bench.trace(&lab, &["--json", "198.19.0.4"]));
    assert_eq!((traced.status, traced.report().outcome()), (Some(0), "open"), "{traced:?}");
    assert!(scan(), "one more");
    assert!(!scan(), "and no more than that");
}
