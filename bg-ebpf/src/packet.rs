//! What is known of a packet once its headers are read.

use bg_common::{Addr, Endpoint, Port, Proto, Reason};

/// Offset of the network header: behind an Ethernet header without tags.
pub const L3: usize = 14;

/// Which network header a packet has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// IPv4: 20 bytes, and options.
    V4,
    /// IPv6: 40 bytes, and extension headers.
    V6,
}

impl Family {
    /// Length of the network header without options and extension headers.
    #[inline(always)]
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }
}

/// Which part of its datagram a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// All of it.
    Whole,
    /// Its first fragment, with the transport header.
    First,
    /// A later fragment: neither ports nor flags are known.
    Later,
    /// A fragment that hides a part of the transport header (RFC 1858, RFC 3128), which no sender makes.
    Tiny,
}

/// What only the slow path meets. Offsets count from the beginning of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rare {
    /// Offset of the network header, behind the tags that stand in the frame.
    pub l3: usize,
    /// Offset of what follows the network header, its options and its extension headers.
    pub l4: usize,
    /// Whether the frame has a VLAN tag, in itself or beside it.
    pub tagged: bool,
    /// Which part of its datagram it is.
    pub part: Part,
    /// A fragment's datagram, by its sender's count: IPv4 identification or that of the IPv6 fragment header.
    pub id: u32,
}

/// A packet. Fields are as on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Which network header it has.
    pub family: Family,
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// What follows the network header and its extension headers.
    pub proto: Proto,
    /// Source port; 0 for a protocol without ports.
    pub src_port: Port,
    /// Destination port; 0 for a protocol without ports.
    pub dst_port: Port,
    /// IPv4 time to live, IPv6 hop limit.
    pub hop_limit: u8,
    /// TCP flags (RFC 9293, section 3.1); 0 for all others.
    pub tcp_flags: u8,
    /// Length of the frame.
    pub len: u32,
    /// Packets that the frame stands for.
    pub segments: u32,
    /// What distinguishes it from a plain packet. `None` on the fast path, which folds away all that hangs on it.
    pub rare: Option<Rare>,
}

const FIN: u8 = 1 << 0;
const SYN: u8 = 1 << 1;
pub(crate) const RST: u8 = 1 << 2;
pub(crate) const ACK: u8 = 1 << 4;

impl Packet {
    /// Where it comes from.
    #[inline(always)]
    #[must_use]
    pub const fn source(&self) -> Endpoint {
        Endpoint::new(self.src, self.src_port, self.proto)
    }

    /// Where it goes.
    #[inline(always)]
    #[must_use]
    pub const fn destination(&self) -> Endpoint {
        Endpoint::new(self.dst, self.dst_port, self.proto)
    }

    /// The same for the slow path, which looks where a plain packet has its headers and does not know it.
    #[inline(always)]
    #[must_use]
    pub const fn for_slow_path(self) -> Self {
        let l4 = L3 + self.family.header_len();
        Self { rare: Some(Rare { l3: L3, l4, tagged: false, part: Part::Whole, id: 0 }), ..self }
    }

    /// Whether it is in no frame: a local process's socket asks.
    #[inline(always)]
    #[must_use]
    pub const fn is_local(&self) -> bool {
        self.len == 0
    }

    /// Whether it is TCP.
    #[inline(always)]
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        self.proto.0 == Proto::TCP.0
    }

    /// Whether it asks for a new TCP connection: SYN, and none of ACK, RST and FIN.
    #[inline(always)]
    #[must_use]
    pub const fn is_bare_syn(&self) -> bool {
        self.tcp_flags & (SYN | ACK | RST | FIN) == SYN
    }

    /// Whether it carries a TCP FIN.
    #[inline(always)]
    #[must_use]
    pub const fn is_fin(&self) -> bool {
        self.tcp_flags & FIN != 0
    }

    /// Whether it carries a TCP SYN.
    #[inline(always)]
    #[must_use]
    pub const fn is_syn(&self) -> bool {
        self.tcp_flags & SYN != 0
    }

    /// Whether it carries an acknowledgment.
    #[inline(always)]
    #[must_use]
    pub const fn is_ack(&self) -> bool {
        self.tcp_flags & ACK != 0
    }

    /// Whether it carries a TCP RST.
    #[inline(always)]
    #[must_use]
    pub const fn is_rst(&self) -> bool {
        self.tcp_flags & RST != 0
    }

    /// Whether it neither begins nor ends anything.
    #[inline(always)]
    #[must_use]
    pub const fn goes_on(&self) -> bool {
        self.tcp_flags & (SYN | RST | FIN) == 0
    }

    /// Offset of the network header.
    #[inline(always)]
    #[must_use]
    pub const fn l3(&self) -> usize {
        match self.rare {
            None => L3,
            Some(rare) => rare.l3,
        }
    }

    /// Offset of the transport header.
    #[inline(always)]
    #[must_use]
    pub const fn l4(&self) -> usize {
        match self.rare {
            None => L3 + self.family.header_len(),
            Some(rare) => rare.l4,
        }
    }

    /// Which part of its datagram it is.
    #[inline(always)]
    #[must_use]
    pub const fn part(&self) -> Part {
        match self.rare {
            None => Part::Whole,
            Some(rare) => rare.part,
        }
    }

    /// The reason of a packet that names nothing of ours.
    #[inline(always)]
    #[must_use]
    pub const fn none_of_ours(&self) -> Reason {
        match (self.part(), self.proto) {
            (Part::Later | Part::Tiny, _) => Reason::Fragment,
            (_, Proto::TCP | Proto::UDP) => Reason::NotOurs,
            _ => Reason::OtherProtocol,
        }
    }

    /// Whether its frame has a VLAN tag.
    #[inline(always)]
    #[must_use]
    pub const fn is_tagged(&self) -> bool {
        matches!(self.rare, Some(Rare { tagged: true, .. }))
    }
}
