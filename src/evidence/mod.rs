//! What attempts and path show: one file per family of rules.
//!
//! Every rule's documentation has the same five parts: what it **says**, what it **needs**, its **effect**, when
//! it **misleads**, and what it **rests on**. A rule cites the records that show it. It may clear a suspect only
//! where that suspect could not have produced the packets seen.

mod answer;
mod banner;
mod border;
mod client;
mod distance;
mod dscp;
mod flows;
mod forged;
mod fragment;
mod intercept;
mod kept;
mod outcome;
mod quote;
mod rejection;
mod request;
mod routing;
mod scene;
mod sequence;
mod silence;
mod size;
mod stage;
mod suspect;
mod translation;
mod tunnel;
mod turned;

pub use banner::is_intercepted;
#[cfg(test)]
pub(crate) use distance::strangers;
pub use flows::others_are_lost;
pub use outcome::{conversed, decide};
pub use request::blocked_connection;
pub use scene::{Capture, Scene, Trigger, Tunnel};
pub use suspect::{Suspect, Suspects};

use crate::path::{Place, Segment};
use crate::recording::RecordNumber;

/// One thing that was shown.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The rule that found it, such as `reset-before-path-end`.
    pub rule: &'static str,
    /// One sentence.
    pub says: String,
    /// The records that show it.
    pub packets: Vec<RecordNumber>,
    /// Whom it speaks for or against.
    pub claims: Vec<Claim>,
}

/// What a piece of evidence says of some suspects at some places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// First place, in path order.
    pub from: Place,
    /// Last place.
    pub to: Place,
    /// Whom.
    pub suspects: Suspects,
    /// What.
    pub effect: Effect,
}

/// What a claim does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// They could not have produced what was seen.
    Clears,
    /// They could, and this speaks for them.
    Implicates(Strength),
    /// They could only if this does not hold.
    Spares(Assumption),
}

/// What has to be false for a suspect that is spared to be guilty.
///
/// Packets alone never show it; a person would take it for granted until something speaks against it, and a verdict that
/// rests on it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assumption {
    /// Nobody makes his packets look as if they came from elsewhere.
    NoForgery,
    /// The address is the VM's own: not stale, and nobody before the VM answers on it or leads it elsewhere.
    OwnAddress,
    /// No box stands between two hops that is none itself.
    EveryBoxAHop,
    /// Whose a hop is, its address says.
    KnownBorder,
    /// The way back is as long as the way there, nothing on it raises hop limits, and no answer died on it.
    PlainWay,
    /// What comes back from one place takes one way, however long.
    OneWayBack,
    /// Whoever is on the way of several flows to one port treats them alike.
    FlowsAlike,
    /// Whoever passes whole SYNs passes halves, and the VM's firewall sees none before it is whole.
    HalvesAlike,
    /// What lies behind the box that keeps the connection, or leads it elsewhere, is in order.
    RestInOrder,
}

impl Assumption {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::NoForgery,
        Self::OwnAddress,
        Self::EveryBoxAHop,
        Self::KnownBorder,
        Self::PlainWay,
        Self::OneWayBack,
        Self::FlowsAlike,
        Self::HalvesAlike,
        Self::RestInOrder,
    ];

    /// The word used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoForgery => "no-forgery",
            Self::OwnAddress => "own-address",
            Self::EveryBoxAHop => "every-box-a-hop",
            Self::KnownBorder => "known-border",
            Self::PlainWay => "plain-way",
            Self::OneWayBack => "one-way-back",
            Self::FlowsAlike => "flows-alike",
            Self::HalvesAlike => "halves-alike",
            Self::RestInOrder => "rest-in-order",
        }
    }
}

/// How strongly a suspect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// Nothing clears it.
    Possible,
    /// The evidence points to it.
    Likely,
    /// Nothing else could have done it.
    Proven,
}

impl Strength {
    /// The word used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Proven => "proven",
        }
    }
}

/// Everything the rules find in a scene, in the order in which a person would argue.
pub fn gather(scene: &Scene<'_>) -> Vec<Evidence> {
    let rules: &[fn(&Scene<'_>) -> Option<Evidence>] = &[
        client::no_syn_on_wire,
        client::connected_without_syn,
        client::no_route,
        client::next_hop_silent,
        client::syn_ack_ignored,
        tunnel::not_read,
        kept::data_not_on_wire,
        kept::data_ignored,
        client::delivered_here,
        client::syn_on_wire,
        client::address_given,
        answer::before_path_end,
        answer::after_hop_reached,
        answer::never_nearer,
        answer::return_distance,
        turned::before_its_trigger,
        rejection::icmp_sender,
        rejection::data_rejected,
        answer::refused_by_the_kernel,
        answer::genuine_answer_follows,
        forged::copies_hop_limit,
        forged::hop_limit_varies,
        forged::echoes_probe,
        forged::several_resets,
        forged::without_ack,
        forged::acknowledges_isn,
        forged::beside_time_exceeded,
        forged::instead_of_time_exceeded,
        forged::without_checking,
        dscp::reset_bears_mark,
        dscp::reset_lost_mark,
        silence::stops_where_control_goes_on,
        silence::every_hop_passes_it,
        silence::everything_stops,
        routing::goes_in_a_circle,
        flows::flows_part,
        fragment::half_syn_taken_in,
        fragment::half_syn_stopped,
        banner::handshake_from_before_path_end,
        intercept::closed_port_opens,
        intercept::answers_unlike_other_ports,
        banner::waits_for_the_server,
        banner::after_the_handshake,
        banner::end_return_distance,
        intercept::speaks_http,
        sequence::acknowledged,
        sequence::sent_and_lost,
        stage::packet_too_big,
        stage::identification_reset_before_path_end,
        stage::data_reset_copies_hop_limit,
        stage::identification_stops,
        stage::connection_stops,
        stage::full_size_stops,
        stage::passes_every_hop,
        request::request_answered_before_path_end,
        request::request_swallowed,
        request::request_passes_every_hop,
        banner::banner_read,
        quote::changed_on_the_way,
        translation::led_elsewhere,
        border::begins_behind,
    ];
    let mut found: Vec<Evidence> = rules.iter().filter_map(|rule| rule(scene)).collect();
    for evidence in &mut found {
        evidence.packets.sort_unstable();
        evidence.packets.dedup();
    }
    found
}

impl Claim {
    pub(crate) const fn clears(from: Place, to: Place, suspects: Suspects) -> Self {
        Self { from, to, suspects, effect: Effect::Clears }
    }

    pub(crate) const fn implicates(from: Place, to: Place, suspects: Suspects, strength: Strength) -> Self {
        Self { from, to, suspects, effect: Effect::Implicates(strength) }
    }

    pub(crate) const fn spares(from: Place, to: Place, suspects: Suspects, unless: Assumption) -> Self {
        Self { from, to, suspects, effect: Effect::Spares(unless) }
    }

    /// The same, spared unless something else is wrong.
    pub(crate) const fn unless(self, assumption: Assumption) -> Self {
        Self { effect: Effect::Spares(assumption), ..self }
    }

    /// Clears everybody beyond the client.
    pub(crate) const fn clears_the_network() -> Self {
        Self::clears(Place(1), Place::END, Suspects::all())
    }

    /// Clears the client itself; the host it may be contained in stays, as a hop.
    pub(crate) fn clears_the_client() -> Self {
        let local = Suspects::in_segment(Segment::Client).without(Suspects::of(&[Suspect::ClientName]));
        Self::clears(Place::CLIENT, Place::CLIENT, local)
    }

    /// Whether it speaks of `suspect` at `place`.
    pub fn covers(&self, suspect: Suspect, place: Place) -> bool {
        self.from <= place && place <= self.to && self.suspects.contains(suspect)
    }
}
