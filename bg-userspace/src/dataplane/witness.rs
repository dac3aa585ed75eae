//! Whom a flow is pinned to, for somebody who began it: one look-up in each table, on a thread of its own.

use super::buckets::Buckets;
use super::pins::Pins;
use super::table::Table;
use crate::dataplane::Protocol;
use crate::refusal::Refusal;
use bg_common::{Addr, Backend, Colour, Endpoint, Flow, FlowKey, Frontend, Port, Proto, names};
use std::net::SocketAddr;

/// Looks pins up.
#[derive(Debug)]
pub struct Witness {
    frontends: Buckets<Frontend>,
    flows: Table<FlowKey, Flow>,
    half_open: Table<FlowKey, Flow>,
    backends: Table<u32, Backend>,
}

impl Witness {
    /// Opens the pinned tables of `instance`.
    ///
    /// # Errors
    ///
    /// When they are not there.
    pub fn open(instance: &str) -> Result<Self, Refusal> {
        let dir = Pins::new(instance).dir();
        Ok(Self {
            frontends: Buckets::open(&dir, names::FRONTENDS)?,
            flows: Table::open(&dir, names::FLOWS)?,
            half_open: Table::open(&dir, names::HALF_OPEN)?,
            backends: Table::open(&dir, names::BACKENDS)?,
        })
    }

    /// The colour that the flow of `client` to `frontend` is pinned to, if it is.
    #[must_use]
    pub fn colour(&self, client: SocketAddr, frontend: SocketAddr, protocol: Protocol) -> Option<Colour> {
        let proto = match protocol {
            Protocol::Tcp => Proto::TCP,
            Protocol::Udp => Proto::UDP,
        };
        let at = |addr: SocketAddr| (Addr::from(addr.ip()), Port::from(addr.port()));
        let (addr, port) = at(frontend);
        let frontend = self.frontends.get(&Endpoint::new(addr, port, proto)).ok()??;
        let (addr, port) = at(client);
        let key = FlowKey::new(addr, port, proto, frontend.service);
        let found = |table: &Table<FlowKey, Flow>| table.get(&key).ok().flatten();
        // Pins move from the second table to the first.
        let flow = found(&self.flows).or_else(|| found(&self.half_open)).or_else(|| found(&self.flows))?;
        let backend = self.backends.get(&flow.backend).ok()??;
        Some(backend.slice().colour())
    }
}
