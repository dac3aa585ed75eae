//! Rounds whose tables have next to no room.

use super::machine::Sizes;
use super::network;
use super::play::Player;
use super::report::Report;
use anyhow::Result;

const STEPS: u64 = 1_500;
const ROUNDS: u64 = 3;

pub(super) fn run(seed: u64, report: &mut Report) -> Result<()> {
    // All at once, because the verifier takes its time for each.
    let small = Sizes { flows: Some(4), half_open: Some(6), fragments: Some(3), nat: Some(3) };
    // Without a service that owns an address, so that programs do not look for one.
    let mut player = Player::with(small, network::tables(small, false))?;
    for round in 0..ROUNDS {
        super::round(&mut player, seed ^ round, STEPS, report)?;
    }
    Ok(())
}
