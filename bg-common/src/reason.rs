//! Why a packet was not simply rewritten and sent on: numbered, counted, and the same in the
//! programs, `bgctl counters` and the documentation.

/// What becomes of a packet to which a reason applies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It goes on to the gateway's own stack, untouched.
    Pass,
    /// It is rewritten and sent on; the reason only counts.
    Forward,
    /// It is dropped.
    Drop,
    /// It is answered instead of forwarded: its sender gets a TCP RST.
    Answer,
}

macro_rules! reasons {
    ($($number:literal $name:ident $verdict:ident $text:literal $doc:literal,)*) => {
        /// A reason. Numbers are never reused: one that goes away leaves a gap.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u32)]
        pub enum Reason {
            $(#[doc = $doc] $name = $number,)*
        }

        impl Reason {
            /// Every reason in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Short name, as `bgctl counters` prints it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn explain(self) -> &'static str {
                match self { $(Self::$name => $doc,)* }
            }

            /// What becomes of the packet.
            #[inline(always)]
            #[must_use]
            pub const fn verdict(self) -> Verdict {
                match self { $(Self::$name => Verdict::$verdict,)* }
            }
        }
    };
}

reasons! {
    1 NotOurs Pass "not-ours" "Neither a frontend nor a backend of ours is named.",
    2 NotIp Pass "not-ip" "Neither IPv4 nor IPv6: ARP and its like.",
    3 Truncated Pass "truncated" "The frame ends before its headers do, or its lengths contradict each other.",
    4 Vlan Pass "vlan" "More VLAN tags than two; or a reply with a tag, which the kernel routes.",
    6 ExtensionHeader Pass "extension-header" "The IPv6 packet has more extension headers than are read.",
    7 Fragment Pass "fragment" "A later fragment that none of ours was the first of, and to no VIP.",
    8 OtherProtocol Pass "other-protocol" "Neither TCP nor UDP, and no whole address of ours is named.",
    9 DirectReply Pass "direct-reply" "From a backend to a client that has no flow through a frontend: a direct conversation.",
    10 StaleReply Pass "stale-reply" "From a backend that the client's flow has left; it stays a packet of the backend's own.",
    11 NoBackend Drop "no-backend" "The chosen slice has no backend for this service.",
    12 BrokenTable Drop "broken-table" "A table names an entry that does not exist.",
    13 Rewrite Drop "rewrite-failed" "The kernel refused to change the packet.",
    14 HalfOpenFull Forward "half-open-full" "No pin could be made for a new flow; the hash alone keeps it on its backend.",
    15 FlowsFull Forward "flows-full" "No room among the established pins; the flow stays a half-open one.",
    16 SharedPort Forward "shared-port" "The client uses one port for two frontends of a service at once; the first one keeps it.",
    17 Midstream Forward "midstream" "TCP without a pin and without SYN, sent to the live colour.",
    18 MidstreamDrain Forward "midstream-drain" "TCP without a pin and without SYN during a drain, sent to the old colour.",
    19 HopLimit Pass "hop-limit" "Its hop limit is used up; the kernel tells the sender.",
    20 TooBig Pass "too-big" "Larger than the way on takes, where the program would redirect it; the kernel tells the sender.",
    21 NoRoute Pass "no-route" "The way to the client is not one to redirect to; the kernel routes the reply.",
    22 MappedAddress Pass "mapped-address" "An IPv6 packet with an address that stands for an IPv4 one, which no host sends.",
    23 OwnAddress Drop "own-address" "A machine of a slice asks for a service that it would serve itself: it would get its own packet back.",
    24 Paused Drop "paused" "It would begin a new flow while new flows are held; clients try again.",
    25 ResetByFate Answer "reset-by-fate" "TCP of a flow whose colour is not live any more, and whose fate is to be reset.",
    26 BackendDown Answer "backend-down" "TCP of a flow whose backend is down, and whose flows are to be reset.",
    27 Refused Answer "refused" "A SYN for a service that has no backend and says so.",
    28 Moved Forward "moved" "A datagram of a flow whose colour is not live or whose backend is down, decided anew.",
    29 Orphan Drop "orphan-fragment" "A later fragment to a VIP that came without the first one, or before it.",
    30 TinyFragment Drop "tiny-fragment" "A fragment to a VIP that hides a part of the transport header.",
    31 SourceRoute Pass "source-route" "An IPv6 packet with a routing header that has further stations to name.",
    32 FragmentsFull Forward "fragments-full" "A first fragment could not be remembered: the later ones will be lost.",
    37 IcmpError Forward "icmp-error" "An ICMP error about a packet of a flow, translated outside and in what it quotes.",
    38 IcmpNoFlow Pass "icmp-no-flow" "An ICMP error about a packet that no flow of ours has sent.",
    39 IcmpQuote Pass "icmp-quote" "An ICMP error that quotes too little to tell a flow, or nothing of a known form.",
    42 Preview Forward "preview" "A new flow that a preview rule or preview VIP has led to its colour.",
    43 Canary Forward "canary" "A new flow that the canary has led to the colour that is not live.",
    46 NatFull Drop "nat-full" "No port of the gateway was free for a flow whose client's address is to be replaced.",
    47 LocalFull Forward "local-full" "It could not be remembered what a local socket is connected to: its process is shown the backend.",
}

impl Reason {
    /// Length of the counter table: room for reasons to come without a new layout.
    pub const SLOTS: u32 = 64;

    /// Index of its counter.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> u32 {
        self as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_leave_room_in_the_counter_table() {
        assert!(Reason::ALL.iter().map(|reason| reason.index()).is_sorted());
        assert!(Reason::ALL.iter().all(|reason| (1..Reason::SLOTS).contains(&reason.index())));
    }
}
