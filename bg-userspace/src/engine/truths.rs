//! The four truths side by side: what is configured, what was ordered, what is observed, what the kernel has.

use crate::api::protocol::{DeploymentDrift, Truths};
use crate::dataplane::DeploymentSpec;
use crate::model::canary::percent;
use crate::model::view::View;
use bg_common::Colour;

/// What differs, in a sentence, if anything does.
pub(super) fn sentence(view: &View) -> Option<String> {
    let differing: Vec<_> =
        rows(view, None).into_iter().filter(|row| row.differs).filter_map(|row| row.why).collect();
    (!differing.is_empty()).then(|| differing.join("; "))
}

/// All that is said of a deployment.
pub(super) fn of(view: &View, spec: Option<&DeploymentSpec>) -> DeploymentDrift {
    DeploymentDrift { name: view.name.clone(), rows: rows(view, spec) }
}

fn rows(view: &View, spec: Option<&DeploymentSpec>) -> Vec<Truths> {
    let mut rows = vec![live(view), word(view)];
    rows.extend(canary(view));
    rows.extend(previews(view, spec));
    for (colour, why) in Colour::BOTH.into_iter().zip(&view.why) {
        rows.push(slice(view, spec, colour, why));
    }
    rows
}

fn live(view: &View) -> Truths {
    let View { live, last, drifted, vip, name, .. } = view;
    let ordered = last.as_ref().map(|(last, _)| last.to);
    let by_stranger = drifted.is_some() && ordered.is_some_and(|ordered| ordered != *live);
    let (good, complaint) = vip;
    let observed = match good {
        Some(true) => Some(format!("{live} answers through the VIP")),
        Some(false) => complaint.clone(),
        None => None,
    };
    let unserved = *good == Some(false);
    let why = match (by_stranger, unserved) {
        (true, _) => Some(format!("somebody else has made {live} live since the last order")),
        (false, true) => complaint.clone(),
        (false, false) => None,
    };
    let mend = if by_stranger {
        format!(
            "find out who; to take it as it is: bgctl switch {name} --to {live}; to go back: bgctl switch {name}"
        )
    } else {
        format!("bgctl health {name}")
    };
    Truths {
        about: "live".to_owned(),
        intent: None,
        admin: ordered.map(|colour| colour.to_string()),
        observed,
        kernel: Some(live.to_string()),
        differs: why.is_some(),
        mend: why.as_ref().map(|_| mend),
        why,
    }
}

fn word(view: &View) -> Truths {
    let View { word, last, drifted, name, .. } = view;
    let generation = word.generation().to_string();
    let broken = word.unpack().err();
    let why = match (&broken, drifted) {
        (Some(why), _) => Some(format!("the word makes no sense: {why}")),
        (None, Some((seen, actual, _))) => Some(format!(
            "somebody else has changed the word, from generation {} to {}",
            seen.generation(),
            actual.generation()
        )),
        (None, None) => None,
    };
    let mend = match (&broken, drifted) {
        (Some(_), _) => {
            Some("use the version of bg that wrote it, or start anew with `bgctl detach`".to_owned())
        }
        (None, Some(_)) => {
            Some(format!("bgctl history {name} --kind drift tells when; the next order settles it"))
        }
        (None, None) => None,
    };
    Truths {
        about: "generation".to_owned(),
        intent: None,
        admin: last.as_ref().map(|(last, _)| last.generation.to_string()),
        observed: None,
        kernel: Some(generation),
        // Drains, pauses and confirmations count, too, so a higher number alone is no difference.
        differs: why.is_some(),
        why,
        mend,
    }
}

/// The canary is nothing but what the word says, unless somebody else has said it.
fn canary(view: &View) -> Option<Truths> {
    let View { canary, drifted, name, live, .. } = view;
    let seen = drifted.as_ref().filter(|(seen, actual, _)| seen.canary() != actual.canary());
    if *canary == 0 && seen.is_none() {
        return None;
    }
    let why = seen.map(|(seen, actual, _)| {
        let [seen, actual] = [seen, actual].map(|word| percent(word.canary()));
        format!("somebody else has changed the canary, from {seen} to {actual}")
    });
    Some(Truths {
        about: "canary".to_owned(),
        admin: seen.map(|(seen, ..)| percent(seen.canary())),
        kernel: Some(format!("{} to {}", percent(*canary), live.other())),
        differs: why.is_some(),
        mend: why
            .as_ref()
            .map(|_| format!("find out who; to take it as you want it: bgctl canary {name} SHARE")),
        why,
        ..Truths::default()
    })
}

fn previews(view: &View, spec: Option<&DeploymentSpec>) -> Option<Truths> {
    let View { word, previews, .. } = view;
    let count = |wanted: bool| {
        let number = previews.iter().filter(|(_, _, configured)| *configured == wanted).count();
        (number > 0).then(|| format!("{number} rules"))
    };
    let vips =
        spec.iter().flat_map(|spec| &spec.services).map(|service| service.previews.len()).sum::<usize>();
    let used = word.has_previews();
    let differs = used == previews.is_empty();
    if previews.is_empty() && vips == 0 && !differs {
        return None;
    }
    Some(Truths {
        about: "previews".to_owned(),
        intent: count(true),
        admin: count(false),
        kernel: Some(if used { "rules are used".to_owned() } else { format!("{vips} VIPs") }),
        differs,
        why: differs.then(|| "the word does not say what rules there are".to_owned()),
        mend: differs.then(|| "it is set right by itself; see whether the daemon logs why not".to_owned()),
        ..Truths::default()
    })
}

fn slice(view: &View, spec: Option<&DeploymentSpec>, colour: Colour, why: &str) -> Truths {
    let View { down, overrides, slices, live, name, .. } = view;
    let wanted: Vec<_> = spec
        .iter()
        .flat_map(|spec| &spec.services)
        .filter_map(|service| service.backends.get(colour.index()))
        .flatten()
        .collect();
    let off = down.iter().filter(|down| down.colour == colour).count();
    let kernel = match (wanted.len(), off) {
        (0, 0) => None,
        (0, off) => Some(format!("{off} off their rings")),
        (all, off) => Some(format!("{} of {all} on their rings", all.saturating_sub(off))),
    };
    let said: Vec<_> = overrides
        .iter()
        .filter(|one| one.colour == colour)
        .map(|one| {
            let whom = one.backend.map_or_else(|| "all".to_owned(), |address| address.to_string());
            format!("{whom} {}", if one.up { "up" } else { "down" })
        })
        .collect();
    let healthy = slices.get(colour.index()).and_then(|slice| slice.healthy);
    let suffers = colour == *live && healthy == Some(false);
    Truths {
        about: format!("backends of {colour}"),
        intent: (!wanted.is_empty()).then(|| wanted.len().to_string()),
        admin: (!said.is_empty()).then(|| said.join(", ")),
        observed: healthy
            .map(|healthy| if healthy { "healthy".to_owned() } else { "not healthy".to_owned() }),
        kernel,
        differs: suffers,
        why: suffers.then(|| format!("{colour} is live, and not healthy: {why}")),
        mend: suffers.then(|| format!("bgctl health {name}, then bgctl rollback {name} or mend it")),
    }
}
