//! Judges hooks: who is asked before and during a switch, and who is told what happened.

use super::problems::{At, Problems};
use super::raw::RawHook;
use super::services::name;
use super::values::{Times, among, command, host_and_port, number, time};
use crate::notify::spec::{Call, EventKind, HookSpec, KINDS, When};
use hyper::Uri;
use std::time::Duration;

/// No hook takes longer than this.
pub const LONGEST: Duration = Duration::from_secs(600);

const TIMEOUT: Times =
    Times { least: Duration::from_millis(100), most: LONGEST, words: "100ms to 10m, such as \"10s\"" };

/// Judges one hook.
pub(super) fn hook(raw: RawHook, problems: &mut Problems<'_>) -> Option<HookSpec> {
    let name = name("hook", &raw.name, problems);
    let on = raw.on.as_ref().map(|on| on_what(on, problems));
    match (raw.given.place("command"), raw.given.place("url")) {
        (Some(command), Some(url)) => {
            let what = "the hook has a command and a URL";
            let mend = "keep one of them, or make two hooks";
            problems.add_pair("config-hook", [command, url], what, mend);
        }
        (None, None) => {
            let mend =
                "add command = [\"/absolute/path\", \"argument\"] or url = \"http://127.0.0.1:9000/bg\"";
            problems.add("config-missing", &raw.name.place, "the hook has neither a command nor a URL", mend);
        }
        _ => {}
    }
    let words = raw.on.as_ref().map(|on| on.value.as_slice()).unwrap_or_default();
    let only_asked = !words.is_empty() && words.iter().all(|on| ["before", "watch"].contains(&&*on.value));
    if let Some(At { place, .. }) = raw.retries.as_ref().filter(|_| only_asked) {
        let what = "`retries` is for events, and this hook hears of none: one that is asked is asked once";
        problems.add("config-unfit", place, what, "remove it, or add events to `on`");
    }
    let timeout = time(raw.timeout.as_ref(), &TIMEOUT, problems).unwrap_or(Duration::from_secs(10));
    let retries = number(raw.retries, 0..=20, problems).unwrap_or(3);
    let command = raw.command.and_then(|raw| command(raw, &[], problems)).map(Call::Command);
    let url = raw.url.and_then(|raw| url(raw, problems)).map(Call::Url);
    Some(HookSpec { name: name?.to_string(), on: on?, call: command.or(url)?, timeout, retries })
}

fn on_what(raw: &At<Vec<At<String>>>, problems: &mut Problems<'_>) -> Vec<When> {
    let mut found: Vec<When> = Vec::new();
    if raw.value.is_empty() {
        let mend = "list \"before\", \"watch\", kinds of events such as \"switched\", or \"*\"";
        problems.add("config-empty", &raw.place, "the hook would never be called", mend);
    }
    for At { value, place } in &raw.value {
        match when(value) {
            None => {
                let words = [&["before", "watch", "*"], KINDS].concat();
                let what = format!("{value:?} is nothing that a hook can be called for");
                problems.add("config-choice", place, what, among(value, &words));
            }
            Some(when) if found.contains(&when) => {
                problems.add("config-duplicate", place, format!("{value:?} is listed twice"), "list it once");
            }
            Some(when) => found.push(when),
        }
    }
    found
}

fn when(word: &str) -> Option<When> {
    match word {
        "before" => Some(When::Before),
        "watch" => Some(When::Watch),
        "*" => Some(When::Event(EventKind::Any)),
        word => {
            let kind = KINDS.iter().position(|kind| *kind == word)?;
            Some(When::Event(EventKind::Kind(kind)))
        }
    }
}

fn url(At { value, place }: At<String>, problems: &mut Problems<'_>) -> Option<String> {
    let mend = "write a whole URL, such as \"http://127.0.0.1:9000/bg\"";
    let what = match value.parse::<Uri>() {
        Err(why) => format!("{value:?} is not a URL: {why}"),
        Ok(uri) => match (uri.scheme_str(), uri.authority()) {
            (Some("http" | "https"), Some(authority)) => match host_and_port(authority) {
                Err(why) => format!("{value:?} {why}"),
                Ok(()) if value.contains('#') => format!("{value:?} has a fragment, which is never sent"),
                Ok(()) => return Some(value),
            },
            (Some(scheme), Some(_)) => format!("hooks are called by http or https, not by {scheme}"),
            _ => format!("{value:?} is not a whole URL"),
        },
    };
    problems.add("config-url", &place, what, mend);
    None
}

#[cfg(test)]
mod tests;
