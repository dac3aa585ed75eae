//! Probes: they ask slices and VIPs, and tell what came of it. Whether that makes anything up or down
//! is the model's business.

pub mod spec;
pub mod vip;
