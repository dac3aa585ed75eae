//! End to end: real clients and real servers in namespaces, and `bgd` between them. Needs root.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod chaos;
mod choosing;
mod floods;
mod hairpin;
mod harness;
mod icmp;
mod lab;
mod lifecycle;
mod local;
mod orders;
mod pins;
mod places;
mod ports;
mod refusals;
mod reload;
mod rollback;
mod soak;
mod switch;
mod traffic;
mod vip;
mod watched;
