//! Everything that touches the world: sockets, libpcap, the clock, privileges.
