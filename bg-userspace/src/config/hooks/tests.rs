//! Rows of one valid deployment with a hook that is right, and with one that is wrong.

use crate::config::tests::{check_in, deployment};
use crate::notify::spec::{Call, EventKind, HookSpec, KINDS, When};
use std::time::Duration;

/// The rows put a hook in the place of the last line.
const GOOD: &str = r#"[deployment.shop]
blue = ["10.1.0.2"]
green = ["10.2.0.2"]
[deployment.shop.service.web]
vips = ["192.0.2.10"]
port = 80
# HOOK
"#;

const HOOK: &str = "# HOOK";

/// The hook `h` with these lines.
fn with(lines: &str) -> String {
    format!("[deployment.shop.hook.h]\n{lines}")
}

fn kind(word: &str) -> When {
    When::Event(EventKind::Kind(KINDS.iter().position(|kind| *kind == word).unwrap()))
}

#[test]
fn what_is_configured_arrives() {
    let command = |words: &[&str]| Call::Command(words.iter().map(|word| (*word).to_owned()).collect());
    let url = |url: &str| Call::Url(url.to_owned());
    let rows = [
        (
            "on = [\"before\"]\ncommand = [\"/bin/may\", \"{\\\"a\\\": 1}\"]",
            vec![When::Before],
            command(&["/bin/may", "{\"a\": 1}"]),
        ),
        ("on = [\"watch\"]\nurl = \"http://127.0.0.1\"", vec![When::Watch], url("http://127.0.0.1")),
        (
            "on = [\"*\", \"probe\"]\nurl = \"https://[fd00::1]:8443/a?b=c\"",
            vec![When::Event(EventKind::Any), kind("probe")],
            url("https://[fd00::1]:8443/a?b=c"),
        ),
        (
            "on = [\"drain-ended\", \"before\"]\nurl = \"http://hooks.example:1/\"",
            vec![kind("drain-ended"), When::Before],
            url("http://hooks.example:1/"),
        ),
    ];
    for (lines, on, call) in rows {
        let deployment = deployment(GOOD, HOOK, &with(lines));
        let timeout = Duration::from_secs(10);
        let policy = &deployment.policy;
        assert_eq!(policy.gating_hooks, on.contains(&When::Before), "{lines}");
        assert_eq!(policy.watching_hooks, on.contains(&When::Watch), "{lines}");
        assert_eq!(
            deployment.hooks,
            [HookSpec { name: "h".to_owned(), on, call, timeout, retries: 3 }],
            "{lines}"
        );
    }
    let lines = "on = [\"slice\"]\nurl = \"http://a/\"\ntimeout = \"100ms\"\nretries = 0";
    let hooks = deployment(GOOD, HOOK, &with(lines)).hooks;
    assert_eq!((hooks[0].timeout, hooks[0].retries), (Duration::from_millis(100), 0));
}

#[test]
fn every_kind_of_event_can_be_asked_for() {
    for word in KINDS {
        let hooks = deployment(GOOD, HOOK, &with(&format!("on = [\"{word}\"]\nurl = \"http://a/\""))).hooks;
        assert_eq!(hooks[0].on, [kind(word)]);
    }
}

#[test]
fn each_mistake_is_named_with_its_place_and_its_mend() {
    let url = "url = \"http://a/\"";
    let rows = [
        (url.to_owned(), "", "h", "`on` is missing", "on = [\"switched\"]"),
        (format!("on = \"*\"\n{url}"), ".on", "\"*\"", "is a text", "on = ["),
        (format!("on = []\n{url}"), ".on", "[]", "never be called", "\"before\""),
        (
            format!("on = [\"*\", \"swiched\"]\n{url}"),
            ".on",
            "\"swiched\"",
            "\"swiched\" is nothing",
            "\"switched\"?",
        ),
        (
            format!("on = [\"after\"]\n{url}"),
            ".on",
            "\"after\"",
            "nothing that a hook",
            "\"before\", \"watch\", \"*\", \"about\"",
        ),
        (format!("on = [\"probe\", \"probe\"]\n{url}"), ".on", "\"probe\"]", "listed twice", "once"),
        ("on = [\"*\"]".to_owned(), "", "h", "neither a command nor a URL", "url = "),
        (
            format!("on = [\"*\"]\n{url}\ncommand = [\"/c\"]"),
            ".command",
            "command",
            "a command and a URL",
            "two hooks",
        ),
        ("on = [\"*\"]\ncommand = []".to_owned(), ".command", "[]", "the command is empty", "absolute path"),
        (
            "on = [\"*\"]\ncommand = [\"tell\"]".to_owned(),
            ".command",
            "\"tell\"",
            "no absolute path",
            "no shell",
        ),
        ("on = [\"*\"]\ncommand = \"/tell\"".to_owned(), ".command", "\"/tell\"", "is a text", "command = ["),
        (
            "on = [\"*\"]\ncommand = [\"/t\", \"{colour}\"]".to_owned(),
            ".command",
            "\"{colour}\"",
            "`{colour}`",
            "nothing is replaced here",
        ),
        (
            "on = [\"*\"]\nurl = \"ftp://a/\"".to_owned(),
            ".url",
            "\"ftp",
            "http or https, not by ftp",
            "whole URL",
        ),
        ("on = [\"*\"]\nurl = \"a/b\"".to_owned(), ".url", "\"a/b\"", "not a URL", "whole URL"),
        ("on = [\"*\"]\nurl = \"/b\"".to_owned(), ".url", "\"/b\"", "not a whole URL", "whole URL"),
        ("on = [\"*\"]\nurl = \"\"".to_owned(), ".url", "\"\"", "not a URL", "whole URL"),
        ("on = [\"*\"]\nurl = \"http://\"".to_owned(), ".url", "\"http", "not a URL", "whole URL"),
        ("on = [\"*\"]\nurl = \"http://:80/\"".to_owned(), ".url", "\"http", "names no host", "whole URL"),
        (
            "on = [\"*\"]\nurl = \"http://a:65536/\"".to_owned(),
            ".url",
            "\"http",
            "not from 1 to 65535",
            "whole URL",
        ),
        ("on = [\"*\"]\nurl = \"http://me:pw@a/\"".to_owned(), ".url", "\"http", "names a user", "whole URL"),
        ("on = [\"*\"]\nurl = \"http://a/#b\"".to_owned(), ".url", "\"http", "a fragment", "whole URL"),
        ("on = [\"*\"]\nurl = \"http://a b/\"".to_owned(), ".url", "\"http", "not a URL", "whole URL"),
        (
            format!("on = [\"*\"]\n{url}\ntimeout = \"11m\""),
            ".timeout",
            "\"11m\"",
            "out of range",
            "100ms to 10m",
        ),
        (format!("on = [\"*\"]\n{url}\nretries = 21"), ".retries", "21", "21 is out of range", "0 to 20"),
        (format!("on = [\"bfore\"]\n{url}\nretries = 3"), ".on", "\"bfore\"", "nothing that", "\"before\"?"),
        (format!("on = []\n{url}\nretries = 3"), ".on", "[]", "never be called", "\"*\""),
        (format!("on = [\"before\"]\n{url}\nretries = 3"), ".retries", "3", "asked once", "remove it"),
        (
            format!("on = [\"*\"]\n{url}\nkind = \"tcp\""),
            ".kind",
            "kind",
            "not a key",
            "[deployment.NAME.probe.NAME]",
        ),
        (format!("on = [\"*\"]\n{url}\nretires = 3"), ".retires", "retires", "not a key", "`retries`"),
    ];
    for (lines, key, there, what, mend) in rows {
        check_in(GOOD, (HOOK, &with(&lines)), (&format!("deployment.shop.hook.h{key}"), there), what, mend);
    }
    let hook = format!("[deployment.shop.hook.\"a b\"]\non = [\"*\"]\n{url}");
    let at = ("deployment.shop.hook.\"a b\"", "\"a b\"");
    check_in(GOOD, (HOOK, &hook), at, "the hook name \"a b\" has a ' '", "a-z");
}
