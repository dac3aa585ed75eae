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
            Protocol::Any => return None,
        };
        let at = |addr: SocketAddr| (Addr::from(addr.ip()), Port::from(addr.port()));
        let (addr, port) = at(frontend);
        let lookup = |at: &Endpoint| self.frontends.get(at).ok().flatten().filter(|found| !found.is_vip());
        let (client, from) = at(client);
        let key = match lookup(&Endpoint::new(addr, port, proto)) {
            Some(frontend) => FlowKey::new(client, from, proto, frontend.service),
            None => FlowKey::whole(client, from, proto, lookup(&Endpoint::whole(addr))?.service, port),
        };
        let found = |table: &Table<FlowKey, Flow>| table.get(&key).ok().flatten();
        // Pins move from the second table to the first.
        let flow = found(&self.flows).or_else(|| found(&self.half_open)).or_else(|| found(&self.flows))?;
        let backend = self.backends.get(&flow.backend).ok()??;
        Some(backend.slice().colour())
    }
}
