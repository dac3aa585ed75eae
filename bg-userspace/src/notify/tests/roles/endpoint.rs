//! Roles over the network.

use super::*;
use crate::notify::tests::until;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

#[tokio::test]
async fn a_machine_learns_the_role_of_its_own_slice() {
    let house = House::open(Limits::default());
    house.roles.written(DEADLINE).await;
    for (from, file) in [(MACHINE, "shop.blue"), (OTHER, "shop.green")] {
        let reply = house.get(from, "/v1/role").await;
        assert_eq!((reply.status(), reply.json()), (200, house.file(file)), "{}", reply.head);
        let role = house.file(file)["role"].as_str().unwrap().to_owned();
        let headers = [&format!("x-bg-role: {role}"), "x-bg-generation: 7", "content-type: application/json"];
        for header in headers {
            assert!(reply.head.contains(header), "{header} in {}", reply.head);
        }
        let head = house.request(from, "HEAD /v1/role HTTP/1.1\r\nHost: bg\r\n\r\n").await;
        assert_eq!((head.status(), head.body.as_str()), (200, ""));
        assert!(head.head.contains(&format!("x-bg-role: {role}")), "{}", head.head);
    }
}

#[tokio::test]
async fn everything_else_is_refused_in_the_usual_form() {
    let house = House::open(Limits::default());
    let bank = RoleState { deployment: "bank".to_owned(), ..green() };
    house.roles.update(&[blue(), green(), bank]);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: bg\r\n\r\n");
    for (from, request, status, code) in [
        (STRANGER, get("/v1/role"), 404, "no-slice"),
        (STRANGER, get("/"), 404, "no-slice"),
        (MACHINE, get("/"), 404, "no-such-path"),
        (MACHINE, get("/v1/role/"), 404, "no-such-path"),
        (MACHINE, get("/v1/status"), 404, "no-such-path"),
        (MACHINE, get("/v1/role?wait=soon"), 400, "bad-request"),
        (MACHINE, get("/v1/role?wait=65536"), 400, "bad-request"),
        (MACHINE, get("/v1/role?colour=green"), 400, "bad-request"),
        (MACHINE, get("/v1/role?deployment=bank"), 404, "no-slice"),
        (OTHER, get("/v1/role"), 409, "which-deployment"),
        (
            MACHINE,
            "POST /v1/role HTTP/1.1\r\nHost: bg\r\nContent-Length: 4\r\n\r\nlive".to_owned(),
            405,
            "wrong-method",
        ),
        (MACHINE, "DELETE /v1/role HTTP/1.1\r\nHost: bg\r\n\r\n".to_owned(), 405, "wrong-method"),
    ] {
        let reply = house.request(from, &request).await;
        let refusal: Refusal = serde_json::from_value(reply.json()).unwrap();
        assert_eq!((reply.status(), refusal.code.as_str()), (status, code), "{from}: {request}");
        assert!(!refusal.mend.is_empty() && !reply.head.contains("x-bg-role"), "{refusal}");
    }
    let reply = house.get(OTHER, "/v1/role?deployment=bank").await;
    assert_eq!((reply.status(), &reply.json()["deployment"]), (200, &"bank".into()));
}

#[tokio::test]
async fn requests_that_are_none_are_hung_up_on() {
    let house = House::open(impatient());
    let large = format!("GET /v1/role HTTP/1.1\r\nX-Large: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET /v1/role HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
    for request in ["\x16\x03\x01", "GET\r\n\r\n", "GET /v1/role HTTP/9.9\r\n\r\n", &large, &many] {
        let mut stream = house.connect(MACHINE).await;
        // It may hang up before everything is sent.
        let _ = stream.write_all(request.as_bytes()).await;
        let reply = Reply::read(stream).await;
        assert!([0, 400, 431].contains(&reply.status()), "{request:.40}: {}", reply.head);
    }
    assert_eq!(house.get(MACHINE, "/v1/role").await.status(), 200);
}

#[tokio::test]
async fn a_machine_can_wait_for_the_next_generation() {
    let house = Arc::new(House::open(Limits::default()));
    let began = Instant::now();
    for generation in [6, 8, 0, 16_383] {
        let reply = house.get(MACHINE, &format!("/v1/role?wait={generation}")).await;
        assert_eq!(reply.json()["generation"], 7, "one that differs already is told at once");
    }
    assert!(began.elapsed() < DEADLINE / 2);

    let mut stream = house.connect(MACHINE).await;
    stream.write_all(b"GET /v1/role?wait=7 HTTP/1.1\r\nHost: bg\r\n\r\n").await.unwrap();
    // The other slice's news are none for this one.
    house.update(&[blue(), RoleState { version: None, ..green() }]).await;
    let early = tokio::time::timeout(Duration::from_millis(100), stream.readable()).await;
    assert!(early.is_err(), "it is answered before anything has changed");
    house.update(&switched()).await;
    let reply = Reply::read(stream).await;
    assert_eq!((reply.status(), reply.json()), (200, house.file("shop.blue")));
    assert!(reply.head.contains("x-bg-role: standby"), "{}", reply.head);
}

#[tokio::test]
async fn waiting_ends_with_what_is_still_so_or_with_the_slice() {
    let house = House::open(impatient());
    let reply = house.get(MACHINE, "/v1/role?wait=7").await;
    assert_eq!((reply.status(), &reply.json()["generation"]), (200, &7.into()));

    let patient = House::open(Limits::default());
    let mut stream = patient.connect(MACHINE).await;
    stream.write_all(b"GET /v1/role?wait=7 HTTP/1.1\r\nHost: bg\r\n\r\n").await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), stream.readable()).await.is_err());
    patient.update(&[green()]).await;
    assert_eq!(Reply::read(stream).await.status(), 404);
}

#[tokio::test]
async fn slow_machines_keep_nobody_else_out_and_are_hung_up_on() {
    let house = House::open(Limits { head: Duration::from_millis(1500), ..Limits::default() });
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = house.connect(MACHINE).await;
        // It may be one too many.
        let _ = stream.write_all(b"GET /v1/role HT").await;
        slow.push(stream);
    }
    let strangers: Vec<TcpStream> = {
        let mut strangers = Vec::new();
        for last in 10..60 {
            strangers.push(house.connect(IpAddr::from([127, 0, 0, last])).await);
        }
        strangers
    };
    assert_eq!(house.get(OTHER, "/v1/role").await.status(), 200, "another machine is answered at once");
    for stream in slow.into_iter().chain(strangers) {
        assert_ne!(Reply::read(stream).await.status(), 200);
    }
    assert_eq!(house.get(MACHINE, "/v1/role").await.status(), 200, "and this one again");
}

#[tokio::test]
async fn of_two_hundred_at_once_each_is_served_or_told_or_hung_up_on() {
    let house = Arc::new(House::open(Limits::default()));
    let mut clients = JoinSet::new();
    for number in 0..200 {
        let house = Arc::clone(&house);
        let from = if number % 2 == 0 { MACHINE } else { OTHER };
        clients.spawn(async move {
            let mut stream = house.connect(from).await;
            let _ = stream.write_all(b"GET /v1/role HTTP/1.1\r\nHost: bg\r\n\r\n").await;
            Reply::read(stream).await
        });
    }
    let replies = clients.join_all().await;
    let with = |status| replies.iter().filter(|reply| reply.status() == status).count();
    assert_eq!(with(200) + with(503) + with(0), 200);
    assert!(with(200) >= 32, "{} are served", with(200));
    for reply in replies.iter().filter(|reply| reply.status() == 503) {
        assert!(reply.head.contains("retry-after: 1") && reply.json()["code"] == "busy", "{}", reply.head);
    }
    assert_eq!(house.get(MACHINE, "/v1/role").await.status(), 200);
}

#[tokio::test]
async fn one_who_does_not_read_is_not_waited_for() {
    let house = House::open(impatient());
    let mut stream = house.connect(MACHINE).await;
    // Only the first is answered, and the rest is not read.
    let flood = "GET /v1/role HTTP/1.1\r\nHost: bg\r\n\r\n".repeat(10_000);
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(flood.as_bytes())).await;
    let reply = Reply::read(stream).await;
    assert!(reply.body.matches("deployment").count() <= 1, "{}", reply.body);
    assert_eq!(house.get(MACHINE, "/v1/role").await.status(), 200);
}

#[tokio::test]
async fn addresses_that_cannot_be_had_are_refused_and_tried_again() {
    let house = House::new();
    house.roles.limit(impatient());
    house.roles.update(&[blue()]);
    let other = TcpListener::bind(house.at).await.unwrap();
    let not_here: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let refusals = house.listen(&[house.at, not_here]);
    let told: Vec<_> = refusals.iter().map(|refusal| (refusal.code.as_str(), refusal.at.as_str())).collect();
    assert_eq!(told, [("role-endpoint", house.at.to_string().as_str()), ("role-endpoint", "192.0.2.1:4000")]);
    assert!(refusals[0].mend.contains("ss -ltnp") && refusals[1].mend.contains("ip address add 192.0.2.1"));
    assert_eq!(house.listen(&[house.at, not_here]), [], "what is tried is said once");

    drop(other);
    let open = || std::net::TcpStream::connect(house.at).is_ok();
    until("it listens", open).await;
    assert_eq!(house.get(MACHINE, "/v1/role").await.status(), 200);
    assert_eq!(house.listen(&[]), []);
    until("it does not listen any more", || !open()).await;
}

#[tokio::test]
async fn an_address_of_both_families_knows_its_ipv4_machines() {
    let house = House::new();
    house.roles.update(&[blue()]);
    let Ok(probe) = std::net::TcpListener::bind("[::]:0") else {
        println!("SKIP there is no IPv6 here");
        return;
    };
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    assert_eq!(house.listen(&[SocketAddr::from(([0_u16; 8], port))]), []);
    let mut stream = connect(MACHINE, ([127, 0, 0, 1], port).into()).await;
    stream.write_all(b"GET /v1/role HTTP/1.1\r\nHost: bg\r\n\r\n").await.unwrap();
    let reply = Reply::read(stream).await;
    assert!(reply.head.contains("x-bg-role: live"), "{}", reply.head);
}
