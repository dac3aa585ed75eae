//! The shipped example: it is valid, documents every key, and tells the truth about defaults.

use super::*;
use crate::model::policy::{Level, Passive};
use proptest::prelude::*;
use std::fmt::Write as _;

const EXAMPLE: &str = include_str!("../../../dist/bg.example.toml");

/// The example with every key and table that is commented out put in.
fn uncommented() -> String {
    let bare = |line: &&str| line.starts_with('[') || line.split('=').next().is_some_and(is_key);
    EXAMPLE
        .lines()
        .map(|line| line.strip_prefix("# ").filter(bare).unwrap_or(line).to_owned() + "\n")
        .collect()
}

/// Whether `text` is what stands before the `=` of a line, which has one.
fn is_key(text: &str) -> bool {
    !text.trim().is_empty() && text.trim().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[test]
fn the_shipped_example_is_valid() {
    let config = parse(EXAMPLE, "bg.example.toml").unwrap();
    assert_eq!(config.gateway.instance, Instance::default());
    assert_eq!(config.gateway.socket, Path::new("/run/bg/default/bg.sock"));
    assert_eq!(config.deployments.iter().map(|d| d.services.len()).collect::<Vec<_>>(), [2]);
    assert_eq!(config.notes, []);
}

#[test]
fn the_example_is_still_valid_with_every_line_uncommented() {
    let text = uncommented();
    let config = parse(&text, "bg.example.toml").unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(config.notes, []);
    let default = parse(EXAMPLE, "bg.example.toml").unwrap();
    let uplinks = vec!["eth0".to_owned()];
    let role_listen = vec!["10.1.0.1:8470".parse().unwrap()];
    let cgroup = Some("/sys/fs/cgroup".into());
    assert_eq!(config.gateway, Gateway { uplinks, role_listen, cgroup, ..default.gateway.clone() });

    let [full, bare] = [&config, &default].map(|config| &config.deployments[0]);
    let Policy { bake, confirm_within, drain_limit, standby_for, passive, drill, probes, previews, .. } =
        full.policy.clone();
    assert_eq!(previews.len(), 1);
    assert!(bake.is_some() && confirm_within.is_some() && drain_limit.is_some());
    assert!(standby_for.is_some() && drill.is_some());
    let as_said = Policy {
        bake,
        confirm_within,
        drain_limit,
        standby_for,
        passive,
        drill,
        probes,
        previews,
        gating_hooks: true,
        watching_hooks: true,
        ..bare.policy.clone()
    };
    assert_eq!(full.policy, as_said, "what has a default stands at its default");
    let names: Vec<_> = full.probes.probes.iter().map(|probe| (&*probe.name, probe.level)).collect();
    let of_machines = ["cart", "disk", "echo", "names", "page", "secure"].map(|name| (name, Level::Backend));
    assert_eq!(names, of_machines);
    assert_eq!(full.hooks.iter().map(|hook| &*hook.name).collect::<Vec<_>>(), ["chat", "gate"]);
}

#[test]
fn the_example_tells_the_defaults_of_tables_that_are_not_there_by_default() {
    let parsed = |text: &str| parse(text, "bg.toml").unwrap_or_else(|why| panic!("{why}"));
    let full = parsed(&uncommented()).deployments.remove(0);
    let tables = "[deployment.shop.passive]\n[deployment.shop.drill]\nevery = \"7d\"\n\
                  [deployment.shop.probe.page]\nkind = \"http\"\n\
                  [deployment.shop.hook.gate]\non = [\"before\", \"watch\", \"switched\"]\n\
                  command = [\"/usr/local/bin/may-switch\", \"shop\"]\n";
    let bare = parsed(&format!("{EXAMPLE}\n{tables}")).deployments.remove(0);
    assert_eq!(full.policy.passive, bare.policy.passive);
    assert!(matches!(bare.policy.passive, Some(Passive { least: 20, resets: 50, .. })));
    assert_eq!(full.policy.drill, bare.policy.drill);

    let page = |deployment: &Deployment| {
        let spec = deployment.probes.probes.iter().find(|probe| probe.name == "page").unwrap().clone();
        let policy = deployment.policy.probes.iter().find(|probe| probe.name == "page").unwrap().clone();
        (spec, policy)
    };
    let ((shown, shown_policy), (bare_spec, bare_policy)) = (page(&full), page(&bare));
    assert_eq!(shown_policy, bare_policy);
    let ask = bare_spec.ask.clone();
    assert_eq!(crate::health::spec::ProbeSpec { ask, ..shown }, bare_spec);
    let [gate, chat] = ["gate", "chat"].map(|name| full.hooks.iter().find(|h| h.name == name).unwrap());
    assert_eq!((gate.timeout, chat.retries), (bare.hooks[0].timeout, bare.hooks[0].retries));
}

/// Every key that the reader knows is in the example: an unknown one in each table makes it list them.
#[test]
fn the_example_shows_every_key() {
    let mut text = String::new();
    for line in uncommented().lines() {
        writeln!(text, "{line}").unwrap();
        if line.starts_with('[') {
            writeln!(text, "unknown_to_everybody = 1").unwrap();
        }
    }
    let Err(Invalid { problems }) = parse(&text, "bg.toml") else { panic!("accepted") };
    let lists: Vec<_> =
        problems.iter().filter_map(|problem| problem.mend.split_once("keys known here: ")).collect();
    assert_eq!(lists.len(), uncommented().lines().filter(|line| line.starts_with('[')).count());
    let shown = uncommented();
    for key in lists.iter().flat_map(|(_, keys)| keys.split(", ")) {
        let is_shown = shown.lines().any(|line| {
            let table = line.strip_prefix('[').and_then(|line| line.split(']').next());
            let keyed = line.split_once('=').is_some_and(|(before, _)| before.trim() == key);
            keyed || table.is_some_and(|table| table.split('.').any(|part| part == key))
        });
        assert!(is_shown, "{key} is not in the example");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn no_byte_that_is_changed_in_the_example_makes_the_reader_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3usize, prop::collection::vec(any::<u8>(), 0..3)), 1..6),
    ) {
        let mut bytes = uncommented().into_bytes();
        for (at, cut, insert) in edits {
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + cut);
            bytes.splice(at..end, insert);
        }
        // What is not UTF-8 is refused before it is parsed.
        let text = String::from_utf8_lossy(&bytes);
        if let Err(Invalid { problems }) = parse(&text, "bg.toml") {
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|p| !p.what.is_empty() && !p.at.is_empty() && !p.mend.is_empty()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn no_value_that_is_changed_in_the_example_makes_the_reader_panic(
        at in any::<prop::sample::Index>(),
        value in prop::sample::select(vec![
            "0", "-1", "1", "70000", "99999999999999999999", "1.5", "true", "\"\"", "\"0s\"", "\"{\"", "\"{x}\"", "\"/\"",
            "\"a\\u0000b\"", "\"99999999999999999years\"", "\"http://[\"", "\"::1\"", "\"*\"", "[]", "[\"\"]", "[[1]]", "{}",
            "{ kind = \"udp\" }", "1979-05-27",
        ]),
    ) {
        let text = uncommented();
        let lines: Vec<_> = text.lines().collect();
        let keys: Vec<_> = (0..lines.len()).filter(|i| lines[*i].split_once('=').is_some_and(|(key, _)| is_key(key))).collect();
        let line = keys[at.index(keys.len())];
        let key = lines[line].split('=').next().unwrap_or_default();
        let mut changed: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        changed[line] = format!("{key}= {value}");
        if let Err(Invalid { problems }) = parse(&changed.join("\n"), "bg.toml") {
            prop_assert!(problems.iter().all(|p| !p.what.is_empty() && !p.at.is_empty() && !p.mend.is_empty()));
        }
    }
}
