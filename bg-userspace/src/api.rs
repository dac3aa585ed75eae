//! The control interface: HTTP/JSON, version 1, over a Unix socket that only the daemon's own user
//! and root may use.

pub mod archive;
pub mod client;
#[cfg(test)]
pub mod fake;
pub mod listen;
pub mod protocol;
pub mod server;
