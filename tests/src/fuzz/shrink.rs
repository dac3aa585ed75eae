//! Leaves of a round only what the difference needs.

use super::play::Player;
use super::step::Step;
use std::time::{Duration, Instant};

/// Time for each difference.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was found.
pub(super) struct Found {
    pub(super) steps: Vec<Step>,
    pub(super) difference: String,
    /// Whether the same steps lead to it again.
    pub(super) again: bool,
}

/// Looks for few steps that lead to a difference.
pub(super) fn shrink(player: &mut Player, steps: Vec<Step>, difference: String) -> Found {
    let packets = player.packets;
    let deadline = Instant::now() + PATIENCE;
    let mut found = match differs(player, &steps) {
        Some((length, difference)) => {
            Found { steps: steps.into_iter().take(length).collect(), difference, again: true }
        }
        None => Found { steps, difference, again: false },
    };
    let mut chunk = found.steps.len() / 2;
    while found.again && chunk > 0 && Instant::now() < deadline {
        let mut at = 0;
        while at < found.steps.len() && Instant::now() < deadline {
            let (head, tail) = found.steps.split_at(at);
            let fewer = [head, tail.get(chunk..).unwrap_or_default()].concat();
            match differs(player, &fewer) {
                Some((length, difference)) => {
                    found.steps = fewer.into_iter().take(length).collect();
                    found.difference = difference;
                }
                None => at += chunk,
            }
        }
        chunk /= 2;
    }
    player.packets = packets;
    found
}

/// After how many of these steps there is a difference, and which.
fn differs(player: &mut Player, steps: &[Step]) -> Option<(usize, String)> {
    player.reset().ok()?;
    for (number, step) in (1..).zip(steps) {
        if let Err(difference) = player.play(step) {
            return Some((number, difference));
        }
        // What only the counters show is looked for where there are few steps.
        if (steps.len() <= 200 || number == steps.len())
            && let Err(difference) = player.compare_all()
        {
            return Some((number, difference));
        }
    }
    None
}
