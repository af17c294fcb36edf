//! Marked SYNs were reset: do the resets bear the mark?
//!
//! A kernel without a listener copies the DSCP of the SYN into its reset; a firewall that rejects does not.

use super::distance::spares_strangers;
use super::forged::is_a_closed_ports;
use super::translation::is_led_away;
use super::{Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::Outcome;
use crate::path::{Marks, Place, Probe, Reply, Via};
use crate::recording::RecordNumber;

/// Fewest resets of marked SYNs that must agree.
const AGREEING: usize = 2;

/// What leaves a port closed.
const CLOSED: Suspects = Suspects::of(&[Suspect::VmSshdNotRunning, Suspect::VmSshdPort]);

/// The resets that marked SYNs drew, and those that unmarked ones did.
#[derive(Default)]
struct Resets<'a> {
    of_marked: Vec<(&'a Probe, &'a Reply, Marks)>,
    of_unmarked: Vec<Marks>,
}

impl<'a> Resets<'a> {
    fn of(probes: impl Iterator<Item = &'a Probe>) -> Self {
        let mut resets = Self::default();
        for probe in probes {
            match probe.reset_and_marks() {
                Some((_, marks)) if marks.sent == 0 => resets.of_unmarked.push(marks),
                Some((reset, marks)) => resets.of_marked.push((probe, reset, marks)),
                None => {}
            }
        }
        resets
    }

    /// Whether the mark of a SYN makes the mark of its reset: each bears that of its SYN.
    fn bear_the_mark(&self) -> bool {
        let unmarked_stay_so =
            !self.of_unmarked.is_empty() && self.of_unmarked.iter().all(|m| m.returned == 0);
        unmarked_stay_so && self.enough() && self.of_marked.iter().all(|(.., m)| m.returned == m.sent)
    }

    /// Whether all resets are unmarked, whatever their SYNs were.
    fn bear_none(&self) -> bool {
        let none = |m: &Marks| m.returned == 0;
        self.enough() && self.of_unmarked.iter().all(none) && self.of_marked.iter().all(|(.., m)| none(m))
    }

    fn enough(&self) -> bool {
        self.of_marked.len() >= AGREEING
    }

    /// What is left of their hop limit, where all have the same left.
    fn left(&self) -> Option<u8> {
        let mut left = self.of_marked.iter().map(|(_, r, _)| r.hop_limit.map(|h| h.0));
        let first = left.next()??;
        left.all(|l| l == Some(first)).then_some(first)
    }

    fn records(&self) -> impl Iterator<Item = RecordNumber> {
        self.of_marked.iter().flat_map(|(p, r, _)| [p.record, r.record])
    }
}

fn on_port<'a>(scene: &Scene<'a>) -> Option<Resets<'a>> {
    (scene.outcome == Outcome::Reset).then(|| Resets::of(scene.port_probes()))
}

/// `reset-bears-mark`
///
/// - **Says.** SYNs marked with a DSCP drew resets with the same DSCP, and unmarked ones drew unmarked resets: a kernel
///   that has no listener on the port sent them.
/// - **Needs.** Two such resets at least and none that disagrees, beside a reset of an unmarked SYN.
/// - **Effect.** Implicates what leaves the port closed on the VM, weakly where a box before Azure leads the connection
///   elsewhere, and spares whoever might stand right before it; clears nobody.
/// - **Misleads when.** Another box owns the VM's address (DNAT, a load balancer, a proxy that redirects to a closed
///   port of its own), or a forger copies the header of the SYN.
/// - **Rests on.** Linux: tcp_v4_send_reset (net/ipv4/tcp_ipv4.c, `arg.tos`) and tcp_v6_send_reset
///   (net/ipv6/tcp_ipv6.c) copy the DSCP; netfilter's REJECT (nf_reject_ipv4.c, nf_reject_ipv6.c) sends 0.
pub(super) fn reset_bears_mark(scene: &Scene<'_>) -> Option<Evidence> {
    let resets = on_port(scene).filter(Resets::bear_the_mark)?;
    let strength = if is_led_away(scene) { Strength::Possible } else { Strength::Likely };
    let mut claims = vec![Claim::implicates(Place::END, Place::END, CLOSED, strength)];
    if is_a_closed_ports(scene) {
        claims.extend(spares_strangers(scene));
    }
    Some(Evidence {
        rule: "reset-bears-mark",
        says: format!(
            "the resets bear the mark (DSCP) of the SYNs that drew them: a kernel with no listener on port {} sends such, a firewall does not",
            scene.port
        ),
        packets: resets.records().collect(),
        claims,
    })
}

/// `reset-lost-mark`
///
/// - **Says.** Resets of SYNs to the port are unmarked though their SYNs were marked, while those of another port, which
///   came from as far away, bear the mark: a firewall sent them.
/// - **Needs.** Two such resets at least of each port and none that disagrees, all with the same hop limit left.
/// - **Effect.** Implicates the VM's firewall; clears nobody.
/// - **Misleads when.** The two ports are not one machine's, or the way of one of them alone bleaches marks.
/// - **Rests on.** As for [`reset_bears_mark`]. Without the other port's marks nothing is said: many networks bleach.
pub(super) fn reset_lost_mark(scene: &Scene<'_>) -> Option<Evidence> {
    // Whoever forges needs no mark to copy.
    let resets = on_port(scene).filter(Resets::bear_none).filter(|_| is_a_closed_ports(scene))?;
    let ports = scene.controls().filter_map(|p| if let Via::Tcp(port) = p.via { Some(port) } else { None });
    let (port, control) = ports
        .map(|port| (port, Resets::of(scene.controls().filter(move |p| p.via == Via::Tcp(port)))))
        .find(|(_, control)| control.bear_the_mark() && control.left() == resets.left())?;
    resets.left()?;
    let firewall = Suspects::of(&[Suspect::VmFirewall]);
    Some(Evidence {
        rule: "reset-lost-mark",
        says: format!(
            "the resets of port {} lack the mark (DSCP) of their SYNs, which those of port {port} bear: a firewall sends such",
            scene.port
        ),
        packets: resets.records().chain(control.records()).collect(),
        claims: vec![Claim::implicates(Place::END, Place::END, firewall, Strength::Likely)],
    })
}

#[cfg(test)]
mod tests;
