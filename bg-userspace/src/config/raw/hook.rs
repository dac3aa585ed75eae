//! `[deployment.NAME.hook.NAME]`, as typed.

use super::HOMES;
use crate::config::problems::{At, Problems};
use crate::config::read::{Given, Section};

pub(in crate::config) struct RawHook {
    pub(in crate::config) name: At<String>,
    pub(in crate::config) on: Option<At<Vec<At<String>>>>,
    pub(in crate::config) command: Option<At<Vec<At<String>>>>,
    pub(in crate::config) url: Option<At<String>>,
    pub(in crate::config) timeout: Option<At<String>>,
    pub(in crate::config) retries: Option<At<i64>>,
    pub(in crate::config) given: Given,
}

impl RawHook {
    /// Whether it is to be called for `word`, or may be: what it is called for could not be read.
    pub(in crate::config) fn may_be_on(&self, word: &str) -> bool {
        self.on.as_ref().is_none_or(|on| on.value.iter().any(|on| on.value == word))
    }

    pub(super) fn read(name: At<String>, mut section: Section<'_>, problems: &mut Problems<'_>) -> Self {
        let raw = Self {
            name,
            on: section.require("on", r#"on = ["switched"]"#, problems),
            command: section.take("command", r#"command = ["/usr/local/bin/tell", "shop"]"#, problems),
            url: section.take("url", r#"url = "http://127.0.0.1:9000/bg""#, problems),
            timeout: section.take("timeout", r#"timeout = "10s""#, problems),
            retries: section.take("retries", "retries = 3", problems),
            given: section.given(),
        };
        section.finish(HOMES, problems);
        raw
    }
}
