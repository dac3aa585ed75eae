//! Records in sentences.

use super::say::{clean, count, long_time, named, short_time, span, target};
use super::switch::proved;
use crate::api::protocol::{Drilled, Record, Switched, What};
use crate::model::canary::percent;
use crate::model::order::{Actor, Who};
use crate::model::record::Cause;
use bg_common::{Colour, Word};

/// What happened, who caused it and why, on one line.
pub(super) fn line(record: &Record) -> String {
    let Record { deployment: _, live, generation: _, slices: _, actor, reason, late_ms, what } = record;
    let mut line = sentence(what, *live);
    if let Some(late) = late_ms {
        line.push_str(&format!(", noticed {} later", span(late / 1000)));
    }
    if let Some(who) = who(actor) {
        line.push_str(&format!(" — {who}"));
    }
    // What the sentence says already is not said again.
    if let Some(reason) = reason.as_deref().map(clean).filter(|reason| !line.contains(reason.as_str())) {
        line.push_str(&format!(": \"{reason}\""));
    }
    line
}

/// Who it was, unless bg did it by itself.
fn who(actor: &Actor) -> Option<String> {
    let Actor { who, uid, pid: _, user, client } = actor;
    match who {
        Who::Bgd => None,
        Who::Unknown => Some("somebody unknown".to_owned()),
        Who::Operator => {
            let user = user.as_deref().map(clean);
            let user = user.or_else(|| uid.map(|uid| format!("user {uid}")));
            let user = user.unwrap_or_else(|| "an operator".to_owned());
            // `bgctl/0.1.0 (alice)`: whom the client speaks for.
            let behind = client.as_deref().and_then(|client| client.split_once('(')?.1.strip_suffix(')'));
            let offline = client.as_deref().is_some_and(|client| client.contains(" --offline"));
            let offline = if offline { ", offline" } else { "" };
            Some(match behind {
                Some(behind) if behind != user => format!("{} as {user}{offline}", clean(behind)),
                _ => format!("{user}{offline}"),
            })
        }
    }
}

fn sentence(what: &What, live: Colour) -> String {
    match what {
        What::Started { found, word: _ } => {
            format!("the daemon took over, {live} is live: {}", started(found))
        }
        What::About { cause, from, to, expected: _, new: _, overridden } => {
            format!("about to switch {from} → {to}{}{}", because(*cause), over(overridden))
        }
        What::Switched { cause, switched, overridden } => switch(switched, *cause, overridden),
        What::NotSwitched { cause, to, why } => {
            format!("not switched to {to}{}: {}", because(*cause), clean(why))
        }
        What::Refused { order, gates, why } => {
            let gates =
                if gates.is_empty() { String::new() } else { format!(" by {}", clean(&gates.join(", "))) };
            format!("{} refused{gates}: {}", clean(order), clean(why))
        }
        What::Baked { seconds } => {
            format!("{live} stayed healthy while it was watched, for {}", span(*seconds))
        }
        What::Confirmed => "the switch was confirmed".to_owned(),
        What::Proved { proof } => match proved(proof, live.other(), live) {
            said if said.is_empty() => "nothing is proved about the switch".to_owned(),
            said => format!("proved: {}", said.join("; ")),
        },
        What::Drained { colour } => format!("drained: no flow is left on {colour}"),
        What::DrainEnded { colour, fate, left } => {
            let left = left.map_or_else(|| "the flows".to_owned(), |left| count(left, "flow"));
            format!("the drain of {colour} was ended: {left} left, fate {}", clean(fate))
        }
        What::DrainExtended { seconds } => format!("the drain was extended, to {} from then", span(*seconds)),
        What::Staged { colour, version, gave_up_rollback, hotfix } => {
            let version = version.as_deref().map_or_else(|| "a version".to_owned(), clean);
            let hotfix = if *hotfix { ", mended in place" } else { "" };
            let gave_up = if *gave_up_rollback { ", giving up the rollback" } else { "" };
            format!("{version} staged on {colour}{hotfix}{gave_up}")
        }
        What::Frozen { why } => format!("frozen: {}", clean(why)),
        What::Unfrozen => "unfrozen".to_owned(),
        What::Paused { seconds } => format!("new flows held for {}", span(*seconds)),
        What::Resumed { by_deadline: true } => "new flows go on: the pause is over".to_owned(),
        What::Resumed { by_deadline: false } => "new flows go on".to_owned(),
        What::Canary { colour: _, share: 0, was, overridden: _ } => {
            format!("the canary of {} is over", percent(*was))
        }
        What::Canary { colour, share, was, overridden } => {
            format!(
                "a canary leads {} of new flows to {colour}, {} before{}",
                percent(*share),
                percent(*was),
                over(overridden)
            )
        }
        What::Preview { change, prefix: Some(prefix), to: Some(to) } => {
            format!("preview {}: clients of {prefix} are led to {}", clean(change), to.as_str())
        }
        What::Preview { change, prefix: Some(prefix), to: None } => {
            format!("preview {}: clients of {prefix} see what all others do", clean(change))
        }
        What::Preview { change, prefix: None, to: _ } => {
            format!("the use of preview rules has {}", clean(change))
        }
        What::Probe { probe, target: of, up, why } => {
            let state = if *up { "up" } else { "DOWN" };
            let why = why.as_deref().map(|why| format!(": {}", clean(why))).unwrap_or_default();
            format!("{} is {state}, says {}{why}", target(of.colour, of.address), clean(probe))
        }
        What::Slice { colour, healthy, why } => {
            let state = if *healthy { "healthy" } else { "UNHEALTHY" };
            format!("{colour} is {state}: {}", clean(why))
        }
        What::Override { colour, backend, state } => {
            format!("{} is {} by order", target(Some(*colour), *backend), clean(state))
        }
        What::Drift { seen, actual, actual_live } => {
            let generation = |word: u64| Word::from_bits(word).generation();
            let (seen, actual) = (generation(*seen), generation(*actual));
            format!("somebody else changed the word: {actual_live} is live, generation {seen} → {actual}")
        }
        What::BrokenWord { word, why } => format!("the word {word:#018x} makes no sense: {}", clean(why)),
        What::Drilled { drilled } => drill(drilled),
        What::Hook { hook, phase, ok, output, millis } => {
            let ended = if *ok { "agreed" } else { "did NOT agree" };
            let said = if output.is_empty() { String::new() } else { format!(": {}", clean(output)) };
            format!("hook {} ({}) {ended} after {}{said}", clean(hook), clean(phase), long_time(*millis))
        }
        What::JournalGap { lost, since: _, why } => {
            let entries = if *lost == 1 { "1 entry is".to_owned() } else { format!("{lost} entries are") };
            format!("GAP: {entries} missing: {}", clean(why))
        }
        What::JournalRebuilt { why, aside } => {
            let aside = aside.as_deref().map(|aside| format!("; the old one is {}", clean(aside)));
            let anew = if aside.is_some() { " anew" } else { "" };
            format!("the journal begins{anew}: {}{}", clean(why), aside.unwrap_or_default())
        }
    }
}

fn switch(switched: &Switched, cause: Cause, overridden: &[String]) -> String {
    let Switched { from, to, from_version, to_version, generation, took_ns, staying, .. } = switched;
    let (from, to) = (named(from, from_version.as_deref()), named(to, to_version.as_deref()));
    let (because, over) = (because(cause), over(overridden));
    let took = if *took_ns > 0 { format!(", in {}", short_time(*took_ns)) } else { String::new() };
    let stay = staying.filter(|flows| *flows > 0);
    let stay = stay.map(|flows| format!(", {} stayed", count(flows, "flow"))).unwrap_or_default();
    format!("{from} → {to}{because}{over}, generation {generation}{took}{stay}")
}

fn drill(drilled: &Drilled) -> String {
    let Drilled { passed, why, there: _, back: _, held_ms } = drilled;
    let held = long_time(*held_ms);
    match (passed, why) {
        (true, _) => format!("a drill went well: the standby was live for {held}"),
        (false, Some(why)) => format!("a drill FAILED: {} (the standby was live for {held})", clean(why)),
        (false, None) => format!("a drill FAILED (the standby was live for {held})"),
    }
}

const fn because(cause: Cause) -> &'static str {
    match cause {
        Cause::Switch => "",
        Cause::Rollback => " by rollback",
        Cause::AutoRollback => ", taken back because it failed while it was watched",
        Cause::Unconfirmed => ", taken back because nobody confirmed it",
        Cause::FailOver => ", failed over because nothing of the live slice was healthy",
        Cause::Drill => " for a drill",
    }
}

fn over(overridden: &[String]) -> String {
    if overridden.is_empty() { String::new() } else { format!(", over {}", clean(&overridden.join(", "))) }
}

fn started(found: &str) -> String {
    let text = match found {
        "new" => "it is new",
        "as-remembered" => "all is as it was",
        "came-back" => "it is back, and as it was before",
        "after-reboot" => "after a reboot, as it was before",
        "journal-rebuilt" => "told again, because the journal was begun anew or has a gap",
        "remembered-late" => "the journal could be read, and remembers it",
        "changed-while-away" => "somebody changed the word meanwhile",
        "exchange-completed" => "a switch that was under way had been made",
        "exchange-not-made" => "a switch that was under way had not been made",
        "went-back-while-away" => "a switch that nobody confirmed had gone back",
        other => return clean(other),
    };
    text.to_owned()
}
