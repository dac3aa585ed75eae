//! User space of bg: the daemon `bgd`, the command line `bgctl`, and what they share.

pub mod dataplane;
pub mod refusal;
