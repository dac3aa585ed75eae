//! What each request orders. What cannot be meant is refused here, before the engine hears of it.

use super::orders::{
    CanaryRequest, DrainRequest, DrillRequest, ForceRequest, FreezeRequest, OverrideRequest, PauseRequest,
    PreviewRequest, ReasonRequest, RollbackRequest, StageRequest, State, SwitchRequest,
};
use super::seconds::Seconds;
use crate::model::order::{Force, RollbackOrder, SwitchOrder, Verb};
use crate::model::policy::FateChoice;
use crate::refusal::Refusal;
use bg_common::{Fate, Word};
use std::time::Duration;

/// Longest reason, in bytes.
const REASON: usize = 1000;

/// Longest version or name of a gate, in bytes.
const NAME: usize = 128;

/// Most gates that one order names.
const GATES: usize = 32;

/// Longest pause, and longest time for which a drill leaves the standby live.
const HOUR: Duration = Duration::from_secs(3600);

/// What is ordered, and why.
pub(crate) type Meant = Result<(Verb, Option<String>), Refusal>;

impl SwitchRequest {
    /// What is ordered.
    pub(crate) fn meant(self) -> Meant {
        let Self { to, plan, force, confirm_within_s, bake_s, fate, agreed, reason } = self;
        let verb = Verb::Switch(SwitchOrder {
            to,
            plan,
            force: force.meant()?,
            confirm_within: confirm_within_s.map(|Seconds(time)| time),
            bake: bake_s.map(|Seconds(time)| time),
            fate: fate.map(choice),
            agreed,
        });
        meant(verb, reason)
    }
}

impl RollbackRequest {
    /// What is ordered.
    pub(crate) fn meant(self) -> Meant {
        let Self { force, fate, reason } = self;
        meant(Verb::Rollback(RollbackOrder { force: force.meant()?, fate: fate.map(choice) }), reason)
    }
}

impl ReasonRequest {
    /// `verb`, for this reason.
    pub(crate) fn meant(self, verb: Verb) -> Meant {
        meant(verb, self.reason)
    }
}

impl StageRequest {
    /// What is ordered.
    pub(crate) fn meant(self) -> Meant {
        let Self { colour, version, give_up_rollback, hotfix, reason } = self;
        if version.as_ref().is_some_and(|version| !is_name(version)) {
            return Err(bad("a version is 1 to 128 printable characters", "version"));
        }
        meant(Verb::Stage { colour, version, give_up_rollback, hotfix }, reason)
    }
}

impl FreezeRequest {
    /// What is ordered.
    pub(crate) fn meant(self) -> Meant {
        let Self { reason } = self;
        if reason.trim().is_empty() {
            return Err(bad("whoever wants to switch has to be told why not", "reason"));
        }
        meant(Verb::Freeze, Some(reason))
    }
}

impl PauseRequest {
    /// What is ordered.
    pub(crate) fn meant(self) -> Meant {
        let Self { for_s: Seconds(time), reason } = self;
        if time.is_zero() || time > HOUR {
            return Err(bad("a pause is longer than nothing and at most an hour", "for_s"));
        }
        meant(Verb::Pause { time }, reason)
    }
}

impl DrainRequest {
    /// What is ordered.
    pub(crate) fn meant(self) -> Meant {
        let Self { extend_by_s, end, reason } = self;
        let verb = match (extend_by_s, end) {
            (Some(Seconds(by)), None) => Verb::DrainExtend { by },
            (None, Some(Fate::Keep)) => return Err(bad("a drain ends by `reset` or `move`", "end")),
            (None, Some(fate)) => Verb::DrainEnd { fate: choice(fate) },
            _ => return Err(bad("a drain is either extended or ended", "extend_by_s, end")),
        };
        meant(verb, reason)
    }
}

impl OverrideRequest {
    /// What is ordered.
    pub(crate) fn meant(self) -> Meant {
        let Self { colour, backend, state, reason } = self;
        let state = match state {
            State::Up => Some(true),
            State::Down => Some(false),
            State::Auto => None,
        };
        meant(Verb::Override { colour, backend, state }, reason)
    }
}

impl CanaryRequest {
    /// What is ordered.
    pub(crate) fn meant(self) -> Meant {
        let Self { share_per_mille: share, force, reason } = self;
        if share > Word::ALL {
            return Err(bad("a canary takes at most all flows: 1000", "share_per_mille"));
        }
        meant(Verb::Canary { share, force: force.meant()? }, reason)
    }
}

impl PreviewRequest {
    /// What is ordered.
    pub(crate) fn meant(self) -> Meant {
        let Self { prefix, to, reason } = self;
        meant(Verb::Preview { prefix, to }, reason)
    }
}

impl DrillRequest {
    /// What is ordered.
    pub(crate) fn meant(self) -> Meant {
        let hold = self.hold();
        if hold > HOUR {
            return Err(bad("the standby is live for at most an hour in a drill", "hold_s"));
        }
        meant(Verb::Drill { hold, force: self.force.meant()? }, self.reason)
    }
}

impl ForceRequest {
    fn meant(self) -> Result<Force, Refusal> {
        match self {
            Self::All(true) => Ok(Force::All),
            Self::All(false) => Ok(Force::Nothing),
            Self::Gates(gates) if gates.len() > GATES || gates.iter().any(|gate| !is_name(gate)) => {
                Err(bad("gates are named as `bgctl plan` prints them", "force"))
            }
            Self::Gates(gates) if gates.is_empty() => Ok(Force::Nothing),
            Self::Gates(gates) => Ok(Force::Gates(gates)),
        }
    }
}

/// A reason that is beyond any sentence is not kept.
fn meant(verb: Verb, reason: Option<String>) -> Meant {
    match reason {
        Some(reason) if reason.len() > REASON => {
            Err(bad(&format!("a reason is at most {REASON} bytes long"), "reason"))
        }
        reason => Ok((verb, reason)),
    }
}

const fn choice(fate: Fate) -> FateChoice {
    match fate {
        Fate::Keep => FateChoice::Keep,
        Fate::Reset => FateChoice::Reset,
        Fate::Move => FateChoice::Move,
    }
}

fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= NAME && !text.contains(char::is_control)
}

fn bad(what: &str, field: &str) -> Refusal {
    Refusal::new("bad-request", what, field, "see `bgctl --help`")
}
