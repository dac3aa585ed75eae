//! Addresses, ports and protocols as the tables store them.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IP address of either family in 16 bytes, network order; IPv4 is stored v4-mapped
/// (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2), so that each table exists once.
///
/// It is kept as two long words, each holding its bytes as they lie in memory: the BPF back end has
/// byte arrays on its 512-byte stack and words in registers, and a key that is stored by whole words can be
/// read back by whole words without waiting for the stores.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct Addr([u64; 2]);

impl Addr {
    /// The all-zero address: an empty table slot.
    pub const UNSPECIFIED: Self = Self([0; 2]);

    /// The bytes before the IPv4 address in the second long word of every v4-mapped address.
    const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

    /// Wraps an IPv4 address, its bytes as they lie in the packet.
    #[inline(always)]
    #[must_use]
    pub const fn from_v4_word(word: u32) -> Self {
        Self([0, join(Self::MAPPED, word)])
    }

    /// Wraps an IPv6 address, its bytes as they lie in the packet.
    #[inline(always)]
    #[must_use]
    pub const fn from_longs(longs: [u64; 2]) -> Self {
        Self(longs)
    }

    /// Wraps four IPv4 bytes in network order.
    #[must_use]
    pub const fn from_v4(octets: [u8; 4]) -> Self {
        Self::from_v4_word(u32::from_ne_bytes(octets))
    }

    /// Wraps sixteen IPv6 bytes in network order.
    #[must_use]
    pub const fn from_v6(octets: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = octets;
        Self([u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([i, j, k, l, m, n, o, p])])
    }

    /// The long words as they lie in a packet.
    #[inline(always)]
    #[must_use]
    pub const fn longs(&self) -> [u64; 2] {
        self.0
    }

    /// Wraps an IPv6 address as words of four bytes.
    #[inline(always)]
    #[must_use]
    pub const fn from_words([a, b, c, d]: [u32; 4]) -> Self {
        Self([join(a, b), join(c, d)])
    }

    /// The same as words of four bytes.
    #[inline(always)]
    #[must_use]
    pub const fn words(&self) -> [u32; 4] {
        let [first, second] = self.0;
        let (low, high) = if cfg!(target_endian = "little") { (0, 32) } else { (32, 0) };
        [(first >> low) as u32, (first >> high) as u32, (second >> low) as u32, (second >> high) as u32]
    }

    /// The last four bytes, as a word: the IPv4 address when it is v4-mapped.
    #[inline(always)]
    #[must_use]
    pub const fn v4_word(&self) -> u32 {
        let [_, second] = self.0;
        if cfg!(target_endian = "little") { (second >> 32) as u32 } else { second as u32 }
    }

    /// All sixteen bytes, network order.
    #[must_use]
    pub const fn octets(&self) -> [u8; 16] {
        let [first, second] = self.0;
        let [a, b, c, d, e, f, g, h] = first.to_ne_bytes();
        let [i, j, k, l, m, n, o, p] = second.to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// The last four bytes: the address itself when it is v4-mapped.
    #[must_use]
    pub const fn v4_octets(&self) -> [u8; 4] {
        self.v4_word().to_ne_bytes()
    }

    /// Whether this is a v4-mapped address.
    #[inline(always)]
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        let [first, second] = self.0;
        first == 0 && second == join(Self::MAPPED, self.v4_word())
    }
}

impl From<Ipv4Addr> for Addr {
    fn from(ip: Ipv4Addr) -> Self {
        Self::from_v4(ip.octets())
    }
}

impl From<Ipv6Addr> for Addr {
    fn from(ip: Ipv6Addr) -> Self {
        Self::from_v6(ip.octets())
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => ip.into(),
        }
    }
}

impl From<Addr> for IpAddr {
    fn from(addr: Addr) -> Self {
        if addr.is_v4() { Self::V4(addr.v4_octets().into()) } else { Self::V6(addr.octets().into()) }
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

/// A long word of two words, in the order in which they lie in memory.
#[inline(always)]
pub(crate) const fn join(first: u32, second: u32) -> u64 {
    if cfg!(target_endian = "little") {
        (second as u64) << 32 | first as u64
    } else {
        (first as u64) << 32 | second as u64
    }
}

/// A port in network order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct Port([u8; 2]);

impl Port {
    /// That of a protocol without ports.
    pub const NONE: Self = Self([0; 2]);

    /// Takes a port as it stands in a packet.
    #[inline(always)]
    #[must_use]
    pub const fn from_wire(bytes: [u8; 2]) -> Self {
        Self(bytes)
    }

    /// The port as it stands in a packet.
    #[inline(always)]
    #[must_use]
    pub const fn to_wire(self) -> [u8; 2] {
        self.0
    }

    /// The port as a number.
    #[must_use]
    pub const fn get(self) -> u16 {
        u16::from_be_bytes(self.0)
    }
}

impl From<u16> for Port {
    fn from(port: u16) -> Self {
        Self(port.to_be_bytes())
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// An IP protocol number (IANA "Assigned Internet Protocol Numbers").
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct Proto(pub u8);

impl Proto {
    /// TCP, RFC 9293.
    pub const TCP: Self = Self(6);
    /// UDP, RFC 768.
    pub const UDP: Self = Self(17);
    /// DCCP, RFC 4340.
    pub const DCCP: Self = Self(33);
    /// ICMPv6, RFC 4443.
    pub const ICMP6: Self = Self(58);
    /// SCTP, RFC 9260.
    pub const SCTP: Self = Self(132);
    /// UDP-Lite, RFC 3828.
    pub const UDP_LITE: Self = Self(136);
    /// Every protocol, with port 0: how tables name a whole address. The number is reserved, and no packet has it.
    pub const ANY: Self = Self(255);
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TCP => f.write_str("tcp"),
            Self::UDP => f.write_str("udp"),
            Self::ANY => f.write_str("any"),
            Self(other) => write!(f, "{other}"),
        }
    }
}

impl fmt::Debug for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn addresses_of_both_families_come_back_as_they_were() {
        for text in
            ["192.0.2.10", "0.0.0.0", "255.255.255.255", "2001:db8::10", "::", "::1", "::fffe:1.2.3.4"]
        {
            let ip: IpAddr = text.parse().unwrap();
            let addr = Addr::from(ip);
            assert_eq!(IpAddr::from(addr), ip);
            assert_eq!(addr.is_v4(), ip.is_ipv4(), "{text}");
            assert_eq!(Addr::from_v6(addr.octets()), addr);
            assert_eq!(Addr::from_words(addr.words()), addr);
            let octets: [u8; 16] = addr.words().map(u32::to_ne_bytes).concat().try_into().unwrap();
            assert_eq!(octets, addr.octets());
        }
    }
}
