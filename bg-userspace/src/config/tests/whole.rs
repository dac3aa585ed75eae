//! Services that have their addresses as a whole.

use super::super::*;
use super::{check_in, deployment};
use crate::dataplane::Protocol;
use bg_common::Colour;

const GOOD: &str = r#"
[deployment.all]
blue = ["10.1.0.0/30", "fd00:1::2"]
green = ["10.2.0.0/31", "10.2.0.2", "10.2.0.3", "fd00:2::2"]
[deployment.all.service.every]
vips = ["198.51.100.4/30", "2001:db8::10"]
port = "any"
"#;

#[test]
fn a_prefix_is_mapped_address_by_address() {
    let all = deployment(GOOD, "any", "any");
    let every = &all.services[0];
    assert_eq!((every.protocol, every.port, every.backend_port), (Protocol::Any, 0, 0));
    let parts = all.parts(every);
    let said: Vec<String> = parts
        .iter()
        .map(|part| {
            let addr =
                |list: &[SocketAddr]| list.iter().map(|at| at.to_string()).collect::<Vec<_>>().join(" ");
            let [blue, green] = &part.backends;
            format!("{}: {} → {} | {}", part.name, addr(&part.frontends), addr(blue), addr(green))
        })
        .collect();
    let wanted = [
        "every/198.51.100.4: 198.51.100.4:0 → 10.1.0.0:0 | 10.2.0.0:0",
        "every/198.51.100.5: 198.51.100.5:0 → 10.1.0.1:0 | 10.2.0.1:0",
        "every/198.51.100.6: 198.51.100.6:0 → 10.1.0.2:0 | 10.2.0.2:0",
        "every/198.51.100.7: 198.51.100.7:0 → 10.1.0.3:0 | 10.2.0.3:0",
        "every/2001:db8::10: [2001:db8::10]:0 → [fd00:1::2]:0 | [fd00:2::2]:0",
    ];
    assert_eq!(said, wanted);
}

#[test]
fn one_address_of_each_family_is_one_service() {
    let text = GOOD.replace("198.51.100.4/30", "198.51.100.4").replace("10.1.0.0/30", "10.1.0.2");
    let all = deployment(&text, r#""10.2.0.0/31", "10.2.0.2", "10.2.0.3""#, r#""10.2.0.2""#);
    let [part] = &all.parts(&all.services[0])[..] else { panic!("not one part") };
    assert_eq!((part.name.as_str(), part.frontends.len()), ("every", 2));
    assert_eq!(all.backends(&all.services[0], Colour::Blue).len(), 2);
}

#[test]
fn a_port_of_a_whole_address_can_be_another_services() {
    let with = "port = \"any\"\n[deployment.web]\nblue = [\"10.3.0.2\"]\ngreen = [\"10.4.0.2\"]\n\
                [deployment.web.service.web]\nvips = [\"198.51.100.4\"]\nport = 80";
    deployment(GOOD, "port = \"any\"", with);
}

#[test]
fn each_mistake_with_whole_addresses_is_named() {
    let service = "deployment.all.service.every";
    let [vips, port, protocol, behind] =
        ["vips", "port", "protocol", "backend_port"].map(|key| format!("{service}.{key}"));
    let two = "port = \"any\"\n[deployment.all.service.more]\nvips = [\"198.51.100.8/30\", \"2001:db8::11\"]\nport = \"any\"";
    let _ = &port;
    let rows = [
        (
            "\"any\"",
            "\"any\"\nprotocol = \"tcp\"",
            protocol.as_str(),
            "\"tcp\"",
            "has every protocol",
            "leave it out",
        ),
        (
            "\"any\"",
            "\"any\"\nbackend_port = 80",
            &behind,
            "80",
            "ports stay as they are",
            "leave `backend_port` out",
        ),
        (
            "198.51.100.4/30",
            "198.51.100.5/30",
            &vips,
            "\"198.51.100.5/30\"",
            "not the first",
            "\"198.51.100.4/30\"",
        ),
        (
            "198.51.100.4/30",
            "198.51.0.0/16",
            &vips,
            "\"198.51.0.0/16\"",
            "more than 256 addresses",
            "/24 and longer",
        ),
        (
            "2001:db8::10",
            "2001:db8::/64",
            &vips,
            "\"2001:db8::/64\"",
            "more than 256 addresses",
            "/120 and longer",
        ),
        (
            "198.51.100.4/30",
            "198.51.100.4/33",
            &vips,
            "\"198.51.100.4/33\"",
            "is not a prefix",
            "198.51.100.4/28",
        ),
        (
            "10.1.0.0/30",
            "10.1.0.0/31",
            &vips,
            "\"198.51.100.4/30\"",
            "4 whole IPv4 VIPs, and 2 IPv4",
            "in their order",
        ),
    ];
    for (from, to, key, there, what, mend) in rows {
        check_in(GOOD, (from, to), (key, there), what, mend);
    }
    let service = "[deployment.all.service.every]";
    let drained = format!("[deployment.all.weights]\n\"10.1.0.1\" = 0\n{service}");
    let problems = super::broken_in(GOOD, service, &drained);
    let [problem] = &problems[..] else { panic!("{problems:#?}") };
    assert!(problem.code == "config-whole" && problem.what.contains("10.1.0.1"), "{problem}");
    assert!(problem.mend.contains("from 1 to 256"), "{problem}");
    deployment(GOOD, service, &drained.replace("= 0", "= 50"));
    let problems = super::broken_in(GOOD, "port = \"any\"", two);
    assert!(
        problems.iter().any(|problem| problem.what.contains("the whole of 10.1.0.0 is a backend of")),
        "{problems:#?}"
    );
}
