//! What decides where new flows go: values that arrive, and what is wrong with others.

use super::{GOOD, broken, changed};
use crate::config::parse;
use crate::model::policy::FateChoice;
use bg_common::Aim;
use std::net::IpAddr;

const SHOP: &str = "[deployment.shop]\n";
const WEB: &str = "backend_port = 8080\n";
const RPC: &str = "protocol = \"udp\"\n";

fn with(after: &str, lines: &str) -> String {
    changed(GOOD, after, &format!("{after}{lines}\n"))
}

#[test]
fn what_decides_on_new_flows_arrives() {
    let plain = parse(GOOD, "bg.toml").unwrap();
    let shop = &plain.deployments[1];
    assert!(shop.canary_by_client, "a user shall not flap unless somebody wants that");
    assert!(shop.weights.is_empty() && shop.policy.previews.is_empty() && !shop.policy.leaves);

    let text = with(
        SHOP,
        "canary_by = \"connection\"\nweights = { \"10.1.0.2\" = 0, \"fd00:1::2\" = 256 }\n\
         preview = { \"203.0.113.0/24\" = \"other\", \"2001:db8:f::/48\" = \"green\" }",
    );
    // The only IPv4 machine of blue is drained: that is refused below, so green gets another.
    let text = text
        .replace(r#"blue = ["10.1.0.2", "fd00:1::2"]"#, r#"blue = ["10.1.0.2", "10.1.0.9", "fd00:1::2"]"#);
    let text = text.replace(WEB, &format!("{WEB}affinity = \"client\"\non_switch = \"reset\"\npreview_vips = {{ \"192.0.2.77\" = \"blue\" }}\n"));
    let config = parse(&text, "bg.toml").unwrap_or_else(|why| panic!("{why}"));
    let shop = &config.deployments[1];
    let drained: IpAddr = "10.1.0.2".parse().unwrap();
    assert!(!shop.canary_by_client && shop.policy.leaves);
    assert_eq!((shop.weights[&drained], &shop.policy.drained), (0, &vec![drained]));
    let previews: Vec<_> =
        shop.policy.previews.iter().map(|(prefix, aim)| (prefix.to_string(), *aim)).collect();
    assert_eq!(
        previews,
        [("203.0.113.0/24".to_owned(), Aim::Other), ("2001:db8:f::/48".to_owned(), Aim::Green)]
    );
    let web = &shop.services[0];
    assert!(web.by_client && web.on_switch == FateChoice::Reset);
    assert_eq!(web.previews(), [("192.0.2.77:80".parse().unwrap(), Aim::Blue)]);
    assert!(config.vips().contains(&"192.0.2.77".parse().unwrap()), "the gateway owns it as well");
    let datagrams = parse(&with(RPC, "on_switch = \"move\""), "bg.toml").unwrap();
    assert_eq!(datagrams.deployments[0].services[0].on_switch, FateChoice::Move);
}

#[test]
fn what_cannot_decide_on_new_flows_is_refused_with_what_mends_it() {
    let rows = [
        (SHOP, "canary_by = \"user\"", "config-choice", "client"),
        (SHOP, "weights = { \"10.1.0.7\" = 5 }", "config-address", "10.1.0.2"),
        (SHOP, "weights = { \"10.1.0.2\" = 257 }", "config-range", "0 to 256"),
        (SHOP, "weights = { \"10.1.0.2\" = \"heavy\" }", "config-type", "= 50"),
        (SHOP, "weights = { \"10.1.0.2\" = 0 }", "config-range", "from 1 to 256"),
        (SHOP, "preview = { \"203.0.113.7/24\" = \"other\" }", "config-prefix", "203.0.113.0/24"),
        (SHOP, "preview = { \"0.0.0.0/0\" = \"other\" }", "config-prefix", "203.0.113.0/24"),
        (SHOP, "preview = { \"::/3\" = \"other\" }", "config-prefix", "2000::/3"),
        (SHOP, "preview = { \"203.0.113.0/24\" = \"staging\" }", "config-choice", "other"),
        (SHOP, "preview = { \"203.0.113.0/24\" = \"live\" }", "config-choice", "blue"),
        (SHOP, "preview = [\"203.0.113.0/24\"]", "config-type", "[deployment.shop.preview]"),
        (WEB, "affinity = \"cookie\"", "config-choice", "client"),
        (WEB, "on_switch = \"move\"", "config-choice", "reset"),
        (WEB, "preview_vips = { \"192.0.2.10\" = \"other\" }", "config-conflict", "another VIP"),
        (WEB, "preview_vips = { \"127.0.0.1\" = \"other\" }", "config-address", "unicast"),
        (WEB, "preview_vips = { \"192.0.2.11\" = \"standby\" }", "config-choice", "other"),
    ];
    for (after, lines, code, mend) in rows {
        let problems = broken(after, &format!("{after}{lines}\n"));
        let found = problems.iter().any(|it| it.code == code && it.mend.contains(mend));
        assert!(found, "{lines}: {problems:#?}");
    }
}

#[test]
fn preview_rules_fit_into_the_table_with_those_that_keep_probes_out() {
    let rules = |count: u32| {
        let rule = |n: u32| format!("\"10.{}.{}.0/24\" = \"other\"", n / 256, n % 256);
        format!("preview = {{ {} }}", (0..count).map(rule).collect::<Vec<_>>().join(", "))
    };
    parse(&with(SHOP, &rules(16_382)), "bg.toml").unwrap_or_else(|why| panic!("{why}"));
    let problems = broken(SHOP, &format!("{SHOP}{}\n", rules(16_383)));
    let [problem] = &problems[..] else { panic!("{problems:#?}") };
    assert_eq!(problem.code, "config-limit");
    assert!(problem.what.contains("16385 preview rules"), "{problem}");
}
