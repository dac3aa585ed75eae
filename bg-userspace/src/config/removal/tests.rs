//! How a deployment leaves a gateway.

use super::{refuse_removal, removed};
use crate::config::tests::{check_in, check_note};
use crate::config::{Config, parse};

/// A file with deployments of these names and these other lines.
fn file(names: &[&str], more: &str) -> String {
    let deployment = |(i, name): (usize, &&str)| {
        format!(
            "[deployment.{name}]\nblue = [\"10.1.{i}.2\"]\ngreen = [\"10.2.{i}.2\"]\n\
             [deployment.{name}.service.web]\nvips = [\"192.0.2.{i}\"]\nport = 80\n"
        )
    };
    names.iter().enumerate().map(deployment).collect::<String>() + more
}

fn config(names: &[&str], more: &str) -> Config {
    parse(&file(names, more), "bg.toml").unwrap_or_else(|why| panic!("{names:?} {more}: {why}"))
}

#[test]
fn only_what_neither_stays_nor_says_so_is_missed() {
    let old = config(&["api", "shop", "\"v1.2\""], "");
    let rows: [(&[&str], &str, &[&str]); 6] = [
        (&["api", "shop", "\"v1.2\""], "", &[]),
        (&["api", "shop", "\"v1.2\"", "new"], "", &[]),
        (&["api", "\"v1.2\""], "[deployment.shop]\nremove = true", &[]),
        (&["api", "\"v1.2\""], "", &["shop"]),
        (&["api", "shops", "\"v1.2\""], "[deployment.old]\nremove = true", &["shop"]),
        (&["api"], "", &["shop", "v1.2"]),
    ];
    for (names, more, missing) in rows {
        let missed: Vec<_> = removed(&old, &config(names, more)).iter().map(|name| &***name).collect();
        assert_eq!(missed, missing, "{names:?} {more}");
    }
}

#[test]
fn the_refusal_tells_how_it_is_meant_to_be_done() {
    let old = config(&["api", "shop", "\"v1.2\""], "");
    assert_eq!(refuse_removal(&removed(&old, &old), "bg.toml"), None);
    let refusal = refuse_removal(&removed(&old, &config(&["api", "shop"], "")), "bg.toml").unwrap();
    assert_eq!((&*refusal.code, &*refusal.at), ("removal", "bg.toml"));
    assert!(refusal.what.contains("the deployment v1.2 would be removed"), "{refusal}");
    assert!(refusal.mend.contains("[deployment.\"v1.2\"] with `remove = true`"), "{refusal}");
    // What it says to write is what is read.
    let told = config(&["api", "shop"], "[deployment.\"v1.2\"]\nremove = true");
    assert_eq!(removed(&old, &told), Vec::<&crate::config::Name>::new());
    let refusal = refuse_removal(&removed(&old, &config(&["api"], "")), "bg.toml").unwrap();
    assert!(refusal.what.contains("the deployments shop and v1.2 would be removed"), "{refusal}");
}

#[test]
fn a_deployment_that_leaves_may_have_anything_else_or_nothing() {
    for rest in
        ["", "blue = 1", "[deployment.old.service.web]\nprot = 80", "blue = [\"10.1.0.2\"]\ngreen = []"]
    {
        let config = config(&["shop"], &format!("[deployment.old]\nremove = true\n{rest}"));
        assert_eq!(config.leaving.iter().map(|name| &**name).collect::<Vec<_>>(), ["old"], "{rest}");
        assert_eq!(config.deployments.len(), 1, "{rest}");
    }
    assert_eq!(config(&["shop"], "").leaving, []);
    let stays = file(&["shop"], "").replace("blue =", "remove = false\nblue =");
    assert_eq!(parse(&stays, "bg.toml").unwrap().leaving, []);
}

#[test]
fn what_is_wrong_with_leaving_is_told() {
    let good = file(&["shop"], "# MORE\n");
    let key = "deployment.old.remove";
    let rows = [
        ("[deployment.Old]\nremove = true", "deployment.Old", "Old", "has a 'O' in it", "a-z"),
        ("[gateway]\nremove = true", "gateway.remove", "remove", "not a key", "move it to [deployment.NAME]"),
    ];
    for (to, key, there, what, mend) in rows {
        check_in(&good, ("# MORE", to), (key, there), what, mend);
    }
    // One that is neither here nor there is judged as one that stays.
    let complete =
        "blue = [\"10.1.9.2\"]\ngreen = [\"10.2.9.2\"]\nservice.web = { vips = [\"192.0.2.99\"], port = 1 }";
    let to = format!("[deployment.old]\nremove = \"yes\"\n{complete}");
    check_in(&good, ("# MORE", &to), (key, "\"yes\""), "true or false is wanted", "remove = true");
    let note = "a gateway that has the deployment old removes it";
    let at = ("deployment.old", "old]");
    check_note(
        &good,
        ("# MORE", "[deployment.old]\nremove = true"),
        at,
        note,
        "remove the table [deployment.old]",
    );
    // The last one does not go like that.
    let last = format!("{}remove = true\n", file(&["shop"], "").lines().next().unwrap().to_owned() + "\n");
    let why = parse(&last, "bg.toml").unwrap_err().to_string();
    assert!(why.contains("there is no deployment") && why.contains("bgctl detach"), "{why}");
}
