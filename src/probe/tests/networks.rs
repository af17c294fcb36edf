//! Networks of a few lines.

pub(super) const ROUTERS: [&str; 4] =
    ["11/0 10.22.1.1", "11/0 198.18.1.1", "11/0 198.18.2.1", "11/0 198.18.3.1"];

/// What a network says to a probe: its port (0 for an echo) and its hop limit; as lines of a script say it, several
/// answers with `&` between them, `late` ones after 1.5 s.
pub(super) type Network = fn(u16, u8) -> &'static str;

/// Four routers, and nobody behind them says anything.
pub(super) fn dark(_: u16, ttl: u8) -> &'static str {
    ROUTERS.get(usize::from(ttl) - 1).unwrap_or(&"")
}

/// The VM answers pings and resets what is closed.
pub(super) fn vm(port: u16, ttl: u8) -> &'static str {
    match (port, ttl) {
        (_, 1..=4) => dark(port, ttl),
        (0, _) => "echo-reply",
        _ => "R. ttl=60",
    }
}

/// So does one with sshd.
pub(super) fn sshd(port: u16, ttl: u8) -> &'static str {
    if port == 22 && ttl > 4 { "S. ttl=60" } else { vm(port, ttl) }
}

/// Hop 1 drops SYNs to port 22.
pub(super) fn edge_drops(port: u16, ttl: u8) -> &'static str {
    if port == 22 && ttl > 1 { "" } else { vm(port, ttl) }
}

/// Hop 1 resets them.
pub(super) fn edge_resets(port: u16, ttl: u8) -> &'static str {
    if port == 22 && ttl > 1 { "R. ttl=64" } else { vm(port, ttl) }
}

/// Hop 2 resets them, with what is left of their own hop limit.
pub(super) fn copies_hop_limit(port: u16, ttl: u8) -> &'static str {
    match (port, ttl) {
        (22, 3..) => format!("R. ttl={}", ttl - 2).leak(),
        (22, 2) => "",
        _ => vm(port, ttl),
    }
}

/// Hop 2 resets a copy of them, and the VM never answers.
pub(super) fn listens(port: u16, ttl: u8) -> &'static str {
    match (port, ttl) {
        (22, 2..=4) => format!("R. ttl=63 & {}", dark(port, ttl)).leak(),
        (22, 5..) => "R. ttl=63",
        _ => vm(port, ttl),
    }
}

/// The same before a VM with a slow sshd.
pub(super) fn listens_before_slow_sshd(port: u16, ttl: u8) -> &'static str {
    if port == 22 && ttl > 4 { "R. ttl=63 & late S. ttl=60" } else { listens(port, ttl) }
}

/// The same before a VM with sshd.
pub(super) fn listens_before_sshd(port: u16, ttl: u8) -> &'static str {
    if port == 22 && ttl > 4 { "R. ttl=63 & S. ttl=60" } else { listens(port, ttl) }
}

/// Hop 1 lets nothing out but pings and port 443.
pub(super) fn edge_lets_https_out(port: u16, ttl: u8) -> &'static str {
    if ttl > 1 && !matches!(port, 0 | 443) { "" } else { vm(port, ttl) }
}

/// The VM's kernel refuses, and copies the mark of what it refuses.
pub(super) fn vm_mirrors(port: u16, ttl: u8) -> &'static str {
    match vm(port, ttl) {
        "R. ttl=60" => "R. ttl=60 mirrored",
        other => other,
    }
}

/// Only the client's own kernel is in the way of its own SYNs (which alone have a hop limit of 64).
pub(super) fn all_dark(_: u16, _: u8) -> &'static str {
    ""
}

pub(super) const NETWORKS: [(&str, Network); 11] = [
    ("dark", dark),
    ("vm", vm),
    ("vm_mirrors", vm_mirrors),
    ("sshd", sshd),
    ("edge_drops", edge_drops),
    ("edge_resets", edge_resets),
    ("edge_lets_https_out", edge_lets_https_out),
    ("all_dark", all_dark),
    ("copies_hop_limit", copies_hop_limit),
    ("listens", listens),
    ("listens_before_sshd", listens_before_sshd),
];
