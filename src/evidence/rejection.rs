//! An ICMP error answered the SYN, or what we said later: who sent it, and what of.

use std::net::IpAddr;

use super::answer::{refusals, usual_refusers_at};
use super::distance::{own_answer, own_back, spares_strangers};
use super::suspect::INSPECTORS;
use super::translation::leads_on;
use super::{Assumption, Claim, Evidence, Scene, Strength, Suspect, Suspects};
use crate::attempt::{About, IcmpSeen, Outcome, What};
use crate::packet::IcmpErrorKind;
use crate::path::{AT_ONCE, Place, Probe, ReplyKind, Segment, hops_back};
use crate::recording::RecordNumber;

/// `icmp-sender`
///
/// - **Says.** The ICMP error bears the address of a hop on the path (or of the target).
/// - **Needs.** That address among the hops; for the target, a trigger at the end of the path.
/// - **Effect.** Implicates that hop (and what lies behind it, where it cannot reach that), and spares the others; clears
///   nobody. Of a hop that leads the connection on, and says in the target's name what became of it, the same: the VM
///   is spared if the target answers something else.
///   An error that came after waiting tells of the next host, which is the VM unless the path has another hop there, dead or
///   not there at all.
/// - **Misleads when.** The sender borrows the address (NAT64, DNAT, a forger).
/// - **Rests on.** RFC 792, RFC 4443 section 2.2.
pub(super) fn icmp_sender(scene: &Scene<'_>) -> Option<Evidence> {
    let trigger = refusals(scene).filter(|_| scene.outcome == Outcome::Rejected)?;
    let (_, reply) = trigger.replies.first()?;
    let ReplyKind::Unreachable { kind, icmp_type, code, .. } = reply.kind else { return None };
    let place = match scene.path.hop_of(reply.from) {
        Some(hop) => Place(hop.number),
        None if reply.from == scene.target => scene.place(trigger.at_most),
        None => return None,
    };
    let who = match place {
        Place(hop) if place != Place::END => format!("{} (hop {hop})", reply.from),
        end => scene.between(end, end),
    };
    let waited = after_waiting(scene);
    let (meaning, suspects) = match kind {
        IcmpErrorKind::HostUnreachable => match waited {
            Some(true) => {
                ("host unreachable, after waiting: the next host does not answer on its link", GONE)
            }
            Some(false) => ("host unreachable, at once: it has no route", scene.likeliest_at(place, ROUTES)),
            None => (
                "host unreachable: it has no route, or the next host does not answer on its link",
                scene.likeliest_at(place, ROUTES).or(GONE),
            ),
        },
        IcmpErrorKind::NetUnreachable => {
            ("net unreachable: it has no route", scene.likeliest_at(place, ROUTES))
        }
        IcmpErrorKind::Prohibited => ("forbidden by policy", usual_refusers_at(scene, place)),
        IcmpErrorKind::PortUnreachable => ("port unreachable", usual_refusers_at(scene, place)),
        _ => ("unreachable", usual_refusers_at(scene, place)),
    };
    let next = if suspects.contains(Suspect::VmDown) { Place::END } else { place };
    let mut claims = vec![Claim::implicates(place, next, suspects, Strength::Likely)];
    let routing = matches!(kind, IcmpErrorKind::NetUnreachable | IcmpErrorKind::HostUnreachable);
    if let Some(hop) = scene.path.hop(place.0).filter(|h| routing && h.segments.contains(Segment::AzureEdge))
    {
        // Azure has no route to an address that nobody has any more.
        let (end, stale) = (Place::END, Suspects::of(&[Suspect::AzurePublicIp]));
        claims.push(if hop.outside_azure {
            Claim::spares(end, end, stale, Assumption::KnownBorder)
        } else {
            Claim::implicates(end, end, stale, Strength::Likely)
        });
    }
    let back = reply.hop_limit.map(hops_back);
    let own_name = reply.from != scene.target
        || place == Place::END
            && own_answer(scene, place).is_none_or(|(left, _)| Some(hops_back(left)) == back);
    if own_name && !(reply.from == scene.target && back.is_some_and(|b| b < scene.reached().0)) {
        // A router known by its refusal alone may stand one hop nearer, if that is silent or another router is here too.
        let silent_before = scene.path.hop(place.0 - 1).is_some_and(|h| h.address.is_none());
        let another = scene.path.hop(place.0).is_some_and(|h| h.address != Some(reply.from));
        let by_refusal = place > Place(1) && place != Place::END && !answers_probes(scene, reply.from);
        let maybe_nearer = by_refusal && (silent_before || another);
        let nearest = place.0 - u8::from(maybe_nearer);
        if waited.is_some() || kind != IcmpErrorKind::HostUnreachable {
            claims.extend(spares_but(scene, nearest, place, next));
        } else {
            claims.extend(spares_before(nearest));
        }
    } else if leads_on(scene).is_some_and(|(hop, _)| Place(hop) == place) && own_back(scene, place) == back {
        claims.extend(spares_but_translator(scene, place));
    }
    Some(Evidence {
        rule: "icmp-sender",
        says: format!("{who} sent ICMP type {icmp_type} code {code} ({meaning})"),
        packets: trigger.replies.iter().map(|(_, r)| r.record).take(6).collect(),
        claims,
    })
}

/// `data-rejected`
///
/// - **Says.** An ICMP error refused what we said on the connection; it bears the address of a hop on the path, or of the
///   target.
/// - **Needs.** A connection that stalls; an error that quotes data of it, and is about neither its size nor its hop limit;
///   of a hop, its own time exceeded; of the target, as many routers on the way back as of its other answers.
/// - **Effect.** Implicates that hop and spares the others; clears nobody.
/// - **Misleads when.** As for `icmp-sender`.
/// - **Rests on.** RFC 1122 section 4.2.3.9: to a TCP that is connected such errors are hints, so that the connection hangs.
pub(super) fn data_rejected(scene: &Scene<'_>) -> Option<Evidence> {
    if !matches!(scene.outcome, Outcome::Stalled | Outcome::NoBanner) {
        return None;
    }
    let errors: Vec<(&IcmpSeen, RecordNumber)> = rejected_data(scene).collect();
    let (first, _) = errors.first()?;
    let place = match scene.path.hop_of(first.from) {
        Some(hop) if answers_probes(scene, first.from) => Place(hop.number),
        None if first.from == scene.target
            && own_back(scene, Place::END) == Some(hops_back(first.hop_limit)) =>
        {
            Place::END
        }
        _ => return None,
    };
    let filters = INSPECTORS.or(Suspects::of(&[Suspect::VmFirewall]));
    let (meaning, suspects) = match first.kind {
        IcmpErrorKind::NetUnreachable | IcmpErrorKind::HostUnreachable => ("it has no route", ROUTES),
        IcmpErrorKind::Prohibited => ("forbidden by policy", filters),
        IcmpErrorKind::PortUnreachable => ("port unreachable", filters),
        _ => ("unreachable", filters),
    };
    let (icmp_type, code) = (first.icmp_type, first.code);
    let suspects = scene.likeliest_at(place, suspects);
    let mut claims = vec![Claim::implicates(place, place, suspects, Strength::Likely)];
    claims.extend(spares_but(scene, place.0, place, place));
    Some(Evidence {
        rule: "data-rejected",
        says: format!(
            "{} answered what we said on the connection with ICMP type {icmp_type} code {code} ({meaning})",
            scene.between(place, place)
        ),
        packets: errors.iter().map(|(_, record)| *record).take(6).collect(),
        claims,
    })
}

/// The ICMP errors that refused what was said on connections to the port, before this machine ended them.
pub(super) fn rejected_data<'a>(
    scene: &'a Scene<'_>,
) -> impl Iterator<Item = (&'a IcmpSeen, RecordNumber)> + use<'a> {
    let there = scene.attempts.iter().filter(|a| a.server.port() == scene.port);
    let ours = |what: &What| {
        matches!(what, What::Fin { from_client: true, .. } | What::Rst { from_client: true, .. })
    };
    there.flat_map(move |a| a.timeline.iter().take_while(move |e| !ours(&e.what))).filter_map(|entry| {
        match &entry.what {
            What::Icmp(seen) if matches!(seen.about, About::Data(_) | About::Later) && refuses(seen.kind) => {
                Some((seen, entry.record))
            }
            _ => None,
        }
    })
}

fn refuses(kind: IcmpErrorKind) -> bool {
    use IcmpErrorKind::{Other, ReassemblyTimeExceeded, TimeExceeded, TooBig};
    !matches!(kind, TimeExceeded | ReassemblyTimeExceeded | TooBig | Other)
}

/// Whether time exceeded came from this address.
fn answers_probes(scene: &Scene<'_>, address: IpAddr) -> bool {
    scene.probes.iter().filter_map(Probe::time_exceeded).any(|r| r.from == address)
}

/// Spares whoever would have to send an ICMP error in the name of `place`, or of hop `nearest` at least: it tells of what
/// `next` did, itself or the end of the path.
fn spares_but(scene: &Scene<'_>, nearest: u8, place: Place, next: Place) -> Vec<Claim> {
    let mut claims: Vec<Claim> = spares_before(nearest).into_iter().collect();
    claims.extend(match next {
        Place::END if place == next => spares_strangers(scene).into_iter().collect(),
        Place::END => {
            let (vm, others) = (Suspects::in_segment(Segment::Vm), Suspects::all().without(ROUTES));
            // Nobody may have the address any more.
            let stale = Suspects::of(&[Suspect::AzurePublicIp, Suspect::ClientName]);
            vec![
                // Of a next hop that nobody has it would tell the same, and of a router that is dead, and so no hop.
                Claim::spares(place, place, others, Assumption::NoForgery),
                Claim::spares(place, place, ROUTES, Assumption::OwnAddress),
                Claim::spares(next, next, others.without(vm).without(stale), Assumption::OwnAddress),
                Claim::spares(next, next, ROUTES.without(vm), Assumption::EveryBoxAHop),
            ]
        }
        Place(hop) => {
            vec![Claim::spares(Place(hop + 1), Place::END, Suspects::all(), Assumption::NoForgery)]
        }
    });
    claims
}

/// Spares whoever would have to send an ICMP error in the name of `place`, which leads the connection on and says what became
/// of it there; and the VM, where what else is sent to its address gets an answer.
fn spares_but_translator(scene: &Scene<'_>, place: Place) -> Vec<Claim> {
    let lives = own_answer(scene, Place::END).is_some();
    let vm = lives.then(|| Claim::spares(Place::END, Place::END, Suspects::all(), Assumption::OwnAddress));
    spares_before(place.0).into_iter().chain(vm).collect()
}

/// Spares whoever stands before a hop, and would have to send an ICMP error in its name.
fn spares_before(hop: u8) -> Option<Claim> {
    (hop > 1).then(|| Claim::spares(Place(1), Place(hop - 1), Suspects::all(), Assumption::NoForgery))
}

/// Who is not there.
const GONE: Suspects = Suspects::of(&[Suspect::VmDown, Suspect::AzurePublicIp]);

/// Whether the errors came only after a while: address resolution fails after about 3 s (RFC 1122 section 2.3.2.2). `None` where
/// they may have answered a SYN that the kernel had sent again meanwhile.
fn after_waiting(scene: &Scene<'_>) -> Option<bool> {
    let errors = || {
        let replies = scene.port_probes().flat_map(|p| p.replies.iter().map(move |r| (r, r.at.since(p.at))));
        replies.filter(|(r, _)| matches!(r.kind, ReplyKind::Unreachable { .. }))
    };
    let late = |took: i64| took > AT_ONCE;
    if errors().any(|(r, took)| late(took) && r.hop_limit.is_some()) {
        return Some(true);
    }
    errors().any(|(_, took)| !late(took)).then_some(false)
}

/// Routing beyond the client.
pub(super) const ROUTES: Suspects =
    Suspects::of(&[Suspect::EdgeRoute, Suspect::TransitRoute, Suspect::AzureRoute, Suspect::VmRoute]);
