//! Probes: they ask slices and VIPs, and tell what came of it. Whether that makes anything up or down
//! is the model's business.

pub mod command;
pub mod connect;
pub mod course;
pub mod failure;
pub mod grpc;
pub mod http;
mod means;
pub mod names;
pub mod prober;
mod question;
mod ration;
mod schedule;
pub mod spec;
pub mod tcp;
pub mod tls;
pub mod udp;
pub mod vip;

#[cfg(test)]
mod tests;
