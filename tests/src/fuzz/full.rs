//! Rounds whose tables have next to no room.

use super::machine::Sizes;
use super::play::Player;
use super::report::Report;
use anyhow::Result;

const STEPS: u64 = 1_500;

pub(super) fn run(seed: u64, report: &mut Report) -> Result<()> {
    for sizes in [Sizes { flows: Some(4), half_open: None }, Sizes { flows: None, half_open: Some(6) }] {
        let mut player = Player::new(sizes)?;
        super::round(&mut player, seed, STEPS, report)?;
    }
    Ok(())
}
