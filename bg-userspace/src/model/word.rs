//! What a change makes of the word.

use super::Moment;
use super::change::Make;
use super::deployment::{tick, tick_after};
use bg_common::Word;
use bg_common::word::Invalid;

/// What `make` makes of `word` at `now`.
pub(super) fn word_after(make: &Make, word: Word, now: Moment) -> Result<Word, Invalid> {
    let effective = word.effective(tick(now));
    match make {
        // A pause is not over because live changes: whoever holds new flows lets them go.
        Make::Go(go) => effective.change(|fields| {
            fields.live = go.to;
            fields.draining = true;
            fields.fate = go.fate;
            fields.canary = 0;
            fields.revert_at_deadline = go.confirm.is_some();
            match go.confirm {
                Some(within) => {
                    fields.resume_at_deadline = false;
                    fields.deadline = tick_after(now.after(within));
                }
                None if fields.resume_at_deadline => {}
                None => fields.deadline = 0,
            }
        }),
        Make::Confirm => effective.confirmed(),
        Make::Pause(time) => effective.paused(Some(tick_after(now.after(*time)))),
        Make::Resume => effective.resumed(),
        Make::Fate(fate) => effective.with_fate(*fate),
        Make::Canary(canary) => effective.with_canary(canary.share),
        Make::Previews(previews) => effective.with_previews(previews.in_use),
        Make::Drained => effective.drained(),
        Make::Settle => word.settled(tick(now)),
    }
}
