//! The next step: what would split those who still stand, as a command line where one does it.

use std::collections::BTreeSet;

use super::{Case, Standing, Verdict};
use crate::attempt::Outcome;
use crate::evidence::{Assumption, Strength, Suspect};
use crate::path::{Segment, is_private};

/// One thing to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextStep {
    /// What to do and what it would settle, in one sentence.
    pub why: String,
    /// The command line, where one does it.
    pub command: Option<String>,
}

impl NextStep {
    fn new(why: &str, command: impl Into<Option<String>>) -> Self {
        Self { why: why.to_owned(), command: command.into() }
    }
}

/// The steps that split those who stand, best first.
///
/// Command lines hold the address and the port, never a name from the network.
pub(super) fn steps(case: &Case<'_>, verdict: &Verdict) -> Vec<NextStep> {
    let standing = &verdict.standing;
    if case.works {
        return vec![host_key(case)];
    }
    let segments: BTreeSet<Segment> = standing.iter().map(|s| s.suspect.segment()).collect();
    let suspected: Vec<&Standing> = standing.iter().filter(|s| s.strength > Strength::Possible).collect();
    let first = suspected.first().map(|s| s.suspect.segment()).or(segments.first().copied());
    let mut steps = Vec::new();
    if segments.contains(&Segment::Client) && (segments.len() == 1 || first == Some(Segment::Client)) {
        steps.extend(on_the_client(case, standing));
    } else if case.outcome == Outcome::Timeout && standing.iter().any(|s| s.suspect == Suspect::ClientRoute) {
        steps.push(next_hop(case));
    }
    let at_vm = segments.contains(&Segment::Vm);
    let before_vm = segments.iter().any(|s| (Segment::Edge..=Segment::AzureEdge).contains(s));
    if at_vm && before_vm {
        if case.outcome == Outcome::Timeout && !case.deep {
            steps.push(deep(case));
        }
        steps.push(capture_at_vm(case));
    }
    if first == Some(Segment::Edge) || segments.contains(&Segment::Edge) && !at_vm {
        steps.push(from_elsewhere(case, true));
    }
    if segments.contains(&Segment::AzureEdge) {
        steps.push(azure_rules(case));
    }
    if at_vm {
        steps.push(on_the_vm(case));
    }
    if segments.contains(&Segment::Transit) && !segments.contains(&Segment::Edge) {
        steps.push(from_elsewhere(case, false));
    }
    if suspected.iter().any(|s| matches!(s.suspect, Suspect::VmDown | Suspect::AzurePublicIp)) {
        steps.insert(0, vm_state());
    } else if at_vm && verdict.assuming.iter().any(|a| a.assumption == Assumption::OwnAddress) {
        steps.push(vm_state());
    }
    steps.truncate(5);
    steps
}

fn on_the_client(case: &Case<'_>, standing: &[Standing]) -> Vec<NextStep> {
    let suspected = |s: Suspect| standing.iter().any(|x| x.suspect == s && x.strength > Strength::Possible);
    let rules = "sudo nft list ruleset; sudo iptables-save".to_owned();
    let mut steps = Vec::new();
    if suspected(Suspect::ClientRoute) {
        steps.push(NextStep::new(
            "See how this machine would route to the address.",
            format!("ip route get {}", case.target),
        ));
    }
    if suspected(Suspect::ClientFirewallOut) || case.outcome == Outcome::LocalFailure {
        let why = format!(
            "Look for a rule of this machine's firewall that stops outgoing TCP to port {}.",
            case.port
        );
        steps.push(NextStep { why, command: Some(rules.clone()) });
    }
    if suspected(Suspect::ClientFirewallIn) {
        let why = format!(
            "Look for a rule of this machine's firewall that stops incoming TCP from port {} (and for a strict rp_filter).",
            case.port
        );
        steps.push(NextStep { why, command: Some(rules.clone()) });
    }
    if suspected(Suspect::ClientProxy) {
        steps.push(NextStep::new("Look for a redirect to a local proxy.", rules));
    }
    steps
}

fn next_hop(case: &Case<'_>) -> NextStep {
    NextStep::new(
        "See which next hop this machine sends to, and whether it is the right one.",
        format!("ip route get {}; ip neigh show", case.target),
    )
}

fn host_key(case: &Case<'_>) -> NextStep {
    NextStep::new(
        "Compare the host key that you are shown with the VM's own (there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub): whoever relays the connection could show another.",
        format!("ssh-keyscan -p {} {} | ssh-keygen -lf -", case.port, case.target),
    )
}

fn capture_at_vm(case: &Case<'_>) -> NextStep {
    let port = case.port;
    NextStep::new(
        "Capture on the VM (serial console or run-command) while you trace again: where no SYN arrives it is stopped before the VM, where one arrives and nothing leaves it is the VM, and where a SYN/ACK leaves the way back is cut.",
        format!("sudo timeout 60 tcpdump -ni any -c 40 'tcp port {port}'"),
    )
}

fn from_elsewhere(case: &Case<'_>, may_be_the_edge: bool) -> NextStep {
    let edge = if may_be_the_edge { "the organisation's edge or " } else { "" };
    let (place, address) = if is_private(case.target) {
        ("another network from which the VM can be reached (another machine in its own will do)", "address")
    } else {
        ("a computer that is directly on the Internet (a phone's hotspot will do)", "public address")
    };
    NextStep {
        why: format!(
            "Trace again from {place}: if it gets through, {edge}what lies on the way from here is what stops it, or a rule about your {address} does (NSG, just-in-time access, fail2ban)."
        ),
        command: Some(trace(case, "")),
    }
}

fn deep(case: &Case<'_>) -> NextStep {
    let wait = if case.target.is_ipv4() { "half a minute" } else { "a minute" };
    NextStep {
        why: format!(
            "Trace again with --deep, which takes {wait} longer: it tells whether SYNs to port {} get to the VM's address, unless something on the way holds fragments back.",
            case.port
        ),
        command: Some(trace(case, "--deep ")),
    }
}

/// Sudo's own path has no folder of the user's, in which cargo installs.
fn trace(case: &Case<'_>, options: &str) -> String {
    match case.port {
        22 => format!("sudo \"$(command -v whichhop)\" trace {options}{}", case.target),
        port => format!("sudo \"$(command -v whichhop)\" trace {options}-p {port} {}", case.target),
    }
}

fn azure_rules(case: &Case<'_>) -> NextStep {
    if case.target.is_ipv6() {
        // Network Watcher asks about IPv4 alone.
        return NextStep::new(
            "See whether the rules in effect on the VM's network interface let your address in.",
            "az network nic list-effective-nsg --resource-group GROUP --name NIC_NAME".to_owned(),
        );
    }
    let (what, local, remote) = if is_private(case.target) {
        ("address", case.target.to_string(), "YOUR_IP")
    } else {
        ("public address", "VM_PRIVATE_IP".to_owned(), "YOUR_PUBLIC_IP")
    };
    NextStep {
        why: format!(
            "Ask Azure whether its rules let your {what} in, to the port that the VM itself listens on."
        ),
        command: Some(format!(
            "az network watcher test-ip-flow --direction Inbound --protocol TCP --local {local}:{} --remote {remote}:50000 --vm VM_NAME --resource-group GROUP",
            case.port
        )),
    }
}

fn vm_state() -> NextStep {
    NextStep::new(
        "See whether the VM runs and still has this address.",
        "az vm show --show-details --resource-group GROUP --name VM_NAME --query '{power:powerState, publicIps:publicIps, privateIps:privateIps}'".to_owned(),
    )
}

fn on_the_vm(case: &Case<'_>) -> NextStep {
    if case.local {
        let why = "See what listens on this machine and what its firewall does.";
        let command = format!("sudo ss -ltnp 'sport = :{}'; sudo nft list ruleset", case.port);
        return NextStep::new(why, command);
    }
    NextStep::new(
        "See what listens on the VM and what its firewall does.",
        format!(
            "az vm run-command invoke --resource-group GROUP --name VM_NAME --command-id RunShellScript --scripts \"nft list ruleset; systemctl status ssh sshd; ss -ltnp 'sport = :{}'\"",
            case.port
        ),
    )
}
