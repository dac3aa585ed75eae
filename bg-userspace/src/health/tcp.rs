//! The probe that is content with a TCP connection.

use super::connect::Way;
use super::course::Course;
use super::failure::Failure;
use super::http;
use super::tls::Above;
use std::net::SocketAddr;

/// Connects to `to` and closes.
///
/// # Errors
///
/// When there is no connection. The caller bounds the time.
pub async fn ask(way: Way<'_>, to: SocketAddr, course: &mut Course) -> Result<(), Failure> {
    http::open(way.connector, to, None, Above::Http1, course).await.map(drop)
}
