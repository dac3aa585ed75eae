//! Where new connections go that do not simply go to the live colour: canary, previews, weights.

use crate::lab::{Lab, Way};
use crate::watched::{await_status, history, status};
use bg_common::Colour;
use bg_tests::client::{get, request};
use bg_tests::daemon::{Settings, frontends, service};
use bg_tests::netns::Namespace;
use bg_tests::servers::Stamp;
use bg_tests::topology::{CLIENT, CLIENT_LINK, Plan, Zones};
use bg_tests::wait;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};

/// A second address of the client's, which is the office.
const OFFICE: [&str; 2] = ["198.51.100.77", "2001:db8:c::77"];

/// A VIP that leads to the colour that is not live.
const PREVIEW_VIP: &str = "198.51.100.11";

const TABLES: &str = "\n[deployment.shop.service.web.preview_vips]\n\"198.51.100.11\" = \"other\"\n";

/// Every way that this kernel has.
fn ways() -> impl Iterator<Item = Way> {
    [Way::Xdp, Way::Redirect].into_iter().filter(|way| way.is_possible())
}

fn lab(way: Way, machines: u8, deployment: &str) -> Lab {
    let (deployment, tables) = (deployment.to_owned(), TABLES.to_owned());
    let settings = Settings { deployment, tables, ..way.settings() };
    let lab = Lab::of(&Plan { machines, zones: Zones::Veth, ..Plan::default() }, &settings);
    let addresses = format!(
        "addr add {}/24 dev {CLIENT_LINK}\naddr add {}/64 dev {CLIENT_LINK} nodad\n",
        OFFICE[0], OFFICE[1]
    );
    lab.topology.client.ip(&addresses).unwrap();
    lab
}

/// Asks from one of the client's addresses, on a connection of its own.
fn request_from(client: &Namespace, from: &str, target: SocketAddr) -> io::Result<Stamp> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};
    use std::os::fd::AsRawFd as _;
    let from: IpAddr = from.parse().map_err(io::Error::other)?;
    let mut stream = client.run(|| {
        let family = if from.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
        connect(socket.as_raw_fd(), &SockaddrStorage::from(target))?;
        io::Result::Ok(TcpStream::from(socket))
    })?;
    get(&mut stream, true)
}

/// Who answers so many connections.
fn answers(lab: &Lab, target: SocketAddr, connections: usize) -> BTreeMap<(Colour, u8), usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..connections {
        let Stamp { colour, machine } = request(&lab.topology.client, target).unwrap();
        *counts.entry((colour, machine)).or_default() += 1;
    }
    counts
}

fn of(counts: &BTreeMap<(Colour, u8), usize>, wanted: Colour) -> usize {
    counts.iter().filter(|((colour, _), _)| *colour == wanted).map(|(_, count)| count).sum()
}

#[test]
fn a_tenth_of_new_connections_goes_to_the_canary_and_none_after_its_end() {
    const CONNECTIONS: usize = 2000;
    for way in ways() {
        let lab = lab(way, 1, "canary_by = \"connection\"");
        let [v4, v6] = frontends(service::WEB);
        lab.daemon.json(&["canary", "100"]).unwrap();
        for target in [v4, v6] {
            let green = of(&answers(&lab, target, CONNECTIONS / 2), Colour::Green);
            // Six standard deviations of a tenth of a thousand.
            assert!((43..=157).contains(&green), "{way:?}: {green} of {} by {target}", CONNECTIONS / 2);
        }
        assert_eq!(status(&lab)["canary_per_mille"], 100);
        lab.daemon.json(&["canary", "100%"]).unwrap();
        assert_eq!(of(&answers(&lab, v4, 50), Colour::Green), 50);
        lab.daemon.json(&["canary", "0"]).unwrap();
        assert_eq!(of(&answers(&lab, v6, 50), Colour::Blue), 50);
        let shares: Vec<_> = history(&lab, "canary").iter().map(|it| it["share"].clone()).collect();
        assert_eq!(shares, [100, 1000, 0]);
        lab.daemon.json(&["canary", "5%"]).unwrap();
        lab.daemon.switch(Colour::Green).unwrap();
        assert_eq!(of(&answers(&lab, v4, 50), Colour::Green), 50, "{way:?}: the switch has ended it");
    }
}

#[test]
fn a_client_does_not_flap_between_the_canary_and_live() {
    let lab = lab(Way::Redirect, 1, "");
    lab.daemon.json(&["canary", "500"]).unwrap();
    let counts = answers(&lab, frontends(service::WEB)[0], 200);
    assert_eq!(counts.len(), 1, "{counts:?}");
}

#[test]
fn the_office_sees_green_while_others_see_blue_on_one_address_and_port() {
    for way in ways() {
        let mut lab = lab(way, 1, "");
        let vips = frontends(service::WEB);
        let sees = |lab: &Lab, office: Colour, others: Colour| {
            for ((desk, elsewhere), target) in OFFICE.into_iter().zip(CLIENT).zip(vips) {
                let elsewhere = elsewhere.to_string();
                for (from, colour) in [(desk, office), (&elsewhere, others)] {
                    let answer = request_from(&lab.topology.client, from, target).unwrap();
                    assert_eq!(answer.colour, colour, "{way:?} from {from}");
                }
            }
        };
        sees(&lab, Colour::Blue, Colour::Blue);
        for network in [format!("{}/32", OFFICE[0]), "2001:db8:c::40/122".to_owned()] {
            lab.daemon.json(&["preview", "add", &network]).unwrap();
        }
        sees(&lab, Colour::Green, Colour::Blue);
        lab.daemon.switch(Colour::Green).unwrap();
        sees(&lab, Colour::Blue, Colour::Green);
        // The daemon is neither needed nor does it forget.
        lab.daemon.kill();
        sees(&lab, Colour::Blue, Colour::Green);
        lab.daemon.launch().unwrap();
        sees(&lab, Colour::Blue, Colour::Green);
        let list = lab.daemon.json(&["preview", "list"]).unwrap();
        assert_eq!(list.as_array().map(Vec::len), Some(2), "{list:#}");
        assert_eq!((&list[0]["to"], &list[0]["colour"]), (&"other".into(), &"blue".into()), "{list:#}");
        lab.daemon.json(&["preview", "rm", &format!("{}/32", OFFICE[0])]).unwrap();
        lab.daemon.json(&["preview", "rm", "2001:db8:c::40/122"]).unwrap();
        sees(&lab, Colour::Green, Colour::Green);
        let outcome = lab.daemon.bgctl(&["preview", "rm", "203.0.113.0/24"]).unwrap();
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        await_status(&lab, "the rules are gone", |it| it["previews"].as_array().is_some_and(Vec::is_empty));
    }
}

#[test]
fn a_preview_vip_leads_to_the_colour_that_is_not_live_and_no_drain_waits_for_it() {
    for way in ways() {
        let lab = lab(way, 1, "");
        let preview = SocketAddr::new(PREVIEW_VIP.parse().unwrap(), service::WEB);
        let live = frontends(service::WEB)[0];
        let both = || [live, preview].map(|at| request(&lab.topology.client, at).unwrap().colour);
        assert_eq!(both(), [Colour::Blue, Colour::Green]);
        lab.daemon.switch(Colour::Green).unwrap();
        assert_eq!(both(), [Colour::Green, Colour::Blue]);
        // A connection of the preview is open on the colour that drains.
        let open = bg_tests::client::dial(&lab.topology.client, preview, 0).unwrap();
        let drained = || history(&lab, "drained").pop();
        wait::until_some("blue is drained", wait::PATIENCE, drained).unwrap();
        drop(open);
    }
}

#[test]
fn a_machine_gets_its_weight_of_new_connections_and_none_when_it_is_drained() {
    let lab = lab(Way::Redirect, 2, "weights = { \"10.1.1.2\" = 25, \"10.1.2.2\" = 75, \"10.2.1.2\" = 0 }");
    let target = frontends(service::WEB)[0];
    let counts = answers(&lab, target, 800);
    let light = counts.get(&(Colour::Blue, 1)).copied().unwrap_or_default();
    // A quarter, within six standard deviations.
    assert!((127..=273).contains(&light), "{counts:?}");
    lab.daemon.switch(Colour::Green).unwrap();
    let counts = answers(&lab, target, 100);
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [(Colour::Green, 2)], "{counts:?}");
}
