//! An answer of many lines that come when they come.

use super::wire::Driver;
use super::{Client, Error, Result};
use axum::body::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// A line that is longer ends the reading.
const LINE: usize = 1 << 20;

/// The lines of an answer.
#[derive(Debug)]
pub struct Lines {
    client: Client,
    body: Incoming,
    driver: Driver,
    buffer: Vec<u8>,
}

impl Lines {
    pub(super) fn new(client: Client, body: Incoming, driver: Driver) -> Self {
        Self { client, body, driver, buffer: Vec::new() }
    }

    /// The next line, without its newline; none at the end.
    ///
    /// # Errors
    ///
    /// When the connection breaks in the middle of the answer, or a line is beyond measure.
    pub async fn next(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).take(end).collect();
                return String::from_utf8(line).map(Some).map_err(|why| self.client.strange(&why));
            }
            if self.buffer.len() > LINE {
                return Err(self.client.strange(&"a line is longer than a megabyte"));
            }
            match self.more().await {
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                // It was killed in the middle of an answer.
                Some(Err(_)) => return Err(Error::Unreachable(self.client.gone())),
                None => return Ok(None),
            }
        }
    }

    async fn more(&mut self) -> Option<std::result::Result<Bytes, hyper::Error>> {
        loop {
            let frame = tokio::select! {
                frame = self.body.frame() => frame?,
                // Without the connection the rest is there already or will never be.
                _ = &mut self.driver => self.body.frame().await?,
            };
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(bytes)) => return Some(Ok(bytes)),
                // Trailers are of no interest.
                Ok(Err(_)) => {}
                Err(why) => return Some(Err(why)),
            }
        }
    }
}
