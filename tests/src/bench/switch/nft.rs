//! The same switch as operators of nftables make it: a map from address and port to address and port,
//! flushed and filled again in one transaction.

use super::super::services::{address, ports};
use crate::netns::Namespace;
use crate::process::output;
use crate::run::{self, Scratch};
use crate::topology::{Topology, VIPS};
use anyhow::Result;
use bg_common::Colour;
use std::fmt::Write;
use std::fs;

/// A gateway's DNAT map.
pub(super) struct Ruleset {
    namespace: Namespace,
    files: Scratch,
}

impl Ruleset {
    /// Makes a gateway of its own, with the addresses of `topology`.
    pub(super) fn new(topology: &Topology, services: u16) -> Result<Self> {
        let this = Self { namespace: Namespace::new(&run::unique())?, files: Scratch::new()? };
        this.namespace.nft(
            "table ip bench {\n  map backends { type ipv4_addr . inet_service : ipv4_addr . inet_service; }\n  \
             chain in {\n    type nat hook prerouting priority dstnat\n    \
             dnat ip to ip daddr . tcp dport map @backends\n  }\n}\n",
        )?;
        let [vip, _] = VIPS;
        for colour in Colour::BOTH {
            let backend = address(topology, colour)?;
            let mut script = "flush map ip bench backends\nadd element ip bench backends {".to_owned();
            for port in ports(services) {
                write!(script, "\n{vip} . {port} : {backend} . {port},")?;
            }
            fs::write(this.files.path().join(colour.as_str()), script + "\n}\n")?;
        }
        this.replace(Colour::Blue)?;
        Ok(this)
    }

    /// Puts the backends of `colour` in place of those in the map.
    pub(super) fn replace(&self, colour: Colour) -> Result<()> {
        let mut command = self.namespace.command("nft");
        command.arg("-f").arg(self.files.path().join(colour.as_str()));
        output(command).map(drop)
    }
}
