//! The programs in this kernel with tables of their own, and what is in those afterwards.

use super::network::DEPLOYMENTS;
use crate::bench::bpf::{self, Segments};
use crate::model::{Backend, Datagram, Key, Pin, Place, Program, Slice, Stead, Tables, WHOLE, Went, Word};
use crate::run;
use crate::world::put;
use anyhow::{Context, Result};
use aya::maps::lpm_trie::{Key as Prefix, LpmTrie};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, PerCpuValues};
use aya::{Ebpf, EbpfLoader};
use bg_common::bucket::Bucket;
use bg_common::{
    Began, Colour, Endpoint, Flow, FlowKey, Fragment, FragmentKey, Frontend, NatKey, PreviewKey, Proto,
    Reason, Ring, Service, Settings, SliceId, Source, Tick, Traffic, names,
};
use bg_userspace::dataplane::kernel::OBJECT;
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// Room for pins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    /// Established ones, if not as many as usual.
    pub(super) flows: Option<u32>,
    /// Half-open ones. With this, the table has no way to make room: that of the product throws out old entries, and
    /// is never full unless the kernel is out of memory.
    pub(super) half_open: Option<u32>,
    /// Datagrams in fragments, in the same way.
    pub(super) fragments: Option<u32>,
    /// Ports that stand for flows, if not as many as usual.
    pub(super) nat: Option<u32>,
}

impl Sizes {
    /// Entries of the four tables.
    pub(super) fn room(self) -> [usize; 4] {
        let Self { flows, half_open, fragments, nat } = self;
        [
            flows.unwrap_or(names::DEFAULT_FLOWS),
            half_open.unwrap_or(names::DEFAULT_HALF_OPEN),
            fragments.unwrap_or(names::MAX_FRAGMENTED),
            nat.unwrap_or(names::MAX_NAT),
        ]
        .map(|entries| entries as usize)
    }
}

pub(super) struct Machine {
    programs: [OwnedFd; 6],
    flows: [HashMap<MapData, FlowKey, Flow>; 2],
    fragments: HashMap<MapData, FragmentKey, Fragment>,
    nat: HashMap<MapData, NatKey, FlowKey>,
    /// Backends for which clients are replaced.
    with_source: BTreeSet<u32>,
    words: Array<MapData, u64>,
    backends: Array<MapData, bg_common::Backend>,
    epoch: Array<MapData, u64>,
    changes: u64,
    reasons: PerCpuArray<MapData, u64>,
    traffic: PerCpuArray<MapData, Traffic>,
    cpus: usize,
    _ebpf: Ebpf,
}

impl Machine {
    pub(super) fn load(sizes: Sizes, tables: &Tables) -> Result<Self> {
        let mut loader = EbpfLoader::new();
        if let Some(entries) = sizes.flows {
            loader.map_max_entries(names::FLOWS, entries);
        }
        if let Some(entries) = sizes.nat {
            loader.map_max_entries(names::NAT, entries);
        }
        let half_open = [size_of::<FlowKey>(), size_of::<Flow>()];
        let fragments = [size_of::<FragmentKey>(), size_of::<Fragment>()];
        let mut instead = Vec::new();
        for (name, entries, sizes) in
            [(names::HALF_OPEN, sizes.half_open, half_open), (names::FRAGMENTS, sizes.fragments, fragments)]
        {
            if let Some(entries) = entries {
                instead.push((name, StandIn::new(name, entries, sizes)?));
            }
        }
        for (name, instead) in &instead {
            loader.map_pin_path(name, &*instead.0);
        }
        let mut ebpf = loader.load(OBJECT).context("load the packet programs")?;
        drop(instead);
        fill(&mut ebpf, tables)?;
        let programs = [
            names::XDP_INGRESS,
            names::TC_INGRESS,
            names::TC_ZONE,
            names::TC_EGRESS,
            names::NAT_EGRESS,
            names::NAT_INGRESS,
        ];
        let mut loaded = Vec::new();
        for name in programs {
            loaded.push(program(&mut ebpf, name).with_context(|| format!("load {name}"))?);
        }
        let programs = loaded.try_into().ok().context("there are six programs")?;
        let flows = [table(&mut ebpf, names::FLOWS)?, table(&mut ebpf, names::HALF_OPEN)?];
        Ok(Self {
            programs,
            flows,
            fragments: table(&mut ebpf, names::FRAGMENTS)?,
            nat: table(&mut ebpf, names::NAT)?,
            with_source: tables.sources.keys().copied().collect(),
            words: table(&mut ebpf, names::DEPLOYMENTS)?,
            backends: table(&mut ebpf, names::BACKENDS)?,
            epoch: table(&mut ebpf, names::EPOCH)?,
            changes: 0,
            reasons: table(&mut ebpf, names::REASONS)?,
            traffic: table(&mut ebpf, names::TRAFFIC)?,
            cpus: aya::util::nr_cpus().map_err(|(_, error)| error)?,
            _ebpf: ebpf,
        })
    }

    /// Runs a program on a frame, and leaves in `out` what becomes of that.
    pub(super) fn run(
        &self,
        program: Program,
        frame: &[u8],
        segments: (u16, u16),
        out: &mut Vec<u8>,
    ) -> Result<i32> {
        let [xdp, ingress, zone, egress, nat_egress, nat_ingress] = &self.programs;
        let fd = match program {
            Program::Xdp => xdp,
            Program::Ingress => ingress,
            Program::Zone => zone,
            Program::Egress => egress,
            Program::NatEgress => nat_egress,
            Program::NatIngress => nat_ingress,
        };
        let segments =
            (segments.0 > 0 && program.is_tc()).then_some(Segments { count: segments.0, size: segments.1 });
        let action = bpf::once(fd.as_fd(), frame, segments, out)
            .with_context(|| format!("run {program:?} on {} bytes", frame.len()))?;
        Ok(action.cast_signed())
    }

    fn flows(&self, place: Place) -> &HashMap<MapData, FlowKey, Flow> {
        let [established, half_open] = &self.flows;
        match place {
            Place::Established => established,
            Place::HalfOpen => half_open,
        }
    }

    fn flows_mut(&mut self, place: Place) -> &mut HashMap<MapData, FlowKey, Flow> {
        let [established, half_open] = &mut self.flows;
        match place {
            Place::Established => established,
            Place::HalfOpen => half_open,
        }
    }

    /// A pin as it is.
    pub(super) fn pin(&self, place: Place, key: &Key) -> Option<Flow> {
        self.flows(place).get(&flow_key(key), 0).ok()
    }

    /// Where a first fragment went, as it stands in the table.
    pub(super) fn fragment(&self, name: &Datagram) -> Option<Fragment> {
        self.fragments.get(&fragment_key(name), 0).ok()
    }

    /// All that is remembered of fragments.
    pub(super) fn all_fragments(&self) -> Vec<(FragmentKey, Fragment)> {
        self.fragments.iter().filter_map(Result::ok).collect()
    }

    /// All ports that stand for flows.
    pub(super) fn hidden(&self) -> Vec<(NatKey, FlowKey)> {
        self.nat.iter().filter_map(Result::ok).collect()
    }

    /// Gives a port to a flow, or takes it back.
    pub(super) fn set_hidden(&mut self, at: &Stead, flow: Option<&Key>) -> Result<()> {
        match flow {
            Some(flow) => self.nat.insert(nat_key(at), flow_key(flow), 0)?,
            // It may not be there.
            None => drop(self.nat.remove(&nat_key(at))),
        }
        Ok(())
    }

    /// All pins.
    pub(super) fn pins(&self, place: Place) -> Vec<(FlowKey, Flow)> {
        self.flows(place).iter().filter_map(Result::ok).collect()
    }

    pub(super) fn set_pin(&mut self, place: Place, key: &Key, pin: Option<Pin>) -> Result<()> {
        let table = self.flows_mut(place);
        match pin {
            Some(pin) => table.insert(flow_key(key), flow(&pin), 0)?,
            // It may not be there.
            None => drop(table.remove(&flow_key(key))),
        }
        self.changed()
    }

    /// Tells the programs that a table is not as it was. That is what whoever changes one has to do.
    fn changed(&mut self) -> Result<()> {
        self.changes += 1;
        Ok(self.epoch.set(0, self.changes, 0)?)
    }

    pub(super) fn set_word(&mut self, deployment: u32, word: Word) -> Result<()> {
        Ok(self.words.set(deployment, word.0, 0)?)
    }

    /// Writes a backend, or that there is none.
    pub(super) fn set_backend(&mut self, id: u32, is: Option<&Backend>) -> Result<()> {
        let with_source = self.with_source.contains(&id);
        self.backends.set(id, is.map(|plain| backend(plain, with_source)).unwrap_or_default(), 0)?;
        self.changed()
    }

    /// As if nothing had happened: nothing is pinned or counted.
    pub(super) fn clear(&mut self) -> Result<()> {
        for place in Place::BOTH {
            for (key, _) in self.pins(place) {
                drop(self.flows_mut(place).remove(&key));
            }
        }
        for (key, _) in self.all_fragments() {
            drop(self.fragments.remove(&key));
        }
        for (key, _) in self.hidden() {
            drop(self.nat.remove(&key));
        }
        for index in 0..Reason::SLOTS {
            self.reasons.set(index, PerCpuValues::try_from(vec![0; self.cpus])?, 0)?;
        }
        for index in 0..DEPLOYMENTS * 2 {
            self.traffic.set(index, PerCpuValues::try_from(vec![Traffic::default(); self.cpus])?, 0)?;
        }
        self.changed()
    }

    /// How often each reason was counted.
    pub(super) fn counted(&self) -> Result<Vec<(Reason, u64)>> {
        let count = |reason: &Reason| Ok((*reason, self.reasons.get(&reason.index(), 0)?.iter().sum()));
        Reason::ALL.iter().map(count).collect()
    }

    /// What a slice carries.
    pub(super) fn traffic(&self, deployment: u32, colour: Colour) -> Result<Traffic> {
        let mut sum = Traffic::default();
        for cpu in self.traffic.get(&SliceId::new(deployment, colour).index(), 0)?.iter() {
            sum.add(cpu);
        }
        Ok(sum)
    }
}

/// A table without room, in the place of one that makes it.
pub(super) struct StandIn(pub(super) PathBuf);

impl StandIn {
    pub(super) fn new(name: &str, entries: u32, sizes: [usize; 2]) -> Result<Self> {
        let directory = PathBuf::from(run::PINS).join(run::unique());
        fs::create_dir_all(&directory)?;
        let path = directory.join(name);
        drop(bpf::pinned_hash(&path, sizes[0] as u32, sizes[1] as u32, entries)?);
        Ok(Self(path))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // A leftover is swept by the next run.
        drop(self.0.parent().map(fs::remove_dir_all));
    }
}

fn program(ebpf: &mut Ebpf, name: &str) -> Result<OwnedFd> {
    let program = ebpf.program_mut(name).context("it is not in the object")?;
    let fd = if name == names::XDP_INGRESS {
        let xdp: &mut aya::programs::Xdp = program.try_into()?;
        xdp.load()?;
        xdp.fd()?
    } else {
        let tc: &mut aya::programs::SchedClassifier = program.try_into()?;
        tc.load()?;
        tc.fd()?
    };
    Ok(fd.as_fd().try_clone_to_owned()?)
}

pub(super) fn table<T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(
    ebpf: &mut Ebpf,
    name: &str,
) -> Result<T> {
    let map = ebpf.take_map(name).with_context(|| format!("{name} is not in the object"))?;
    Ok(T::try_from(map)?)
}

fn array<'a, V: aya::Pod>(ebpf: &'a mut Ebpf, name: &str) -> Result<Array<&'a mut MapData, V>> {
    Ok(ebpf.map_mut(name).with_context(|| name.to_owned())?.try_into()?)
}

/// Writes what is configured.
pub(super) fn fill(ebpf: &mut Ebpf, tables: &Tables) -> Result<()> {
    let whole = tables.frontends.keys().any(|at| (at.1, at.2) == WHOLE);
    array(ebpf, names::SETTINGS)?.set(0, Settings::default().with_whole_addresses(whole), 0)?;
    for ip in &tables.vips {
        bucket(ebpf, names::FRONTENDS, endpoint((*ip, WHOLE.0, WHOLE.1)), Frontend::vip())?;
    }
    let mut ring = 0;
    for (id, plain) in &tables.services {
        let mut service = Service { deployment: plain.deployment, ..Service::default() };
        let flags = [
            (plain.refuses, Service::REFUSE),
            (plain.by_client, Service::BY_CLIENT),
            (plain.canary_by_client, Service::CANARY_BY_CLIENT),
        ];
        service.flags = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum();
        for ((colour, v6), backends) in &plain.rings {
            service.rings[Service::slot(*colour, *v6)] = Ring::new(ring, backends.len() as u32);
            for backend in backends {
                array::<u32>(ebpf, names::RING)?.set(ring, backend, 0)?;
                ring += 1;
            }
        }
        array(ebpf, names::SERVICES)?.set(*id, service, 0)?;
    }
    for (id, plain) in &tables.backends {
        let with_source = tables.sources.contains_key(id);
        array(ebpf, names::BACKENDS)?.set(*id, backend(plain, with_source), 0)?;
    }
    for (id, (addr, prefix)) in &tables.sources {
        array(ebpf, names::SOURCES)?.set(*id, Source::new((*addr).into(), *prefix as u8), 0)?;
    }
    for (at, id) in &tables.backends_by_addr {
        bucket(ebpf, names::BACKENDS_BY_ADDR, endpoint(*at), u64::from(*id))?;
    }
    for (at, frontend) in &tables.frontends {
        let entry = Frontend::aimed(frontend.service, frontend.id as u16, frontend.aim);
        bucket(ebpf, names::FRONTENDS, endpoint(*at), entry)?;
        array(ebpf, names::FRONTEND_ADDRS)?.set(frontend.id, endpoint(*at), 0)?;
    }
    let map = ebpf.map_mut(names::PREVIEW).context(names::PREVIEW)?;
    let mut previews: LpmTrie<_, [u32; 5], u32> = map.try_into()?;
    for ((deployment, network, prefix), aim) in &tables.previews {
        let key = PreviewKey::prefix(*deployment, (*network).into(), *prefix as u8);
        // SAFETY: the same bytes, all of them integers.
        let [bits, data @ ..]: [u32; 6] = unsafe { std::mem::transmute(key) };
        previews.insert(&Prefix::new(bits, data), *aim as u32, 0)?;
    }
    Ok(())
}

fn bucket<V: Copy>(ebpf: &mut Ebpf, name: &str, at: Endpoint, value: V) -> Result<()>
where
    Bucket<V>: aya::Pod,
{
    let array = std::cell::RefCell::new(array::<Bucket<V>>(ebpf, name)?);
    let read = |index| array.borrow().get(&index, 0).expect("an array has all its entries");
    put(at, value, read, |index, bucket| {
        array.borrow_mut().set(index, bucket, 0).expect("an array has all its entries");
    });
    Ok(())
}

/// A datagram as the tables name it.
pub(super) fn fragment_key((src, dst, proto, id): &Datagram) -> FragmentKey {
    FragmentKey::new((*src).into(), (*dst).into(), Proto(*proto), *id)
}

/// What is remembered of a first fragment, as the tables have it.
pub(super) fn fragment((went, seen): &(Went, u32)) -> Fragment {
    let (end, backend, frontend) = match *went {
        Went::Slice(backend) => (Fragment::TO_SLICE, backend, 0),
        Went::Client(backend, frontend) => (Fragment::TO_CLIENT, backend, frontend),
        Went::Own => (Fragment::OWN, 0, 0),
    };
    Fragment { end, backend, frontend, seen: Tick(*seen) }
}

fn endpoint((ip, port, proto): (std::net::IpAddr, u16, u8)) -> Endpoint {
    Endpoint::new(ip.into(), port.into(), Proto(proto))
}

fn backend(plain: &Backend, with_source: bool) -> bg_common::Backend {
    let Backend { ip, port, proto, service, deployment, colour, via, ifindex, down, on_switch } = *plain;
    let slice = SliceId::new(deployment, colour);
    let up =
        bg_common::Backend::new(endpoint((ip, port, proto)), service, slice, via, ifindex).leaving(on_switch);
    let up = if with_source { up.with_source() } else { up };
    down.map_or(up, |pinned| up.down(pinned))
}

/// A flow's name as the tables have it.
pub(super) fn flow_key((client, port, proto, service, asked): &Key) -> FlowKey {
    FlowKey::whole((*client).into(), (*port).into(), Proto(*proto), *service, (*asked).into())
}

/// A port that stands for a flow, as the tables name it.
pub(super) fn nat_key((backend, port, proto): &Stead) -> NatKey {
    NatKey::new(*backend, (*port).into(), Proto(*proto))
}

/// A pin as the tables have it.
pub(super) fn flow(pin: &Pin) -> Flow {
    let began = Began::at(Tick(pin.began));
    Flow::new(pin.backend, pin.frontend, Tick(pin.seen)).with_state(pin.state).with_began(began)
}

/// How what a slice carries differs from what the model says; empty when it does not.
pub(super) fn traffic_differs(want: &Slice, got: &Traffic) -> String {
    let counts = Slice {
        packets: [got.packets_in, got.packets_out],
        bytes: [got.bytes_in, got.bytes_out],
        flows: [got.flows, got.handshakes],
        answered: [got.answered, got.handshakes_answered],
        resets: [got.resets, got.refused],
        newest: want.newest,
    };
    let times = match want.newest {
        None => got.last_new_ns == 0 && got.first_new_ns == 0,
        Some((last, first, generation)) => {
            (last.0..=last.1).contains(&got.last_new_ns)
                && (first.0..=first.1).contains(&got.first_new_ns)
                && got.first_new_generation == generation
        }
    };
    if counts == *want && times { String::new() } else { format!("{got:?} instead of {want:?}") }
}
