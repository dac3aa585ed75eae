//! The pinned data plane: made once, found again, upgraded in place, refused when it is not ours, and
//! taken down without a trace.

use crate::instance::Instance;
use bg_common::{Colour, Fate, Flow, FlowKey, PinnedFlows, Proto, Tick, Via, Word, names};
use bg_tests::netns::Namespace;
use bg_userspace::dataplane::kernel::Kernel;
use bg_userspace::dataplane::{
    AttachPlan, AttachSpec, Attachment, BackendSpec, Dataplane as _, DeploymentSpec, Exchange, Hook,
    Lifetimes, Path, Protocol, ServiceSpec, Side,
};
use std::fs;
use std::time::Duration;

fn shop(backends: &[&str]) -> Vec<DeploymentSpec> {
    let backend = |addr: &&str| BackendSpec::serving(addr.parse().unwrap(), Via::Stack, 1);
    let web = ServiceSpec {
        name: "web".into(),
        protocol: Protocol::Tcp,
        frontends: vec!["192.0.2.10:80".parse().unwrap()],
        backends: [backends.iter().map(backend).collect(), vec![backend(&"10.2.0.2:8080")]],
        ..ServiceSpec::default()
    };
    vec![DeploymentSpec {
        name: "shop".into(),
        initial: Word::initial(Colour::Blue),
        services: vec![web],
        previews: Vec::new(),
    }]
}

fn word(kernel: &Kernel) -> Word {
    kernel.words().unwrap().first().expect("there is a deployment").1
}

fn switch(kernel: &Kernel) -> Word {
    let before = word(kernel);
    let after = before.switched(before.live().other(), Fate::Keep, None).unwrap();
    assert!(matches!(kernel.exchange("shop", before, after), Ok(Exchange::Done { .. })));
    after
}

fn program_ids(instance: &Instance) -> Vec<u32> {
    let id = |name: &str| aya::programs::ProgramInfo::from_pin(instance.dir().join("programs").join(name));
    names::PROGRAMS.iter().map(|name| id(name).expect("the program is pinned").id()).collect()
}

#[test]
fn a_second_start_finds_everything_as_it_was() {
    let instance = Instance::new("again");
    let mut kernel = instance.open();
    kernel.apply(&shop(&["10.1.0.2:8080"])).unwrap();
    let switched = switch(&kernel);
    let programs = program_ids(&instance);
    drop(kernel);

    let mut kernel = instance.open();
    assert_eq!(word(&kernel), switched);
    assert_eq!(kernel.apply(&shop(&["10.1.0.2:8080"])).unwrap().writes, 0);
    assert_eq!(program_ids(&instance), programs, "the same programs were loaded again");
}

#[test]
fn a_lost_exchange_changes_nothing_and_tells_the_word() {
    let instance = Instance::new("lost");
    let mut kernel = instance.open();
    kernel.apply(&shop(&["10.1.0.2:8080"])).unwrap();
    let stale = word(&kernel);
    let actual = switch(&kernel);
    let new = stale.switched(Colour::Green, Fate::Keep, None).unwrap();
    assert_eq!(kernel.exchange("shop", stale, new).unwrap(), Exchange::Lost { actual });
    assert_eq!(word(&kernel), actual);
    let refusal = kernel.exchange("shpo", stale, new).unwrap_err();
    assert!(refusal.mend.contains("shop"), "{refusal}");
}

#[test]
fn without_a_daemon_the_same_words_are_read_and_changed() {
    let instance = Instance::new("offline");
    assert_eq!(Kernel::open_pinned(&instance.0).err().unwrap().code, "nothing-pinned");
    let mut kernel = instance.open();
    kernel.apply(&shop(&["10.1.0.2:8080"])).unwrap();
    let offline = Kernel::open_pinned(&instance.0).unwrap();
    let switched = switch(&offline);
    assert_eq!(word(&kernel), switched);
}

#[test]
fn a_second_daemon_is_refused_and_told_whose_instance_it_is() {
    let instance = Instance::new("second");
    let _first = instance.open();
    instance.assert_refused("second-daemon", &[&instance.0, &std::process::id().to_string()]);
}

#[test]
fn pins_that_are_not_in_the_form_of_this_version_are_refused_by_name() {
    let instance = Instance::new("broken");
    drop(instance.open());
    let flows = instance.dir().join(names::FLOWS);

    fs::rename(&flows, instance.dir().join("FLOWS_aside")).unwrap();
    instance.assert_refused("broken-pins", &[names::FLOWS, "detach"]);

    let words = aya::maps::MapData::from_pin(instance.dir().join(names::DEPLOYMENTS)).unwrap();
    words.pin(&flows).unwrap();
    instance.assert_refused("broken-pins", &[names::FLOWS, "type is 2, not 1"]);

    fs::remove_file(&flows).unwrap();
    fs::rename(instance.dir().join("FLOWS_aside"), &flows).unwrap();
    words.pin(instance.dir().join("stranger")).unwrap();
    instance.assert_refused("foreign-pin", &["stranger", "rm "]);

    fs::remove_file(instance.dir().join("stranger")).unwrap();
    fs::create_dir(instance.base().join("v0")).unwrap();
    instance.assert_refused("other-layout", &["v0", "detach"]);
}

#[test]
fn what_another_user_may_have_put_there_is_refused_and_not_followed() {
    let instance = Instance::new("planted");
    let precious = tempfile::tempdir().unwrap();
    fs::write(precious.path().join("file"), "kept").unwrap();
    fs::create_dir_all(instance.base()).unwrap();
    std::os::unix::fs::symlink(precious.path(), instance.base().join("new-1")).unwrap();
    instance.assert_refused("other-layout", &["new-1"]);
    Kernel::remove(&instance.0).unwrap();
    assert!(precious.path().join("file").exists());

    fs::create_dir_all(instance.base()).unwrap();
    fs::set_permissions(instance.base(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    instance.assert_refused("untrusted-pins", &[&instance.0]);
    fs::create_dir(instance.base().join("v0")).unwrap();
    assert_eq!(Kernel::remove(&instance.0).err().unwrap().code, "untrusted-pins");
    assert!(instance.base().join("v0").exists());
    fs::set_permissions(instance.base(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn what_an_interrupted_start_left_is_swept_away() {
    let instance = Instance::new("interrupted");
    fs::create_dir_all(instance.base().join("new-1/programs")).unwrap();
    drop(instance.open());
    assert!(!instance.base().join("new-1").exists());
}

#[test]
fn taking_it_down_leaves_nothing() {
    let instance = Instance::new("down");
    let mut kernel = instance.open();
    kernel.apply(&shop(&["10.1.0.2:8080"])).unwrap();
    drop(kernel);
    let detached = Kernel::remove(&instance.0).unwrap();
    assert_eq!(detached.pins, names::PROGRAMS.len() + bg_common::table::TABLES.len());
    assert!(!instance.base().exists());
}

/// A gateway's namespace with one interface.
fn gateway(name: &str) -> Namespace {
    let gateway = Namespace::new(&format!("t{}-{name}", std::process::id())).unwrap();
    gateway.ip("link add up0 type veth peer name far0\nlink set up0 up\nlink set far0 up").unwrap();
    gateway
}

fn plan(gateway: &Namespace, path: Path, hook: Hook) -> AttachPlan {
    let ifindex = gateway.run(|| nix::net::if_::if_nametoindex("up0")).unwrap();
    let link = AttachSpec { ifindex, name: "up0".into(), side: Side::Uplink, hook };
    AttachPlan::new(path, vec![link])
}

fn attach(gateway: &Namespace, kernel: &mut Kernel, plan: &AttachPlan) -> Vec<(String, String)> {
    let attached: Vec<Attachment> = gateway.run(|| kernel.attach(plan)).unwrap();
    assert!(attached.iter().all(|attachment| attachment.ifindex == plan.links[0].ifindex), "{attached:?}");
    attached.into_iter().map(|attachment| (attachment.hook, attachment.program)).collect()
}

/// A tc hook as this kernel has it: TCX came with Linux 6.6.
fn tc(direction: &str) -> String {
    let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    format!("{}-{direction}", if version >= (6, 6) { "tcx" } else { "clsact" })
}

fn row(hook: &str, program: &str) -> (String, String) {
    (hook.to_owned(), program.to_owned())
}

#[test]
fn attachments_follow_the_plan_and_outlive_the_daemon() {
    let instance = Instance::new("attach");
    let gateway = gateway("attach");
    let mut kernel = instance.open();
    let redirect = plan(&gateway, Path::Redirect, Hook::Tc);
    let egress = row(&tc("egress"), names::TC_EGRESS);
    assert_eq!(attach(&gateway, &mut kernel, &redirect), [egress, row(&tc("ingress"), names::TC_INGRESS)]);
    let stack = plan(&gateway, Path::Stack, Hook::Xdp);
    let both = [row(&tc("egress"), names::TC_EGRESS), row("xdp", names::XDP_INGRESS)];
    assert_eq!(attach(&gateway, &mut kernel, &stack), both);
    drop(kernel);
    assert!(gateway.output("ip", ["link", "show", "up0"]).unwrap().contains("xdp"));

    let mut kernel = instance.open();
    assert_eq!(attach(&gateway, &mut kernel, &stack), both);
    let generic = plan(&gateway, Path::Stack, Hook::XdpGeneric);
    attach(&gateway, &mut kernel, &generic);
    assert!(gateway.output("ip", ["link", "show", "up0"]).unwrap().contains("xdpgeneric"));
    gateway.run(|| kernel.detach()).unwrap();
    assert!(!gateway.output("ip", ["link", "show", "up0"]).unwrap().contains("xdp"));
}

#[test]
fn an_interface_that_comes_back_is_attached_to_again() {
    let instance = Instance::new("back");
    let gateway = gateway("back");
    let mut kernel = instance.open();
    attach(&gateway, &mut kernel, &plan(&gateway, Path::Redirect, Hook::Tc));
    gateway.ip("link del up0").unwrap();
    let gone = kernel.attachments().unwrap();
    assert_eq!(gone.iter().map(|attachment| attachment.ifindex).collect::<Vec<_>>(), [0, 0]);
    gateway.ip("link add up0 type veth peer name far0\nlink set up0 up").unwrap();
    attach(&gateway, &mut kernel, &plan(&gateway, Path::Redirect, Hook::Tc));
}

#[test]
fn a_program_of_another_build_is_replaced_where_it_is_attached() {
    let instance = Instance::new("upgrade");
    let gateway = gateway("upgrade");
    let stack = plan(&gateway, Path::Stack, Hook::Tc);
    let mut kernel = instance.open();
    attach(&gateway, &mut kernel, &stack);
    drop(kernel);
    // As if an older build had loaded another program under this name.
    let programs = instance.dir().join("programs");
    fs::rename(programs.join(names::TC_ZONE), programs.join("aside")).unwrap();
    fs::rename(programs.join(names::TC_INGRESS), programs.join(names::TC_ZONE)).unwrap();
    fs::rename(programs.join("aside"), programs.join(names::TC_INGRESS)).unwrap();

    let mut kernel = instance.open();
    let attached = attach(&gateway, &mut kernel, &stack);
    assert_eq!(attached, [row(&tc("egress"), names::TC_EGRESS), row(&tc("ingress"), names::TC_INGRESS)]);
}

#[test]
fn clsact_filters_serve_where_there_is_no_tcx() {
    let instance = Instance::new("clsact");
    let gateway = gateway("clsact");
    let filters = |direction| gateway.output("tc", ["filter", "show", "dev", "up0", direction]).unwrap();
    let stack = plan(&gateway, Path::Stack, Hook::Tc);
    let mut kernel = instance.open();
    kernel.use_clsact();
    let both = [row("clsact-egress", names::TC_EGRESS), row("clsact-ingress", names::TC_INGRESS)];
    assert_eq!(attach(&gateway, &mut kernel, &stack), both);
    drop(kernel);
    assert!(filters("ingress").contains(names::TC_INGRESS) && filters("egress").contains(names::TC_EGRESS));

    let mut kernel = instance.open();
    kernel.use_clsact();
    assert_eq!(attach(&gateway, &mut kernel, &stack), both);
    assert_eq!(filters("ingress").matches("direct-action").count(), 1, "{}", filters("ingress"));
    gateway.ip("link del up0\nlink add up0 type veth peer name far0\nlink set up0 up").unwrap();
    assert_eq!(attach(&gateway, &mut kernel, &plan(&gateway, Path::Stack, Hook::Tc)), both);
    gateway.run(|| kernel.detach()).unwrap();
    assert_eq!((filters("ingress").as_str(), filters("egress").as_str()), ("", ""));
}

fn now() -> Tick {
    Tick::from_nanos(bg_tests::clock::now())
}

#[test]
fn an_idle_pin_is_deleted_by_the_second_sweep_that_finds_it_so() {
    let instance = Instance::new("sweep");
    let mut kernel = instance.open();
    kernel.apply(&shop(&["10.1.0.2:8080"])).unwrap();
    let path = instance.dir().join(names::FLOWS);
    let flows = aya::maps::Map::from_map_data(aya::maps::MapData::from_pin(path).unwrap()).unwrap();
    let mut flows: aya::maps::HashMap<_, FlowKey, Flow> = flows.try_into().unwrap();
    let key = |port: u16| FlowKey::new(bg_common::Addr::from_v4([192, 0, 2, 7]), port.into(), Proto::TCP, 0);
    let lifetimes = Lifetimes {
        established: Duration::from_secs(100),
        half_closed: Duration::from_secs(50),
        closed: Duration::from_secs(10),
        udp: Duration::from_secs(60),
    };
    let ago = |seconds: u64| Tick(now().0 - Tick::in_seconds(seconds));
    bg_tests::clock::wait_for_uptime(Duration::from_secs(120));
    let fin = Flow::CLIENT_FIN | Flow::BACKEND_FIN;
    let rows = [
        // (port, idle for, state, survives)
        (1, 0, 0, true),
        (2, 90, 0, true),
        (3, 120, 0, false),
        (4, 40, Flow::CLIENT_FIN, true),
        (5, 60, Flow::CLIENT_FIN, false),
        (6, 5, fin, true),
        (7, 20, fin, false),
        (8, 20, Flow::RESET, false),
        (9, 120, 0, true), // which comes back between the sweeps
    ];
    for (port, idle, state, _) in rows {
        flows.insert(key(port), Flow::new(0, 0, ago(idle)).with_state(state), 0).unwrap();
    }
    let mut observer = kernel.observer().unwrap();

    let first = observer.sweep(&lifetimes).unwrap();
    assert_eq!((first.pins, first.expired), (9, 0));
    assert_eq!(first.open, [("shop".to_owned(), [6, 0])], "closed flows are not open");
    assert!(first.backends.contains(&0));
    flows.insert(key(9), Flow::new(0, 0, now()), 0).unwrap();

    let second = observer.sweep(&lifetimes).unwrap();
    assert_eq!((second.pins, second.expired), (5, 4));
    let mut left: Vec<u16> = flows.keys().map(|key| key.unwrap().port().get()).collect();
    left.sort_unstable();
    let want: Vec<u16> = rows.iter().filter(|row| row.3).map(|row| row.0).collect();
    assert_eq!(left, want);
}

#[test]
fn flows_are_as_old_as_they_are_however_lately_they_spoke() {
    let instance = Instance::new("age");
    let mut kernel = instance.open();
    kernel.apply(&shop(&["10.1.0.2:8080"])).unwrap();
    bg_tests::clock::wait_for_uptime(Duration::from_secs(120));
    let ago = |seconds: u64| Tick(now().0 - Tick::in_seconds(seconds));
    let client = bg_common::Addr::from_v4([192, 0, 2, 7]);
    let closed = Flow::CLIENT_FIN | Flow::BACKEND_FIN;
    for (table, port, backend, age, state) in [
        (names::FLOWS, 1_u16, 0, 60, Flow::ANSWERED),
        (names::HALF_OPEN, 2, 0, 20, 0),
        (names::FLOWS, 3, 0, 110, closed),
        (names::FLOWS, 4, 1, 90, Flow::ANSWERED),
    ] {
        let map = aya::maps::MapData::from_pin(instance.dir().join(table)).unwrap();
        let mut map: aya::maps::HashMap<_, FlowKey, Flow> =
            aya::maps::Map::from_map_data(map).unwrap().try_into().unwrap();
        let began = bg_common::Began::at(ago(age));
        let flow = Flow::new(backend, 0, ago(1)).with_state(state).with_began(began);
        map.insert(FlowKey::new(client, port.into(), Proto::TCP, 0), flow, 0).unwrap();
    }
    let mut observer = kernel.observer().unwrap();
    let close = |age: Duration, seconds: u64| age.as_secs_f64() - seconds as f64;
    let mut rows = observer.flows().unwrap();
    rows.sort_by_key(|row| row.client.port());
    for (row, age) in rows.iter().zip([60, 20, 110, 90]) {
        assert!(close(row.age, age).abs() < 5.0 && row.idle < Duration::from_secs(5), "{row:?}");
    }
    let day = Duration::from_secs(86_400);
    let lifetimes = Lifetimes { established: day, half_closed: day, closed: day, udp: day };
    let sweep = observer.sweep(&lifetimes).unwrap();
    assert_eq!(sweep.open, [("shop".to_owned(), [2, 1])]);
    let [(name, [blue, green])] = sweep.oldest.as_slice() else { panic!("{sweep:?}") };
    assert!(name == "shop" && close(*blue, 60).abs() < 5.0 && close(*green, 90).abs() < 5.0, "{sweep:?}");
}

#[test]
fn a_backend_that_flaps_costs_a_ring_and_a_flag_and_keeps_its_place() {
    let instance = Instance::new("flap");
    let mut kernel = instance.open();
    let up = shop(&["10.1.0.2:8080", "10.1.0.3:8080"]);
    kernel.apply(&up).unwrap();
    let mut down = up.clone();
    let sick = &mut down[0].services[0].backends[0][1];
    (sick.serving, sick.pinned) = (false, PinnedFlows::Reset);
    let backends = aya::maps::MapData::from_pin(instance.dir().join(names::BACKENDS)).unwrap();
    let backends: aya::maps::Array<_, bg_common::Backend> =
        aya::maps::Map::from_map_data(backends).unwrap().try_into().unwrap();
    let pinned = || backends.get(&1, 0).unwrap().pinned();
    for _ in 0..3 {
        assert_eq!(kernel.apply(&down).unwrap().writes, 3);
        assert_eq!(pinned(), PinnedFlows::Reset);
        // It is not the configuration that has let it go.
        for _ in 0..3 {
            kernel.settle(&bg_userspace::dataplane::Sweep::default()).unwrap();
        }
        assert_eq!(kernel.apply(&down).unwrap().writes, 0);
        assert_eq!(kernel.apply(&up).unwrap().writes, 3);
        assert_eq!(pinned(), PinnedFlows::Keep);
    }
    kernel.apply(&down).unwrap();
    drop(kernel);
    assert_eq!(instance.open().apply(&down).unwrap().writes, 0, "a start finds it as it was");
}

#[test]
fn a_deployment_that_is_made_anew_goes_on_in_the_generation_that_is_remembered() {
    let instance = Instance::new("anew");
    let mut kernel = instance.open();
    let mut want = shop(&["10.1.0.2:8080"]);
    want[0].initial = Word::initial(Colour::Blue).switched(Colour::Green, Fate::Keep, None).unwrap();
    kernel.apply(&want).unwrap();
    assert_eq!((word(&kernel).live(), word(&kernel).generation()), (Colour::Green, 1));
}

#[test]
fn a_removed_backend_is_forgotten_once_no_pin_names_it() {
    let instance = Instance::new("retire");
    let mut kernel = instance.open();
    kernel.apply(&shop(&["10.1.0.2:8080", "10.1.0.3:8080"])).unwrap();
    kernel.apply(&shop(&["10.1.0.2:8080"])).unwrap();
    let path = instance.dir().join(names::BACKENDS_BY_ADDR);
    let known = || {
        let map = aya::maps::Map::from_map_data(aya::maps::MapData::from_pin(&path).unwrap()).unwrap();
        let map: aya::maps::Array<_, bg_common::Bucket<u64>> = map.try_into().unwrap();
        map.iter().flat_map(|bucket| bucket.unwrap().0).filter(|slot| !slot.is_empty()).count()
    };
    let mut sweep = bg_userspace::dataplane::Sweep::default();
    sweep.backends.extend([0, 1, 2]);
    kernel.settle(&sweep).unwrap();
    kernel.settle(&sweep).unwrap();
    assert_eq!(known(), 3, "pins still name it");
    sweep.backends.clear();
    kernel.settle(&sweep).unwrap();
    assert_eq!(known(), 3, "one sweep may have missed a pin");
    kernel.settle(&sweep).unwrap();
    assert_eq!(known(), 2);
}
