//! Rows of one valid file with one thing broken each, and random texts.

mod choosing;
mod example;
mod whole;

use super::*;
use proptest::prelude::*;

/// A valid file with one line for each thing that the rows below break.
const GOOD: &str = r#"[gateway]
instance = "lab"
uplinks = ["eth0", "eth1.7"]
[gateway.lifetimes]
closed = "5s"
[deployment.shop]
blue = ["10.1.0.2", "fd00:1::2"]
green = ["10.2.0.2", "fd00:2::2"]
[deployment.shop.service.web]
vips = ["192.0.2.10", "2001:db8::10"]
port = 80
backend_port = 8080
[deployment.api]
initial = "green"
blue = ["10.1.0.3"]
green = ["10.2.0.3", "10.2.0.4"]
[deployment.api.service.rpc]
vips = ["192.0.2.10"]
port = 9000
protocol = "udp"
"#;

#[test]
fn values_and_defaults_arrive() {
    let config = parse(GOOD, "bg.toml").unwrap();
    let Gateway { instance, uplinks, socket, lifetimes, own_vips, .. } = &config.gateway;
    assert_eq!(&**instance, "lab");
    assert_eq!(uplinks, &["eth0", "eth1.7"]);
    assert_eq!(socket, Path::new("/run/bg/lab/bg.sock"));
    assert_eq!(*lifetimes, Lifetimes { closed: Duration::from_secs(5), ..DEFAULT_LIFETIMES });
    assert!(own_vips);
    let [api, shop] = &config.deployments[..] else { panic!("{:?}", config.deployments) };
    assert_eq!((&*api.name, api.initial), ("api", Colour::Green));
    assert_eq!((&*shop.name, shop.initial), ("shop", Colour::Blue));
    let web = &shop.services[0];
    assert_eq!(web.frontends(), ["192.0.2.10:80".parse().unwrap(), "[2001:db8::10]:80".parse().unwrap()]);
    let green = shop.backends(web, Colour::Green);
    assert_eq!(green, ["10.2.0.2:8080".parse().unwrap(), "[fd00:2::2]:8080".parse().unwrap()]);
    assert_eq!(config.vips(), ["192.0.2.10".parse::<IpAddr>().unwrap(), "2001:db8::10".parse().unwrap()]);
}

#[test]
fn a_slice_serves_only_the_families_that_clients_can_use() {
    let config = parse(&GOOD.replace(r#", "2001:db8::10""#, ""), "bg.toml").unwrap();
    let shop = &config.deployments[1];
    assert_eq!(shop.backends(&shop.services[0], Colour::Blue), ["10.1.0.2:8080".parse().unwrap()]);
}

/// What is wrong with `GOOD` after `from` is replaced by `to`.
fn broken(from: &str, to: &str) -> Vec<Refusal> {
    broken_in(GOOD, from, to)
}

/// What is wrong with `good` after `from` is replaced by `to`.
#[track_caller]
pub(super) fn broken_in(good: &str, from: &str, to: &str) -> Vec<Refusal> {
    match parse(&changed(good, from, to), "bg.toml") {
        Ok(config) => panic!("accepted {to}: {config:?}"),
        Err(Invalid { problems }) => problems,
    }
}

/// `good` with `to` instead of the first `from`.
#[track_caller]
pub(super) fn changed(good: &str, from: &str, to: &str) -> String {
    assert!(good.contains(from), "the row replaces something that is not there: {from}");
    good.replacen(from, to, 1)
}

/// The deployment of `good` with `to` instead of the first `from`.
#[track_caller]
pub(super) fn deployment(good: &str, from: &str, to: &str) -> Deployment {
    match parse(&changed(good, from, to), "bg.toml") {
        Ok(config) => config.deployments.into_iter().next().unwrap(),
        Err(why) => panic!("{to}: {why}"),
    }
}

/// One problem, its place, and words that its text and its mend must have.
#[track_caller]
fn check(from: &str, to: &str, at: &str, what: &str, mend: &str) {
    let problems = broken(from, to);
    let [problem] = &problems[..] else { panic!("{to}: not one problem: {problems:#?}") };
    assert_eq!(problem.at, at, "{problem}");
    says(problem, what, mend);
}

#[track_caller]
fn says(refusal: &Refusal, what: &str, mend: &str) {
    assert!(refusal.what.contains(what), "{refusal}\nlacks {what:?}");
    assert!(refusal.mend.contains(mend), "{refusal}\nlacks {mend:?}");
}

/// As [`check`], of another file, where the place is told by its key and by how the text there begins.
#[track_caller]
pub(super) fn check_in(
    good: &str,
    (from, to): (&str, &str),
    (key, there): (&str, &str),
    what: &str,
    mend: &str,
) {
    let problems = broken_in(good, from, to);
    let [problem] = &problems[..] else { panic!("{to}: not one problem: {problems:#?}") };
    points(problem, &changed(good, from, to), key, there);
    says(problem, what, mend);
}

/// As [`check_in`], for what is noted about a valid file.
#[track_caller]
pub(super) fn check_note(
    good: &str,
    (from, to): (&str, &str),
    (key, there): (&str, &str),
    what: &str,
    mend: &str,
) {
    let text = changed(good, from, to);
    let config = parse(&text, "bg.toml").unwrap_or_else(|why| panic!("{to}: {why}"));
    let [note] = &config.notes[..] else { panic!("{to}: not one note: {:#?}", config.notes) };
    points(note, &text, key, there);
    says(note, what, mend);
}

/// Looks up the place that `refusal` names first.
#[track_caller]
fn points(refusal: &Refusal, text: &str, key: &str, there: &str) {
    let Some((place, rest)) = refusal.at.split_once(" (") else { panic!("{refusal}") };
    assert_eq!(rest.split(')').next(), Some(key), "{refusal}");
    let mut numbers = place.split(':').skip(1).map(|number| number.parse::<usize>().unwrap());
    let (line, column) = (numbers.next().unwrap(), numbers.next().unwrap());
    let line = text.lines().nth(line - 1).unwrap();
    let found: String = line.chars().skip(column - 1).collect();
    assert!(found.starts_with(there), "{refusal}\npoints at {found:?} instead of {there:?}");
}

#[test]
fn each_mistake_is_named_with_its_place_and_its_mend() {
    let web = "deployment.shop.service.web";
    let rows = [
        // Keys.
        (
            "port = 80\n",
            "prot = 80\nport = 80\n",
            format!("11:1 ({web}.prot)"),
            "`prot` is not a key",
            "did you mean `port`?",
        ),
        ("backend_port", "backend-port", format!("12:1 ({web}.backend-port)"), "not a key", "`backend_port`"),
        ("uplinks", "uplink", "3:1 (gateway.uplink)".into(), "not a key", "`uplinks`"),
        ("[gateway]\n", "flows = 5\n[gateway]\n", "1:1 (flows)".into(), "not a key", "move it to [gateway]"),
        ("[gateway]\n", "[gatewya]\n[gateway]\n", "1:2 (gatewya)".into(), "not a key", "`gateway`"),
        (
            "initial = \"green\"",
            "zzz = 1",
            "14:1 (deployment.api.zzz)".into(),
            "not a key",
            "keys known here: remove, initial, blue",
        ),
        ("port = 80\n", "", format!("9:26 ({web})"), "`port` is missing", "port = 80"),
        (
            "green = [\"10.2.0.2\", \"fd00:2::2\"]\n",
            "",
            "6:13 (deployment.shop)".into(),
            "`green` is missing",
            "green = [",
        ),
        // Types.
        ("port = 80", "port = \"80\"", format!("11:8 ({web}.port)"), "a text", "without quotes"),
        ("port = 80", "port = 80.5", format!("11:8 ({web}.port)"), "a number with a point", "port = 80"),
        (
            "blue = [\"10.1.0.3\"]",
            "blue = \"10.1.0.3\"",
            "15:8 (deployment.api.blue)".into(),
            "is a text",
            "blue = [",
        ),
        (
            "vips = [\"192.0.2.10\"]",
            "vips = [1]",
            "18:8 (deployment.api.service.rpc.vips)".into(),
            "list",
            "vips = [",
        ),
        (
            "[deployment.api]",
            "[[deployment.api]]",
            "13:14 (deployment.api)".into(),
            "is a list",
            "[deployment.api]",
        ),
        // Ranges.
        ("port = 80", "port = 0", format!("11:8 ({web}.port)"), "port 0", "1 to 65535"),
        ("port = 80\n", "port = 65536\n", format!("11:8 ({web}.port)"), "port 65536", "1 to 65535"),
        ("= 8080", "= -1", format!("12:16 ({web}.backend_port)"), "port -1", "1 to 65535"),
        (
            "= 8080",
            "= 99999999999999999999",
            format!("12:16 ({web}.backend_port)"),
            "out of range",
            "1 to 65535",
        ),
        ("instance = \"lab\"", "flows = 0", "2:9 (gateway.flows)".into(), "0 entries", "1024 to 16777216"),
        (
            "instance = \"lab\"",
            "half_open = 99999999",
            "2:13 (gateway.half_open)".into(),
            "99999999",
            "16777216",
        ),
        ("\"5s\"", "\"5\"", "5:10 (gateway.lifetimes.closed)".into(), "not a time", "10s"),
        ("\"5s\"", "\"10ms\"", "5:10 (gateway.lifetimes.closed)".into(), "out of range", "1s"),
        // Words.
        (
            "\"udp\"",
            "\"upd\"",
            "20:12 (deployment.api.service.rpc.protocol)".into(),
            "none of the choices",
            "\"udp\"",
        ),
        (
            "\"udp\"",
            "\"any\"",
            "20:12 (deployment.api.service.rpc.protocol)".into(),
            "every protocol has every port",
            "`port` to \"any\"",
        ),
        (
            "port = 80\n",
            "port = \"all\"\n",
            format!("11:8 ({web}.port)"),
            "\"all\" is a text",
            "\"any\" for every port",
        ),
        ("\"green\"", "\"red\"", "14:11 (deployment.api.initial)".into(), "\"red\"", "\"blue\", \"green\""),
        ("\"lab\"", "\"a.b\"", "2:12 (gateway.instance)".into(), "has a '.' in it", "a-z"),
        ("\"lab\"", "\"\"", "2:12 (gateway.instance)".into(), "is empty", "1 to 63"),
        (
            "service.web]",
            "service.Web]",
            "9:26 (deployment.shop.service.Web)".into(),
            "has a 'W' in it",
            "a-z",
        ),
        (
            "[deployment.api]",
            "[deployment.\"\"]\nblue=[\"10.9.0.1\"]\ngreen=[\"10.9.0.2\"]\nservice.a={vips=[\"192.0.2.9\"],port=1}\n[deployment.api]",
            "13:13 (deployment.\"\")".into(),
            "is empty",
            "1 to 63",
        ),
        ("\"eth0\"", "\"a/b\"", "3:12 (gateway.uplinks)".into(), "cannot be an interface's name", "ip link"),
        ("\"eth0\"", "\"an-interface-too-long\"", "3:12 (gateway.uplinks)".into(), "cannot be", "ip link"),
        ("\"eth0\"", "\"eth1.7\"", "3:22 (gateway.uplinks)".into(), "named twice", "once"),
        (
            "instance = \"lab\"",
            "socket = \"bg.sock\"",
            "2:10 (gateway.socket)".into(),
            "not absolute",
            "/run/bg",
        ),
        // Addresses.
        (
            "\"10.1.0.3\"",
            "\"10.1.0.3/24\"",
            "15:9 (deployment.api.blue)".into(),
            "not an IP address",
            "\"10.1.0.3\"",
        ),
        (
            "\"10.1.0.3\"",
            "\"shop.example\"",
            "15:9 (deployment.api.blue)".into(),
            "not an IP address",
            "IPv4 or IPv6",
        ),
        ("\"10.1.0.3\"", "\"0.0.0.0\"", "15:9 (deployment.api.blue)".into(), "unspecified", "unicast"),
        ("\"10.1.0.3\"", "\"127.0.0.1\"", "15:9 (deployment.api.blue)".into(), "loopback", "unicast"),
        ("\"10.1.0.3\"", "\"224.0.0.1\"", "15:9 (deployment.api.blue)".into(), "multicast", "unicast"),
        ("\"2001:db8::10\"", "\"fe80::1\"", format!("10:23 ({web}.vips)"), "link-local", "unicast"),
        ("\"2001:db8::10\"", "\"ff02::1\"", format!("10:23 ({web}.vips)"), "multicast", "unicast"),
        (
            "\"2001:db8::10\"",
            "\"::ffff:192.0.2.1\"",
            format!("10:23 ({web}.vips)"),
            "IPv6 form",
            "\"192.0.2.1\"",
        ),
        ("\"2001:db8::10\"", "\"192.0.2.10\"", format!("10:23 ({web}.vips)"), "listed twice", "once"),
        ("[\"10.1.0.3\"]", "[]", "15:8 (deployment.api.blue)".into(), "no address", "at least one"),
        ("\"10.2.0.4\"", "\"10.2.0.3\"", "16:22 (deployment.api.green)".into(), "listed twice", "once"),
        // Claims.
        (
            "\"fd00:2::2\"",
            "\"10.2.0.9\"",
            format!("10:23 ({web}.vips)"),
            "the green slice has no IPv6",
            "remove the IPv6 VIPs",
        ),
    ];
    for (from, to, at, what, mend) in rows {
        check(from, to, &format!("bg.toml:{at}"), what, mend);
    }
}

#[test]
fn conflicts_name_both_places() {
    let rows = [
        (
            "port = 9000\nprotocol = \"udp\"",
            "port = 80",
            "192.0.2.10:80/tcp is claimed by api/rpc and by shop/web",
            [10, 18],
        ),
        (
            "\"10.2.0.3\", \"10.2.0.4\"",
            "\"10.1.0.3\"",
            "10.1.0.3 is in the blue slice and in the green one",
            [16, 15],
        ),
        (
            "\"10.1.0.3\"",
            "\"192.0.2.10\"",
            "192.0.2.10 is a VIP of shop/web and a machine of api's blue slice",
            [10, 15],
        ),
        (
            "port = 9000\nprotocol = \"udp\"",
            "port = 81\nbackend_port = 1\n[deployment.api.service.two]\nvips = [\"192.0.2.10\"]\nport = 82\nbackend_port = 1",
            "10.1.0.3:1/tcp is a backend of api/rpc in blue and of api/two in blue",
            [24, 20],
        ),
    ];
    for (from, to, what, lines) in rows {
        let problems = broken(from, to);
        let problem = problems.iter().find(|problem| problem.what == what);
        let problem = problem.unwrap_or_else(|| panic!("{what} is not in {problems:#?}"));
        for line in lines {
            assert!(problem.at.contains(&format!("bg.toml:{line}:")), "{problem}\nlacks line {line}");
        }
        assert!(!problem.mend.is_empty());
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once_in_the_order_of_the_file() {
    let text = GOOD.replace("\"lab\"", "\"LAB\"").replace("= 8080", "= 0").replace("\"udp\"", "\"sctp\"");
    let Err(Invalid { problems }) = parse(&text, "bg.toml") else { panic!("accepted") };
    let at: Vec<_> =
        problems.iter().map(|problem| problem.at.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(at, ["bg.toml:2:12", "bg.toml:12:16", "bg.toml:20:12"]);
}

#[test]
fn every_syntax_error_is_told_with_its_line() {
    let Err(Invalid { problems }) = parse("a = \nb = [1\n", "bg.toml") else { panic!("accepted") };
    assert!(problems.iter().all(|problem| problem.what.contains("not TOML")), "{problems:#?}");
    assert!(problems.iter().any(|problem| problem.at.starts_with("bg.toml:1:")), "{problems:#?}");
    assert!(problems.iter().any(|problem| problem.at.starts_with("bg.toml:2:")), "{problems:#?}");
}

#[test]
fn columns_count_characters_and_not_bytes() {
    check(
        "initial = \"green\"",
        "\"äöü\" = 1",
        "bg.toml:14:1 (deployment.api.\"äöü\")",
        "not a key",
        "remove it",
    );
    check(
        "initial = \"green\"",
        "initial = \"ä\"",
        "bg.toml:14:11 (deployment.api.initial)",
        "\"ä\"",
        "green",
    );
}

#[test]
fn a_file_without_a_deployment_is_refused() {
    let Err(Invalid { problems }) = parse("", "bg.toml") else { panic!("accepted") };
    assert!(problems[0].what.contains("no deployment"), "{problems:?}");
}

#[test]
fn more_than_the_tables_hold_is_refused() {
    let ports: String = (1..=16_385)
        .map(|port| format!("[deployment.shop.service.s{port}]\nvips = [\"192.0.2.10\"]\nport = {port}\n"))
        .collect();
    let text = format!("[deployment.shop]\nblue = [\"10.1.0.2\"]\ngreen = [\"10.2.0.2\"]\n{ports}");
    let Err(Invalid { problems }) = parse(&text, "bg.toml") else { panic!("accepted") };
    assert!(problems[0].what.contains("16385 services are more than the tables hold"), "{problems:?}");
}

#[test]
fn an_unreadable_file_is_named() {
    let Err(Invalid { problems }) = load(Path::new("/nonexistent/bg.toml")) else { panic!("accepted") };
    assert_eq!(problems[0].at, "/nonexistent/bg.toml");
    assert!(problems[0].mend.contains("--config"));
}

#[test]
fn a_broken_deployment_does_not_hide_the_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bg.toml");
    std::fs::write(&path, GOOD.replace("= 8080", "= 0").replace("[deployment.api]", "[deploymint.api]"))
        .unwrap();
    assert!(load(&path).is_err());
    assert_eq!(&*load_gateway(&path).unwrap().instance, "lab");

    std::fs::write(&path, GOOD.replace("\"lab\"", "\"a.b\"")).unwrap();
    assert!(load_gateway(&path).unwrap_err().to_string().contains("gateway.instance"));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in ".*") {
        let _ = parse(&text, "bg.toml");
    }

    #[test]
    fn no_mutation_of_a_valid_file_makes_the_reader_panic(
        cuts in prop::collection::vec((0..GOOD.len(), 0..12usize, "[\\PC\n]{0,6}"), 1..5),
    ) {
        let mut text = GOOD.to_owned();
        for (at, len, insert) in cuts {
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let end = (at + len..).find(|end| text.is_char_boundary(*end) || *end >= text.len()).unwrap_or(at);
            text.replace_range(at..end.min(text.len()), &insert);
        }
        if let Err(Invalid { problems }) = parse(&text, "bg.toml") {
            prop_assert!(problems.iter().all(|p| !p.what.is_empty() && !p.at.is_empty() && !p.mend.is_empty()));
        }
    }
}
