//! Which attempts are wanted: between which addresses, and when.

use std::net::IpAddr;

use ipnet::IpNet;
use whichhop::attempt::Attempt;
use whichhop::recording::Timestamp;

use crate::cli::args::Only;

/// How much later than its capture time says a SYN may stand in a capture, in nanoseconds.
const DISORDER: i64 = 10_000_000_000;

/// What the options `--address`, `--client`, `--server`, `--from` and `--until` let through.
pub(super) struct Filter<'a> {
    only: &'a Only,
}

impl<'a> Filter<'a> {
    pub(super) fn new(only: &'a Only) -> Self {
        Self { only }
    }

    /// Whether [`Filter::may_concern`] has anything to ask.
    pub(super) fn asks_for_addresses(&self) -> bool {
        let Only { address, client, server, .. } = self.only;
        ![address, client, server].iter().all(|nets| nets.is_empty())
    }

    /// Whether a segment between these addresses may belong to an attempt that is wanted: a cheap look, before anything is
    /// looked up. What an ICMP error quotes is for the census to look at: it comes from anywhere.
    pub(super) fn may_concern(&self, source: IpAddr, destination: IpAddr) -> bool {
        let Only { address, client, server, .. } = self.only;
        let concerns = |nets: &Vec<IpNet>| any(nets, source) || any(nets, destination);
        [address, client, server].into_iter().all(concerns)
    }

    /// Whether an attempt is wanted.
    pub(super) fn wants(&self, attempt: &Attempt) -> bool {
        let Only { address, client, server, from, until } = self.only;
        let (theirs, ours) = (attempt.client.ip(), attempt.server.ip());
        (any(address, theirs) || any(address, ours))
            && any(client, theirs)
            && any(server, ours)
            && from.is_none_or(|from| attempt.first_syn >= from)
            && until.is_none_or(|until| attempt.first_syn < until)
    }

    /// The time of the capture after which no attempt that is wanted begins, however much its records are in disorder.
    pub(super) fn last_start(&self) -> Option<Timestamp> {
        self.only.until.map(|until| until.plus(DISORDER))
    }
}

/// Whether an address lies in one of these networks; where there are none, any does.
fn any(nets: &[IpNet], address: IpAddr) -> bool {
    nets.is_empty() || nets.iter().any(|net| net.contains(&address))
}
