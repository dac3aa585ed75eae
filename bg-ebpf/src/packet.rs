//! What is known of a packet once its headers are read.

use bg_common::{Addr, Endpoint, Port, Proto};

/// Offset of the network header: behind an Ethernet header without tags.
pub const L3: usize = 14;

/// Which network header a packet has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// IPv4 without options: 20 bytes.
    V4,
    /// IPv6 without extension headers: 40 bytes.
    V6,
}

impl Family {
    /// Length of the network header.
    #[inline(always)]
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }
}

/// A packet with ports. Fields are as on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Which network header it has.
    pub family: Family,
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// TCP or UDP.
    pub proto: Proto,
    /// Source port.
    pub src_port: Port,
    /// Destination port.
    pub dst_port: Port,
    /// IPv4 time to live, IPv6 hop limit.
    pub hop_limit: u8,
    /// TCP flags (RFC 9293, section 3.1); 0 for UDP.
    pub tcp_flags: u8,
    /// Length of the frame.
    pub len: u32,
    /// Packets that the frame stands for.
    pub segments: u32,
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

    /// Offset of the transport header.
    #[inline(always)]
    #[must_use]
    pub const fn l4(&self) -> usize {
        L3 + self.family.header_len()
    }
}
