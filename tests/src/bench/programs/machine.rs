//! The programs of this build, loaded with tables of their own: nothing is pinned or attached.
//!
//! A frame is not restored between two packets of a test run, so each backend is given the address and
//! port of its frontend: whatever is rewritten is as before, and each packet makes the whole way.

use super::super::asm::flow_source;
use anyhow::{Context, Result, bail};
use aya::maps::{Array, HashMap, MapData, PerCpuArray};
use aya::programs::{Program, ProgramInfo};
use aya::{Ebpf, EbpfLoader};
use bg_common::bucket::{Bucket, Slot, choices, place};
use bg_common::names::{self, PROGRAMS};
use bg_common::{
    Backend, Colour, Endpoint, Flow, FlowKey, Frontend, Port, Proto, Reason, Ring, Service, SliceId, Tick,
    Traffic, Via, Word,
};
use bg_userspace::dataplane::kernel::OBJECT;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

/// A frontend of IPv4 whose backends are reached by the stack.
pub(super) const WEB4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), 80);
/// The same service over IPv6.
pub(super) const WEB6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10)), 80);
/// A service of datagrams.
pub(super) const NAMES: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), 53);
/// A frontend whose backends are reached by redirect.
pub(super) const NEAR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 20)), 80);
/// A client with a flow to each of them.
pub(super) const CLIENT4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)), 40_000);
/// The same over IPv6.
pub(super) const CLIENT6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 2)), 40_000);
/// Network of the clients of which there are many: flow `i` comes from [`flow_source`] `i` in it.
pub(super) const CROWD: [u8; 3] = [198, 18, 0];
/// Flows of that crowd, all in a table that holds few more.
pub(super) const FLOWS: u32 = 1 << 20;
/// Services of the machine that has many.
pub(super) const SERVICES: u16 = 10_000;
/// Where its services beyond the others' listen, one port each.
pub(super) const FURTHER: u16 = 1_001;
/// The last of them.
pub(super) const LAST4: SocketAddr = SocketAddr::new(WEB4.ip(), FURTHER + SERVICES - FEW - 1);

/// Beyond the crowd's flows, those of the single clients.
const SPARE: u32 = 64;

/// Service, frontend, protocol, way, and a client with a flow.
type Entry = (u32, SocketAddr, Proto, Via, SocketAddr);

/// What is configured in any case: service, frontend, backend and ring position have the same number where
/// there is one of each; a service has one for each family.
const ENTRIES: [Entry; 4] = [
    (0, WEB4, Proto::TCP, Via::Stack, CLIENT4),
    (0, WEB6, Proto::TCP, Via::Stack, CLIENT6),
    (1, NAMES, Proto::UDP, Via::Stack, CLIENT4),
    (2, NEAR, Proto::TCP, Via::Peer, CLIENT4),
];

/// Services in [`ENTRIES`].
const FEW: u16 = 3;

/// What the programs have counted so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Count {
    /// Packets to or from the slice.
    pub(super) packets: u64,
    /// Flows that the slice was given.
    pub(super) flows: u64,
    /// Packets that named neither a frontend nor a backend.
    pub(super) not_ours: u64,
}

/// How large a program is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Instructions as the kernel keeps them.
    pub(super) instructions: u32,
    /// Instructions that the verifier looked at, on every way through the program.
    pub(super) verified: u32,
    /// Bytes of machine code.
    pub(super) native: u32,
}

/// Programs and tables of their own.
pub(super) struct Machine {
    ebpf: Ebpf,
}

impl Machine {
    /// With few services, and a crowd's flows to one of them.
    pub(super) fn crowded() -> Result<Self> {
        let mut this = Self::load(FLOWS + SPARE)?;
        this.fill(&mut [Service::default(); FEW as usize], &[])?;
        this.fill_crowd()?;
        Ok(this)
    }

    /// With [`SERVICES`], and a flow of one client to each.
    pub(super) fn versatile() -> Result<Self> {
        let mut this = Self::load(u32::from(SERVICES) + SPARE)?;
        let further: Vec<Entry> = (0..SERVICES - FEW)
            .map(|number| {
                let at = SocketAddr::new(WEB4.ip(), FURTHER + number);
                (u32::from(FEW + number), at, Proto::TCP, Via::Stack, CLIENT4)
            })
            .collect();
        this.fill(&mut vec![Service::default(); SERVICES.into()], &further)?;
        Ok(this)
    }

    fn load(flows: u32) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        loader.map_max_entries(names::FLOWS, flows);
        let mut ebpf = loader.load(OBJECT).context("load the packet programs")?;
        for name in PROGRAMS {
            match ebpf.program_mut(name) {
                Some(Program::Xdp(xdp)) => xdp.load(),
                Some(Program::SchedClassifier(tc)) => tc.load(),
                Some(Program::CgroupSockAddr(socket)) => socket.load(),
                Some(Program::CgroupSock(socket)) => socket.load(),
                _ => bail!("{name} is not in the object"),
            }
            .with_context(|| format!("load {name}"))?;
        }
        Ok(Self { ebpf })
    }

    /// The programs alone, without anything in their tables.
    pub(super) fn bare() -> Result<Self> {
        Self::load(SPARE)
    }

    /// A program, to be run.
    pub(super) fn program(&self, name: &str) -> Result<OwnedFd> {
        let fd = match self.ebpf.program(name) {
            Some(Program::Xdp(xdp)) => xdp.fd()?,
            Some(Program::SchedClassifier(tc)) => tc.fd()?,
            _ => bail!("{name} is not in the object"),
        };
        Ok(fd.as_fd().try_clone_to_owned()?)
    }

    pub(super) fn size(&self, name: &str) -> Result<Size> {
        const INSTRUCTION: u32 = 8;
        let info: ProgramInfo =
            self.ebpf.program(name).with_context(|| format!("{name} is not in the object"))?.info()?;
        Ok(Size {
            instructions: info.size_translated().unwrap_or_default() / INSTRUCTION,
            verified: info.verified_instruction_count().unwrap_or_default(),
            native: info.size_jitted(),
        })
    }

    pub(super) fn count(&self) -> Result<Count> {
        let traffic: PerCpuArray<_, Traffic> =
            self.ebpf.map(names::TRAFFIC).context(names::TRAFFIC)?.try_into()?;
        let reasons: PerCpuArray<_, u64> =
            self.ebpf.map(names::REASONS).context(names::REASONS)?.try_into()?;
        let slice = traffic.get(&SLICE.index(), 0)?;
        Ok(Count {
            packets: slice.iter().map(|cpu| cpu.packets_in + cpu.packets_out).sum(),
            flows: slice.iter().map(|cpu| cpu.flows).sum(),
            not_ours: reasons.get(&Reason::NotOurs.index(), 0)?.iter().sum(),
        })
    }

    fn put<V: Copy>(&mut self, name: &str, at: Endpoint, value: V) -> Result<()>
    where
        Bucket<V>: aya::Pod,
    {
        let candidates = choices(&at, names::ENDPOINT_BUCKETS);
        let mut array: Array<_, Bucket<V>> = self.array(name)?;
        let [first, second] = candidates;
        let candidates = [(first, array.get(&first, 0)?), (second, array.get(&second, 0)?)];
        let place = place(&at, candidates).context("both buckets are full")?;
        array.set(place.index, place.with(Slot { at, value }), 0)?;
        Ok(())
    }

    /// Fills everything but the crowd: [`ENTRIES`], then what is further.
    fn fill(&mut self, services: &mut [Service], further: &[Entry]) -> Result<()> {
        self.array(names::DEPLOYMENTS)?.set(0, Word::initial(Colour::Blue), 0)?;
        for (id, (service, at, proto, via, client)) in (0..).zip(ENTRIES.iter().chain(further).copied()) {
            let endpoint = endpoint(at, proto);
            let backend = Backend::new(endpoint, service, SLICE, via, LOOPBACK);
            self.array(names::BACKENDS)?.set(id, backend, 0)?;
            self.put(names::BACKENDS_BY_ADDR, endpoint, u64::from(id))?;
            self.array(names::FRONTEND_ADDRS)?.set(id, endpoint, 0)?;
            self.put(names::FRONTENDS, endpoint, Frontend::live(service, id as u16))?;
            self.array(names::RING)?.set(id, id, 0)?;
            let slot = Service::slot(Colour::Blue, at.is_ipv6());
            if let Some(ring) =
                services.get_mut(service as usize).and_then(|service| service.rings.get_mut(slot))
            {
                *ring = Ring::new(id, 1);
            }
            let key = FlowKey::new(client.ip().into(), client.port().into(), proto, service);
            self.hash(names::FLOWS)?.insert(key, established(id), 0)?;
        }
        for (id, service) in (0..).zip(services) {
            self.array(names::SERVICES)?.set(id, *service, 0)?;
        }
        Ok(())
    }

    fn fill_crowd(&mut self) -> Result<()> {
        let [a, b, c] = CROWD;
        let mut flows = self.hash(names::FLOWS)?;
        for flow in 0..FLOWS {
            let (d, port) = flow_source(flow);
            let client = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
            let key = FlowKey::new(client.into(), Port::from_wire(port), Proto::TCP, 0);
            flows.insert(key, established(0), 0)?;
        }
        Ok(())
    }

    fn array<V: aya::Pod>(&mut self, name: &str) -> Result<Array<&mut MapData, V>> {
        Ok(self.ebpf.map_mut(name).with_context(|| name.to_owned())?.try_into()?)
    }

    fn hash<K: aya::Pod, V: aya::Pod>(&mut self, name: &str) -> Result<HashMap<&mut MapData, K, V>> {
        Ok(self.ebpf.map_mut(name).with_context(|| name.to_owned())?.try_into()?)
    }
}

/// The only slice with traffic.
const SLICE: SliceId = SliceId::new(0, Colour::Blue);
/// Nothing is sent, so any interface will do.
const LOOPBACK: u32 = 1;

fn endpoint(at: SocketAddr, proto: Proto) -> Endpoint {
    Endpoint::new(at.ip().into(), at.port().into(), proto)
}

fn established(id: u32) -> Flow {
    Flow::new(id, id, Tick::default()).with_state(Flow::ANSWERED)
}
