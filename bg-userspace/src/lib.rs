//! User space of bg: the daemon `bgd`, the command line `bgctl`, and what they share.

pub mod api;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dataplane;
pub mod doctor;
pub mod engine;
pub mod fail_point;
mod group;
pub mod health;
pub mod journal;
pub mod leftovers;
pub mod model;
pub mod net;
pub mod notify;
pub mod paths;
pub mod prefix;
pub mod refusal;
pub mod wiring;
