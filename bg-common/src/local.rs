//! Sockets of the gateway's own processes. No packet of theirs is rewritten: they are connected to the backend
//! in the first place, so that a socket stands where elsewhere a client's address and port do.

use crate::{Addr, Endpoint, FlowKey, Port, Proto};

/// What a socket is connected to. 56 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Connected {
    /// What the kernel knows as its peer.
    pub backend: Endpoint,
    /// What the process has asked for, and is shown.
    pub frontend: Endpoint,
    /// Index of the service.
    pub service: u32,
    /// Always zero.
    pub zero: u32,
}

/// Begins the address that stands for a socket in a flow's key. No packet comes from it: it is of multicast
/// (RFC 4291, section 2.7).
const SOCKET: u64 = u64::from_ne_bytes([0xff, 0, b'b', b'g', 0, 0, 0, 0]);

/// The flow of a socket to a service. The cookie is what `bpf_get_socket_cookie` tells.
#[inline(always)]
#[must_use]
pub const fn flow_key(cookie: u64, proto: Proto, service: u32) -> FlowKey {
    FlowKey::new(Addr::from_longs([SOCKET, cookie]), Port::from_wire([0, 0]), proto, service)
}

/// The cookie of the socket that a flow is of; `None` for a client's.
#[must_use]
pub const fn cookie(key: &FlowKey) -> Option<u64> {
    match key.client().longs() {
        [SOCKET, cookie] => Some(cookie),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_socket_is_told_from_every_client() {
        let key = flow_key(4711, Proto::UDP, 3);
        assert_eq!((cookie(&key), key.service(), key.proto()), (Some(4711), 3, Proto::UDP));
        assert!(core::net::IpAddr::from(key.client()).is_multicast());
        for client in [Addr::from_v4([192, 0, 2, 1]), Addr::from_longs([0, 4711])] {
            assert_eq!(cookie(&FlowKey::new(client, 7.into(), Proto::TCP, 3)), None);
        }
    }
}
