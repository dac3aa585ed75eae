//! Reads whole flow tables and expires what is idle, beside the owner of the data plane.

use super::census::Census;
use super::pins::Pins;
use super::state::State;
use super::table::{Table, refusal};
use super::tables::{Tables, open_per_cpu};
use crate::dataplane::{Counters, FlowRow, FlowState, Lifetimes, Observer, Protocol, Sweep};
use crate::refusal::Refusal;
use aya::maps::{MapData, PerCpuArray};
use bg_common::{
    Addr, Colour, Flow, FlowKey, NatKey, Port, Proto, Reason, SliceId, Tick, Traffic, local, names,
};
use nix::time::{ClockId, clock_gettime};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Most suspects of one table that a sweep remembers, which bounds its memory; the rest is for later sweeps.
const SUSPECTS: usize = 1 << 18;

/// Pins that a sweep found idle, with the time of their last packet.
type Suspects = HashMap<FlowKey, Tick>;

pub(super) struct TableObserver {
    tables: Tables,
    flows: Table<FlowKey, Flow>,
    half_open: Table<FlowKey, Flow>,
    nat: Table<NatKey, FlowKey>,
    traffic: PerCpuArray<MapData, Traffic>,
    reasons: PerCpuArray<MapData, u64>,
    /// Of the last sweep: established pins, half-open pins.
    suspects: [Suspects; 2],
    /// Of the last sweep: ports of the gateway that stand for no flow.
    idle_ports: HashSet<NatKey>,
}

impl TableObserver {
    pub(super) fn open(pins: &Pins) -> Result<Self, Refusal> {
        let dir = pins.dir();
        Ok(Self {
            tables: Tables::open(&dir)?,
            flows: Table::open(&dir, names::FLOWS)?,
            half_open: Table::open(&dir, names::HALF_OPEN)?,
            nat: Table::open(&dir, names::NAT)?,
            traffic: open_per_cpu(&dir, names::TRAFFIC)?,
            reasons: open_per_cpu(&dir, names::REASONS)?,
            suspects: Default::default(),
            idle_ports: HashSet::new(),
        })
    }
}

impl Observer for TableObserver {
    fn flows(&mut self) -> Result<Vec<FlowRow>, Refusal> {
        let state = self.tables.state()?;
        let frontends: BTreeMap<u32, SocketAddr> =
            state.frontend_addrs.iter().map(|(id, at)| (*id, socket_addr(at.addr(), at.port()))).collect();
        let now = now()?;
        let mut rows = Vec::new();
        self.flows.each(|key, flow| rows.extend(row(&state, &frontends, key, flow, now, true)))?;
        self.half_open.each(|key, flow| rows.extend(row(&state, &frontends, key, flow, now, false)))?;
        Ok(rows)
    }

    fn counters(&mut self) -> Result<Counters, Refusal> {
        let mut counters = Counters::default();
        for (id, name) in self.tables.deployments()? {
            let mut both = [Traffic::default(); 2];
            for (colour, sum) in Colour::BOTH.into_iter().zip(&mut both) {
                let slice = SliceId::new(id, colour).index();
                let cpus = self.traffic.get(&slice, 0).map_err(|error| refusal(names::TRAFFIC, &error))?;
                cpus.iter().for_each(|cpu| sum.add(cpu));
            }
            counters.traffic.push((name, both));
        }
        for reason in Reason::ALL {
            let cpus =
                self.reasons.get(&reason.index(), 0).map_err(|error| refusal(names::REASONS, &error))?;
            counters.reasons.push((*reason, cpus.iter().sum()));
        }
        Ok(counters)
    }

    /// Marks in one pass and deletes in the next, keeping the marks here: a write to an entry of a hash
    /// table replaces it, and would lose what a program writes to it at the same time.
    fn sweep(&mut self, lifetimes: &Lifetimes) -> Result<Sweep, Refusal> {
        let start = Instant::now();
        let now = now()?;
        let Self { tables, flows, half_open, suspects: [established, fresh], .. } = self;
        let mut sweep = Sweep::default();
        let mut census = Census::new(now);
        // In this order, because pins move from the second table to the first: one may be seen twice, but
        // none is missed.
        pass(half_open, fresh, &mut sweep, |flow, key| {
            census.note(flow, flow.confirmed());
            let lifetime = established_ticks(lifetimes, key.proto(), flow);
            now.since(flow.seen) > if flow.confirmed() { lifetime } else { Flow::HALF_OPEN_TICKS }
        })?;
        pass(flows, established, &mut sweep, |flow, key| {
            census.note(flow, true);
            now.since(flow.seen) > established_ticks(lifetimes, key.proto(), flow)
        })?;
        census.tell(tables, &mut sweep)?;
        self.free_ports()?;
        sweep.took = start.elapsed();
        Ok(sweep)
    }
}

impl TableObserver {
    /// Frees the ports whose flow has no pin to their backend, found by this pass and by the one before.
    fn free_ports(&mut self) -> Result<(), Refusal> {
        let mut ports = Vec::new();
        self.nat.each(|at, key| ports.push((*at, *key)))?;
        let mut idle = HashSet::new();
        for (at, key) in ports {
            let pin = match self.flows.get(&key)? {
                Some(pin) => Some(pin),
                None => self.half_open.get(&key)?,
            };
            if pin.is_some_and(|pin| pin.backend == at.backend()) {
                continue;
            }
            if self.idle_ports.contains(&at) {
                self.nat.remove(&at)?;
            } else {
                idle.insert(at);
            }
        }
        self.idle_ports = idle;
        Ok(())
    }
}

/// One pass over a table: counts its pins, deletes those that were suspected and have not stirred, and
/// leaves the new suspects.
fn pass(
    table: &Table<FlowKey, Flow>,
    suspects: &mut Suspects,
    sweep: &mut Sweep,
    mut idle: impl FnMut(&Flow, &FlowKey) -> bool,
) -> Result<(), Refusal> {
    let mut found = Suspects::new();
    let mut condemned = Vec::new();
    table.each(|key, flow| {
        sweep.pins += 1;
        if idle(flow, key) {
            if suspects.get(key) == Some(&flow.seen) {
                condemned.push((*key, flow.seen));
            } else if found.len() < SUSPECTS {
                found.insert(*key, flow.seen);
            }
        }
    })?;
    for (key, seen) in condemned {
        // The pass is milliseconds old; the flow may have come back.
        if table.get(&key)?.is_some_and(|flow| flow.seen == seen) {
            table.remove(&key)?;
            sweep.expired += 1;
            sweep.pins = sweep.pins.saturating_sub(1);
        }
    }
    *suspects = found;
    Ok(())
}

fn established_ticks(lifetimes: &Lifetimes, proto: Proto, flow: &Flow) -> u32 {
    let lifetime = if flow.closed() {
        lifetimes.closed
    } else if flow.half_closed() {
        lifetimes.half_closed
    } else if proto != Proto::TCP {
        lifetimes.udp
    } else {
        lifetimes.established
    };
    Tick::from_nanos(u64::try_from(lifetime.as_nanos()).unwrap_or(u64::MAX)).0
}

fn row(
    state: &State,
    frontends: &BTreeMap<u32, SocketAddr>,
    key: &FlowKey,
    flow: &Flow,
    now: Tick,
    established: bool,
) -> Option<FlowRow> {
    let backend = state.backends.get(&flow.backend)?;
    let slice = backend.slice();
    let at = backend.endpoint();
    // A whole address has the port that the client asked for.
    let asked =
        |addr: SocketAddr| if addr.port() == 0 { (addr.ip(), key.asked().get()).into() } else { addr };
    Some(FlowRow {
        client: client(key, at.addr().is_v4()),
        protocol: match key.proto() {
            Proto::TCP => Protocol::Tcp,
            Proto::UDP => Protocol::Udp,
            _ => Protocol::Any,
        },
        frontend: asked(*frontends.get(&flow.frontend)?),
        backend: asked(socket_addr(at.addr(), at.port())),
        deployment: state.deployments.get(&slice.deployment())?.clone(),
        service: state.services.get(&key.service())?.name.clone(),
        colour: slice.colour(),
        state: match (flow.closed(), flow.half_closed(), established || flow.confirmed()) {
            (true, _, _) => FlowState::Closed,
            (_, true, _) => FlowState::HalfClosed,
            (_, _, true) => FlowState::Established,
            (_, _, false) => FlowState::HalfOpen,
        },
        idle: duration(now.since(flow.seen)),
        age: duration(flow.began().ticks_until(now)),
    })
}

/// The client of a flow. A socket of the gateway's own appears as its loopback address, with part of its cookie for
/// a port.
fn client(key: &FlowKey, v4: bool) -> SocketAddr {
    match local::cookie(key) {
        None => socket_addr(key.client(), key.port()),
        Some(cookie) => {
            let ip = if v4 { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
            SocketAddr::new(ip, cookie as u16)
        }
    }
}

pub(super) fn socket_addr(addr: Addr, port: Port) -> SocketAddr {
    SocketAddr::new(addr.into(), port.get())
}

pub(super) fn duration(ticks: u32) -> Duration {
    Duration::from_nanos(u64::from(ticks) * Tick::NANOS)
}

/// The time as the programs tell it.
fn now() -> Result<Tick, Refusal> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(|error| refusal("CLOCK_MONOTONIC", &error))?;
    let nanos = Duration::from(time).as_nanos();
    Ok(Tick::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}
