//! The neighbour cache: whether the kernel knows the MAC address of a next hop.

use super::{Net, collect, unreadable};
use crate::refusal::Refusal;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState as Nud,
};
use std::net::IpAddr;

/// A next hop that the kernel has looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// The interface.
    pub ifindex: u32,
    /// The address.
    pub ip: IpAddr,
    /// How the search went.
    pub state: NeighbourState,
}

/// How the search for a neighbour went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NeighbourState {
    /// Its MAC address is known, perhaps from some time ago.
    Known,
    /// The question is out.
    Asking,
    /// It has not answered.
    Failed,
}

impl Net {
    /// The whole neighbour cache.
    ///
    /// # Errors
    ///
    /// When the kernel does not list it.
    pub async fn neighbours(&self) -> Result<Vec<Neighbour>, Refusal> {
        let messages = collect(self.handle.neighbours().get().execute())
            .await
            .map_err(|why| unreadable("neighbours", "ip neighbour", &why))?;
        Ok(messages.iter().filter_map(read).collect())
    }
}

fn read(message: &NeighbourMessage) -> Option<Neighbour> {
    let ip = message.attributes.iter().find_map(|attribute| {
        if let NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) = attribute {
            Some(IpAddr::V4(*ip))
        } else if let NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) = attribute {
            Some(IpAddr::V6(*ip))
        } else {
            None
        }
    })?;
    let state = match message.header.state {
        Nud::Reachable | Nud::Stale | Nud::Delay | Nud::Probe | Nud::Noarp | Nud::Permanent => {
            NeighbourState::Known
        }
        Nud::Failed => NeighbourState::Failed,
        Nud::Incomplete | Nud::None | Nud::Other(_) | _ => NeighbourState::Asking,
    };
    Some(Neighbour { ifindex: message.header.ifindex, ip, state })
}
