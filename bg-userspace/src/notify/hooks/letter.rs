//! What a hook gets to read: a JSON body, and for commands the essentials as environment.

use super::Phase;
use crate::notify::notice::Notice;
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::Value;

/// What a hook gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Letter {
    /// JSON.
    pub(in crate::notify) body: Bytes,
    /// Variables; those that do not apply are empty, so that a strict script can name them all.
    pub(in crate::notify) environment: Vec<(&'static str, String)>,
}

/// The notice, and for whom it is.
#[derive(Serialize)]
struct Event<'a> {
    hook: &'a str,
    #[serde(flatten)]
    notice: &'a Notice,
}

impl Letter {
    /// Tells `hook` what happened.
    pub(super) fn event(hook: &str, notice: &Notice) -> serde_json::Result<Self> {
        let body = serde_json::to_value(Event { hook, notice })?;
        Ok(Self::new(&body, &notice.record.deployment, notice.kind(), "event"))
    }

    /// Asks `hook` whether it agrees.
    pub(super) fn question(hook: &str, deployment: &str, phase: Phase, body: &Value) -> Self {
        let mut body = body.clone();
        if let Some(fields) = body.as_object_mut() {
            for (key, value) in [("hook", hook), ("deployment", deployment), ("phase", phase.as_str())] {
                fields.insert(key.to_owned(), value.into());
            }
        }
        Self::new(&body, deployment, phase.as_str(), phase.as_str())
    }

    fn new(body: &Value, deployment: &str, event: &str, phase: &str) -> Self {
        let environment = vec![
            ("BG_DEPLOYMENT", deployment.to_owned()),
            ("BG_EVENT", event.to_owned()),
            ("BG_LIVE", word(body, "live")),
            ("BG_FROM", word(body, "from")),
            ("BG_TO", word(body, "to")),
            ("BG_GENERATION", word(body, "generation")),
            ("BG_PHASE", phase.to_owned()),
        ];
        Self { body: body.to_string().into(), environment }
    }
}

/// A field of the body, or of the switch in it.
fn word(body: &Value, key: &str) -> String {
    match body.get(key).or_else(|| body.get("switched")?.get(key)) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Cause, What};
    use crate::notify::tests::samples;
    use bg_common::Colour;
    use std::time::SystemTime;

    fn variables(letter: &Letter) -> String {
        let named = |(name, value): &(&str, String)| format!("{}={value}", name.strip_prefix("BG_").unwrap());
        letter.environment.iter().map(named).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_event_says_in_variables_what_its_body_says() {
        let about = What::About {
            cause: Cause::Switch,
            from: Colour::Blue,
            to: Colour::Green,
            expected: 1,
            new: 2,
            overridden: Vec::new(),
        };
        for (what, told) in [
            (about, "EVENT=about LIVE=blue FROM=blue TO=green GENERATION=7"),
            (samples::switched(), "EVENT=switched LIVE=blue FROM=blue TO=green GENERATION=7"),
            (What::Confirmed, "EVENT=confirmed LIVE=blue FROM= TO= GENERATION=7"),
        ] {
            let notice = Notice::new(Some(5), SystemTime::UNIX_EPOCH, samples::record(what));
            let letter = Letter::event("pager", &notice).unwrap();
            assert_eq!(variables(&letter), format!("DEPLOYMENT=shop {told} PHASE=event"));
            let body: Value = serde_json::from_slice(&letter.body).unwrap();
            assert_eq!(
                (&body["hook"], &body["deployment"], &body["seq"]),
                (&"pager".into(), &"shop".into(), &5.into())
            );
            assert_eq!(serde_json::from_slice::<Notice>(&letter.body).unwrap(), notice);
        }
    }

    #[test]
    fn a_question_says_who_is_asked_and_about_what() {
        let body = serde_json::json!({ "from": "blue", "to": "green", "live": "blue", "generation": 8, "plan": [1] });
        let letter = Letter::question("schema", "shop", Phase::Before, &body);
        let told = "DEPLOYMENT=shop EVENT=before LIVE=blue FROM=blue TO=green GENERATION=8 PHASE=before";
        assert_eq!(variables(&letter), told);
        let asked: Value = serde_json::from_slice(&letter.body).unwrap();
        assert_eq!(
            (&asked["hook"], &asked["phase"], &asked["plan"]),
            (&"schema".into(), &"before".into(), &body["plan"])
        );
    }
}
