//! How an attempt ended, in the words of the report.

/// An enumeration whose variants have a word each.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word used in JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(super) use words;

words! {
    /// Outcome of an attempt to reach SSH. Where several fit, the first in this order that does.
    Outcome {
        /// connect(2) failed and its SYN never reached any wire.
        LocalFailure = "local-failure",
        /// A box other than the VM terminates the TCP connection and keeps it.
        Intercepted = "intercepted",
        /// An ICMP error answered the SYN.
        Rejected = "rejected",
        /// An acceptable RST answered the SYN.
        Reset = "reset",
        /// SYN/ACKs came back, but the handshake never completed.
        HalfOpen = "half-open",
        /// Nothing answered the SYN.
        Timeout = "timeout",
        /// Handshake done, then RST, whoever sent it, before the key exchange was through.
        ResetAfterHandshake = "reset-after-handshake",
        /// Handshake done, then FIN, whoever sent it, before any line beginning `SSH-`.
        Closed = "closed",
        /// Handshake done, and the server's bytes contain no line beginning `SSH-`.
        NotSsh = "not-ssh",
        /// Handshake done, and the connection stays open and silent.
        NoBanner = "no-banner",
        /// The banner came, then nothing more gets through.
        Stalled = "stalled",
        /// The banner came from the VM.
        Open = "open",
        /// Passive captures only: handshake done, on a port not asked about as SSH or with the bytes not captured.
        Completed = "completed",
    }
}

words! {
    /// How far the handshake of an attempt got.
    Handshake {
        /// SYN, SYN/ACK, ACK.
        Completed = "completed",
        /// A SYN/ACK came, the ACK did not go.
        HalfOpen = "half-open",
        /// A RST from the server's side came before the handshake completed.
        Reset = "reset",
        /// An ICMP error quoting the SYN came.
        Rejected = "rejected",
        /// Nothing came.
        Unanswered = "unanswered",
    }
}

words! {
    /// Who reset a connection after its handshake.
    ResetBy {
        /// The client.
        Client = "client",
        /// The server's side.
        Server = "server",
        /// Both.
        Both = "both",
    }
}
