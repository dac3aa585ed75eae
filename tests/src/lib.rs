//! The harness of the tests, the demo and the benchmark: networks made of namespaces, servers that stamp
//! their answers, clients that record what they see, and what passes on the wire.
//!
//! What needs this machine's kernel is the feature `machine`, which is there by default; packet cases, the reference
//! model and the packet library over tables in memory do without.

#[cfg(feature = "machine")]
pub mod bench;
#[cfg(feature = "machine")]
pub mod capture;
pub mod cases;
#[cfg(feature = "machine")]
pub mod cgroup;
#[cfg(feature = "machine")]
pub mod chaos;
#[cfg(feature = "machine")]
pub mod client;
#[cfg(feature = "machine")]
pub mod clock;
#[cfg(feature = "machine")]
pub mod command_line;
pub mod coverage;
#[cfg(feature = "machine")]
pub mod daemon;
#[cfg(feature = "machine")]
pub mod demo;
#[cfg(feature = "machine")]
pub(crate) mod dice;
pub mod engine;
#[cfg(feature = "machine")]
pub mod foreign;
#[cfg(feature = "machine")]
pub mod fuzz;
pub mod host;
#[cfg(feature = "machine")]
pub(crate) mod hypervisor;
pub mod model;
#[cfg(feature = "machine")]
pub mod netns;
pub mod packet;
#[cfg(feature = "machine")]
pub(crate) mod paint;
#[cfg(feature = "machine")]
pub mod ping;
#[cfg(feature = "machine")]
pub mod process;
#[cfg(feature = "machine")]
pub mod run;
#[cfg(feature = "machine")]
pub mod servers;
#[cfg(feature = "machine")]
pub(crate) mod signals;
#[cfg(feature = "machine")]
pub mod soak;
#[cfg(feature = "machine")]
pub mod topology;
#[cfg(feature = "machine")]
pub mod traffic;
#[cfg(feature = "machine")]
pub mod wait;
#[cfg(feature = "machine")]
pub mod wire;
pub mod world;

/// Writes a line to standard error past libtest's capture, so that it is seen even if the test passes.
pub fn say(line: &str) {
    use std::io::Write;
    // There is nobody to tell that standard error is closed.
    drop(writeln!(std::io::stderr(), "{line}"));
}
