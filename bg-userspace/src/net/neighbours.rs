//! The neighbour cache: whether the kernel knows the MAC address of a next hop.

use super::{Net, answer, collect, unreadable};
use crate::refusal::Refusal;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState as Nud,
};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// A little longer than the kernel tries: three questions, one second apart.
const GIVES_UP: Duration = Duration::from_millis(3500);
const LOOK_EVERY: Duration = Duration::from_millis(50);

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

    /// Has the kernel look for each next hop, given by interface and address, that it does not know,
    /// and waits until it has found them or given up: three seconds by default. No packet but the
    /// kernel's own question is sent. Returns the state of each, in the order given.
    ///
    /// # Errors
    ///
    /// When the kernel does not list its neighbour cache.
    pub async fn resolve(&self, hops: &[(u32, IpAddr)]) -> Result<Vec<NeighbourState>, Refusal> {
        let until = Instant::now() + GIVES_UP;
        let mut asked = false;
        loop {
            let cache = self.neighbours().await?;
            let states: Vec<_> = hops.iter().map(|hop| state_of(&cache, *hop)).collect();
            let missing = || hops.iter().zip(&states).filter(|(_, state)| **state != NeighbourState::Known);
            if !asked {
                for ((ifindex, ip), _) in missing() {
                    // Without CAP_NET_ADMIN nothing is asked; what the cache holds is still true.
                    let use_it = self.handle.neighbours().add(*ifindex, *ip).state(Nud::None);
                    let _refused = answer(use_it.flags(NeighbourFlags::Use).execute()).await;
                }
                asked = true;
            } else if !states.contains(&NeighbourState::Asking) || Instant::now() >= until {
                return Ok(states);
            }
            if missing().next().is_none() {
                return Ok(states);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// What the cache says about one next hop. What it does not mention has not been asked for.
fn state_of(cache: &[Neighbour], (ifindex, ip): (u32, IpAddr)) -> NeighbourState {
    let entry = cache.iter().find(|neighbour| neighbour.ifindex == ifindex && neighbour.ip == ip);
    entry.map_or(NeighbourState::Asking, |neighbour| neighbour.state)
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
