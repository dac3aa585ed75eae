//! Rows of one valid deployment with a probe that is right, and with one that is wrong.

use crate::config::parse;
use crate::config::tests::{changed, check_in, check_note, deployment};
use crate::health::spec::{Ask, Http, ProbeSpec, Tls, Verify};
use crate::model::policy::{Level, ProbePolicy};
use std::net::SocketAddr;
use std::time::Duration;

/// The rows put a probe in the place of the last line.
const GOOD: &str = r#"[deployment.shop]
blue = ["10.1.0.2", "fd00:1::2"]
green = ["10.2.0.2", "fd00:2::2"]
[deployment.shop.service.web]
vips = ["192.0.2.10", "2001:db8::10"]
port = 80
backend_port = 8080
[deployment.shop.service.dns]
vips = ["192.0.2.10"]
port = 53
protocol = "udp"
# PROBE
"#;

const PROBE: &str = "# PROBE";

/// The probe `p` with these lines.
fn with(lines: &str) -> String {
    format!("[deployment.shop.probe.p]\n{lines}")
}

fn probe(lines: &str) -> (ProbeSpec, ProbePolicy) {
    let deployment = deployment(GOOD, PROBE, &with(lines));
    assert_eq!(deployment.probes.deployment, "shop");
    assert_eq!(deployment.probes.slices, deployment.slices);
    let [spec] = &deployment.probes.probes[..] else { panic!("{lines}: {:?}", deployment.probes) };
    let [policy] = &deployment.policy.probes[..] else { panic!("{lines}: {:?}", deployment.policy) };
    assert_eq!((&spec.name, spec.level), (&policy.name, policy.level));
    assert_eq!(policy.vip, !spec.frontends.is_empty());
    (spec.clone(), policy.clone())
}

fn http(tls: Option<Tls>) -> Http {
    Http { path: "/".to_owned(), host: None, status: vec![(200, 299)], body: None, tls }
}

fn addrs(addrs: &[&str]) -> Vec<SocketAddr> {
    addrs.iter().map(|addr| addr.parse().unwrap()).collect()
}

#[test]
fn a_probe_needs_little_more_than_its_kind() {
    let (spec, policy) = probe("kind = \"http\"");
    let frontends = addrs(&["192.0.2.10:80", "[2001:db8::10]:80"]);
    let wanted = ProbeSpec {
        name: "p".to_owned(),
        level: Level::Backend,
        port: Some(8080),
        frontends,
        interval: Duration::from_secs(2),
        jitter: 10,
        timeout: Duration::from_secs(1),
        ask: Ask::Http(http(None)),
    };
    assert_eq!(spec, wanted);
    let wanted = ProbePolicy {
        name: "p".to_owned(),
        service: Some("web".to_owned()),
        level: Level::Backend,
        rise: 2,
        fall: 3,
        start_up: false,
        vip: true,
    };
    assert_eq!(policy, wanted);
}

#[test]
fn what_is_asked_arrives() {
    let text = |text: &str| Some(text.to_owned());
    let tls = |verify| Some(Tls { name: None, verify });
    let rows = [
        ("kind = \"tcp\"", Ask::Tcp),
        (
            "kind = \"http\"\npath = \"/health?of={colour}\"\nhost = \"shop.example:81\"\nbody = '{\"ok\": \"{colour}\"}'",
            Ask::Http(Http {
                path: "/health?of={colour}".to_owned(),
                host: text("shop.example:81"),
                body: text("{\"ok\": \"{colour}\"}"),
                ..http(None)
            }),
        ),
        (
            "kind = \"http\"\nstatus = [204, \"300-399\", \"404\"]",
            Ask::Http(Http { status: vec![(204, 204), (300, 399), (404, 404)], ..http(None) }),
        ),
        ("kind = \"http\"\nstatus = 204", Ask::Http(Http { status: vec![(204, 204)], ..http(None) })),
        (
            "kind = \"http\"\nhost = \"[fd00::1]:80\"",
            Ask::Http(Http { host: text("[fd00::1]:80"), ..http(None) }),
        ),
        ("kind = \"https\"\ntls_verify = \"none\"", Ask::Http(http(tls(Verify::Nothing)))),
        ("kind = \"https\"\ntls_verify = \"system\"", Ask::Http(http(tls(Verify::System)))),
        (
            "kind = \"https\"\ntls_verify = \"/etc/bg/ca.pem\"\ntls_name = \"{colour}.shop.example\"",
            Ask::Http(http(Some(Tls {
                name: text("{colour}.shop.example"),
                verify: Verify::File("/etc/bg/ca.pem".into()),
            }))),
        ),
        ("kind = \"udp\"\nsend = \"ping\"", Ask::Udp { send: b"ping".to_vec(), expect: Vec::new() }),
        ("kind = \"udp\"\nsend = \"\"", Ask::Udp { send: Vec::new(), expect: Vec::new() }),
        (
            "kind = \"udp\"\nsend_hex = \"00fF7b\"\nexpect_hex = \"01\"",
            Ask::Udp { send: vec![0, 255, 123], expect: vec![1] },
        ),
        ("kind = \"grpc\"", Ask::Grpc { service: String::new(), tls: None }),
        (
            "kind = \"grpc\"\ngrpc_service = \"shop.Cart\"\ntls = true\ntls_verify = \"system\"",
            Ask::Grpc { service: "shop.Cart".to_owned(), tls: tls(Verify::System) },
        ),
        ("kind = \"grpc\"\ntls = false", Ask::Grpc { service: String::new(), tls: None }),
        (
            "kind = \"command\"\ncommand = [\"/bin/check\", \"--of={deployment}/{colour}\", \"{}\"]",
            Ask::Command(["/bin/check", "--of={deployment}/{colour}", "{}"].map(str::to_owned).into()),
        ),
        (
            "kind = \"command\"\nper = \"backend\"\ncommand = [\"/bin/check\", \"{address}\"]",
            Ask::Command(["/bin/check", "{address}"].map(str::to_owned).into()),
        ),
    ];
    for (lines, ask) in rows {
        assert_eq!(probe(lines).0.ask, ask, "{lines}");
    }
}

#[test]
fn whom_it_asks_follows_from_little() {
    use Level::{Backend, Slice};
    let both = ["192.0.2.10:80", "[2001:db8::10]:80"];
    let (none, dns): (&[&str], _) = (&[], ["192.0.2.10:53"]);
    let rows = [
        ("kind = \"tcp\"", Some("web"), Some(8080), &both[..], Backend),
        ("kind = \"tcp\"\nservice = \"web\"", Some("web"), Some(8080), &both[..], Backend),
        ("kind = \"tcp\"\nport = 8080", Some("web"), Some(8080), &both[..], Backend),
        ("kind = \"tcp\"\nport = 8081", Some("web"), Some(8081), none, Backend),
        ("kind = \"tcp\"\nvip = false", Some("web"), Some(8080), none, Backend),
        ("kind = \"tcp\"\nvip = true", Some("web"), Some(8080), &both[..], Backend),
        ("kind = \"udp\"\nsend = \"\"", Some("dns"), Some(53), &dns, Backend),
        // The health of a UDP service, asked over TCP: nothing that a VIP leads to.
        ("kind = \"http\"\nservice = \"dns\"\nport = 8053", Some("dns"), Some(8053), none, Backend),
        ("kind = \"tcp\"\nservice = \"dns\"\nport = 53", Some("dns"), Some(53), none, Backend),
        ("kind = \"command\"\ncommand = [\"/c\"]", None, None, none, Slice),
        ("kind = \"command\"\ncommand = [\"/c\"]\nper = \"backend\"", None, None, none, Backend),
    ];
    for (lines, service, port, frontends, level) in rows {
        let (spec, policy) = probe(lines);
        assert_eq!(policy.service.as_deref(), service, "{lines}");
        assert_eq!((spec.port, spec.level), (port, level), "{lines}");
        assert_eq!(spec.frontends, addrs(frontends), "{lines}");
    }
    // Nothing says which of two it is of, or there is none, but the port says what to ask.
    let more = "\n[deployment.shop.service.api]\nvips = [\"192.0.2.11\"]\nport = 81\n";
    for (kind, more) in [("tcp", more), ("udp\"\nsend = \"x", "")] {
        let text =
            GOOD.replace("protocol = \"udp\"", if more.is_empty() { "" } else { "protocol = \"udp\"" });
        let lines = with(&format!("kind = \"{kind}\"\nport = 9000{more}"));
        let deployment = deployment(&text, PROBE, &lines);
        assert_eq!(deployment.policy.probes[0].service, None, "{kind}");
        assert_eq!(deployment.probes.probes[0].port, Some(9000), "{kind}");
        assert_eq!(deployment.probes.probes[0].frontends, [], "{kind}");
    }
}

#[test]
fn its_pace_arrives() {
    let lines = "kind = \"tcp\"\ninterval = \"500ms\"\njitter = 0\nrise = 1\nfall = 100\nstart = \"healthy\"";
    let (spec, policy) = probe(lines);
    assert_eq!((spec.interval, spec.jitter), (Duration::from_millis(500), 0));
    // The default would be longer than the interval.
    assert_eq!(spec.timeout, Duration::from_millis(500));
    assert_eq!((policy.rise, policy.fall, policy.start_up), (1, 100, true));
    let (spec, _) = probe("kind = \"tcp\"\ninterval = \"10s\"\ntimeout = \"10s\"");
    assert_eq!((spec.interval, spec.timeout), (Duration::from_secs(10), Duration::from_secs(10)));
}

#[test]
fn each_mistake_is_named_with_its_place_and_its_mend() {
    let rows = [
        // Kinds.
        ("rise = 1", "", "p", "`kind` is missing", "kind = \"http\""),
        ("kind = \"htpp\"", "kind", "\"htpp\"", "none of the choices", "did you mean \"http\"?"),
        ("kind = 1", "kind", "1", "a whole number", "kind = \"http\""),
        // Keys that are for others.
        (
            "kind = \"tcp\"\npath = \"/\"",
            "path",
            "path",
            "`path` is for http and https probes; this one is tcp",
            "remove it",
        ),
        (
            "kind = \"udp\"\nsend = \"x\"\nhost = \"a\"",
            "host",
            "host",
            "http and https probes; this one is udp",
            "remove it",
        ),
        (
            "kind = \"tcp\"\nsend = \"x\"",
            "send",
            "send",
            "is for udp probes; this one is tcp",
            "a `kind` that has it",
        ),
        (
            "kind = \"http\"\ntls_verify = \"none\"",
            "tls_verify",
            "tls_verify",
            "https and grpc probes",
            "kind = \"https\"",
        ),
        (
            "kind = \"http\"\ntls = true",
            "tls",
            "tls",
            "is for grpc probes; this one is http",
            "kind = \"https\"",
        ),
        ("kind = \"tcp\"\nper = \"slice\"", "per", "per", "is for command probes", "remove it"),
        (
            "kind = \"command\"\ncommand = [\"/c\"]\nport = 80",
            "port",
            "port",
            "tcp, http, https, udp and grpc probes; this one is command",
            "remove it",
        ),
        (
            "kind = \"command\"\ncommand = [\"/c\"]\nvip = false",
            "vip",
            "vip",
            "this one is command",
            "remove it",
        ),
        (
            "kind = \"command\"\ncommand = [\"/c\"]\nservice = \"web\"",
            "service",
            "service",
            "this one is command",
            "remove it",
        ),
        (
            "kind = \"grpc\"\ntls_name = \"a.example\"",
            "tls_name",
            "\"a.ex",
            "`tls_name` is for TLS",
            "tls = true",
        ),
        (
            "kind = \"grpc\"\ntls = false\ntls_verify = \"none\"",
            "tls_verify",
            "\"none\"",
            "does not speak",
            "tls = true",
        ),
        (
            "kind = \"tcp\"\nvips = true",
            "vips",
            "vips",
            "not a key",
            "move it to [deployment.NAME.service.NAME]",
        ),
        (
            "kind = \"tcp\"\nintervall = \"1s\"",
            "intervall",
            "intervall",
            "not a key",
            "did you mean `interval`?",
        ),
        ("kind = \"tcp\"\nown_vips = true", "own_vips", "own_vips", "not a key", "move it to [gateway]"),
        // Pace.
        ("kind = \"tcp\"\ninterval = \"99ms\"", "interval", "\"99ms\"", "out of range", "100ms to 1h"),
        ("kind = \"tcp\"\ninterval = \"61m\"", "interval", "\"61m\"", "out of range", "100ms to 1h"),
        ("kind = \"tcp\"\ninterval = \"2\"", "interval", "\"2\"", "not a time", "\"2s\""),
        ("kind = \"tcp\"\ninterval = 2", "interval", "2", "a whole number", "interval = \"2s\""),
        (
            "kind = \"tcp\"\ntimeout = \"3s\"",
            "timeout",
            "\"3s\"",
            "the timeout of 3s is longer than the interval of 2s",
            "at most 2s",
        ),
        ("kind = \"tcp\"\ntimeout = \"0s\"", "timeout", "\"0s\"", "out of range", "1ms"),
        (
            "kind = \"tcp\"\ntimeout = \"3s\"\ninterval = \"0s\"",
            "interval",
            "\"0s\"",
            "out of range",
            "100ms",
        ),
        ("kind = \"tcp\"\njitter = 51", "jitter", "51", "51 is out of range", "0 to 50"),
        ("kind = \"tcp\"\nrise = 0", "rise", "0", "0 is out of range", "1 to 100"),
        ("kind = \"tcp\"\nfall = 101", "fall", "101", "101 is out of range", "1 to 100"),
        ("kind = \"tcp\"\nfall = 99999999999999999999", "fall", "9999", "out of range", "1 to 100"),
        (
            "kind = \"tcp\"\nstart = \"up\"",
            "start",
            "\"up\"",
            "none of the choices",
            "\"unhealthy\", \"healthy\"",
        ),
        // Whom it asks.
        (
            "kind = \"tcp\"\nservice = \"wob\"",
            "service",
            "\"wob\"",
            "no service \"wob\"",
            "did you mean \"web\"?",
        ),
        (
            "kind = \"tcp\"\nservice = \"mail\"",
            "service",
            "\"mail\"",
            "no service \"mail\"",
            "\"dns\", \"web\"",
        ),
        ("kind = \"tcp\"\nservice = 1", "service", "1", "a whole number", "service = \"web\""),
        (
            "kind = \"http\"\nservice = \"dns\"",
            "service",
            "\"dns\"",
            "dns is a udp service, and http probes speak tcp",
            "`port`",
        ),
        ("kind = \"tcp\"\nport = 0", "port", "0", "0 is out of range", "1 to 65535"),
        ("kind = \"tcp\"\nport = 65536", "port", "65536", "65536 is out of range", "1 to 65535"),
        ("kind = \"tcp\"\nport = \"80\"", "port", "\"80\"", "is a text", "port = 8081"),
        (
            "kind = \"tcp\"\nport = 8081\nvip = true",
            "vip",
            "true",
            "lead to 8080/tcp, and this probe asks 8081/tcp",
            "remove `vip`",
        ),
        (
            "kind = \"tcp\"\nservice = \"dns\"\nport = 53\nvip = true",
            "vip",
            "true",
            "lead to 53/udp, and this probe asks 53/tcp",
            "remove `vip`",
        ),
        (
            "kind = \"command\"\nper = \"machine\"\ncommand = [\"/c\"]",
            "per",
            "\"machine\"",
            "none of the choices",
            "\"backend\", \"slice\"",
        ),
        // HTTP.
        (
            "kind = \"http\"\npath = \"health\"",
            "path",
            "\"health\"",
            "\"health\" is not the path of a URL",
            "a slash",
        ),
        ("kind = \"http\"\npath = \"\"", "path", "\"\"", "not the path", "a slash"),
        ("kind = \"http\"\npath = \"/a b\"", "path", "\"/a b\"", "not the path", "%20"),
        ("kind = \"http\"\npath = \"/a#b\"", "path", "\"/a#b\"", "not the path", "%20"),
        (
            "kind = \"http\"\nhost = \"a b\"",
            "host",
            "\"a b\"",
            "\"a b\" is not a host",
            "\"shop.example:8080\"",
        ),
        ("kind = \"http\"\nhost = \"a:0\"", "host", "\"a:0\"", "not from 1 to 65535", "\"shop.example\""),
        ("kind = \"http\"\nhost = \"a:\"", "host", "\"a:\"", "not from 1 to 65535", "\"shop.example\""),
        ("kind = \"http\"\nhost = \":80\"", "host", "\":80\"", "names no host", "\"shop.example\""),
        ("kind = \"http\"\nhost = \"me@a\"", "host", "\"me@a\"", "names a user", "\"shop.example\""),
        ("kind = \"http\"\nhost = \"[::g]\"", "host", "\"[::g]\"", "no IPv6 address", "\"shop.example\""),
        ("kind = \"http\"\nstatus = []", "status", "[]", "no status would be good", "\"200-299\""),
        ("kind = \"http\"\nstatus = [99]", "status", "99", "99 is no range of statuses", "100 to 599"),
        ("kind = \"http\"\nstatus = [200, \"299-200\"]", "status", "\"299-200\"", "no range", "\"200-299\""),
        ("kind = \"http\"\nstatus = \"2xx\"", "status", "\"2xx\"", "no range", "\"200-299\""),
        ("kind = \"http\"\nstatus = [200.5]", "status", "[200.5]", "is a list", "status = ["),
        (
            "kind = \"http\"\nbody = \"{color}\"",
            "body",
            "\"{color}\"",
            "`{color}`",
            "did you mean `{colour}`?",
        ),
        (
            "kind = \"http\"\npath = \"/{version}\"",
            "path",
            "\"/{version}\"",
            "`{version}`",
            "known here: {colour}",
        ),
        (
            "kind = \"http\"\nhost = \"{address}\"",
            "host",
            "\"{address}\"",
            "`{address}`",
            "known here: {colour}",
        ),
        // TLS.
        ("kind = \"https\"", "", "p", "`tls_verify` is missing", "there is no default, because"),
        ("kind = \"grpc\"\ntls = true", "", "p", "`tls_verify` is missing", "tls_verify = \"system\""),
        (
            "kind = \"https\"\ntls_verify = \"sytem\"",
            "tls_verify",
            "\"sytem\"",
            "none of the choices",
            "\"system\"?",
        ),
        (
            "kind = \"https\"\ntls_verify = \"ca.pem\"",
            "tls_verify",
            "\"ca.pem\"",
            "none of the choices",
            "/absolute/path",
        ),
        (
            "kind = \"https\"\ntls_verify = true",
            "tls_verify",
            "true",
            "true or false",
            "tls_verify = \"system\"",
        ),
        (
            "kind = \"https\"\ntls_verify = \"none\"\ntls_name = \"a:1\"",
            "tls_name",
            "\"a:1\"",
            "cannot be a name",
            "without a port",
        ),
        ("kind = \"grpc\"\ntls = 1\ntls_name = \"a.example\"", "tls", "1", "a whole number", "tls = true"),
        // Datagrams.
        ("kind = \"udp\"", "", "p", "nothing says what to send", "send = \"ping\""),
        ("kind = \"udp\"\nsend = 1", "send", "1", "a whole number", "send = \"ping\""),
        (
            "kind = \"udp\"\nsend = \"x\"\nsend_hex = \"00\"",
            "send_hex",
            "\"00\"",
            "`send` and `send_hex` are the same",
            "one of them",
        ),
        (
            "kind = \"udp\"\nsend = \"x\"\nexpect = \"\"\nexpect_hex = \"00\"",
            "expect_hex",
            "\"00\"",
            "the same",
            "one of them",
        ),
        ("kind = \"udp\"\nsend_hex = \"0\"", "send_hex", "\"0\"", "not hexadecimal", "two digits"),
        ("kind = \"udp\"\nsend_hex = \"0g\"", "send_hex", "\"0g\"", "not hexadecimal", "0-9 a-f"),
        (
            "kind = \"udp\"\nsend = \"{colour}{x}\"",
            "send",
            "\"{colour}{x}\"",
            "`{x}`",
            "known here: {colour}",
        ),
        // Commands.
        ("kind = \"command\"", "", "p", "`command` is missing", "command = ["),
        ("kind = \"command\"\ncommand = \"/c\"", "command", "\"/c\"", "is a text", "command = ["),
        ("kind = \"command\"\ncommand = []", "command", "[]", "the command is empty", "absolute path"),
        (
            "kind = \"command\"\ncommand = [\"check\"]",
            "command",
            "\"check\"",
            "\"check\" has no absolute path",
            "there is no shell",
        ),
        (
            "kind = \"command\"\ncommand = [\"/{colour}\"]",
            "command",
            "\"/{colour}\"",
            "`{colour}`",
            "nothing is replaced here",
        ),
        (
            "kind = \"command\"\ncommand = [\"/c\", \"{adress}\"]\nper = \"backend\"",
            "command",
            "\"{adress}\"",
            "`{adress}`",
            "`{address}`?",
        ),
        (
            "kind = \"command\"\ncommand = [\"/c\", \"{address}\"]",
            "command",
            "\"{address}\"",
            "a slice has no `{address}`",
            "per = \"backend\"",
        ),
        (
            "kind = \"command\"\ncommand = [\"/c\", \"a\\u0000b\"]",
            "command",
            "\"a",
            "a zero byte",
            "remove it",
        ),
    ];
    for (lines, key, there, what, mend) in rows {
        let dot = if key.is_empty() { "" } else { "." };
        let key = format!("deployment.shop.probe.p{dot}{key}");
        check_in(GOOD, (PROBE, &with(lines)), (&key, there), what, mend);
    }
}

#[test]
fn a_name_that_cannot_be_one_is_refused() {
    let probe = "[deployment.shop.probe.P]\nkind = \"tcp\"";
    check_in(GOOD, (PROBE, probe), ("deployment.shop.probe.P", "P"), "the probe name \"P\" has a 'P'", "a-z");
}

#[test]
fn a_datagram_that_may_not_fit_is_refused() {
    let probe = with(&format!("kind = \"udp\"\nsend = \"{}\"", "x".repeat(1201)));
    let at = ("deployment.shop.probe.p.send", "\"xxx");
    check_in(GOOD, (PROBE, &probe), at, "1201 bytes", "1200");
}

#[test]
fn several_services_that_fit_are_named() {
    let probe = with("kind = \"tcp\"\n[deployment.shop.service.api]\nvips = [\"192.0.2.11\"]\nport = 81");
    let at = ("deployment.shop.probe.p", "p]");
    check_in(
        GOOD,
        (PROBE, &probe),
        at,
        "`service` is missing, and api and web speak tcp",
        "one of them as `service`",
    );
    let probe = with(
        "kind = \"tcp\"\nport = 9\nvip = true\n[deployment.shop.service.api]\nvips = [\"192.0.2.11\"]\nport = 81",
    );
    let at = ("deployment.shop.probe.p.vip", "true");
    check_in(GOOD, (PROBE, &probe), at, "has no VIP to go through", "name its `service`");
    let tcp_only = changed(GOOD, "protocol = \"udp\"", "");
    let probe = with("kind = \"udp\"\nsend = \"x\"");
    let at = ("deployment.shop.probe.p", "p]");
    check_in(&tcp_only, (PROBE, &probe), at, "no service of this deployment speaks udp", "the `port` to ask");
}

/// A service that is wrong is the mistake, not the probe that would ask it.
#[test]
fn what_follows_from_another_mistake_is_not_told() {
    for lines in
        ["kind = \"tcp\"", "kind = \"tcp\"\nservice = \"web\"", "kind = \"tcp\"\nport = 9\nvip = true"]
    {
        let text = changed(GOOD, PROBE, &with(lines));
        let at = ("deployment.shop.service.web.port", "0");
        check_in(&text, ("port = 80\n", "port = 0\n"), at, "port 0", "1 to 65535");
    }
}

#[test]
fn vips_are_probed_only_from_addresses_of_their_family() {
    let frontends = |gateway: &str, lines: &str| {
        let text = format!("[gateway]\n{gateway}\n{}", changed(GOOD, PROBE, &with(lines)));
        let config = parse(&text, "bg.toml").unwrap_or_else(|why| panic!("{gateway}: {why}"));
        config.deployments[0].probes.probes[0].frontends.clone()
    };
    let only = |family: &str| format!("probe_addresses = [\"{family}\"]");
    assert_eq!(frontends(&only("198.18.0.1"), "kind = \"tcp\""), addrs(&["192.0.2.10:80"]));
    assert_eq!(frontends(&only("fd00:9::1"), "kind = \"tcp\""), addrs(&["[2001:db8::10]:80"]));
    assert_eq!(frontends("probe_addresses = []", "kind = \"tcp\""), []);
    assert_eq!(frontends("probe_addresses = []", "kind = \"tcp\"\nvip = false"), []);

    let text = |gateway: &str| format!("[gateway]\n{gateway}\n{GOOD}");
    let what = "[2001:db8::10]:80 of web is not probed: `probe_addresses` has no IPv6 address";
    let rows = [
        ("kind = \"tcp\"", "", "p]", "`vip` to false"),
        ("kind = \"tcp\"\nvip = true", ".vip", "true", "add one to `probe_addresses`"),
    ];
    for (lines, key, there, mend) in rows {
        let at = (&*format!("deployment.shop.probe.p{key}"), there);
        check_note(&text(&only("198.18.0.1")), (PROBE, &with(lines)), at, what, mend);
    }
    // Asked for in so many words, and impossible.
    let at = ("deployment.shop.probe.p.vip", "true");
    let lines = with("kind = \"tcp\"\nvip = true");
    check_in(
        &text("probe_addresses = []"),
        (PROBE, &lines),
        at,
        "192.0.2.10:80 of web is not probed",
        "remove `vip`",
    );
    let lines = with("kind = \"udp\"\nsend = \"x\"\nvip = true");
    check_in(
        &text(&only("fd00:9::1")),
        (PROBE, &lines),
        at,
        "192.0.2.10:53 of dns is not probed",
        "remove `vip`",
    );
}
