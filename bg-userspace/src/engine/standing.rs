//! How a deployment stands by the model's account, in the words of the control socket.

use crate::api::protocol::{
    ByColour, Deployment, DeploymentHealth, DrainStatus, LastSwitch, PreviewRule, ProbeVerdict,
    RollbackAnswer, SliceIdentity, SliceStatus,
};
use crate::model::view::{DrainView, HealthView, RollbackView, View};
use bg_common::Colour;
use std::time::Duration;

/// Fills in what only the model knows.
pub(super) fn complete(bare: Deployment, view: View, probes: &[ProbeVerdict]) -> Deployment {
    let drift = super::truths::sentence(&view);
    let View {
        word,
        live,
        open: _,
        slices,
        why,
        rollback,
        frozen,
        paused_for,
        bake_left,
        confirm_left,
        drain,
        last,
        under_way,
        doubt,
        drill_in,
        overrides,
        canary,
        previews,
        ..
    } = view;
    let rule = |(prefix, to, configured)| PreviewRule { prefix, to, configured };
    Deployment {
        live,
        generation: word.generation(),
        slices: statuses(slices, why, probes),
        rollback: Some(answer(rollback)),
        frozen,
        paused: paused_for.is_some() || word.is_paused() && bare.paused,
        paused_left_s: seconds(paused_for),
        bake_left_s: seconds(bake_left),
        confirm_left_s: seconds(confirm_left),
        drain: drain.map(status),
        last_switch: last.map(|(switched, at)| LastSwitch { at, switched }),
        overrides,
        canary_per_mille: canary,
        previews: previews.into_iter().map(rule).collect(),
        under_way,
        doubt,
        drill_in_s: seconds(drill_in),
        drift,
        ..bare
    }
}

/// What speaks for and against the slices.
pub(super) fn health(view: HealthView, live: Colour) -> DeploymentHealth {
    let HealthView { name, slices, why, probes, passive: [blue, green], overrides } = view;
    let slices = statuses(slices, why, &probes);
    DeploymentHealth { name, live, slices, probes, passive: ByColour { blue, green }, overrides }
}

fn statuses(slices: [SliceIdentity; 2], why: [String; 2], probes: &[ProbeVerdict]) -> ByColour<SliceStatus> {
    let [blue, green] = slices;
    let [why_blue, why_green] = why;
    let status = |slice: SliceIdentity, why: String| {
        let SliceIdentity { colour, role, version, identity, healthy } = slice;
        let of = || probes.iter().filter(|probe| probe.colour == Some(colour));
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        SliceStatus {
            role: Some(role),
            version,
            identity,
            healthy,
            why: Some(why),
            up: count(of().filter(|probe| probe.up == Some(true)).count()),
            targets: count(of().count()),
        }
    };
    ByColour { blue: status(blue, why_blue), green: status(green, why_green) }
}

fn answer(view: RollbackView) -> RollbackAnswer {
    let RollbackView { target, blocked, until } = view;
    let (why_not, mend) = blocked.unzip();
    RollbackAnswer {
        possible: why_not.is_none(),
        to: target.as_ref().map(|target| target.colour),
        version: target.and_then(|target| target.version),
        why_not,
        mend,
        until,
    }
}

fn status(view: DrainView) -> DrainStatus {
    let DrainView { colour: _, open, oldest, since, left, fate, fate_then } = view;
    DrainStatus {
        open,
        oldest_s: seconds(oldest),
        since_s: Some(since.as_secs()),
        deadline_s: seconds(left),
        fate: fate.to_owned(),
        fate_then: left.and(Some(fate_then.unwrap_or("reset").to_owned())),
    }
}

/// Seconds that are left, rounded up: nothing is over that is not.
fn seconds(time: Option<Duration>) -> Option<u64> {
    time.map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0))
}
