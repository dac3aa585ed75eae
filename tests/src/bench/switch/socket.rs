//! A switch by the control socket, without the start of a program around it.

use crate::daemon::DEPLOYMENT;
use crate::traffic::TIMEOUT;
use anyhow::{Context, Result, ensure};
use bg_common::Colour;
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Orders a switch and returns the answer.
pub(in super::super) fn switch(socket: &Path, to: Colour) -> Result<Value> {
    let body = format!(r#"{{"to":"{to}"}}"#);
    let request = format!(
        "POST /v1/deployments/{DEPLOYMENT}/switch HTTP/1.1\r\nHost: bg\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = UnixStream::connect(socket).context("connect to the socket of bgd")?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("read the answer of bgd")?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no answer: {answer:?}"))?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "bgd refuses: {answer}");
    serde_json::from_str(body).with_context(|| answer.clone())
}
