//! What the log says of a record: a line for people, at the level that it deserves.

use crate::model::record::{Record, What};
use crate::notify::notice::kind;
use bg_common::Word;

/// Writes a record to the log. Packets and single answers of probes never come here.
#[expect(clippy::wildcard_enum_match_arm, reason = "most records need no line of their own")]
pub(super) fn log(record: &Record) {
    let Record { deployment, live, generation, reason, what, .. } = record;
    match what {
        What::Switched { cause, switched, .. } => {
            let (from, to, took_ns) = (switched.from, switched.to, switched.took_ns);
            tracing::info!(deployment, ?cause, %from, %to, generation, took_ns, reason, "switched");
        }
        What::NotSwitched { cause, to, why } => {
            tracing::warn!(deployment, ?cause, %to, why, "not switched");
        }
        What::Drained { colour } => {
            tracing::info!(deployment, %colour, generation, "drained: the last flow has ended");
        }
        What::Drift { seen, actual, actual_live } => {
            let (seen, actual) = (Word::from_bits(*seen).generation(), Word::from_bits(*actual).generation());
            tracing::warn!(
                deployment,
                seen,
                actual,
                live = %actual_live,
                "somebody else changed the word; it is taken as it is"
            );
        }
        What::BrokenWord { word, why } => {
            tracing::error!(deployment, word = format_args!("{word:#018x}"), why, "the word makes no sense");
        }
        What::Frozen { why } => tracing::warn!(deployment, why, "frozen"),
        What::Slice { colour, healthy: true, why } => {
            tracing::info!(deployment, %colour, why, "the slice is healthy");
        }
        What::Slice { colour, healthy: false, why } => {
            tracing::warn!(deployment, %colour, why, "the slice is not healthy");
        }
        What::Probe { probe, target, up, why } => {
            let (of, colour) = (&target.of, target.colour.map(tracing::field::display));
            let address = target.address.map(tracing::field::display);
            tracing::info!(
                deployment,
                probe,
                of,
                colour,
                address,
                up,
                why,
                "a probe has changed its verdict"
            );
        }
        What::Hook { hook, phase, ok: false, output, .. } => {
            tracing::warn!(deployment, hook, phase, output, "a hook does not agree");
        }
        What::Started { found, .. } => tracing::info!(deployment, found, %live, generation, "taken over"),
        What::Refused { order, why, .. } => tracing::warn!(deployment, order, why, "refused"),
        What::Drilled { drilled } if !drilled.passed => {
            tracing::warn!(deployment, why = drilled.why, "the drill has failed");
        }
        other => tracing::info!(deployment, generation, %live, reason, "{}", kind(other)),
    }
}
