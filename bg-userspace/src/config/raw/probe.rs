//! `[deployment.NAME.probe.NAME]`, as typed: the keys of every kind of probe.

use super::HOMES;
use crate::config::problems::{At, Problems};
use crate::config::read::{Given, NumberOrWord, OneOrMore, Section};

pub(in crate::config) struct RawProbe {
    pub(in crate::config) name: At<String>,
    pub(in crate::config) kind: Option<At<String>>,
    pub(in crate::config) target: RawTarget,
    pub(in crate::config) pace: RawPace,
    pub(in crate::config) ask: RawAsk,
    pub(in crate::config) given: Given,
}

/// Whom it asks.
pub(in crate::config) struct RawTarget {
    pub(in crate::config) service: Option<At<String>>,
    pub(in crate::config) port: Option<At<i64>>,
    pub(in crate::config) vip: Option<At<bool>>,
    pub(in crate::config) per: Option<At<String>>,
}

/// How often it asks, and how many answers count.
pub(in crate::config) struct RawPace {
    pub(in crate::config) interval: Option<At<String>>,
    pub(in crate::config) jitter: Option<At<i64>>,
    pub(in crate::config) timeout: Option<At<String>>,
    pub(in crate::config) rise: Option<At<i64>>,
    pub(in crate::config) fall: Option<At<i64>>,
    pub(in crate::config) start: Option<At<String>>,
}

/// What it asks.
pub(in crate::config) struct RawAsk {
    pub(in crate::config) path: Option<At<String>>,
    pub(in crate::config) host: Option<At<String>>,
    pub(in crate::config) status: Option<At<OneOrMore<NumberOrWord>>>,
    pub(in crate::config) body: Option<At<String>>,
    pub(in crate::config) tls: Option<At<bool>>,
    pub(in crate::config) tls_name: Option<At<String>>,
    pub(in crate::config) tls_verify: Option<At<String>>,
    pub(in crate::config) send: Option<At<String>>,
    pub(in crate::config) send_hex: Option<At<String>>,
    pub(in crate::config) expect: Option<At<String>>,
    pub(in crate::config) expect_hex: Option<At<String>>,
    pub(in crate::config) grpc_service: Option<At<String>>,
    pub(in crate::config) command: Option<At<Vec<At<String>>>>,
}

impl RawProbe {
    pub(super) fn read(name: At<String>, mut section: Section<'_>, problems: &mut Problems<'_>) -> Self {
        let raw = Self {
            name,
            kind: section.require("kind", r#"kind = "http""#, problems),
            target: RawTarget {
                service: section.take("service", r#"service = "web""#, problems),
                port: section.take("port", "port = 8081", problems),
                vip: section.take("vip", "vip = true", problems),
                per: section.take("per", r#"per = "backend""#, problems),
            },
            pace: RawPace {
                interval: section.take("interval", r#"interval = "2s""#, problems),
                jitter: section.take("jitter", "jitter = 10", problems),
                timeout: section.take("timeout", r#"timeout = "1s""#, problems),
                rise: section.take("rise", "rise = 2", problems),
                fall: section.take("fall", "fall = 3", problems),
                start: section.take("start", r#"start = "unhealthy""#, problems),
            },
            ask: RawAsk {
                path: section.take("path", r#"path = "/health""#, problems),
                host: section.take("host", r#"host = "shop.example""#, problems),
                status: section.take("status", r#"status = ["200-299", "404"]"#, problems),
                body: section.take("body", r#"body = "ok""#, problems),
                tls: section.take("tls", "tls = true", problems),
                tls_name: section.take("tls_name", r#"tls_name = "shop.example""#, problems),
                tls_verify: section.take("tls_verify", r#"tls_verify = "system""#, problems),
                send: section.take("send", r#"send = "ping""#, problems),
                send_hex: section.take("send_hex", r#"send_hex = "70696e67""#, problems),
                expect: section.take("expect", r#"expect = "pong""#, problems),
                expect_hex: section.take("expect_hex", r#"expect_hex = "706f6e67""#, problems),
                grpc_service: section.take("grpc_service", r#"grpc_service = "shop.Cart""#, problems),
                command: section.take(
                    "command",
                    r#"command = ["/usr/lib/nagios/plugins/check_disk", "-w", "10%"]"#,
                    problems,
                ),
            },
            given: section.given(),
        };
        section.finish(HOMES, problems);
        raw
    }
}
