//! The programs against the reference model: the same packets through both, and every difference told.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what is wrong here shall end the test that uses it"
)]

mod frames;
mod full;
mod generate;
mod machine;
mod network;
mod nft;
mod options;
mod play;
mod report;
mod shrink;
mod sockets;
mod step;
mod sweeps;

use crate::dice::Dice;
use anyhow::Result;
use generate::Generator;
use play::Player;
use std::process::ExitCode;

pub use nft::{Against, against_nft};
pub use options::{HELP, Options};
pub use report::{Report, UNREACHABLE};

/// Steps of a round. Each round begins with empty tables, so that what was found is found again.
const ROUND: u64 = 2_000;
/// Rounds with a difference after which it is enough.
const ENOUGH: u64 = 20;

/// Runs what `options` say; progress goes to standard error, and figures to standard output at the end.
///
/// # Errors
///
/// When programs or namespaces cannot be set up.
pub fn run(options: &Options) -> Result<ExitCode> {
    crate::signals::watch()?;
    if options.against > 0 {
        match against_nft(options.against, options.seed)? {
            Against::Compared { packets, differences } => {
                crate::say(&format!(
                    "the model against nftables: {packets} packets, {} differences",
                    differences.len()
                ));
                differences.iter().for_each(|difference| crate::say(difference));
                if !differences.is_empty() {
                    return Ok(ExitCode::FAILURE);
                }
            }
            Against::Skipped(why) => crate::say(&format!("SKIP the model against nftables: {why}")),
        }
    }
    let report = fuzz(options)?;
    report.tell();
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(if report.mismatches == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Compares programs and model on as many packets as `options` say.
///
/// # Errors
///
/// When programs or namespaces cannot be set up.
pub fn fuzz(options: &Options) -> Result<Report> {
    let network = network::Gateway::new()?;
    network.namespace.run(|| {
        stay_on_this_cpu()?;
        let mut report = Report::default();
        sockets::run(&mut report)?;
        full::run(options.seed, &mut report)?;
        let mut player = Player::new(machine::Sizes::default())?;
        sweeps::run(&mut player, options, &mut report)?;
        let mut seeds = Dice::new(options.seed);
        let last = report.packets + options.packets;
        while report.packets < last && report.mismatches < ENOUGH && !crate::signals::seen() {
            let seed = seeds.below(u64::MAX);
            round(&mut player, seed, ROUND.min(last - report.packets), &mut report)?;
            report.progress(last);
        }
        Ok(report)
    })
}

/// Keeps the thread where it is: tables that each CPU has for itself add up in an order that nobody could foretell.
fn stay_on_this_cpu() -> Result<()> {
    use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
    let mut cpus = CpuSet::new();
    cpus.set(sched_getcpu()?)?;
    Ok(sched_setaffinity(nix::unistd::Pid::from_raw(0), &cpus)?)
}

/// One round; a difference ends it.
fn round(player: &mut Player, seed: u64, steps: u64, report: &mut Report) -> Result<()> {
    player.reset()?;
    let mut generator = Generator::new(seed);
    let mut played = Vec::new();
    let mut wrong = None;
    for number in 0..steps {
        let step = generator.next(player.model());
        played.push(step);
        let Some(step) = played.last() else { break };
        let checked = player.play(step).and_then(|()| {
            if number % 500 == 499 || number + 1 == steps { player.compare_all() } else { Ok(()) }
        });
        if let Err(difference) = checked {
            wrong = Some(difference);
            break;
        }
    }
    report.count(player);
    if let Some(difference) = wrong {
        let shrunk = shrink::shrink(player, played, difference);
        report.differ(seed, &shrunk);
    }
    Ok(())
}
