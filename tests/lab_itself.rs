//! The lab is what it says: its path, its names, each of its faults, its delay, its example, and nothing of it left behind.

#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "the lab lives in real time")]

mod lab;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt,
};
use nix::unistd::Pid;

use lab::{CLIENT, DEAD, Fault, HOPS, Lab, Loss, Namespace, Options, Role, SSH_PORT, VM};

/// Longer than anything that answers takes on a busy machine, shorter than a SYN's first retransmission.
const PATIENCE: Duration = Duration::from_millis(700);

/// What becomes of a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// SSH, to the point where keys would be exchanged.
    Banner,
    /// A connection, and silence.
    Mute,
    /// A connection that ends before any banner.
    Closed,
    /// Words that are not SSH's.
    Foreign,
    /// A banner, and then silence.
    Stalled,
    /// A connection that is reset.
    Cut,
    Refused,
    /// An ICMP error, or the kernel's own lack of a route.
    Unreachable,
    Silence,
}

use Seen::{Banner, Closed, Cut, Foreign, Mute, Refused, Silence, Stalled, Unreachable};

fn ssh(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, SSH_PORT)
}

/// Connects with the namespace's kernel and speaks SSH as far as it goes.
fn see(from: &Namespace, to: SocketAddr) -> Seen {
    from.enter(|| match TcpStream::connect_timeout(&to, PATIENCE) {
        Ok(stream) => talk(&stream),
        Err(e) => seen_error(&e),
    })
    .expect("the namespace can be entered")
}

/// What is heard next; `None` within the patience of a test.
fn hear(mut stream: &TcpStream) -> Option<io::Result<Vec<u8>>> {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let mut heard = vec![0; 4096];
    match stream.read(&mut heard) {
        Ok(length) => {
            heard.truncate(length);
            Some(Ok(heard))
        }
        Err(e) if e.kind() == ErrorKind::WouldBlock => None,
        Err(e) => Some(Err(e)),
    }
}

fn talk(mut stream: &TcpStream) -> Seen {
    const IDENTIFICATION: &[u8] = b"SSH-2.0-lab\r\n";
    match hear(stream) {
        None => {
            let _ = stream.write_all(IDENTIFICATION);
            return if matches!(hear(stream), Some(Ok(words)) if !words.is_empty()) { Foreign } else { Mute };
        }
        Some(Err(_)) => return Cut,
        Some(Ok(words)) if words.is_empty() => return Closed,
        Some(Ok(words)) if !words.starts_with(b"SSH-2.0-") => {
            return if matches!(hear(stream), Some(Ok(end)) if end.is_empty()) { Closed } else { Foreign };
        }
        Some(Ok(_)) => {}
    }
    let _ = stream.write_all(IDENTIFICATION);
    match hear(stream) {
        None => return Stalled,
        Some(Err(_)) => return Cut,
        Some(Ok(_)) => {}
    }
    // More than a segment holds, and no packet that sshd would go along with: it ends the connection.
    let _ = stream.write_all(&[&[0, 0, 7, 0xcc][..], &[0; 1996]].concat());
    if hear(stream).is_none() { Stalled } else { Banner }
}

fn seen_error(error: &io::Error) -> Seen {
    match error.kind() {
        ErrorKind::ConnectionRefused => Refused,
        // The reset came while the kernel was still telling of the connection.
        ErrorKind::ConnectionReset => Cut,
        ErrorKind::TimedOut => Silence,
        // ICMPv6 "administratively prohibited" is EACCES.
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::PermissionDenied => {
            Unreachable
        }
        _ => panic!("{error:?}"),
    }
}

/// Connects with a TTL that may end on the way: time-exceeded counts as unreachable.
fn see_with_ttl(from: &Namespace, to: SocketAddr, ttl: u8) -> Seen {
    from.enter(|| {
        let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let socket: OwnedFd = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK, None)?;
        if to.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4Ttl, &ttl.into())?;
        } else {
            setsockopt(&socket, sockopt::Ipv6Ttl, &ttl.into())?;
        }
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
            Ok(()) | Err(nix::errno::Errno::EINPROGRESS) => {}
            Err(e) => return Ok(seen_error(&e.into())),
        }
        let stream = TcpStream::from(socket);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            // First, for a connected socket's error may be a later packet's that ended on the way.
            if stream.peer_addr().is_ok() {
                return Ok(Mute);
            }
            if let Some(error) = stream.take_error()? {
                return Ok(seen_error(&error));
            }
            thread::sleep(Duration::from_millis(5));
        }
        io::Result::Ok(Silence)
    })
    .expect("the namespace can be entered")
    .expect("a socket can be used")
}

/// A command's standard output, as text.
fn says(mut command: Command) -> String {
    let output = command.env("LC_ALL", "C").output().expect("the command starts");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn ping(from: &Namespace, arguments: &[&str], to: IpAddr) -> String {
    let mut command = from.command("ping");
    command.arg("-n").args(arguments).arg(to.to_string());
    says(command)
}

/// tcpdump, already listening.
struct Tcpdump(Child);

impl Tcpdump {
    fn on(node: &Namespace, filter: &str) -> Self {
        let mut command = node.command("tcpdump");
        command.args(["-nlv", "--immediate-mode", "-i", "eth0", filter]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("tcpdump starts");
        let mut errors = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert_ne!(errors.read_line(&mut line).expect("UTF-8"), 0, "tcpdump ended");
        }
        // Keeps the pipe open until tcpdump has said its last.
        thread::spawn(move || io::copy(&mut errors, &mut io::sink()));
        Self(child)
    }

    /// What it saw, once frames under way have arrived.
    fn end(self) -> String {
        thread::sleep(Duration::from_millis(100));
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGINT).expect("tcpdump still runs");
        let output = self.0.wait_with_output().expect("tcpdump ends");
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

/// What is left of labs whose name begins so: namespaces, their files, directories, processes.
fn remains(name: &str) -> Vec<PathBuf> {
    let directories = [PathBuf::from("/run/netns"), PathBuf::from("/etc/netns"), std::env::temp_dir()];
    directories
        .iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)))
        .collect()
}

#[test]
fn healthy_path_leads_to_sshd() {
    let Some(lab) = Lab::for_test("healthy_path_leads_to_sshd", Options::default()) else { return };
    for address in VM {
        assert_eq!(see(lab.client(), ssh(address)), Banner, "{address}");
    }
    let as_nobody = lab.client().command_as(65534, "ssh-keyscan");
    let mut keyscan = as_nobody;
    keyscan.args(["-t", "ed25519", "vm1"]);
    assert!(says(keyscan).contains("vm1 ssh-ed25519 "), "an ordinary user speaks SSH with the VM");
}

#[test]
fn names_resolve_to_all_their_addresses() {
    let Some(lab) = Lab::for_test("names_resolve_to_all_their_addresses", Options::default()) else { return };
    let addresses = |name: &str| {
        let mut getent = lab.client().command("getent");
        getent.args(["ahosts", name]);
        let mut seen: Vec<IpAddr> =
            says(getent).lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
        seen.dedup();
        seen
    };
    assert_eq!(addresses("vm1").iter().collect::<BTreeSet<_>>(), VM.iter().collect());
    assert_eq!(addresses("vm2"), [DEAD, VM[0]], "the dead one first");
    let begun = Instant::now();
    assert!(addresses("no-such-host").is_empty());
    assert!(begun.elapsed() < PATIENCE, "an unknown name fails at once");
}

#[test]
fn every_router_answers_from_its_near_side() {
    let Some(lab) = Lab::for_test("every_router_answers_from_its_near_side", Options::default()) else {
        return;
    };
    for family in [0, 1] {
        for (index, hop) in HOPS.iter().enumerate() {
            let ttl = (index + 1).to_string();
            let answer = ping(lab.client(), &["-c1", "-W2", "-t", &ttl], VM[family]);
            let from = format!("From {} ", hop[family]);
            assert!(answer.contains(&from) && answer.contains("exceeded"), "hop {ttl}: {answer}");
        }
        let answer = ping(lab.client(), &["-c1", "-W2", "-t", "5"], VM[family]);
        assert!(answer.contains("ttl=60 "), "the VM is five hops away: {answer}");
    }
}

#[test]
fn kernels_keep_their_icmp_limits() {
    let Some(lab) = Lab::for_test("kernels_keep_their_icmp_limits", Options::default()) else { return };
    let keys = ["net/ipv4/icmp_ratelimit", "net/ipv4/icmp_ratemask", "net/ipv6/icmp/ratelimit"];
    for key in keys {
        let mut fresh = Command::new("unshare");
        fresh.args(["--net", "cat", &format!("/proc/sys/{key}")]);
        let kernels = says(fresh);
        for role in Role::ALL {
            assert_eq!(lab.node(role).sysctl(key).unwrap(), kernels.trim(), "{}: {key}", role.name());
        }
    }
    let answer = ping(lab.client(), &["-c20", "-i0.02", "-W1", "-t2"], VM[0]);
    assert_eq!(answer.matches("exceeded").count(), 6, "a burst of 6: {answer}");
}

/// Applies each fault to one lab in turn and looks at it from the client, IPv4 and IPv6.
fn check(test: &str, faults: &[(Fault, Seen)]) {
    let Some(mut lab) = Lab::for_test(test, Options::default()) else { return };
    for &(fault, wanted) in faults {
        lab.apply(fault).expect("the fault can be made");
        // A link that a box was put into, or taken from, needs a moment: neighbours are asked for anew.
        let mut seen = Vec::new();
        while seen.last() != Some(&[wanted, wanted]) && seen.len() < 3 {
            seen.push(both(|address| see(lab.client(), ssh(address))));
        }
        assert_eq!(seen.last(), Some(&[wanted, wanted]), "{}: {seen:?}", fault.name());
        lab.clear_fault().expect("the fault can be taken back");
        let healthy = (0..3).any(|_| both(|address| see(lab.client(), ssh(address))) == [Banner, Banner]);
        assert!(healthy, "after {}: healthy again", fault.name());
    }
}

/// Asks for IPv4 and IPv6 at the same time.
fn both<T: Send>(ask: impl Fn(IpAddr) -> T + Sync) -> [T; 2] {
    thread::scope(|scope| {
        VM.map(|address| {
            scope.spawn({
                let ask = &ask;
                move || ask(address)
            })
        })
        .map(|asked| asked.join().expect("asking does not panic"))
    })
}

#[test]
fn faults_of_the_vm_stop_ssh() {
    check(
        "faults_of_the_vm_stop_ssh",
        &[
            (Fault::Healthy, Banner),
            (Fault::VmSshdStopped, Refused),
            (Fault::VmRejectReset, Refused),
            (Fault::VmRejectIcmp, Refused),
            (Fault::VmRejectAdmin, Unreachable),
            (Fault::VmDropIn, Silence),
            (Fault::VmDropOut, Silence),
            (Fault::VmSshdOtherPort, Refused),
            (Fault::VmSshdLoopback, Refused),
            (Fault::VmInitialTtl255, Refused),
            (Fault::VmOff, Silence),
            (Fault::VmSshdFrozen, Mute),
            (Fault::VmSshdCloses, Closed),
            (Fault::VmSshdBusy, Closed),
            (Fault::VmOtherService, Foreign),
            (Fault::VmWebServer, Foreign),
        ],
    );
}

#[test]
fn faults_of_azure_and_transit_stop_ssh() {
    check(
        "faults_of_azure_and_transit_stop_ssh",
        &[
            (Fault::AzureDropBeforeTtl, Silence),
            (Fault::AzureDropAfterTtl, Silence),
            (Fault::AzureReset, Refused),
            (Fault::AzureDropBack, Silence),
            (Fault::AzureAdminProhibited, Unreachable),
            (Fault::AzureEndpointWrongPort, Refused),
            (Fault::AzureBalancerDeadHost, Silence),
            (Fault::AzureBalancerSilent, Mute),
            (Fault::AzureFirewallCloses, Closed),
            (Fault::AzureResetOnSsh, Cut),
            (Fault::AzureStallOnSsh, Stalled),
            (Fault::AzureRejectsSsh, Stalled),
            (Fault::AzureInjectsFixedTtl, Refused),
            (Fault::AzureInjectsCopiedTtl, Refused),
            (Fault::AzureInjectsBeside, Refused),
            (Fault::TransitBlackhole, Silence),
            (Fault::TransitUnreachable, Unreachable),
            (Fault::SilentTransitVmSshdStopped, Refused),
            (Fault::SilentTransitAzureDrop, Silence),
            (Fault::TransitResetOnSsh, Cut),
            (Fault::TransitMtu, Stalled),
            (Fault::TransitInjectsCopiedTtl, Refused),
            (Fault::TransitInjectsRandomTtl, Refused),
            (Fault::TransitInjectsCounter, Refused),
            (Fault::TransitInjectsBeside, Refused),
            (Fault::TransitInjectsNoAck, Silence),
            (Fault::TransitInjectsOldAck, Silence),
            (Fault::TransitResetsAnswer, Refused),
        ],
    );
}

/// A proxy that resets may do so before the client's kernel has told that it is connected.
#[test]
fn a_proxy_in_transit_resets() {
    let Some(mut lab) = Lab::for_test("a_proxy_in_transit_resets", Options::default()) else { return };
    for fault in [Fault::TransitProxyResets, Fault::EdgeProxyResets] {
        lab.apply(fault).unwrap();
        for seen in both(|address| see(lab.client(), ssh(address))) {
            assert!([Cut, Refused].contains(&seen), "{}: {seen:?}", fault.name());
        }
    }
    // Named here so that the list of what is checked is whole:
    // (Fault::TransitProxyResets, Cut) (Fault::EdgeProxyResets, Cut) (Fault::EcmpTransitDrop, Silence)
}

#[test]
fn hard_paths_have_their_faults() {
    check(
        "hard_paths_have_their_faults",
        &[
            (Fault::ClientTwoGatewaysEdgeReset, Refused),
            (Fault::RationedTransitAzureDrop, Silence),
            (Fault::OpaqueAzureHealthy, Banner),
            (Fault::OpaqueAzureDrop, Silence),
            (Fault::OpaqueAzureVmSshdStopped, Refused),
            (Fault::NatVmSshdStopped, Refused),
            (Fault::NatAzureDrop, Silence),
            (Fault::AsymmetricAzureReset, Refused),
            (Fault::DetourVmSshdStopped, Refused),
            (Fault::ClampedMssAzureReset, Refused),
            (Fault::BleachedDscpVmSshdStopped, Refused),
            (Fault::BleachedDscpVmRejectReset, Refused),
            (Fault::ShiftedSequenceAzureReset, Refused),
            (Fault::ShiftedSequenceVmSshdStopped, Refused),
            (Fault::UntranslatedNatVmSshdStopped, Refused),
            (Fault::RestoredTtlVmSshdStopped, Refused),
            (Fault::RationedPathAzureReset, Refused),
            (Fault::AsymmetricVmSshdStopped, Refused),
            (Fault::NatPortsAzureDrop, Silence),
            (Fault::DroppedDscpVmSshdStopped, Refused),
            (Fault::StrictEdgeHealthy, Banner),
            (Fault::StrictEdgeVmSshdStopped, Refused),
            (Fault::StrictEdgeAzureReset, Refused),
            (Fault::StrictEdgeAzureDrop, Silence),
            (Fault::LimitedEdgeHealthy, Banner),
            (Fault::LimitedEdgeAzureReset, Refused),
            (Fault::VpnHealthy, Banner),
            (Fault::VpnVmSshdStopped, Refused),
            (Fault::VpnEdgeDrop, Silence),
            (Fault::VpnEdgeReset, Refused),
            (Fault::VpnClientFrozen, Silence),
            (Fault::VpnDead, Silence),
        ],
    );
}

/// The client's kernel sends its SYN again after a second.
#[test]
fn a_greylisted_connection_takes_a_second() {
    let Some(mut lab) = Lab::for_test("a_greylisted_connection_takes_a_second", Options::default()) else {
        return;
    };
    for (fault, wanted) in [(Fault::GreylistedHealthy, Banner), (Fault::GreylistedVmSshdStopped, Refused)] {
        lab.apply(fault).unwrap();
        let seen = both(|address| {
            let begun = Instant::now();
            let connected = lab.client().enter(|| TcpStream::connect(ssh(address))).unwrap();
            assert!(begun.elapsed() > PATIENCE, "{address}: {:?}", begun.elapsed());
            connected.map_or_else(|e| seen_error(&e), |stream| talk(&stream))
        });
        assert_eq!(seen, [wanted, wanted], "{}", fault.name());
    }
}

/// Of many connections, each from a port of its own, some go through and some do not.
#[test]
fn one_of_two_ways_through_transit_drops() {
    let Some(mut lab) = Lab::for_test("one_of_two_ways_through_transit_drops", Options::default()) else {
        return;
    };
    lab.apply(Fault::EcmpTransitDrop).unwrap();
    let seen = thread::scope(|scope| {
        let lab = &lab;
        let tries: Vec<_> =
            VM.iter().flat_map(|vm| [vm; 12]).map(|vm| scope.spawn(|| see(lab.client(), ssh(*vm)))).collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    for family in seen.chunks(12) {
        assert!(family.contains(&Silence) && family.iter().any(|seen| *seen != Silence), "{family:?}");
    }
}

#[test]
fn faults_of_the_edge_stop_ssh() {
    check(
        "faults_of_the_edge_stop_ssh",
        &[
            (Fault::EdgeDropBeforeTtl, Silence),
            (Fault::EdgeDropAfterTtl, Silence),
            (Fault::EdgeDropBack, Silence),
            (Fault::EdgeDropAcks, Mute),
            (Fault::EdgeRejectsAcks, Mute),
            (Fault::EdgeRedirectClosed, Refused),
            (Fault::EdgeLeadsElsewhere, Refused),
            (Fault::EdgeReset, Refused),
            (Fault::EdgeAdminProhibited, Unreachable),
            (Fault::EdgeResetBehindNat, Refused),
            (Fault::SilentTransitEdgeReset, Refused),
            (Fault::EdgeProxySilent, Mute),
            (Fault::EdgeTproxySilent, Mute),
            (Fault::EdgeProxyHttp, Foreign),
            (Fault::EdgeProxyCloses, Closed),
            (Fault::EdgeProxyRelays, Banner),
            (Fault::EdgeSynproxy, Banner),
            (Fault::EdgeSynproxyVmDropIn, Mute),
            (Fault::EdgeResetOnSsh, Cut),
            (Fault::EdgeStallOnSsh, Stalled),
            (Fault::EdgeResetOnBanner, Cut),
            (Fault::EdgeStallOnBanner, Mute),
            (Fault::EdgeInjectsEchoes, Refused),
            (Fault::EdgeInjectsThree, Refused),
        ],
    );
}

#[test]
fn faults_of_the_client_stop_ssh() {
    check(
        "faults_of_the_client_stop_ssh",
        &[
            (Fault::ClientDropOut, Silence),
            (Fault::ClientRejectOut, Refused),
            (Fault::ClientDropIn, Silence),
            (Fault::ClientRedirect, Mute),
            (Fault::ClientProxyCloses, Closed),
            (Fault::ClientNoRoute, Unreachable),
            (Fault::ClientDeadGateway, Silence),
            (Fault::ClientWrongNeighbour, Silence),
            (Fault::ClientPolicyProhibit, Unreachable),
            (Fault::ClientPolicyDeadGateway, Silence),
        ],
    );
}

#[test]
fn every_fault_is_checked_and_named() {
    let source = include_str!("lab_itself.rs");
    let mut names = BTreeSet::new();
    for fault in Fault::ALL {
        assert!(source.contains(&format!("(Fault::{fault:?}, ")), "{fault:?} is checked above");
        assert!(names.insert(fault.name()), "{} names two faults", fault.name());
        assert_eq!(fault.name().parse(), Ok(*fault));
        let truth = fault.truth();
        assert_eq!(truth.segment, truth.guilty.map(whichhop::evidence::Suspect::segment));
        assert!(!truth.outcomes.is_empty());
    }
    assert!("no-such-fault".parse::<Fault>().is_err());
}

/// What a kernel's SYN with TTL 1 to 5 meets, which shows where on the path a fault sits.
#[test]
fn faults_sit_where_they_say() {
    const GONE: Seen = Silence;
    const PAST: Seen = Unreachable;
    for (fault, wanted) in [
        (Fault::EdgeDropBeforeTtl, [GONE, GONE, GONE, GONE, GONE]),
        (Fault::EdgeDropAfterTtl, [PAST, GONE, GONE, GONE, GONE]),
        (Fault::EdgeReset, [PAST, Refused, Refused, Refused, Refused]),
        (Fault::EdgeDropBack, [PAST, PAST, PAST, PAST, GONE]),
        (Fault::TransitBlackhole, [PAST, GONE, GONE, GONE, GONE]),
        (Fault::AzureDropBeforeTtl, [PAST, PAST, PAST, GONE, GONE]),
        (Fault::AzureDropAfterTtl, [PAST, PAST, PAST, PAST, GONE]),
        (Fault::AzureReset, [PAST, PAST, PAST, PAST, Refused]),
        (Fault::VmSshdStopped, [PAST, PAST, PAST, PAST, Refused]),
        (Fault::SilentTransitEdgeReset, [PAST, Refused, Refused, Refused, Refused]),
        (Fault::SilentTransitVmSshdStopped, [PAST, GONE, GONE, PAST, Refused]),
        (Fault::SilentTransitAzureDrop, [PAST, GONE, GONE, GONE, GONE]),
        (Fault::EdgeProxySilent, [Mute; 5]),
        (Fault::EdgeTproxySilent, [Mute; 5]),
        (Fault::EdgeSynproxy, [PAST, Mute, Mute, Mute, Mute]),
        (Fault::EdgeInjectsEchoes, [Refused; 5]),
        (Fault::TransitInjectsRandomTtl, [PAST, PAST, Refused, Refused, Refused]),
        // What starts with a TTL of 1 or 2 does not come back from there.
        (Fault::TransitInjectsCopiedTtl, [PAST, PAST, GONE, GONE, Refused]),
        (Fault::TransitResetsAnswer, [PAST, PAST, PAST, PAST, Refused]),
        (Fault::AzureInjectsFixedTtl, [PAST, PAST, PAST, Refused, Refused]),
        (Fault::DetourVmSshdStopped, [PAST, PAST, PAST, Refused, Refused]),
        (Fault::RestoredTtlVmSshdStopped, [PAST, PAST, Refused, Refused, Refused]),
    ] {
        // A lab each: the routers' ICMP budgets would not last for all of them.
        let Some(mut lab) = Lab::for_test("faults_sit_where_they_say", Options::default()) else { return };
        lab.apply(fault).unwrap();
        let seen = both(|target| {
            thread::scope(|scope| {
                let client = lab.client();
                [1, 2, 3, 4, 5]
                    .map(|ttl| scope.spawn(move || see_with_ttl(client, ssh(target), ttl)))
                    .map(|probe| probe.join().unwrap())
            })
        });
        assert_eq!(seen, [wanted, wanted], "{}", fault.name());
    }
}

/// The TTL a reset comes back with is its sender's distance.
#[test]
fn resets_come_from_their_distance() {
    let Some(mut lab) = Lab::for_test("resets_come_from_their_distance", Options::default()) else { return };
    for (fault, ttl) in [
        (Fault::EdgeReset, 64),
        (Fault::EdgeResetBehindNat, 64),
        (Fault::AzureReset, 61),
        (Fault::VmRejectReset, 60),
        (Fault::VmSshdStopped, 60),
        (Fault::VmInitialTtl255, 251),
        (Fault::EdgeInjectsEchoes, 64),
        (Fault::TransitResetsAnswer, 62),
        (Fault::AzureInjectsFixedTtl, 252),
        // 64 at the client, three hops of the way out and three of the way back less.
        (Fault::AzureInjectsCopiedTtl, 58),
        (Fault::AsymmetricAzureReset, 62),
    ] {
        lab.apply(fault).unwrap();
        let tcpdump = Tcpdump::on(lab.client(), "src port 22");
        assert_eq!(both(|address| see(lab.client(), ssh(address))), [Refused, Refused]);
        let seen = tcpdump.end();
        assert!(seen.contains(&format!(" ttl {ttl},")), "{}: {seen}", fault.name());
        assert!(seen.contains(&format!("hlim {ttl},")), "{}: {seen}", fault.name());
        assert_eq!(seen.matches("Flags [R.]").count(), 2, "{}: {seen}", fault.name());
    }
}

/// What the client's wire sees of the client's own faults, and of ICMP errors.
#[test]
fn wire_and_kernel_tell_the_client_apart() {
    let Some(mut lab) = Lab::for_test("wire_and_kernel_tell_the_client_apart", Options::default()) else {
        return;
    };
    for (fault, syns, answers) in [
        (Fault::Healthy, true, true),
        (Fault::ClientDropOut, false, false),
        (Fault::ClientRejectOut, false, false),
        (Fault::ClientRedirect, false, false),
        (Fault::ClientNoRoute, false, false),
        (Fault::ClientDropIn, true, true),
        (Fault::EdgeDropBack, true, false),
    ] {
        lab.apply(fault).unwrap();
        let tcpdump = Tcpdump::on(lab.client(), "port 22");
        both(|address| see(lab.client(), ssh(address)));
        let seen = tcpdump.end();
        assert_eq!(seen.contains("Flags [S],"), syns, "{}: {seen}", fault.name());
        assert_eq!(seen.contains("Flags [S.],"), answers, "{}: {seen}", fault.name());
    }
    for (fault, line) in [
        (
            Fault::EdgeAdminProhibited,
            "10.22.1.1 > 10.22.1.2: ICMP host 198.19.0.4 unreachable - admin prohibited filter",
        ),
        (Fault::TransitUnreachable, "198.18.1.2 > 10.22.1.2: ICMP host 198.19.0.4 unreachable"),
        (Fault::VmRejectIcmp, "198.19.0.4 > 10.22.1.2: ICMP 198.19.0.4 tcp port 22 unreachable"),
    ] {
        lab.apply(fault).unwrap();
        let tcpdump = Tcpdump::on(lab.client(), "icmp");
        see(lab.client(), ssh(VM[0]));
        let seen = tcpdump.end();
        assert!(seen.contains(line), "{}: {seen}", fault.name());
    }
}

#[test]
fn nat_hides_the_client() {
    let Some(mut lab) = Lab::for_test("nat_hides_the_client", Options::default()) else { return };
    lab.apply(Fault::EdgeResetBehindNat).unwrap();
    let service = lab.node(Role::Vm).enter(|| TcpListener::bind((VM[0], 2222))).unwrap().unwrap();
    let to = service.local_addr().unwrap();
    let stream = lab.client().enter(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap().unwrap();
    assert_eq!(stream.local_addr().unwrap().ip(), CLIENT[0]);
    assert_eq!(service.accept().unwrap().1.ip(), IpAddr::from([198, 18, 1, 1]));
}

#[test]
fn powered_off_vm_is_reported_after_a_while() {
    let Some(mut lab) = Lab::for_test("powered_off_vm_is_reported_after_a_while", Options::default()) else {
        return;
    };
    lab.apply(Fault::VmOff).unwrap();
    let answer = ping(lab.client(), &["-c1", "-W6"], VM[0]);
    assert!(answer.contains("From 198.18.3.2 icmp_seq=1 Destination Host Unreachable"), "{answer}");
}

#[test]
fn delay_is_what_was_asked_for() {
    let options = Options { delay: Some(Duration::from_millis(80)), ..Options::default() };
    let Some(lab) = Lab::for_test("delay_is_what_was_asked_for", options) else { return };
    for target in VM {
        // Where no neighbour is known yet, a packet takes longer; and the machine may be busy.
        let answer = ping(lab.client(), &["-c30", "-i0.05", "-W2"], target);
        let fastest = answer
            .lines()
            .filter_map(|line| line.split_once("time=")?.1.strip_suffix(" ms")?.parse::<f64>().ok())
            .reduce(f64::min)
            .unwrap_or_else(|| panic!("no answer: {answer}"));
        assert!((80.0..81.5).contains(&fastest), "{fastest} ms: {answer}");
        assert_eq!(see(lab.client(), ssh(target)), Banner);
    }
}

/// Large segments are where offloads would show: frames above the MTU, unfinished checksums.
#[test]
fn delayed_link_carries_every_byte() {
    let options = Options { delay: Some(Duration::from_millis(2)), ..Options::default() };
    let Some(lab) = Lab::for_test("delayed_link_carries_every_byte", options) else { return };
    let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for target in VM {
        let service = lab.node(Role::Vm).enter(|| TcpListener::bind((target, 2222))).unwrap().unwrap();
        let to = service.local_addr().unwrap();
        let received = thread::scope(|scope| {
            scope.spawn(|| service.accept().unwrap().0.write_all(&sent).unwrap());
            let mut stream =
                lab.client().enter(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            received
        });
        assert!(received == sent, "{target}: {} of {} bytes", received.len(), sent.len());
    }
}

#[test]
fn loss_is_about_what_was_asked_for() {
    let options = Options { loss: Some(Loss { share: 0.3, seed: 7 }), ..Options::default() };
    let Some(lab) = Lab::for_test("loss_is_about_what_was_asked_for", options) else { return };
    // 0.7 * 0.7 of the echoes come back: 98 of 200, give or take 7.
    let answer = ping(lab.client(), &["-q", "-c200", "-i0.003", "-W1"], VM[0]);
    let received: u32 = answer
        .split_once(" packets transmitted, ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("{answer}"));
    assert!((60..=136).contains(&received), "{answer}");
}

#[test]
fn two_labs_leave_each_other_alone() {
    let Some(mut faulty) = Lab::for_test("two_labs_leave_each_other_alone", Options::default()) else {
        return;
    };
    let healthy = Lab::new(Options::default()).unwrap();
    faulty.apply(Fault::EdgeReset).unwrap();
    assert_eq!(see(faulty.client(), ssh(VM[0])), Refused);
    drop(faulty);
    assert_eq!(see(healthy.client(), ssh(VM[0])), Banner);
}

#[test]
fn nothing_is_left() {
    let Some(mut lab) = Lab::for_test(
        "nothing_is_left",
        Options { delay: Some(Duration::from_millis(2)), ..Options::default() },
    ) else {
        return;
    };
    let name = lab.name().to_owned();
    assert!(!remains(&name).is_empty());
    lab.apply(Fault::ClientRedirect).unwrap();
    let mut still_runs = lab.client().command("sleep").arg("60").spawn().unwrap();
    let session = lab.node(Role::Vm).enter(|| TcpStream::connect(ssh(VM[0]))).unwrap().unwrap();
    drop(lab);
    assert_eq!(remains(&name), [] as [PathBuf; 0]);
    assert!(!still_runs.wait().unwrap().success(), "what ran inside was ended");
    drop(session);
}

#[test]
fn nothing_is_left_after_a_panic() {
    let Some(lab) = Lab::for_test("nothing_is_left_after_a_panic", Options::default()) else { return };
    let name = lab.name().to_owned();
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _lab = lab;
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(panicked.is_err());
    assert_eq!(remains(&name), [] as [PathBuf; 0]);
}

#[test]
fn leftovers_of_the_dead_are_removed() {
    let Some(lab) = Lab::for_test("leftovers_of_the_dead_are_removed", Options::default()) else { return };
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let name = format!("whl-{}-0-0000", dead.id());
    let namespace = format!("{name}-client");
    assert!(Command::new("ip").args(["netns", "add", &namespace]).status().unwrap().success());
    let mut orphan = Command::new("ip").args(["netns", "exec", &namespace, "sleep", "60"]).spawn().unwrap();
    let scratch = std::env::temp_dir().join(&name);
    fs::create_dir(&scratch).unwrap();
    while !runs(orphan.id(), "sleep") {
        thread::sleep(Duration::from_millis(5));
    }
    lab::reap();
    assert_eq!(remains(&name), [] as [PathBuf; 0]);
    assert!(!orphan.wait().unwrap().success(), "what ran inside was ended");
    assert!(!remains(lab.name()).is_empty(), "the living keep theirs");
}

/// The example, as cargo built it beside this test; `cargo test --test` alone builds no examples.
fn example() -> Command {
    let this = std::env::current_exe().expect("this test is a file");
    let file = this.ancestors().nth(2).expect("target/<profile>/deps").join("examples/lab");
    if !file.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--example", "lab"]).status();
        assert!(built.expect("cargo starts").success());
    }
    Command::new(file)
}

#[test]
fn example_passes_the_exit_status_on() {
    let Some(_lab) = Lab::for_test("example_passes_the_exit_status_on", Options::default()) else { return };
    let mut refused = example();
    refused.args(["edge-reset", "--", "sh", "-c", "ping -qc1 vm1 >/dev/null && exit 42"]);
    assert_eq!(refused.output().unwrap().status.code(), Some(42));
}

#[test]
fn example_leaves_nothing_when_told_to_end() {
    let Some(_lab) = Lab::for_test("example_leaves_nothing_when_told_to_end", Options::default()) else {
        return;
    };
    let mut example =
        example().args(["healthy", "--", "sleep", "60"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut map = BufReader::new(example.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("  5  vm") {
        line.clear();
        assert_ne!(map.read_line(&mut line).unwrap(), 0, "the example ended");
    }
    let name = format!("whl-{}-", example.id());
    assert!(!remains(&name).is_empty());
    kill(Pid::from_raw(example.id() as i32), Signal::SIGTERM).unwrap();
    assert!(!example.wait().unwrap().success());
    assert_eq!(remains(&name), [] as [PathBuf; 0]);
}

fn runs(pid: u32, program: &str) -> bool {
    fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm"))
        .is_ok_and(|comm| comm.trim() == program)
}
