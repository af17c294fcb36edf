//! A TCP listener as far as a trace meets it: SYN/ACKs that are sent again unasked, and a service behind.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use whichhop::packet::ssh::{FirstPacket, first_packet, kexinit};

use super::rng::Rng;
use super::scenario::Service;
use super::wire::{ACK, Body, FIN, PSH, Packet, RST, SYN, Tcp, linux_options};

const MS: i64 = 1_000_000;
/// When Linux sends a SYN/ACK again, ns after the first.
const SYN_ACK_RETRIES: [i64; 5] = [1_000 * MS, 3_000 * MS, 7_000 * MS, 15_000 * MS, 31_000 * MS];

/// A connection by its two ends: client, server.
pub(crate) type FlowKey = (SocketAddr, SocketAddr);

/// What a listener wants done.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Send { at: i64, packet: Packet },
    Wake { at: i64, flow: FlowKey },
}

/// A listener.
#[derive(Debug)]
pub(crate) struct Server {
    service: Service,
    ttl: u8,
    flows: BTreeMap<FlowKey, Flow>,
}

#[derive(Clone, Debug)]
struct Flow {
    client_isn: u32,
    isn: u32,
    /// What the client is acknowledged up to.
    received: u32,
    /// What the client has acknowledged.
    acknowledged: u32,
    state: State,
    began: i64,
    /// The timer that counts; others have been overtaken.
    alarm: i64,
    tsval: Option<u32>,
    template: Packet,
    /// What the client said, in order.
    heard: Vec<u8>,
    /// All that is said, and whether a FIN follows it.
    words: Vec<u8>,
    closes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SynReceived {
        retries: usize,
    },
    Accepted,
    Sent {
        retries: u32,
    },
    /// The service is gone with a reset.
    Reset,
    /// Both sides have closed; the last ACK may still come.
    Closed,
}

impl Server {
    pub(crate) fn new(service: Service, ttl: u8) -> Self {
        Self { service, ttl, flows: BTreeMap::new() }
    }

    /// A segment arrives.
    pub(crate) fn receive(&mut self, at: i64, packet: &Packet, rng: &mut Rng) -> Vec<Act> {
        let (Some(tcp), Some(client), Some(server)) =
            (packet.tcp(), packet.tcp_source(), packet.tcp_destination())
        else {
            return vec![];
        };
        let key = (client, server);
        if tcp.is_syn() {
            return self.syn(at, key, packet, tcp, rng);
        }
        if tcp.has(RST) {
            // RFC 5961: only the very next sequence number is believed.
            if self.flows.get(&key).is_some_and(|f| tcp.seq == f.received) {
                self.flows.remove(&key);
            }
            return vec![];
        }
        let (service, ttl) = (self.service, self.ttl);
        let Some(flow) = self.flows.get_mut(&key) else {
            let reset = segment(tcp.destination_port, tcp.source_port, tcp.ack, 0, RST);
            return vec![Act::Send { at, packet: packet.answer(server.ip(), ttl, Body::Tcp(reset)) }];
        };
        if flow.state == State::Closed || !tcp.has(ACK) {
            return vec![];
        }
        let mut acts = vec![];
        match flow.state {
            State::SynReceived { .. } if tcp.ack == flow.isn.wrapping_add(1) => {
                flow.state = State::Accepted;
                flow.acknowledged = tcp.ack;
                flow.alarm = at + rng.between(1, 15) as i64 * MS;
                acts.push(Act::Wake { at: flow.alarm, flow: key });
            }
            _ if tcp.ack.wrapping_sub(flow.acknowledged) as i32 > 0 => flow.acknowledged = tcp.ack,
            _ => {}
        }
        if tcp.len() == 0 {
            return acts;
        }
        let closing = tcp.seq == flow.received && tcp.has(FIN);
        if tcp.seq == flow.received {
            flow.received = flow.received.wrapping_add(tcp.len());
            flow.heard.extend(&tcp.data);
        }
        let flags = if closing && !flow.closes { FIN | ACK } else { ACK };
        let said = if matches!(flow.state, State::Sent { .. }) { flow.said() } else { 0 };
        acts.push(flow.send(at, ttl, flow.isn.wrapping_add(1).wrapping_add(said), flags, &[]));
        if closing {
            flow.state = State::Closed;
            return acts;
        }
        if matches!(flow.state, State::Sent { .. }) && flow.answer(service) {
            acts.extend(flow.say(at, ttl, service));
            flow.state = State::Sent { retries: 0 };
            flow.alarm = at + 250 * MS;
            acts.push(Act::Wake { at: flow.alarm, flow: key });
        }
        acts
    }

    fn syn(&mut self, at: i64, key: FlowKey, packet: &Packet, tcp: &Tcp, rng: &mut Rng) -> Vec<Act> {
        if let Some(flow) = self.flows.get(&key) {
            let next = flow.isn.wrapping_add(1);
            match flow.state {
                State::SynReceived { .. } if flow.client_isn == tcp.seq => {
                    return vec![flow.syn_ack(at, self.ttl)];
                }
                State::Closed => {}
                // RFC 5961: a SYN on a connection that stands, or a new ISN on a half-open one.
                _ => return vec![flow.send(at, self.ttl, next, ACK, &[])],
            }
        }
        let isn = rng.next() as u32;
        let flow = Flow {
            client_isn: tcp.seq,
            isn,
            received: tcp.seq.wrapping_add(1),
            acknowledged: isn,
            state: State::SynReceived { retries: 0 },
            began: at,
            alarm: at + SYN_ACK_RETRIES[0],
            tsval: tcp.tsval(),
            template: Packet { body: Body::Tcp(Tcp { options: vec![], ..tcp.clone() }), ..packet.clone() },
            heard: vec![],
            words: script(self.service).0.to_vec(),
            closes: script(self.service).1,
        };
        let acts = vec![flow.syn_ack(at, self.ttl), Act::Wake { at: flow.alarm, flow: key }];
        self.flows.insert(key, flow);
        acts
    }

    /// A timer runs out.
    pub(crate) fn wake(&mut self, at: i64, key: FlowKey) -> Vec<Act> {
        let (service, ttl) = (self.service, self.ttl);
        let Some(flow) = self.flows.get_mut(&key).filter(|f| f.alarm == at) else { return vec![] };
        let first = flow.isn.wrapping_add(1);
        let (mut acts, alarm) = match flow.state {
            State::SynReceived { retries } => {
                flow.state = State::SynReceived { retries: retries + 1 };
                let next = SYN_ACK_RETRIES.get(retries + 1).map(|after| flow.began + after);
                (vec![flow.syn_ack(at, ttl)], next)
            }
            State::Accepted => {
                flow.state = State::Sent { retries: 0 };
                (flow.say(at, ttl, service), Some(at + 250 * MS))
            }
            State::Sent { retries } => {
                let end = first.wrapping_add(flow.said());
                if flow.acknowledged == end || retries == 5 || service == Service::Resets {
                    return vec![];
                }
                flow.state = State::Sent { retries: retries + 1 };
                (flow.say(at, ttl, service), Some(at + (250 << (retries + 1)) * MS))
            }
            State::Reset | State::Closed => return vec![],
        };
        if let Some(alarm) = alarm {
            flow.alarm = alarm;
            acts.push(Act::Wake { at: alarm, flow: key });
        }
        acts
    }
}

impl Flow {
    fn syn_ack(&self, at: i64, ttl: u8) -> Act {
        let Some(tcp) = self.template.tcp() else { unreachable!("made of a SYN") };
        let mut reply = segment(
            tcp.destination_port,
            tcp.source_port,
            self.isn,
            self.client_isn.wrapping_add(1),
            SYN | ACK,
        );
        reply.window = 65160;
        // Linux answers with the options it was offered.
        reply.options = match self.tsval {
            Some(tsval) => linux_options(1460, (at / MS) as u32, tsval),
            None => vec![2, 4, 5, 180],
        };
        Act::Send { at, packet: self.template.answer(self.template.destination, ttl, Body::Tcp(reply)) }
    }

    /// All that was said so far, in sequence numbers.
    fn said(&self) -> u32 {
        self.words.len() as u32 + u32::from(self.closes)
    }

    /// Takes what the client said so far; whether there is something new to say to it.
    fn answer(&mut self, service: Service) -> bool {
        let Some(line) = self.heard.iter().position(|b| *b == b'\n') else { return false };
        let said = self.said();
        let rest = &self.heard[line + 1..];
        let banner = script(service).0.len();
        match service {
            Service::ResetsIdentified => return true,
            Service::Ssh if self.words.len() == banner => self.words.extend(kexinit([0; 16], 900)),
            Service::Ssh => {
                // Behind the key exchange nothing comes but the farewell.
                if let FirstPacket::Kexinit(len) = first_packet(rest) {
                    self.closes |= rest.len() > len;
                }
            }
            _ => {}
        }
        self.said() > said
    }

    fn say(&mut self, at: i64, ttl: u8, service: Service) -> Vec<Act> {
        let first = self.isn.wrapping_add(1);
        if service == Service::Resets {
            return vec![self.send(at, ttl, first, RST | ACK, &[])];
        }
        if service == Service::ResetsIdentified && !self.heard.is_empty() {
            self.state = State::Reset;
            let after = first.wrapping_add(self.said());
            return vec![self.send(at, ttl, after, RST | ACK, &[])];
        }
        let waiting = (self.acknowledged.wrapping_sub(first) as usize).min(self.words.len());
        let words = self.words[waiting..].to_vec();
        let mut acts = vec![];
        if !words.is_empty() {
            acts.push(self.send(at, ttl, first.wrapping_add(waiting as u32), PSH | ACK, &words));
        }
        if self.closes {
            let after = first.wrapping_add(self.words.len() as u32);
            acts.push(self.send(at + MS / 10, ttl, after, FIN | ACK, &[]));
        }
        acts
    }

    fn send(&self, at: i64, ttl: u8, seq: u32, flags: u8, data: &[u8]) -> Act {
        let Some(tcp) = self.template.tcp() else { unreachable!("made of a SYN") };
        let mut reply = segment(tcp.destination_port, tcp.source_port, seq, self.received, flags);
        reply.window = 509;
        reply.data = data.to_vec();
        Act::Send { at, packet: self.template.answer(self.template.destination, ttl, Body::Tcp(reply)) }
    }
}

fn segment(source_port: u16, destination_port: u16, seq: u32, ack: u32, flags: u8) -> Tcp {
    let (options, data) = (vec![], vec![]);
    Tcp { source_port, destination_port, seq, ack, flags, window: 0, options, data, bad_checksum: false }
}

/// What a service says first, and whether it closes then.
pub(crate) const fn script(service: Service) -> (&'static [u8], bool) {
    match service {
        Service::Ssh | Service::Hangs | Service::ResetsIdentified => {
            (b"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5\r\n", false)
        }
        Service::Closes => (b"", true),
        Service::ClosesWithWords => (b"Exceeded MaxStartups\r\n", true),
        Service::Foreign => (b"220 mail.example.net ESMTP\r\n", false),
        Service::Silent | Service::Resets => (b"", false),
    }
}
