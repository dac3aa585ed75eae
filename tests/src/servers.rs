//! What runs on the machines of the slices. Every answer carries the stamp of the machine that gave it.

mod echo;
mod nginx;
mod scripted;

use crate::run::Scratch;
use crate::topology::{Machine, Topology};
use anyhow::Result;
use bg_common::Colour;
use std::fmt;
use std::str::FromStr;

pub use echo::Echo;
pub use nginx::{BIG, Nginx};
pub use scripted::{Fault, LATE, Scripted, Whom};

/// Where the servers listen on each machine.
pub mod port {
    /// HTTP.
    pub const WEB: u16 = 8080;
    /// One line back for each line, on connections that live long.
    pub const LINES: u16 = 7001;
    /// One datagram back for each datagram.
    pub const DATAGRAMS: u16 = 7002;
    /// iperf3.
    pub const BULK: u16 = 5201;
}

/// Which machine gave an answer, written `blue/1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Stamp {
    /// Its slice.
    pub colour: Colour,
    /// Its number within the slice.
    pub machine: u8,
}

impl Stamp {
    /// The stamp of a machine.
    #[must_use]
    pub const fn of(machine: &Machine) -> Self {
        Self { colour: machine.colour, machine: machine.number }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.colour, self.machine)
    }
}

impl FromStr for Stamp {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (colour, machine) = text.split_once('/').ok_or_else(|| anyhow::anyhow!("no stamp: {text:?}"))?;
        Ok(Self {
            colour: colour.parse().map_err(|_| anyhow::anyhow!("no colour: {text:?}"))?,
            machine: machine.parse()?,
        })
    }
}

/// Web and echo servers on every machine; gone on drop.
#[derive(Debug)]
pub struct Servers {
    /// In the order of the topology's machines.
    pub nginx: Vec<Nginx>,
    /// The same, where faults were asked for: then there is no nginx.
    pub scripted: Vec<Scripted>,
    /// The one echo of all machines.
    pub echo: Echo,
    _files: Scratch,
}

impl Servers {
    /// Starts them and waits until each listens. They die with the calling thread.
    ///
    /// # Errors
    ///
    /// When nginx is not installed or a port is taken.
    pub fn start(topology: &Topology) -> Result<Self> {
        let files = Scratch::new()?;
        let nginx = topology
            .machines
            .iter()
            .map(|machine| Nginx::start(machine, files.path()))
            .collect::<Result<Vec<_>>>()?;
        let echo = Echo::start(&topology.machines)?;
        for server in &nginx {
            server.await_listening()?;
        }
        Ok(Self { nginx, scripted: Vec::new(), echo, _files: files })
    }

    /// Starts web servers that fail when told to, in place of nginx.
    ///
    /// # Errors
    ///
    /// When a port is taken.
    pub fn scripted(topology: &Topology) -> Result<Self> {
        let files = Scratch::new()?;
        let scripted = topology.machines.iter().map(Scripted::start).collect::<Result<Vec<_>>>()?;
        let echo = Echo::start(&topology.machines)?;
        Ok(Self { nginx: Vec::new(), scripted, echo, _files: files })
    }

    /// From here on this is wrong with the web servers of `colour`, for those.
    pub fn fail(&self, colour: Colour, fault: Fault, whom: Whom) {
        for server in self.scripted.iter().filter(|server| server.stamp.colour == colour) {
            server.fail(fault, whom);
        }
    }

    /// From here on nothing is wrong with the web servers of `colour`.
    pub fn heal(&self, colour: Colour) {
        self.fail(colour, Fault::None, Whom::Everyone);
    }
}
