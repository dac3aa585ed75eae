//! One reading of everything that the wiring of a gateway follows from.

use super::{Address, Link, Net, RouteTo};
use crate::refusal::Refusal;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

/// What the kernel says at one time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Survey {
    /// Every interface.
    pub links: Vec<Link>,
    /// Every address.
    pub addresses: Vec<Address>,
    /// The interfaces of the default routes, the best one first.
    pub default_uplinks: Vec<u32>,
    /// The way to each address that was asked for.
    pub routes: BTreeMap<IpAddr, RouteTo>,
}

impl Survey {
    /// The interface with this index.
    #[must_use]
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// The interface with this name.
    #[must_use]
    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

impl Net {
    /// Reads links, addresses and default routes, and asks for the way to each of `destinations`.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer.
    pub async fn survey(&self, destinations: impl IntoIterator<Item = IpAddr>) -> Result<Survey, Refusal> {
        let mut survey = Survey {
            links: self.links().await?,
            addresses: self.addresses().await?,
            default_uplinks: self.default_uplinks().await?,
            routes: BTreeMap::new(),
        };
        for destination in destinations {
            if let Entry::Vacant(route) = survey.routes.entry(destination) {
                route.insert(self.route_to(destination).await?);
            }
        }
        Ok(survey)
    }
}
