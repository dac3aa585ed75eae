//! The configuration as typed: every key that there is, with the right type and the place of each
//! value, and nothing judged yet. A value that is missing here although it is needed was reported.

mod deployment;
mod hook;
mod probe;

pub(super) use deployment::{RawDeployment, RawDrill, RawPassive, RawPolicy, RawService};
pub(super) use hook::RawHook;
pub(super) use probe::{RawAsk, RawPace, RawProbe, RawTarget};

use super::problems::{At, Place, Problems};
use super::read::Section;
use toml::Spanned;
use toml::de::DeTable;

/// The whole file.
pub(super) struct Raw {
    pub(super) gateway: RawGateway,
    pub(super) deployments: Vec<RawDeployment>,
    /// Names of tables that say `remove = true`. Nothing else in them is looked at.
    pub(super) leaving: Vec<At<String>>,
}

#[derive(Default)]
pub(super) struct RawGateway {
    pub(super) instance: Option<At<String>>,
    pub(super) uplinks: Option<At<Vec<At<String>>>>,
    pub(super) attach: Option<At<String>>,
    pub(super) path: Option<At<String>>,
    pub(super) own_vips: Option<At<bool>>,
    pub(super) local_clients: Option<At<bool>>,
    pub(super) cgroup: Option<At<String>>,
    pub(super) socket: Option<At<String>>,
    pub(super) journal: Option<At<String>>,
    pub(super) probe_addresses: Option<At<Vec<At<String>>>>,
    pub(super) role_listen: Option<At<Vec<At<String>>>>,
    pub(super) flows: Option<At<i64>>,
    pub(super) half_open: Option<At<i64>>,
    pub(super) lifetimes: RawLifetimes,
}

#[derive(Default)]
pub(super) struct RawLifetimes {
    pub(super) established: Option<At<String>>,
    pub(super) half_closed: Option<At<String>>,
    pub(super) closed: Option<At<String>>,
    pub(super) udp: Option<At<String>>,
}

/// Where keys belong that are easily put in the wrong table.
const HOMES: &[(&str, &str)] = &[
    (
        "[gateway]",
        "instance uplinks attach own_vips local_clients cgroup socket journal probe_addresses role_listen flows half_open",
    ),
    ("[gateway.lifetimes]", "lifetimes established half_closed closed udp"),
    (
        "[deployment.NAME]",
        "initial blue green remove bake confirm_within ask fate drain_limit drain_fate no_backend dead_flows \
         quorum quorum_down flap_changes flap_within standby_for canary_by weights preview",
    ),
    (
        "[deployment.NAME.service.NAME]",
        "service vips port protocol backend_port source_nat preview_vips affinity on_switch",
    ),
    ("[deployment.NAME.passive]", "passive window least unanswered refused resets"),
    ("[deployment.NAME.drill]", "drill every hold"),
    (
        "[deployment.NAME.probe.NAME]",
        "probe kind vip per interval jitter rise fall start host status body tls tls_name tls_verify send \
         send_hex expect expect_hex grpc_service",
    ),
    ("[deployment.NAME.hook.NAME]", "hook on url retries"),
    ("[gateway] or [deployment.NAME.probe.NAME]", "path"),
    ("[deployment.NAME.probe.NAME] or [deployment.NAME.hook.NAME]", "command timeout"),
];

impl Raw {
    /// Reads `text`; `None` when it is no TOML, which is reported.
    pub(super) fn read(text: &str, problems: &mut Problems<'_>) -> Option<Self> {
        let document = document(text, problems)?;
        let mut root = Section::root(&document);
        let gateway = root.table("gateway", problems).map(|section| RawGateway::read(section, problems));
        let (mut deployments, mut leaving) = (Vec::new(), Vec::new());
        for (name, mut section) in root.tables("deployment", "[deployment.NAME]", problems) {
            let remove: Option<At<bool>> = section.take("remove", "remove = true", problems);
            if remove.is_some_and(|remove| remove.value) {
                leaving.push(name);
            } else {
                deployments.push(RawDeployment::read(name, section, problems));
            }
        }
        root.finish(HOMES, problems);
        Some(Self { gateway: gateway.unwrap_or_default(), deployments, leaving })
    }
}

/// Parses `text`, or reports every place where it is no TOML.
fn document<'t>(text: &'t str, problems: &mut Problems<'_>) -> Option<Spanned<DeTable<'t>>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let place = Place { span: error.span().unwrap_or(0..0), key: String::new() };
        let what = format!("this is not TOML: {}", error.message());
        problems.add("config-syntax", &place, what, "correct the syntax; https://toml.io shows all of it");
    }
    errors.is_empty().then_some(document)
}

impl RawGateway {
    /// Reads `[gateway]` and nothing else: a mistake elsewhere takes nobody's tools away. `None` when there is no such
    /// table and `text` is no TOML, which is reported.
    pub(super) fn read_only(text: &str, problems: &mut Problems<'_>) -> Option<Self> {
        let (recovered, _) = DeTable::parse_recoverable(text);
        let document = match recovered.get_ref().contains_key("gateway") {
            true => recovered,
            false => document(text, problems)?,
        };
        let section = Section::root(&document).table("gateway", problems);
        Some(section.map(|section| Self::read(section, problems)).unwrap_or_default())
    }

    fn read(mut section: Section<'_>, problems: &mut Problems<'_>) -> Self {
        let raw = Self {
            instance: section.take("instance", r#"instance = "default""#, problems),
            uplinks: section.take("uplinks", r#"uplinks = ["eth0"]"#, problems),
            attach: section.take("attach", r#"attach = "auto""#, problems),
            path: section.take("path", r#"path = "auto""#, problems),
            own_vips: section.take("own_vips", "own_vips = true", problems),
            local_clients: section.take("local_clients", "local_clients = true", problems),
            cgroup: section.take("cgroup", r#"cgroup = "/sys/fs/cgroup""#, problems),
            socket: section.take("socket", r#"socket = "/run/bg/default/bg.sock""#, problems),
            journal: section.take("journal", r#"journal = "/var/lib/bg/default/journal.db""#, problems),
            probe_addresses: section.take(
                "probe_addresses",
                r#"probe_addresses = ["192.0.0.2", "fd62:6770::2"]"#,
                problems,
            ),
            role_listen: section.take("role_listen", r#"role_listen = ["10.1.0.1:8470"]"#, problems),
            flows: section.take("flows", "flows = 262144", problems),
            half_open: section.take("half_open", "half_open = 65536", problems),
            lifetimes: section
                .table("lifetimes", problems)
                .map(|section| RawLifetimes::read(section, problems))
                .unwrap_or_default(),
        };
        section.finish(HOMES, problems);
        raw
    }
}

impl RawLifetimes {
    fn read(mut section: Section<'_>, problems: &mut Problems<'_>) -> Self {
        let raw = Self {
            established: section.take("established", r#"established = "2h 4m""#, problems),
            half_closed: section.take("half_closed", r#"half_closed = "2m""#, problems),
            closed: section.take("closed", r#"closed = "10s""#, problems),
            udp: section.take("udp", r#"udp = "3m""#, problems),
        };
        section.finish(HOMES, problems);
        raw
    }
}
