//! `[deployment.NAME]` with its services and how it wants to be treated, as typed.

use super::{HOMES, RawHook, RawProbe};
use crate::config::problems::{At, Problems};
use crate::config::read::{Given, NumberOrWord, Section};

pub(in crate::config) struct RawDeployment {
    pub(in crate::config) name: At<String>,
    pub(in crate::config) initial: Option<At<String>>,
    pub(in crate::config) slices: [Option<At<Vec<At<String>>>>; 2],
    pub(in crate::config) services: Vec<RawService>,
    pub(in crate::config) policy: RawPolicy,
    pub(in crate::config) probes: Vec<RawProbe>,
    pub(in crate::config) hooks: Vec<RawHook>,
    /// Clients, and where they are led.
    pub(in crate::config) previews: Vec<(At<String>, At<String>)>,
    /// Machines, and their weights.
    pub(in crate::config) weights: Vec<(At<String>, At<i64>)>,
    pub(in crate::config) canary_by: Option<At<String>>,
    pub(in crate::config) given: Given,
}

pub(in crate::config) struct RawService {
    pub(in crate::config) name: At<String>,
    pub(in crate::config) vips: Option<At<Vec<At<String>>>>,
    pub(in crate::config) port: Option<At<NumberOrWord>>,
    pub(in crate::config) protocol: Option<At<String>>,
    pub(in crate::config) backend_port: Option<At<NumberOrWord>>,
    pub(in crate::config) source_nat: Option<At<String>>,
    /// VIPs, and where they lead.
    pub(in crate::config) preview_vips: Vec<(At<String>, At<String>)>,
    pub(in crate::config) affinity: Option<At<String>>,
    pub(in crate::config) on_switch: Option<At<String>>,
}

pub(in crate::config) struct RawPolicy {
    pub(in crate::config) bake: Option<At<String>>,
    pub(in crate::config) confirm_within: Option<At<String>>,
    pub(in crate::config) ask: Option<At<bool>>,
    pub(in crate::config) fate: Option<At<String>>,
    pub(in crate::config) drain_limit: Option<At<String>>,
    pub(in crate::config) drain_fate: Option<At<String>>,
    pub(in crate::config) no_backend: Option<At<String>>,
    pub(in crate::config) dead_flows: Option<At<String>>,
    pub(in crate::config) quorum: Option<At<i64>>,
    pub(in crate::config) quorum_down: Option<At<i64>>,
    pub(in crate::config) flap_changes: Option<At<i64>>,
    pub(in crate::config) flap_within: Option<At<String>>,
    pub(in crate::config) standby_for: Option<At<String>>,
    pub(in crate::config) passive: Option<RawPassive>,
    pub(in crate::config) drill: Option<RawDrill>,
}

pub(in crate::config) struct RawPassive {
    pub(in crate::config) window: Option<At<String>>,
    pub(in crate::config) least: Option<At<i64>>,
    pub(in crate::config) unanswered: Option<At<i64>>,
    pub(in crate::config) refused: Option<At<i64>>,
    pub(in crate::config) resets: Option<At<i64>>,
}

pub(in crate::config) struct RawDrill {
    pub(in crate::config) every: Option<At<String>>,
    pub(in crate::config) hold: Option<At<String>>,
}

impl RawDeployment {
    pub(super) fn read(name: At<String>, mut section: Section<'_>, problems: &mut Problems<'_>) -> Self {
        let form = |of: &str| format!("[{}.{of}.NAME]", name.place.key);
        let raw = Self {
            initial: section.take("initial", r#"initial = "blue""#, problems),
            slices: [
                section.require("blue", r#"blue = ["10.1.0.2"]"#, problems),
                section.require("green", r#"green = ["10.2.0.2"]"#, problems),
            ],
            services: section
                .tables("service", &form("service"), problems)
                .into_iter()
                .map(|(name, section)| RawService::read(name, section, problems))
                .collect(),
            policy: RawPolicy::read(&mut section, problems),
            probes: section
                .tables("probe", &form("probe"), problems)
                .into_iter()
                .map(|(name, section)| RawProbe::read(name, section, problems))
                .collect(),
            hooks: section
                .tables("hook", &form("hook"), problems)
                .into_iter()
                .map(|(name, section)| RawHook::read(name, section, problems))
                .collect(),
            previews: section.entries("preview", r#""203.0.113.0/24" = "other""#, problems),
            weights: section.entries("weights", r#""10.1.0.2" = 50"#, problems),
            canary_by: section.take("canary_by", r#"canary_by = "client""#, problems),
            given: section.given(),
            name,
        };
        section.finish(HOMES, problems);
        raw
    }
}

impl RawService {
    fn read(name: At<String>, mut section: Section<'_>, problems: &mut Problems<'_>) -> Self {
        let raw = Self {
            name,
            vips: section.require("vips", r#"vips = ["192.0.2.10"]"#, problems),
            port: section.require("port", "port = 80", problems),
            protocol: section.take("protocol", r#"protocol = "tcp""#, problems),
            backend_port: section.take("backend_port", "backend_port = 8080", problems),
            source_nat: section.take("source_nat", r#"source_nat = "neighbours""#, problems),
            preview_vips: section.entries(
                "preview_vips",
                r#"preview_vips = { "192.0.2.11" = "other" }"#,
                problems,
            ),
            affinity: section.take("affinity", r#"affinity = "client""#, problems),
            on_switch: section.take("on_switch", r#"on_switch = "move""#, problems),
        };
        section.finish(HOMES, problems);
        raw
    }
}

impl RawPolicy {
    /// Takes the keys that stand beside those of the deployment itself.
    fn read(section: &mut Section<'_>, problems: &mut Problems<'_>) -> Self {
        Self {
            bake: section.take("bake", r#"bake = "5m""#, problems),
            confirm_within: section.take("confirm_within", r#"confirm_within = "2m""#, problems),
            ask: section.take("ask", "ask = false", problems),
            fate: section.take("fate", r#"fate = "keep""#, problems),
            drain_limit: section.take("drain_limit", r#"drain_limit = "10m""#, problems),
            drain_fate: section.take("drain_fate", r#"drain_fate = "reset""#, problems),
            no_backend: section.take("no_backend", r#"no_backend = "stay""#, problems),
            dead_flows: section.take("dead_flows", r#"dead_flows = "keep""#, problems),
            quorum: section.take("quorum", "quorum = 100", problems),
            quorum_down: section.take("quorum_down", "quorum_down = 51", problems),
            flap_changes: section.take("flap_changes", "flap_changes = 6", problems),
            flap_within: section.take("flap_within", r#"flap_within = "5m""#, problems),
            standby_for: section.take("standby_for", r#"standby_for = "24h""#, problems),
            passive: section.table("passive", problems).map(|section| RawPassive::read(section, problems)),
            drill: section.table("drill", problems).map(|section| RawDrill::read(section, problems)),
        }
    }
}

impl RawPassive {
    fn read(mut section: Section<'_>, problems: &mut Problems<'_>) -> Self {
        let raw = Self {
            window: section.take("window", r#"window = "30s""#, problems),
            least: section.take("least", "least = 20", problems),
            unanswered: section.take("unanswered", "unanswered = 20", problems),
            refused: section.take("refused", "refused = 20", problems),
            resets: section.take("resets", "resets = 50", problems),
        };
        section.finish(HOMES, problems);
        raw
    }
}

impl RawDrill {
    fn read(mut section: Section<'_>, problems: &mut Problems<'_>) -> Self {
        let raw = Self {
            every: section.require("every", r#"every = "7d""#, problems),
            hold: section.take("hold", r#"hold = "30s""#, problems),
        };
        section.finish(HOMES, problems);
        raw
    }
}
