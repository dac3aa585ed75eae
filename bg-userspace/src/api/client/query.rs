//! Paths and queries as they travel.

use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;

/// `path` with the fields of `query` that are there.
pub(super) fn with_query(path: &str, query: &impl Serialize) -> String {
    let mut whole = path.to_owned();
    let Ok(Value::Object(fields)) = serde_json::to_value(query) else { return whole };
    let mut mark = '?';
    for (name, value) in fields {
        let value = value.as_str().map_or_else(|| value.to_string(), quoted);
        // Writing to a String cannot fail.
        let _ = write!(whole, "{mark}{name}={value}");
        mark = '&';
    }
    whole
}

/// A text as it stands in a path or query (RFC 3986 section 2.3).
pub(super) fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::protocol::{EventQuery, FlowQuery, HistoryQuery, Kinds};
    use super::*;
    use bg_common::Colour;

    #[test]
    fn a_query_has_the_fields_that_are_there() {
        let flows = FlowQuery {
            deployment: Some("a b&c=ä".to_owned()),
            colour: Some(Colour::Green),
            limit: Some(3),
            summary: true,
        };
        let kind = Kinds(vec!["switched".to_owned(), "drained".to_owned()]);
        let rows = [
            (with_query("/f", &FlowQuery::default()), "/f"),
            (with_query("/f", &flows), "/f?colour=green&deployment=a%20b%26c%3D%C3%A4&limit=3&summary=true"),
            (
                with_query("/h", &HistoryQuery { kind, ..HistoryQuery::default() }),
                "/h?kind=switched%2Cdrained",
            ),
            (with_query("/e", &EventQuery { follow: true, ..EventQuery::default() }), "/e?follow=true"),
        ];
        for (path, expected) in rows {
            assert_eq!(path, expected);
        }
    }
}
