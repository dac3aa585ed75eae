//! A network with servers, `bgd` and a capture of everything; a bad checksum fails whoever used it.

use bg_common::Colour;
use bg_tests::capture::Capture;
use bg_tests::daemon::{Daemon, Settings, frontends, service};
use bg_tests::foreign::{Program, tcx_programs};
use bg_tests::netns::Namespace;
use bg_tests::servers::Servers;
use bg_tests::topology::{CLIENT_LINK, MACHINE_LINK, Plan, Topology, UPLINK, Zones};
use bg_tests::traffic::{Connection, Kind, Load, Tally, Traffic};
use bg_tests::wait;
use std::sync::LazyLock;

/// How packets go through the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// XDP on the uplink, then the kernel's stack.
    Xdp,
    /// tc on the uplink, then the kernel's stack.
    Stack,
    /// tc on the uplink, then from interface to interface.
    Redirect,
}

impl Way {
    /// Whether this kernel has what the way needs; says so if not.
    pub(crate) fn is_possible(self) -> bool {
        static XDP: LazyLock<Result<(), String>> = LazyLock::new(|| {
            let topology = Topology::new(&Plan::default()).unwrap();
            Program::attach(&topology.gateway, UPLINK).map(drop).map_err(|why| format!("{why:#}"))
        });
        match &*XDP {
            Err(why) if self == Self::Xdp => {
                println!("SKIP no XDP on a veth: {why}");
                false
            }
            Ok(()) | Err(_) => true,
        }
    }

    pub(crate) fn settings(self) -> Settings {
        match self {
            Self::Xdp => Settings::hooked("xdp", "stack"),
            Self::Stack => Settings::hooked("tc", "stack"),
            Self::Redirect => Settings::hooked("tc", "redirect"),
        }
    }
}

/// Everything that one test plays on. Fields drop in this order.
pub(crate) struct Lab {
    capture: Option<Capture>,
    pub(crate) daemon: Daemon,
    pub(crate) servers: Servers,
    pub(crate) topology: Topology,
}

impl Lab {
    /// One machine per slice, each on a veth pair of its own.
    pub(crate) fn new(way: Way) -> Self {
        Self::of(&Plan::default(), &way.settings())
    }

    /// A row of the matrix: the number of machines decides on how they hang on the gateway, too.
    pub(crate) fn row(way: Way, machines: u8, zones: Zones) -> Self {
        Self::of(&Plan { machines, zones, ..Plan::default() }, &way.settings())
    }

    pub(crate) fn of(plan: &Plan, settings: &Settings) -> Self {
        let mut this = Self::idle(plan, settings);
        this.daemon.launch().unwrap();
        this
    }

    /// All but the daemon, which is configured and not started.
    pub(crate) fn idle(plan: &Plan, settings: &Settings) -> Self {
        let topology = Topology::new(plan).unwrap();
        let servers = Servers::start(&topology).unwrap();
        Self::with(topology, servers, settings)
    }

    /// All but the daemon, with web servers that fail when told to.
    pub(crate) fn scripted(settings: &Settings) -> Self {
        let topology = Topology::new(&Plan::default()).unwrap();
        let servers = Servers::scripted(&topology).unwrap();
        Self::with(topology, servers, settings)
    }

    fn with(topology: Topology, servers: Servers, settings: &Settings) -> Self {
        let capture = Capture::start(&points(&topology)).unwrap();
        let daemon = Daemon::prepare(&topology, settings).unwrap();
        Self { capture: Some(capture), daemon, servers, topology }
    }

    pub(crate) fn capture(&self) -> &Capture {
        self.capture.as_ref().unwrap()
    }

    /// For tests that send frames with bad checksums themselves.
    pub(crate) fn forget_capture(mut self) {
        self.capture = None;
    }

    /// What the gateway's kernel says about programs on its interfaces; empty if there are none.
    pub(crate) fn attached(&self) -> String {
        let links = self.topology.gateway.output("ip", ["-d", "link", "show"]).unwrap();
        let xdp = links.lines().filter(|line| line.contains("prog/xdp") || line.contains("xdp id"));
        let tcx = self.topology.machines.iter().map(|machine| machine.link.as_str()).chain([UPLINK]);
        let tcx = tcx.filter(|link| self.topology.gateway.run(|| tcx_programs(link)).unwrap() > 0);
        xdp.chain(tcx).collect::<Vec<_>>().join("\n")
    }

    /// Eight clients of every kind, over IPv4 and IPv6; returns when each has been answered.
    pub(crate) fn load(&self) -> Traffic {
        let load = |kind, port, clients, rate| Load {
            kind,
            targets: frontends(port).to_vec(),
            clients,
            rate,
            life: None,
        };
        let traffic = self.start(vec![
            load(Kind::Stream, service::LINES, 8, 20.0),
            load(Kind::Kept, service::WEB, 8, 20.0),
            load(Kind::Datagram, service::DATAGRAMS, 8, 20.0),
            load(Kind::Short, service::WEB, 8, 50.0),
        ]);
        let open = |tally: &Tally| {
            [Kind::Stream, Kind::Kept, Kind::Datagram].map(|kind| tally.open_of(kind).iter().sum::<u64>())
        };
        let all = || traffic.record().look(open) == [8; 3];
        wait::until("every client is answered", wait::PATIENCE, all)
            .unwrap_or_else(|why| panic!("{why:#}; failures: {:?}", traffic.record().tally().examples));
        traffic
    }

    pub(crate) fn start(&self, loads: Vec<Load>) -> Traffic {
        Traffic::start(&self.topology.client, loads).unwrap()
    }

    /// How often a reason was counted.
    pub(crate) fn counted(&self, reason: &str) -> u64 {
        let counters = self.daemon.json(&["counters"]).unwrap();
        let reasons = counters["reasons"].as_array().unwrap();
        let found = reasons.iter().find(|counted| counted["name"] == reason);
        found.map_or(0, |counted| counted["count"].as_u64().unwrap())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let Some(seen) = self.capture.take().map(Capture::stop) else { return };
        // A test that fails already has a better story to tell.
        if !std::thread::panicking() {
            seen.unwrap().verify().unwrap();
        }
    }
}

fn points(topology: &Topology) -> Vec<(&Namespace, &str)> {
    let machines = topology.machines.iter().map(|machine| (&machine.namespace, MACHINE_LINK));
    machines.chain([(&topology.client, CLIENT_LINK)]).collect()
}

/// Waits until `traffic` has opened `count` more short connections to `colour`.
pub(crate) fn await_new(traffic: &Traffic, colour: Colour, count: usize) {
    let short = |tally: &Tally| short(tally).filter(|connection| connection.stamp.colour == colour).count();
    let before = traffic.record().look(short);
    let enough = || traffic.record().look(short) >= before + count;
    wait::until(&format!("{count} new connections to {colour}"), wait::PATIENCE, enough)
        .unwrap_or_else(|error| panic!("{error:#}; failures: {:?}", traffic.record().tally().examples));
}

pub(crate) fn short(tally: &Tally) -> impl Iterator<Item = &Connection> {
    tally.connections.iter().filter(|connection| connection.kind == Kind::Short)
}

/// Fails unless every request was answered.
pub(crate) fn assert_unharmed(tally: &Tally) {
    assert_eq!(tally.failed(), 0, "of {} requests: {:#?}", tally.requests(), tally.examples);
}

/// Makes a module of tests from a function of a lab: one for each way, and for one and three machines,
/// on veth pairs and on bridges in turns.
macro_rules! matrix {
    ($name:ident) => {
        mod $name {
            use crate::lab::{Lab, Way};
            use bg_tests::topology::Zones;

            fn play(way: Way, machines: u8, zones: Zones) {
                if way.is_possible() {
                    super::$name(Lab::row(way, machines, zones));
                }
            }

            #[test]
            fn by_xdp() {
                play(Way::Xdp, 1, Zones::Veth);
            }

            #[test]
            fn by_xdp_to_three_bridged_machines() {
                play(Way::Xdp, 3, Zones::Bridge);
            }

            #[test]
            fn by_the_stack_and_a_bridge() {
                play(Way::Stack, 1, Zones::Bridge);
            }

            #[test]
            fn by_the_stack_to_three_machines() {
                play(Way::Stack, 3, Zones::Veth);
            }

            #[test]
            fn by_redirect() {
                play(Way::Redirect, 1, Zones::Veth);
            }

            #[test]
            fn by_redirect_to_three_bridged_machines() {
                play(Way::Redirect, 3, Zones::Bridge);
            }
        }
    };
}

/// Makes a module of tests from a function of a lab, which may be of a kind of its own: one for each way.
macro_rules! ways {
    ($name:ident) => {
        $crate::lab::ways!($name, $crate::lab::Lab::new);
    };
    ($name:ident, $lab:path) => {
        mod $name {
            use crate::lab::Way;

            fn play(way: Way) {
                if way.is_possible() {
                    super::$name($lab(way));
                }
            }

            #[test]
            fn by_xdp() {
                play(Way::Xdp);
            }

            #[test]
            fn by_the_stack() {
                play(Way::Stack);
            }

            #[test]
            fn by_redirect() {
                play(Way::Redirect);
            }
        }
    };
}

pub(crate) use {matrix, ways};
