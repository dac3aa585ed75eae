//! Flows whose client's address is replaced as well, because the backend would answer past the gateway: it is in
//! one subnet with the client, or is the client.

use crate::{Addr, FlowKey, Port, Proto};

/// First port that clients are given. Kernels choose theirs up to 60999 unless told otherwise
/// (`ip_local_port_range`).
pub const FIRST_PORT: u16 = 61_000;

/// Number of ports that clients are given, up to the last one that there is.
pub const PORTS: u16 = u16::MAX - FIRST_PORT + 1;

/// Ports that are tried for a flow.
pub const TRIES: u16 = 16;

/// Which clients of a backend get another address, and which. 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Source {
    addr: Addr,
    mask: Addr,
}

impl Source {
    /// The gateway's address `addr` for clients in the subnet of `prefix` bits around it; with 0, for all.
    #[must_use]
    pub const fn new(addr: Addr, prefix: u8) -> Self {
        let prefix = match (prefix, addr.is_v4()) {
            (0, _) => 0,
            (prefix, true) => prefix as u32 + 96,
            (prefix, false) => prefix as u32,
        };
        let bits = match 128_u32.checked_sub(prefix) {
            Some(128) => 0,
            Some(host) => u128::MAX << host,
            None => u128::MAX,
        };
        Self { addr, mask: Addr::from_v6(bits.to_be_bytes()) }
    }

    /// The gateway's address.
    #[inline(always)]
    #[must_use]
    pub const fn addr(&self) -> Addr {
        self.addr
    }

    /// Whether this client gets it. Who has it already does not.
    #[inline(always)]
    #[must_use]
    pub fn covers(&self, client: &Addr) -> bool {
        let ([a, b], [c, d], [m, n]) = (self.addr.longs(), client.longs(), self.mask.longs());
        (a ^ c) & m == 0 && (b ^ d) & n == 0 && *client != self.addr
    }

    /// Whether there is none.
    #[inline(always)]
    #[must_use]
    pub const fn is_vacant(&self) -> bool {
        matches!(self.addr.longs(), [0, 0])
    }
}

/// A port of the gateway towards a backend, which stands for a client. 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct NatKey(u64);

impl NatKey {
    /// Backend id, the gateway's port, protocol.
    #[inline(always)]
    #[must_use]
    pub const fn new(backend: u32, port: Port, proto: Proto) -> Self {
        let port = u16::from_ne_bytes(port.to_wire()) as u64;
        Self((backend as u64) << 32 | port << 8 | proto.0 as u64)
    }

    /// Backend id.
    #[must_use]
    pub const fn backend(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The `nth` port that a flow tries to get.
#[inline(always)]
#[must_use]
pub fn port(key: &FlowKey, nth: u16) -> Port {
    let hash = key.hash();
    // A product's high bits are those that depend on all of the factor's.
    let first = ((hash >> 32) * PORTS as u64) >> 32;
    Port::from(FIRST_PORT + (first as u16).wrapping_add(nth) % PORTS)
}

/// Whether a port is one that clients are given.
#[inline(always)]
#[must_use]
pub const fn is_given(port: Port) -> bool {
    port.get() >= FIRST_PORT
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::net::IpAddr;

    fn addr(text: &str) -> Addr {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_source_covers_its_subnet_and_not_itself() {
        let rows = [
            ("10.1.0.1", 24, "10.1.0.2", true),
            ("10.1.0.1", 24, "10.1.1.2", false),
            ("10.1.0.1", 24, "10.1.0.1", false),
            ("10.1.0.1", 24, "fd00::2", false),
            ("10.1.0.1", 32, "10.1.0.2", false),
            ("10.1.0.1", 0, "203.0.113.9", true),
            ("10.1.0.1", 0, "10.1.0.1", false),
            ("fd00:1::1", 64, "fd00:1::2", true),
            ("fd00:1::1", 64, "fd00:1:0:1::2", false),
            ("fd00:1::1", 128, "fd00:1::2", false),
            ("fd00:1::1", 0, "2001:db8::1", true),
        ];
        for (own, prefix, client, want) in rows {
            assert_eq!(Source::new(addr(own), prefix).covers(&addr(client)), want, "{own}/{prefix} {client}");
        }
        assert!(Source::default().is_vacant() && !Source::new(addr("10.1.0.1"), 24).is_vacant());
    }

    #[test]
    fn ports_stay_in_the_range_and_a_flow_tries_different_ones() {
        let mut seen = std::collections::BTreeSet::new();
        for client in 0..2000_u16 {
            let key = FlowKey::new(addr("10.1.0.2"), client.into(), Proto::TCP, 1);
            let tries: std::collections::BTreeSet<_> = (0..TRIES).map(|nth| port(&key, nth)).collect();
            assert_eq!(tries.len(), usize::from(TRIES));
            assert!(tries.iter().all(|port| is_given(*port)));
            seen.insert(port(&key, 0));
        }
        assert!(seen.len() > 1500, "flows begin at {} ports", seen.len());
    }

    #[test]
    fn a_key_tells_its_backend() {
        let key = NatKey::new(7, 61_234.into(), Proto::TCP);
        assert_eq!(key.backend(), 7);
        assert_ne!(key, NatKey::new(7, 61_234.into(), Proto::UDP));
        assert_ne!(key, NatKey::new(7, 61_235.into(), Proto::TCP));
    }
}
