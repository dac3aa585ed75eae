//! Plays the changes on tables in memory and looks at them after every single one, as a packet would.

use super::super::state::{Op, ServiceState, State};
use super::{endpoint, flaps, forget_backend, forget_frontend, reconcile};
use crate::dataplane::{BackendSpec, DeploymentSpec, Protocol, ServiceSpec, SourceSpec};
use bg_common::{
    Aim, Backend, Colour, Endpoint, Fate, Frontend, PinnedFlows, PreviewKey, Ring, Service, Settings,
    SliceId, Source, Via, Word,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// What the programs would see.
#[derive(Default)]
struct Tables {
    words: BTreeMap<u32, Word>,
    deployments: BTreeMap<u32, String>,
    services: BTreeMap<u32, Service>,
    service_names: BTreeMap<u32, String>,
    ring: BTreeMap<u32, u32>,
    backends: BTreeMap<u32, Backend>,
    backends_by_addr: BTreeMap<Endpoint, u32>,
    frontends: BTreeMap<Endpoint, Frontend>,
    frontend_addrs: BTreeMap<u32, Endpoint>,
    previews: BTreeMap<PreviewKey, u32>,
    settings: Settings,
    sources: BTreeMap<u32, Source>,
}

impl Tables {
    fn execute(&mut self, op: &Op) {
        match op {
            Op::InitialWord(id, word) => drop(self.words.insert(*id, *word)),
            Op::NameDeployment(id, name) => drop(self.deployments.insert(*id, name.as_str().to_owned())),
            Op::ForgetDeployment(id) => drop(self.deployments.remove(id)),
            Op::SetBackend(id, backend) => drop(self.backends.insert(*id, *backend)),
            Op::ClearBackend(id) => drop(self.backends.remove(id)),
            Op::SetSource(id, source) => drop(self.sources.insert(*id, *source)),
            Op::ClearSource(id) => drop(self.sources.remove(id)),
            Op::MapBackend(at, id) => drop(self.backends_by_addr.insert(*at, *id)),
            Op::UnmapBackend(at) => drop(self.backends_by_addr.remove(at)),
            Op::WriteRing(base, ids) => self.ring.extend((*base..).zip(ids.iter().copied())),
            Op::NameService(id, name) => drop(self.service_names.insert(*id, name.as_str().to_owned())),
            Op::SetService(id, service) => drop(self.services.insert(*id, *service)),
            Op::SetFlags(id, new) => {
                let service = self.services.get_mut(id).unwrap();
                assert_eq!(service.deployment, new.deployment, "a service moves");
                service.flags = new.flags;
            }
            Op::SetRing(id, slot, ring) => self.services.get_mut(id).unwrap().rings[*slot] = *ring,
            Op::ForgetService(id) => {
                self.service_names.remove(id);
                self.services.remove(id);
            }
            Op::SetFrontendAddr(id, at) => drop(self.frontend_addrs.insert(*id, *at)),
            Op::ClearFrontendAddr(id) => drop(self.frontend_addrs.remove(id)),
            Op::MapFrontend(at, frontend) => drop(self.frontends.insert(*at, *frontend)),
            Op::UnmapFrontend(at) => drop(self.frontends.remove(at)),
            Op::SetPreview(key, aim) => drop(self.previews.insert(*key, *aim)),
            Op::RemovePreview(key) => drop(self.previews.remove(key)),
            Op::Settings(settings) => self.settings = *settings,
        }
    }

    /// Whatever a packet finds leads to a backend of the service, colour and family that it was sent to.
    fn check_ways(&self) {
        for (at, frontend) in &self.frontends {
            if frontend.is_vip() {
                assert!(at.is_whole(), "a sign stands where packets are looked up");
                continue;
            }
            assert!(!at.is_whole() || self.settings.whole_addresses(), "nobody looks for it");
            assert_eq!(
                self.frontend_addrs.get(&frontend.id.into()),
                Some(at),
                "a reply would leave from elsewhere"
            );
            let Service { deployment, rings, .. } =
                self.services.get(&frontend.service).expect("the frontend leads somewhere");
            for colour in Colour::BOTH {
                for v6 in [false, true] {
                    let ring = rings[Service::slot(colour, v6)];
                    for position in ring.base()..ring.base() + ring.len() {
                        let backend = self.backends[&self.ring[&position]];
                        assert_eq!(backend.service(), frontend.service);
                        let sourceless =
                            backend.has_source() && !self.sources.contains_key(&self.ring[&position]);
                        assert!(!sourceless, "its clients would keep their address");
                        assert!(!backend.is_down() && backend.pinned() == PinnedFlows::Keep, "it is down");
                        assert_eq!(backend.slice(), SliceId::new(*deployment, colour));
                        assert_eq!(!backend.endpoint().addr().is_v4(), v6);
                    }
                }
            }
        }
    }

    fn state(&self) -> State {
        let named = |id: &u32| self.service_names[id].clone();
        let on = |ring: &Ring| (ring.base()..ring.base() + ring.len()).map(|at| self.ring[&at]).collect();
        State {
            deployments: self.deployments.clone(),
            services: self
                .services
                .iter()
                .map(|(id, Service { deployment, flags, rings })| {
                    let rings = rings.map(|ring| (ring, on(&ring)));
                    let (deployment, flags) = (*deployment, *flags);
                    (*id, ServiceState { deployment, name: named(id), flags, rings })
                })
                .collect(),
            frontends: self.frontends.clone(),
            frontend_addrs: self.frontend_addrs.clone(),
            backends: self.backends.clone(),
            backends_by_addr: self.backends_by_addr.clone(),
            previews: self.previews.clone(),
            settings: self.settings,
            sources: self.sources.clone(),
        }
    }
}

/// Changes the tables to hold `want`, looking at them after every step.
fn apply(tables: &mut Tables, want: &[DeploymentSpec]) -> Vec<Op> {
    let (ops, state) = reconcile(&tables.state(), want).expect("there is room");
    for op in &ops {
        tables.execute(op);
        tables.check_ways();
    }
    assert_eq!(tables.state(), state, "the tables are not what the plan thinks");
    ops
}

fn backend(colour: Colour, service: u8, host: u8, v6: bool) -> BackendSpec {
    let net = 1 + colour as u8;
    let addr: SocketAddr = if v6 {
        format!("[fd00:{net}::{host}]:{}", 1000 + u16::from(service)).parse().unwrap()
    } else {
        format!("10.{net}.0.{host}:{}", 1000 + u16::from(service)).parse().unwrap()
    };
    BackendSpec::serving(addr, Via::Stack, 1)
}

fn deployment(name: &str, services: Vec<ServiceSpec>) -> DeploymentSpec {
    DeploymentSpec {
        name: name.to_owned(),
        initial: Word::initial(Colour::Blue),
        services,
        previews: Vec::new(),
    }
}

fn service(number: u8, vips: &[u8], blue: &[u8], green: &[u8]) -> ServiceSpec {
    let both = |colour, hosts: &[u8]| {
        [false, true]
            .into_iter()
            .flat_map(|v6| hosts.iter().map(move |host| backend(colour, number, *host, v6)))
            .collect()
    };
    ServiceSpec {
        name: format!("service-{number}"),
        protocol: Protocol::Tcp,
        frontends: vips
            .iter()
            .map(|vip| format!("192.0.2.{vip}:{}", 80 + u16::from(number)).parse().unwrap())
            .collect(),
        backends: [both(Colour::Blue, blue), both(Colour::Green, green)],
        ..ServiceSpec::default()
    }
}

#[test]
fn what_is_there_already_is_left_alone() {
    let mut tables = Tables::default();
    let want = [deployment("shop", vec![service(0, &[10], &[1, 2], &[1])])];
    assert!(!apply(&mut tables, &want).is_empty());
    assert_eq!(apply(&mut tables, &want), []);
}

fn whole(vip: u8, blue: u8, green: u8) -> ServiceSpec {
    let frontends = vec![format!("192.0.2.{vip}:0").parse().unwrap()];
    let backends = [(1, blue), (2, green)].map(|(net, host)| {
        vec![BackendSpec::serving(format!("10.{net}.0.{host}:0").parse().unwrap(), Via::Stack, 1)]
    });
    let name = format!("whole/192.0.2.{vip}");
    ServiceSpec { name, protocol: Protocol::Any, frontends, backends, ..ServiceSpec::default() }
}

#[test]
fn programs_look_for_whole_addresses_as_long_as_there_can_be_replies_from_one() {
    let mut tables = Tables::default();
    let ports = deployment("shop", vec![service(0, &[10, 11], &[1], &[1])]);
    apply(&mut tables, std::slice::from_ref(&ports));
    assert_eq!(
        tables.frontends.values().filter(|frontend| frontend.is_vip()).count(),
        2,
        "a sign for each VIP"
    );
    assert!(!tables.settings.whole_addresses());
    let both = [ports.clone(), deployment("all", vec![whole(10, 9, 9), whole(12, 8, 8)])];
    apply(&mut tables, &both);
    assert!(tables.settings.whole_addresses());
    assert_eq!(apply(&mut tables, &both), []);
    apply(&mut tables, &[ports]);
    assert!(tables.settings.whole_addresses(), "pinned flows still get replies");
    let at = |addr: &str| endpoint(&format!("{addr}:0").parse().unwrap(), Protocol::Any);
    assert!(tables.frontends[&at("192.0.2.10")].is_vip(), "another service has ports of it");
    assert_eq!(tables.frontends.get(&at("192.0.2.12")), None);
    let mut state = tables.state();
    for id in state.retired().backends {
        forget_backend(&mut state, id).iter().for_each(|op| tables.execute(op));
    }
    apply(&mut tables, &[deployment("shop", vec![service(0, &[10], &[1], &[1])])]);
    assert!(!tables.settings.whole_addresses());
}

#[test]
fn a_word_is_only_set_for_a_deployment_that_is_new() {
    let mut tables = Tables::default();
    apply(&mut tables, &[deployment("shop", vec![service(0, &[10], &[1], &[1])])]);
    let want = [
        DeploymentSpec {
            initial: Word::initial(Colour::Green),
            ..deployment("shop", vec![service(0, &[10, 11], &[1, 2], &[1])])
        },
        DeploymentSpec { initial: Word::initial(Colour::Green), ..deployment("mail", vec![]) },
    ];
    apply(&mut tables, &want);
    let colour =
        |name| tables.words[tables.deployments.iter().find(|(_, known)| *known == name).unwrap().0].live();
    assert_eq!((colour("shop"), colour("mail")), (Colour::Blue, Colour::Green));
}

#[test]
fn a_backend_that_leaves_keeps_its_id_until_nothing_names_it() {
    let mut tables = Tables::default();
    apply(&mut tables, &[deployment("shop", vec![service(0, &[10], &[1, 2], &[1])])]);
    let leaving = endpoint(&backend(Colour::Blue, 0, 2, false).addr, Protocol::Tcp);
    let id = tables.backends_by_addr[&leaving];

    apply(&mut tables, &[deployment("shop", vec![service(0, &[10], &[1], &[1])])]);
    assert_eq!(tables.backends_by_addr.get(&leaving), Some(&id), "a pinned flow's reply needs it");
    assert!(tables.state().retired().backends.contains(&id));
    apply(&mut tables, &[deployment("shop", vec![service(0, &[10], &[1, 3], &[1])])]);
    assert_eq!(tables.backends[&id].endpoint(), leaving, "the id was given away");

    let mut state = tables.state();
    forget_backend(&mut state, id).iter().for_each(|op| tables.execute(op));
    assert_eq!(tables.state(), state);
    assert_eq!(tables.backends_by_addr.get(&leaving), None);
}

#[test]
fn a_source_is_there_before_its_backend_asks_for_it_and_goes_with_it() {
    let spec = SourceSpec { addr: "10.1.0.1".parse().unwrap(), prefix: 24 };
    let with = |source, serving| {
        let mut web = service(0, &[10], &[1, 2], &[1]);
        let [blue, _] = &mut web.backends;
        blue[0].source = source;
        blue[0].serving = serving;
        [deployment("shop", vec![web])]
    };
    let mut tables = Tables::default();
    apply(&mut tables, &with(None, true));
    let at = endpoint(&backend(Colour::Blue, 0, 1, false).addr, Protocol::Tcp);
    let id = tables.backends_by_addr[&at];
    assert!(!tables.backends[&id].has_source() && tables.sources.is_empty());
    apply(&mut tables, &with(Some(spec), true));
    assert_eq!(tables.sources, [(id, Source::new(spec.addr.into(), 24))].into());
    assert!(tables.backends[&id].has_source());
    assert_eq!(apply(&mut tables, &with(Some(spec), true)), []);
    // A flap leaves it alone, by the short way, too.
    let (ops, _) =
        flaps(&tables.state(), &with(Some(spec), true), &with(Some(spec), false)).unwrap().unwrap();
    assert!(!ops.iter().any(|op| matches!(op, Op::SetSource(..))), "{ops:?}");
    assert!(flaps(&tables.state(), &with(Some(spec), true), &with(None, true)).is_none());
    // Given up: the address stays for the replies that are under way.
    apply(&mut tables, &with(None, true));
    assert!(!tables.backends[&id].has_source() && tables.sources.contains_key(&id));
    let mut state = tables.state();
    forget_backend(&mut state, id).iter().for_each(|op| tables.execute(op));
    assert!(tables.sources.is_empty() && state.sources.is_empty());
}

#[test]
fn a_backend_that_comes_back_is_the_same_one() {
    let mut tables = Tables::default();
    let with = [deployment("shop", vec![service(0, &[10], &[1, 2], &[1])])];
    apply(&mut tables, &with);
    let before = tables.backends_by_addr.clone();
    apply(&mut tables, &[deployment("shop", vec![service(0, &[10], &[1], &[1])])]);
    apply(&mut tables, &with);
    assert_eq!(tables.backends_by_addr, before);
}

#[test]
fn a_changed_ring_is_written_elsewhere_before_it_is_pointed_to() {
    let mut tables = Tables::default();
    apply(&mut tables, &[deployment("shop", vec![service(0, &[10], &[1, 2], &[1])])]);
    let old: BTreeSet<u32> = tables.ring.keys().copied().collect();
    let ops = apply(&mut tables, &[deployment("shop", vec![service(0, &[10], &[2, 3], &[1])])]);
    let mut written = Vec::new();
    for op in &ops {
        if let Op::WriteRing(base, ids) = op {
            written.extend(*base..*base + ids.len() as u32);
        }
    }
    assert!(!written.is_empty() && written.iter().all(|position| !old.contains(position)));
}

#[test]
fn a_machine_that_changes_colour_is_the_same_backend() {
    let mut tables = Tables::default();
    let swapped = |blue, green| {
        let mut web = service(0, &[10], &[1], &[1]);
        web.backends = [vec![backend(blue, 0, 1, false)], vec![backend(green, 0, 1, false)]];
        [deployment("shop", vec![web])]
    };
    apply(&mut tables, &swapped(Colour::Blue, Colour::Green));
    let before = tables.backends_by_addr.clone();
    let (ops, state) = reconcile(&tables.state(), &swapped(Colour::Green, Colour::Blue)).unwrap();
    // Its slice and the ring change one after the other, which only the counters can tell.
    ops.iter().for_each(|op| tables.execute(op));
    tables.check_ways();
    assert_eq!(tables.state(), state);
    assert_eq!(tables.backends_by_addr, before);
}

#[test]
fn ids_that_pins_may_name_are_not_given_away() {
    let mut tables = Tables::default();
    apply(&mut tables, &[deployment("shop", vec![service(0, &[10], &[1], &[1])])]);
    let (service_id, frontend) =
        (*tables.services.keys().next().unwrap(), *tables.frontends.values().next().unwrap());
    apply(&mut tables, &[deployment("mail", vec![service(1, &[11], &[1], &[1])])]);
    assert!(!tables.services.contains_key(&service_id), "an old pin would lead to the new service");
    assert!(!tables.deployments.contains_key(&0), "old pins would count as the new deployment's");
    assert!(tables.frontends.values().all(|new| new.is_vip() || new.id != frontend.id));

    let mut state = tables.state();
    let retired = state.retired();
    let backends = retired.backends.iter().flat_map(|id| forget_backend(&mut state, *id)).collect::<Vec<_>>();
    let frontends =
        retired.frontends.iter().flat_map(|id| forget_frontend(&mut state, *id)).collect::<Vec<_>>();
    backends.iter().chain(&frontends).for_each(|op| tables.execute(op));
    assert_eq!(tables.state(), state);
    apply(
        &mut tables,
        &[deployment("mail", vec![service(1, &[11], &[1], &[1]), service(2, &[12], &[1], &[1])])],
    );
    assert!(tables.services.contains_key(&service_id), "nothing names it any more");
}

/// The same, with one backend of blue that does not serve.
fn with_down(mut want: Vec<DeploymentSpec>, nth: usize, pinned: PinnedFlows) -> Vec<DeploymentSpec> {
    let backend = &mut want[0].services[0].backends[0][nth];
    (backend.serving, backend.pinned) = (false, pinned);
    want
}

/// How many backends are on a ring.
fn distinct(ids: &[u32]) -> usize {
    ids.iter().collect::<BTreeSet<_>>().len()
}

#[test]
fn a_backend_that_goes_down_leaves_its_ring_first_and_comes_back_to_it_last() {
    let mut tables = Tables::default();
    let up = vec![deployment("shop", vec![service(0, &[10], &[1, 2], &[1])]), deployment("mail", vec![])];
    apply(&mut tables, &up);
    let at = endpoint(&up[0].services[0].backends[0][1].addr, Protocol::Tcp);
    let id = tables.backends_by_addr[&at];
    let serving = tables.backends[&id];
    let slot = Service::slot(Colour::Blue, false);

    // A flap is as cheap as it can be: one ring and one backend.
    let ops = apply(&mut tables, &with_down(up.clone(), 1, PinnedFlows::Reset));
    let [Op::WriteRing(_, ids), Op::SetRing(_, changed, _), Op::SetBackend(down, _)] = ops.as_slice() else {
        panic!("{ops:?}")
    };
    assert_eq!((distinct(ids), *changed, *down), (1, slot, id));
    assert_eq!(tables.backends[&id], serving.down(PinnedFlows::Reset));
    assert_eq!(tables.backends_by_addr.get(&at), Some(&id), "a pinned flow's reply needs it");
    let ops = apply(&mut tables, &with_down(up.clone(), 1, PinnedFlows::Keep));
    assert_eq!(ops, [Op::SetBackend(id, serving.down(PinnedFlows::Keep))], "only what happens to its flows");

    let ops = apply(&mut tables, &up);
    let [Op::SetBackend(back, _), Op::WriteRing(_, ids), Op::SetRing(_, changed, _)] = ops.as_slice() else {
        panic!("{ops:?}")
    };
    assert_eq!((distinct(ids), *changed, *back), (2, slot, id));
    assert_eq!(tables.backends[&id], serving);
}

#[test]
fn a_backend_that_is_only_down_keeps_its_id_and_one_that_is_removed_does_not() {
    let mut tables = Tables::default();
    let up = vec![deployment("shop", vec![service(0, &[10], &[1, 2], &[1])])];
    let down = with_down(up.clone(), 1, PinnedFlows::Move);
    apply(&mut tables, &down);
    let id = tables.backends_by_addr[&endpoint(&up[0].services[0].backends[0][1].addr, Protocol::Tcp)];
    assert!(tables.state().retired().backends.is_empty(), "what is down may come back");

    apply(&mut tables, &[deployment("shop", vec![service(0, &[10], &[1], &[1])])]);
    assert!(tables.state().retired().backends.contains(&id));
    assert_eq!(tables.backends[&id].pinned(), PinnedFlows::Move, "its flows meet what they met before");
    apply(&mut tables, &down);
    assert!(tables.state().retired().backends.is_empty(), "the same one has come back");

    apply(&mut tables, &[]);
    assert!(tables.state().retired().backends.contains(&id), "it went with its service");
}

#[test]
fn a_service_can_begin_to_refuse_without_being_touched_otherwise() {
    let mut tables = Tables::default();
    let mut want = [deployment("shop", vec![service(0, &[10], &[1], &[])])];
    apply(&mut tables, &want);
    for refuse in [true, false] {
        want[0].services[0].refuse = refuse;
        let ops = apply(&mut tables, &want);
        let [Op::SetFlags(id, service)] = ops.as_slice() else { panic!("{ops:?}") };
        assert_eq!((service.refuses(), *service), (refuse, tables.services[id]));
    }
    want[0].services.push(ServiceSpec { refuse: true, ..service(1, &[11], &[], &[]) });
    apply(&mut tables, &want);
    assert!(tables.services.values().any(Service::refuses));
}

#[test]
fn a_backend_without_weight_leaves_its_ring_and_keeps_its_flows() {
    let mut tables = Tables::default();
    let mut want = [deployment("shop", vec![service(0, &[10], &[1, 2], &[1])])];
    apply(&mut tables, &want);
    let at = endpoint(&want[0].services[0].backends[0][1].addr, Protocol::Tcp);
    let id = tables.backends_by_addr[&at];
    want[0].services[0].backends[0][1].weight = 0;
    want[0].services[0].backends[0][1].pinned = PinnedFlows::Reset;
    let ops = apply(&mut tables, &want);
    let [Op::WriteRing(..), Op::SetRing(..), Op::SetBackend(drained, backend)] = ops.as_slice() else {
        panic!("{ops:?}")
    };
    assert_eq!((*drained, backend.pinned(), backend.is_down()), (id, PinnedFlows::Keep, true));
    assert!(tables.state().retired().backends.is_empty(), "it may come back");
    want[0].services[0].backends[0][1].serving = false;
    apply(&mut tables, &want);
    assert_eq!(tables.backends[&id].pinned(), PinnedFlows::Reset, "it is down as well");
}

#[test]
fn weights_are_shares_of_a_ring() {
    let mut tables = Tables::default();
    let mut want = [deployment("shop", vec![service(0, &[10], &[1, 2], &[1])])];
    want[0].services[0].backends[0][0].weight = 25;
    want[0].services[0].backends[0][1].weight = 75;
    apply(&mut tables, &want);
    let light = tables.backends_by_addr[&endpoint(&want[0].services[0].backends[0][0].addr, Protocol::Tcp)];
    let state = tables.state();
    let (ring, ids) = &state.services[&0].rings[Service::slot(Colour::Blue, false)];
    let share = ids.iter().filter(|id| **id == light).count() as f64 / f64::from(ring.len());
    assert!((share - 0.25).abs() < 0.01, "{share}");
}

#[test]
fn services_say_how_flows_are_chosen_and_what_they_meet_at_a_switch() {
    let mut tables = Tables::default();
    let mut want = [deployment("shop", vec![service(0, &[10], &[1], &[1])])];
    apply(&mut tables, &want);
    want[0].services[0].by_client = true;
    want[0].services[0].canary_by_client = true;
    let ops = apply(&mut tables, &want);
    let [Op::SetFlags(_, service)] = ops.as_slice() else { panic!("{ops:?}") };
    assert!(service.is_by_client() && service.has_canary_by_client() && !service.refuses());
    want[0].services[0].on_switch = Fate::Move;
    apply(&mut tables, &want);
    assert!(tables.backends.values().all(|backend| backend.on_switch() == Fate::Move));
}

#[test]
fn preview_vips_and_rules_come_change_and_go() {
    let mut tables = Tables::default();
    let mut want = [deployment("shop", vec![service(0, &[10], &[1], &[1])]), deployment("mail", vec![])];
    let vip: SocketAddr = "192.0.2.99:80".parse().unwrap();
    let at = endpoint(&vip, Protocol::Tcp);
    let prefix = "203.0.113.0/24".parse().unwrap();
    let key = PreviewKey::prefix(0, "203.0.113.0".parse::<std::net::IpAddr>().unwrap().into(), 24);
    for aim in [Aim::Other, Aim::Green] {
        want[0].services[0].previews = vec![(vip, aim)];
        want[0].previews = vec![(prefix, aim)];
        apply(&mut tables, &want);
        assert_eq!(tables.frontends[&at].aim(), aim);
        assert_eq!(tables.previews, BTreeMap::from([(key, aim as u32)]));
        assert_eq!(apply(&mut tables, &want), []);
    }
    // It is a VIP like the others from here on, with the id that pins name.
    let id = tables.frontends[&at].id;
    want[0].services[0].previews.clear();
    want[0].services[0].frontends.push(vip);
    apply(&mut tables, &want);
    assert_eq!((tables.frontends[&at].aim(), tables.frontends[&at].id), (Aim::Live, id));
    apply(&mut tables, &want[1..]);
    assert!(tables.previews.is_empty(), "they went with their deployment");
}

#[test]
fn a_client_with_a_rule_has_one_from_the_first_packet_on_and_all_the_time() {
    let mut tables = Tables::default();
    let mut want = [deployment("shop", vec![service(0, &[10], &[1], &[1])])];
    for prefixes in [&["203.0.113.0/24"][..], &["203.0.113.0/25", "203.0.113.128/25"], &["203.0.113.0/24"]] {
        want[0].previews = prefixes.iter().map(|prefix| (prefix.parse().unwrap(), Aim::Other)).collect();
        let (ops, _) = reconcile(&tables.state(), &want).unwrap();
        for op in &ops {
            tables.execute(op);
            assert!(tables.frontends.is_empty() || !tables.previews.is_empty(), "{prefixes:?}: {op:?}");
        }
        assert_eq!(tables.previews.len(), prefixes.len());
    }
}

#[test]
fn a_deployment_that_is_made_anew_can_go_on_where_it_was() {
    let mut tables = Tables::default();
    let remembered = Word::initial(Colour::Blue).switched(Colour::Green, Fate::Keep, None).unwrap();
    apply(&mut tables, &[DeploymentSpec { initial: remembered, ..deployment("shop", vec![]) }]);
    assert_eq!(tables.words[&0], remembered);
}

fn any_pinned() -> impl Strategy<Value = PinnedFlows> {
    prop_oneof![Just(PinnedFlows::Keep), Just(PinnedFlows::Reset), Just(PinnedFlows::Move)]
}

fn any_want() -> impl Strategy<Value = Vec<DeploymentSpec>> {
    let hosts =
        || proptest::collection::btree_set(1_u8..5, 0..4).prop_map(|set| set.into_iter().collect::<Vec<_>>());
    let downs = proptest::collection::vec((any::<bool>(), any::<bool>(), any_pinned()), 16);
    let services =
        proptest::collection::btree_map(0_u8..4, (hosts(), hosts(), hosts(), downs, any::<bool>()), 0..4);
    (services, any::<bool>(), any::<bool>()).prop_map(|(services, split, mail)| {
        let mut shop = deployment("shop", vec![]);
        let mut other = deployment("mail", vec![]);
        for (number, (vips, blue, green, downs, refuse)) in services {
            let mut service = ServiceSpec { refuse, ..service(number, &vips, &blue, &green) };
            for (backend, (down, surely, pinned)) in service.backends.iter_mut().flatten().zip(downs) {
                (backend.serving, backend.pinned) = (!(down && surely), pinned);
                // Some are drained as well.
                backend.weight = if down { u16::from(surely) } else { BackendSpec::WEIGHT };
            }
            if split && number % 2 == 1 { other.services.push(service) } else { shop.services.push(service) }
        }
        if mail || !other.services.is_empty() { vec![other, shop] } else { vec![shop] }
    })
}

/// The same, with other backends down.
fn flapped(mut want: Vec<DeploymentSpec>, downs: &[(bool, PinnedFlows)]) -> Vec<DeploymentSpec> {
    let services = want.iter_mut().flat_map(|deployment| &mut deployment.services);
    let backends = services.flat_map(|service| service.backends.iter_mut().flatten());
    for (backend, (serving, pinned)) in backends.zip(downs) {
        (backend.serving, backend.pinned) = (*serving, *pinned);
    }
    want
}

proptest! {
    #[test]
    fn the_short_way_of_flaps_is_the_long_way(
        want in any_want(),
        downs in proptest::collection::vec((any::<bool>(), any_pinned()), 64),
    ) {
        let mut tables = Tables::default();
        apply(&mut tables, &want);
        let state = tables.state();
        let next = flapped(want.clone(), &downs);
        let (ops, changed) = flaps(&state, &want, &next).expect("only backends have changed").unwrap();
        let (long, after) = reconcile(&state, &next).unwrap();
        prop_assert_eq!(ops, long);
        let mut short = state.clone();
        short.take_over(changed);
        prop_assert_eq!(short, after);
    }

    #[test]
    fn any_other_change_takes_the_long_way(one in any_want(), other in any_want()) {
        let mut tables = Tables::default();
        apply(&mut tables, &one);
        let up = |want: &[DeploymentSpec]| flapped(want.to_vec(), &[(true, PinnedFlows::Keep); 64]);
        prop_assert_eq!(flaps(&tables.state(), &one, &other).is_some(), up(&one) == up(&other));
    }

    #[test]
    fn no_step_of_any_change_leads_a_packet_astray(wants in proptest::collection::vec(any_want(), 1..6)) {
        let mut tables = Tables::default();
        for want in &wants {
            apply(&mut tables, want);
            prop_assert_eq!(apply(&mut tables, want), []);
        }
    }
}
