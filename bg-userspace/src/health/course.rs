//! How far one question has come, for what is said about it when its time is up.

use super::failure::Failure;
use std::net::SocketAddr;
use std::time::Duration;

/// How far one question has come. Whoever bounds its time keeps this outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Course {
    /// The own address and port, once there is one.
    pub own: Option<SocketAddr>,
    /// What has not come yet.
    pub awaits: &'static str,
}

impl Default for Course {
    fn default() -> Self {
        Self { own: None, awaits: "answer" }
    }
}

impl Course {
    /// What is wrong when `limit` has passed.
    #[must_use]
    pub fn late(&self, limit: Duration) -> Failure {
        Failure::Answer(format!("no {} within {}", self.awaits, humantime::format_duration(limit)))
    }
}
