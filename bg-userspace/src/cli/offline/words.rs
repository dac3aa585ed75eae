//! Orders as changes of a word, made by whoever has no daemon to ask. No gate is asked; what the kernel
//! itself acts upon works: deadlines, fates, pauses.

use super::super::Global;
use super::super::env::Env;
use super::super::run::{Failure, Result, without_daemon};
use super::super::say::span;
use super::super::target::Target;
use super::note::Note;
use super::{monotonic, resolve, tick};
use crate::api::protocol::{Changed, Proof, Switched, What};
use crate::dataplane::{Dataplane, Exchange, FlowState};
use crate::model::canary::percent;
use crate::model::order::{RollbackOrder, SwitchOrder, Verb};
use crate::model::record::Cause;
use crate::refusal::Refusal;
use bg_common::word::{Fate, Invalid};
use bg_common::{Colour, Word};
use std::time::Duration;

/// An exchange that is lost so often is refused.
const TRIES: u32 = 8;

type Refused<T> = std::result::Result<T, Refusal>;

/// Where to go.
struct Way {
    to: Option<Colour>,
    fate: Fate,
    confirm_within: Option<Duration>,
    cause: Cause,
}

/// Carries out a switch or a rollback.
pub(in super::super) async fn switched(
    name: Option<&str>,
    verb: &Verb,
    reason: Option<String>,
    target: &Target,
    global: &Global,
    env: &mut Env<'_>,
) -> Result<Switched> {
    let dataplane = env.kernel.open(&target.instance)?;
    let name = resolve(&*dataplane, name)?;
    let word = word_of(&*dataplane, &name)?;
    let way = way(&name, word, verb)?;
    let exchange = |to: Colour| {
        let revert_at = way.confirm_within.map(|within| tick(monotonic() + within).0.saturating_add(1));
        exchange(&*dataplane, &name, word, |word| switch(word, to, way.fate, revert_at))
    };
    let from = word.effective(tick(monotonic())).live();
    let to = way.to.unwrap_or(from.other());
    let mut switched = Switched {
        deployment: name.clone(),
        from,
        to,
        from_version: None,
        to_version: None,
        generation: word.generation(),
        took_ns: 0,
        already: from == to,
        staying: None,
        confirm_within_s: None,
        bake_s: None,
        proof: Proof::default(),
    };
    if switched.already {
        return Ok(switched);
    }
    let (new, took) = exchange(to)?;
    switched.generation = new.generation();
    switched.took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    switched.confirm_within_s = way.confirm_within.map(|within| within.as_secs());
    // After the switch: counting takes its time.
    switched.staying = staying(&*dataplane, &name, from);
    say(global, env, "no gate was asked, and nothing watches what follows")?;
    let note = Note { deployment: &name, live: to, generation: new.generation(), reason };
    note.switched(way.cause, &mut switched, target, global, env).await?;
    Ok(switched)
}

/// An order that leaves live as it is.
pub(in super::super) enum Change {
    /// The switch stays.
    Confirm,
    /// New flows are held for so long.
    Pause(Duration),
    /// They go on.
    Resume,
    /// So much of them, in 1/1000, goes to the colour that is not live.
    Canary(u16),
}

/// Carries it out.
pub(in super::super) async fn change(
    name: Option<&str>,
    change: &Change,
    reason: Option<String>,
    target: &Target,
    global: &Global,
    env: &mut Env<'_>,
) -> Result<Changed> {
    let dataplane = env.kernel.open(&target.instance)?;
    let deployment = resolve(&*dataplane, name)?;
    let word = word_of(&*dataplane, &deployment)?;
    let now = word.effective(tick(monotonic())).unpack().map_err(|why| broken(&deployment, word, why))?;
    let exchange = |change: &dyn Fn(Word) -> std::result::Result<Word, Invalid>| {
        exchange(&*dataplane, &deployment, word, change)
    };
    let ((new, _), what, done) = match change {
        Change::Confirm if !now.revert_at_deadline => {
            let (at, mend) = (format!("deployment {deployment}"), "see `bgctl --offline status`");
            let what = "no switch waits for its confirmation";
            return Err(Refusal::new("nothing-to-confirm", what, at, mend).into());
        }
        Change::Resume if !now.paused => {
            let (generation, what) = (word.generation(), "new flows were not held".to_owned());
            return Ok(Changed { deployment, generation, what });
        }
        Change::Confirm => (exchange(&Word::confirmed)?, "the switch stays".to_owned(), What::Confirmed),
        Change::Resume => {
            let what = What::Resumed { by_deadline: false };
            (exchange(&Word::resumed)?, "new flows go on".to_owned(), what)
        }
        Change::Canary(share) => {
            let (colour, was) = (now.live.other(), now.canary);
            let what = match share {
                0 => format!("all new flows go to {}", now.live),
                share => format!("{} of new flows go to {colour}", percent(*share)),
            };
            let done = What::Canary { colour, share: *share, was, overridden: Vec::new() };
            (exchange(&|word: Word| word.with_canary(*share))?, what, done)
        }
        Change::Pause(time) => {
            let until = tick(monotonic() + *time).0.saturating_add(1);
            let what = format!("new flows are held for {}", span(time.as_secs()));
            let done = What::Paused { seconds: time.as_secs() };
            (exchange(&|word: Word| word.paused(Some(until)))?, what, done)
        }
    };
    say(global, env, "no gate was asked")?;
    let (live, generation) = (new.live(), new.generation());
    let note = Note { deployment: &deployment, live, generation, reason };
    note.changed(done, target, global, env).await?;
    Ok(Changed { deployment, generation, what })
}

/// What an order that changes live comes down to, or why it cannot be done here.
fn way(name: &str, word: Word, verb: &Verb) -> Refused<Way> {
    if let Verb::Switch(SwitchOrder { to, plan, force: _, confirm_within, bake, fate, agreed: _ }) = verb {
        if bake.is_some_and(|bake| !bake.is_zero()) {
            return Err(without_daemon("without the daemon nothing is watched, so there is no bake time"));
        }
        if let Some(plan) = plan.filter(|plan| plan.generation != word.generation()) {
            let what =
                format!("plan {plan} does not hold any more: this is generation {}", word.generation());
            return Err(Refusal::new("gate-plan", what, format!("deployment {name}"), "bgctl plan"));
        }
        let confirm_within = confirm_within.filter(|within| !within.is_zero());
        let (to, fate, cause) = (*to, fate.unwrap_or_default(), Cause::Switch);
        return Ok(Way { to, fate, confirm_within, cause });
    }
    let Verb::Rollback(RollbackOrder { force: _, fate }) = verb else {
        return Err(without_daemon(&format!("`{}` needs the daemon", verb.name())));
    };
    if word.generation() == 0 {
        let live = word.live();
        let what = format!("{name} was never switched, so there is nothing to go back to");
        let at = format!("deployment {name}, {live} live");
        let mend = format!("bgctl --offline switch {name} --to {}", live.other());
        return Err(Refusal::new("nothing-to-roll-back", what, at, mend));
    }
    let (fate, cause) = (fate.unwrap_or_default(), Cause::Rollback);
    Ok(Way { to: None, fate, confirm_within: None, cause })
}

/// The word after a switch. A pause is not over because live changes: whoever holds new flows lets them go.
fn switch(word: Word, to: Colour, fate: Fate, revert_at: Option<u32>) -> std::result::Result<Word, Invalid> {
    if revert_at.is_some() && word.unpack()?.resume_at_deadline {
        // There is one deadline, and it ends the pause.
        return Err(Invalid::Deadline);
    }
    word.change(|fields| {
        fields.live = to;
        fields.draining = true;
        fields.fate = fate;
        fields.canary = 0;
        fields.revert_at_deadline = revert_at.is_some();
        match revert_at {
            Some(at) => fields.deadline = at,
            None if fields.resume_at_deadline => {}
            None => fields.deadline = 0,
        }
    })
}

fn word_of(dataplane: &dyn Dataplane, name: &str) -> Refused<Word> {
    let found = dataplane.words()?.into_iter().find(|(known, _)| known == name);
    found.map(|(_, word)| word).ok_or_else(|| {
        Refusal::new(
            "unknown-deployment",
            format!("{name} is gone"),
            "the tables",
            "see `bgctl --offline status`",
        )
    })
}

/// Replaces the word by what `change` makes of what it says now. Whoever changes who is live meanwhile wins.
fn exchange(
    dataplane: &dyn Dataplane,
    name: &str,
    word: Word,
    change: impl Fn(Word) -> std::result::Result<Word, Invalid>,
) -> Refused<(Word, Duration)> {
    let live = |word: Word| word.effective(tick(monotonic())).live();
    let (mut expected, before) = (word, live(word));
    for _ in 0..TRIES {
        let new = change(expected.effective(tick(monotonic()))).map_err(|why| broken(name, expected, why))?;
        match dataplane.exchange(name, expected, new)? {
            Exchange::Done { took, .. } => return Ok((new, took)),
            Exchange::Lost { actual } if live(actual) == before => expected = actual,
            Exchange::Lost { actual } => {
                let what = format!("somebody else made {} live in {name} meanwhile", live(actual));
                let mend = "see `bgctl --offline status`, then order again with --to COLOUR";
                return Err(Refusal::new("changed-meanwhile", what, format!("deployment {name}"), mend));
            }
        }
    }
    let what = format!("the word of {name} keeps changing under the order");
    let mend = "find out who else switches it, then order again";
    Err(Refusal::new("contended", what, format!("deployment {name}"), mend))
}

fn broken(name: &str, word: Word, why: Invalid) -> Refusal {
    let at = format!("deployment {name}, word {:#018x}", word.bits());
    if why == Invalid::Deadline {
        let mend = "end the one that is there first: bgctl --offline resume, or bgctl --offline confirm";
        return Refusal::new("one-deadline", "a word has one deadline, and it is taken", at, mend);
    }
    let mend = "another version of bg wrote it: use that version, or start anew with `bgctl detach`";
    Refusal::new("broken-word", format!("the word of {name} makes no sense: {why}"), at, mend)
}

/// Open flows of a colour; nobody's business if they cannot be counted.
fn staying(dataplane: &dyn Dataplane, name: &str, colour: Colour) -> Option<u64> {
    let rows = dataplane.observer().ok()?.flows().ok()?;
    let stays = rows
        .iter()
        .filter(|row| row.deployment == name && row.colour == colour && row.state != FlowState::Closed);
    u64::try_from(stays.count()).ok()
}

/// Says what was not done, to whoever reads it.
fn say(global: &Global, env: &mut Env<'_>, what: &str) -> std::result::Result<(), Failure> {
    if !global.json {
        writeln!(env.err, "bgctl: without the daemon {what}")?;
    }
    Ok(())
}
