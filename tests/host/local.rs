//! Where sockets of the gateway's own get, and what their processes are shown.

use bg_common::{Colour, Endpoint, Fate, Flow, Proto, Reason, Tick, Via, Word};
use bg_ebpf::Sockets as _;
use bg_ebpf::local::{close, connect, peer, received, send};
use bg_tests::host::Fake;
use bg_tests::world::{DNS_BLUE, DNS_GREEN, Family, WEB_BLUE, WEB_GREEN, World, endpoint};

const COOKIE: u64 = 4711;

fn fake() -> Fake {
    Fake::empty(&World::new(Via::Stack, 0), Word::initial(Colour::Blue))
}

fn switch(fake: &Fake, fate: Fate) {
    let word = fake.word.get();
    fake.word.set(word.switched(word.live().other(), fate, None).expect("a valid word can be switched"));
}

fn vip(family: Family, port: u16, proto: Proto) -> Endpoint {
    endpoint(family.vip(1, port), proto)
}

fn backend(family: Family, id: u32, proto: Proto) -> Endpoint {
    endpoint(family.backend(id), proto)
}

#[test]
fn a_socket_connects_to_who_is_live_and_is_decided_about_once() {
    for family in Family::BOTH {
        let fake = fake();
        let web = vip(family, 80, Proto::TCP);
        let [blue, green] = [WEB_BLUE, WEB_GREEN].map(|id| backend(family, id, Proto::TCP));
        assert_eq!(connect(&web, COOKIE, &fake), Ok(Some(blue)));
        switch(&fake, Fate::Keep);
        assert_eq!(connect(&web, COOKIE + 1, &fake), Ok(Some(green)));
        assert_eq!(peer(&blue, COOKIE, &fake), Some(web));
        assert_eq!(peer(&green, COOKIE, &fake), None, "that is not its peer");
        assert_eq!(peer(&green, COOKIE + 1, &fake), Some(web));
        assert_eq!(fake.pins().len(), 2);
        close(COOKIE, &fake);
        close(COOKIE, &fake);
        assert_eq!((fake.pins().len(), peer(&blue, COOKIE, &fake)), (1, None));
    }
}

#[test]
fn a_socket_that_connects_again_leaves_what_it_had() {
    let fake = fake();
    let web = vip(Family::V4, 80, Proto::TCP);
    assert!(connect(&web, COOKIE, &fake).is_ok());
    switch(&fake, Fate::Keep);
    assert!(connect(&web, COOKIE, &fake).is_ok());
    let pins = fake.pins();
    assert_eq!(pins.iter().map(|pin| pin.backend).collect::<Vec<_>>(), [WEB_GREEN]);
    // Elsewhere is as good as nowhere.
    let elsewhere = endpoint(Family::V4.backend(WEB_BLUE), Proto::TCP);
    assert_eq!(connect(&elsewhere, COOKIE, &fake), Ok(None));
    assert!(fake.pins().is_empty() && fake.connected(COOKIE).is_none());
}

#[test]
fn a_socket_hears_why_it_gets_nowhere() {
    let fake = fake();
    for (port, reason) in [(81, Reason::NoBackend), (82, Reason::Refused)] {
        assert_eq!(connect(&vip(Family::V4, port, Proto::TCP), COOKIE, &fake), Err(reason));
    }
    fake.word.set(fake.word.get().paused(None).expect("new flows can be held"));
    assert_eq!(connect(&vip(Family::V4, 80, Proto::TCP), COOKIE, &fake), Err(Reason::Paused));
    assert_eq!(send(&vip(Family::V4, 53, Proto::UDP), COOKIE, &fake), Err(Reason::Paused));
    assert!(fake.pins().is_empty() && fake.connected(COOKIE).is_none());
}

#[test]
fn flows_of_local_sockets_count_as_flows_and_never_as_unanswered_handshakes() {
    let fake = fake();
    assert!(connect(&vip(Family::V4, 80, Proto::TCP), COOKIE, &fake).is_ok());
    assert!(send(&vip(Family::V6, 53, Proto::UDP), COOKIE + 1, &fake).is_ok());
    let traffic = fake.traffic_of(bg_common::SliceId::new(0, Colour::Blue));
    assert_eq!((traffic.flows, traffic.local, traffic.handshakes), (2, 2, 0));
    assert_ne!(traffic.last_new_ns, 0, "a switch is proved by them, too");
}

#[test]
fn datagrams_stay_with_their_backend_until_they_are_moved() {
    for (fate, then) in [(Fate::Keep, DNS_BLUE), (Fate::Move, DNS_GREEN)] {
        for family in Family::BOTH {
            let fake = fake();
            let dns = vip(family, 53, Proto::UDP);
            let [blue, after] = [DNS_BLUE, then].map(|id| backend(family, id, Proto::UDP));
            assert_eq!(send(&dns, COOKIE, &fake), Ok(Some(blue)));
            assert_eq!(received(&blue, COOKIE, &fake), Some(dns), "it comes back from the VIP");
            assert_eq!(received(&blue, COOKIE + 1, &fake), None, "another socket knows nothing of it");
            assert_eq!(send(&dns, COOKIE, &fake), Ok(Some(blue)));
            switch(&fake, fate);
            assert_eq!(send(&dns, COOKIE, &fake), Ok(Some(after)), "{fate:?}");
            assert_eq!(received(&after, COOKIE, &fake), Some(dns));
        }
    }
}

#[test]
fn a_one_way_datagram_is_decided_anew_after_a_minute() {
    let fake = fake();
    let dns = vip(Family::V4, 53, Proto::UDP);
    assert!(send(&dns, COOKIE, &fake).is_ok());
    switch(&fake, Fate::Keep);
    let blue = Ok(Some(backend(Family::V4, DNS_BLUE, Proto::UDP)));
    assert_eq!(send(&dns, COOKIE, &fake), blue);
    fake.now.set(Tick(fake.now.get().0 + Flow::HALF_OPEN_TICKS));
    assert_ne!(send(&dns, COOKIE, &fake), blue);
}

#[test]
fn sockets_spread_over_the_backends_of_a_slice() {
    let fake = fake();
    let pool = vip(Family::V4, 90, Proto::TCP);
    let met: std::collections::HashSet<_> =
        (0..200).filter_map(|cookie| connect(&pool, cookie, &fake).expect("it is served")).collect();
    assert_eq!(met.len(), bg_tests::world::POOL_SIZE as usize);
}
