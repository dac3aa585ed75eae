//! Rounds whose tables have next to no room.

use super::machine::Sizes;
use super::network;
use super::play::Player;
use super::report::Report;
use anyhow::Result;

const STEPS: u64 = 1_500;

pub(super) fn run(seed: u64, report: &mut Report) -> Result<()> {
    let small = [
        Sizes { flows: Some(4), ..Sizes::default() },
        Sizes { half_open: Some(6), ..Sizes::default() },
        Sizes { fragments: Some(3), ..Sizes::default() },
    ];
    for sizes in small {
        // Without a service that owns an address, so that programs do not look for one.
        let mut player = Player::with(sizes, network::tables(sizes, false))?;
        super::round(&mut player, seed, STEPS, report)?;
    }
    Ok(())
}
