//! The harness of the tests, the demo and the benchmark: networks made of namespaces, servers that stamp
//! their answers, clients that record what they see, and what passes on the wire.

pub mod bench;
pub mod capture;
pub mod cases;
pub mod cgroup;
pub mod chaos;
pub mod client;
pub mod clock;
pub mod daemon;
pub mod demo;
pub(crate) mod dice;
pub mod engine;
pub mod foreign;
pub mod fuzz;
pub(crate) mod hypervisor;
pub mod model;
pub mod netns;
pub mod packet;
pub(crate) mod paint;
pub mod process;
pub mod run;
pub mod servers;
pub(crate) mod signals;
pub mod soak;
pub mod topology;
pub mod traffic;
pub mod wait;
pub mod wire;
pub mod world;

/// Writes a line to standard error past libtest's capture, so that it is seen even if the test passes.
pub fn say(line: &str) {
    use std::io::Write;
    // There is nobody to tell that standard error is closed.
    drop(writeln!(std::io::stderr(), "{line}"));
}
