//! The cut-over: who moves, who stays, and the way back.

use crate::lab::{Lab, assert_unharmed, await_new, matrix, short, ways};
use bg_common::Colour;
use bg_tests::clock;
use bg_tests::daemon::{frontends, service};
use bg_tests::traffic::{Kind, Load, Tally};
use bg_tests::wait;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

matrix!(new_connections_move_and_established_ones_stay);

fn new_connections_move_and_established_ones_stay(lab: Lab) {
    let traffic = lab.load();
    await_new(&traffic, Colour::Blue, 100);
    // For each change: the colour, and the time after which every new connection has to find it.
    let mut changes = Vec::new();
    for (order, colour) in [("switch", Colour::Green), ("rollback", Colour::Blue), ("switch", Colour::Green)]
    {
        let ordered = clock::now();
        let answer = lab.daemon.json(&[order]).unwrap();
        assert_eq!(answer["to"], colour.as_str(), "{answer}");
        changes.push((colour, ordered, clock::now()));
        await_new(&traffic, colour, 100);
    }
    let tally = traffic.stop().unwrap();
    assert_unharmed(&tally);
    let ends = changes.iter().skip(1).map(|(_, ordered, _)| *ordered).chain([u64::MAX]);
    for ((colour, _, since), until) in changes.iter().zip(ends) {
        let within =
            short(&tally).filter(|connection| connection.called > *since && connection.connected < until);
        let colours: BTreeSet<_> = within.map(|connection| connection.stamp.colour).collect();
        assert_eq!(colours, BTreeSet::from([*colour]));
    }
    for kind in [Kind::Stream, Kind::Kept, Kind::Datagram] {
        let stamps: Vec<_> =
            tally.connections.iter().filter(|it| it.kind == kind).map(|it| it.stamp.colour).collect();
        // One connection per client, none replaced: the one that blue answered first it answered to the end.
        assert_eq!(stamps, [Colour::Blue; 8], "{kind:?}");
    }
    assert_every_machine_works(&lab, &tally);
}

fn assert_every_machine_works(lab: &Lab, tally: &Tally) {
    let machines: BTreeSet<_> = lab.topology.machines.iter().map(bg_tests::servers::Stamp::of).collect();
    let stamps: BTreeSet<_> = short(tally).map(|connection| connection.stamp).collect();
    assert_eq!(stamps, machines);
}

ways!(the_drain_is_seen_and_ends_with_the_last_connection);

fn the_drain_is_seen_and_ends_with_the_last_connection(lab: Lab) {
    let streams = Load {
        kind: Kind::Stream,
        targets: frontends(service::LINES).to_vec(),
        clients: 6,
        rate: 20.0,
        life: None,
    };
    let traffic = lab.start(vec![streams]);
    let open = |tally: &Tally| tally.open_of(Kind::Stream)[0];
    wait::until("the streams are open", wait::PATIENCE, || traffic.record().look(open) == 6).unwrap();
    lab.daemon.switch(Colour::Green).unwrap();
    let status = || lab.daemon.json(&["status"]).unwrap()["deployments"][0].clone();
    let drains = |status: &Value| {
        status["live"] == "green" && status["draining"] == true && status["open"]["blue"] == 6
    };
    wait::until("the drain of six is shown", wait::PATIENCE, || drains(&status())).unwrap_or_else(|why| {
        panic!("{why:#}: {}", status());
    });
    let flows = lab.daemon.json(&["flows", "--colour", "blue"]).unwrap();
    let flows = flows["flows"].as_array().unwrap();
    assert_eq!(flows.len(), 6, "{flows:?}");
    for flow in flows {
        assert_eq!((&flow["service"], &flow["state"]), (&"lines".into(), &"established".into()), "{flow}");
    }
    assert_unharmed(&traffic.stop().unwrap());
    let ended = |status: &Value| status["draining"] == false && status["open"]["blue"] == 0;
    wait::until("the drain ends", Duration::from_secs(30), || ended(&status())).unwrap_or_else(|why| {
        panic!("{why:#}: {}", status());
    });
}

ways!(the_counters_agree_with_what_clients_saw);

fn the_counters_agree_with_what_clients_saw(lab: Lab) {
    let traffic = lab.load();
    await_new(&traffic, Colour::Blue, 50);
    lab.daemon.switch(Colour::Green).unwrap();
    await_new(&traffic, Colour::Green, 50);
    let tally = traffic.stop().unwrap();
    assert_unharmed(&tally);
    let counters = lab.daemon.json(&["counters"]).unwrap();
    for colour in Colour::BOTH {
        let counted = &counters["deployments"][0][colour.as_str()];
        let seen: Vec<_> = tally.connections.iter().filter(|it| it.stamp.colour == colour).collect();
        let streams = seen.iter().filter(|it| it.kind != Kind::Datagram).count();
        assert_eq!(counted["flows"], seen.len(), "{colour}: {counted}");
        assert_eq!(counted["handshakes"], streams, "{colour}: {counted}");
        assert_eq!(counted["answered"], seen.len(), "{colour}: {counted}");
        assert_eq!(counted["resets"], 0, "{colour}: {counted}");
    }
}
