//! Probes: they ask slices and VIPs, and tell what came of it. Whether that makes anything up or down
//! is the model's business.

pub mod connect;
pub mod failure;
pub mod http;
pub mod spec;
pub mod tls;
pub mod vip;
