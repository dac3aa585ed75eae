//! Rows of one valid file with a key of the gateway that is right, and with one that is wrong.

use crate::config::tests::{changed, check_in, check_note};
use crate::config::{DEFAULT_PROBE_ADDRESSES, Gateway, parse};
use std::path::Path;

/// The rows put keys in the place of the second line.
const GOOD: &str = r#"[gateway]
# KEYS
[deployment.shop]
blue = ["10.1.0.2", "fd00:1::2"]
green = ["10.2.0.2", "fd00:2::2"]
[deployment.shop.service.web]
vips = ["192.0.2.10", "2001:db8::10"]
port = 80
"#;

const KEYS: &str = "# KEYS";

fn gateway(keys: &str) -> Gateway {
    parse(&changed(GOOD, KEYS, keys), "bg.toml").unwrap_or_else(|why| panic!("{keys}: {why}")).gateway
}

#[test]
fn what_is_configured_arrives() {
    let default = gateway("");
    assert_eq!(default.journal, Path::new("/var/lib/bg/default/journal.db"));
    assert_eq!(default.probe_addresses, DEFAULT_PROBE_ADDRESSES);
    assert_eq!(default.role_listen, []);
    assert_eq!(gateway("instance = \"lab\"").journal, Path::new("/var/lib/bg/lab/journal.db"));
    assert_eq!(gateway("journal = \"/srv/bg.db\"").journal, Path::new("/srv/bg.db"));
    assert_eq!(gateway("probe_addresses = []").probe_addresses, [] as [std::net::IpAddr; 0]);
    let both = gateway("probe_addresses = [\"fd00:9::1\", \"198.18.0.1\"]").probe_addresses;
    assert_eq!(both, ["fd00:9::1", "198.18.0.1"].map(|addr| addr.parse::<std::net::IpAddr>().unwrap()));
    let listen =
        gateway("role_listen = [\"10.1.0.1:8470\", \"[fd00:1::1]:8470\", \"127.0.0.1:1\"]").role_listen;
    let wanted = ["10.1.0.1:8470", "[fd00:1::1]:8470", "127.0.0.1:1"];
    assert_eq!(listen, wanted.map(|addr| addr.parse::<std::net::SocketAddr>().unwrap()));
}

#[test]
fn each_mistake_is_named_with_its_place_and_its_mend() {
    let rows = [
        ("journal = \"bg.db\"", "journal", "\"bg.db\"", "\"bg.db\" is not absolute", "/var/lib/bg"),
        ("journal = \"/var/lib/bg/\"", "journal", "\"/var", "cannot be", "/var/lib/bg/default/journal.db"),
        ("journal = true", "journal", "true", "true or false", "journal = \"/var"),
        ("socket = \"/run/a/\"", "socket", "\"/run/a/\"", "cannot be", "/run/bg/default/bg.sock"),
        ("probe_addresses = \"10.9.0.1\"", "probe_addresses", "\"10.9", "is a text", "probe_addresses = ["),
        (
            "probe_addresses = [\"10.9.0.1/32\"]",
            "probe_addresses",
            "\"10.9",
            "not an IP address",
            "\"10.9.0.1\"",
        ),
        ("probe_addresses = [\"127.0.0.1\"]", "probe_addresses", "\"127", "a loopback address", "unicast"),
        (
            "probe_addresses = [\"10.9.0.1\", \"10.9.0.2\"]",
            "probe_addresses",
            "\"10.9.0.2\"",
            "10.9.0.2 is a second IPv4 address",
            "one of each family",
        ),
        (
            "probe_addresses = [\"fd00:9::1\", \"fd00:9::2\"]",
            "probe_addresses",
            "\"fd00:9::2\"",
            "a second IPv6 address",
            "one of each family",
        ),
        (
            "probe_addresses = [\"192.0.2.10\"]",
            "probe_addresses",
            "\"192.0.2.10\"",
            "192.0.2.10 is a VIP of shop/web and an address that probes come from",
            "that nobody has",
        ),
        (
            "probe_addresses = [\"10.9.0.1\", \"fd00:2::2\"]",
            "probe_addresses",
            "\"fd00:2::2\"",
            "fd00:2::2 is a machine of shop's green slice and an address that probes come from",
            "that nobody has",
        ),
        ("role_listen = \"10.1.0.1:8470\"", "role_listen", "\"10.1", "is a text", "role_listen = ["),
        (
            "role_listen = [\"10.1.0.1\"]",
            "role_listen",
            "\"10.1",
            "not an address with a port",
            "\"10.1.0.1:8470\"",
        ),
        (
            "role_listen = [\"fd00::1\"]",
            "role_listen",
            "\"fd00",
            "not an address with a port",
            "\"[fd00::1]:8470\"",
        ),
        ("role_listen = [\"10.1.0.1:0\"]", "role_listen", "\"10.1", "has no port", "1 to 65535"),
        (
            "role_listen = [\"gw:8470\"]",
            "role_listen",
            "\"gw",
            "not an address with a port",
            "\"[fd00:1::1]:8470\"",
        ),
        ("role_listen = [\"224.0.0.1:8470\"]", "role_listen", "\"224", "a multicast address", "unicast"),
        (
            "role_listen = [\"10.1.0.1:1\", \"10.1.0.1:1\"]",
            "role_listen",
            "\"10.1.0.1:1\"]",
            "listed twice",
            "once",
        ),
        ("probe_adresses = []", "probe_adresses", "probe_adr", "not a key", "`probe_addresses`"),
        ("bake = \"5m\"", "bake", "bake", "not a key", "move it to [deployment.NAME]"),
    ];
    for (keys, key, there, what, mend) in rows {
        check_in(GOOD, (KEYS, keys), (&format!("gateway.{key}"), there), what, mend);
    }
}

#[test]
fn an_address_that_probes_come_from_by_default_is_nobodys() {
    let at = ("deployment.shop.service.web.vips", "\"192.0.0.2\"");
    let what = "192.0.0.2 is a VIP of shop/web and an address that probes come from unless configured";
    check_in(GOOD, ("192.0.2.10", "192.0.0.2"), at, what, "set `probe_addresses`");
    let at = ("deployment.shop.blue", "\"fd62:6770::2\"");
    check_in(
        GOOD,
        ("fd00:1::2", "fd62:6770::2"),
        at,
        "a machine of shop's blue slice",
        "set `probe_addresses`",
    );
}

#[test]
fn roles_told_to_everybody_are_noted() {
    for listen in ["0.0.0.0:8470", "[::]:8470"] {
        let at = ("gateway.role_listen", "\"");
        let keys = format!("role_listen = [\"{listen}\"]");
        check_note(GOOD, (KEYS, &keys), at, "clients can ask as well", "that face slices");
    }
}
