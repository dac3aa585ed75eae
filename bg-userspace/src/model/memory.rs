//! What a memory says about the word, and which word a machine begins with after a reboot.

use super::record::{Cause, Memory};
use bg_common::Word;

impl Memory {
    /// The word as last seen.
    #[must_use]
    pub const fn word(&self) -> Word {
        Word::from_bits(self.word)
    }

    /// Whether a drill was under way.
    pub(super) fn is_drill(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.cause == Cause::Drill)
            || self.pending.as_ref().is_some_and(|pending| pending.cause == Cause::Drill)
    }

    /// The word that a machine begins with after a reboot, which has emptied the tables: nothing drains, a
    /// switch that was never confirmed has gone back, and what was being left because it fails is left.
    #[must_use]
    pub fn after_reboot(&self) -> Word {
        let word = self.word();
        let reverts = word.unpack().is_ok_and(|fields| fields.revert_at_deadline);
        let live = match (&self.watch, &self.pending) {
            (_, Some(pending)) if pending.leaves_trouble() => Word::from_bits(pending.new).live(),
            (Some(watch), _) if watch.cause == Cause::Drill => watch.from,
            _ if reverts => word.live().other(),
            _ => word.live(),
        };
        let fields = bg_common::word::Fields {
            live,
            draining: false,
            paused: false,
            preview: word.has_previews(),
            fate: bg_common::word::Fate::Keep,
            revert_at_deadline: false,
            resume_at_deadline: false,
            canary: 0,
            generation: word.generation(),
            deadline: 0,
        };
        fields.pack().and_then(|word| word.change(|_| {})).unwrap_or(Word::initial(live))
    }
}
