//! `bgd` with fail points, for tests that kill it between two steps.

#[path = "bgd.rs"]
mod bgd;

fn main() -> std::process::ExitCode {
    bgd::main()
}
