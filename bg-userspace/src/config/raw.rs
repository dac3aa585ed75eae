//! The configuration as typed: every key that there is, with the right type and the place of each
//! value, and nothing judged yet. A value that is missing here although it is needed was reported.

use super::problems::{At, Place, Problems};
use super::read::{NumberOrWord, Section};
use toml::Spanned;
use toml::de::DeTable;

/// The whole file.
pub(super) struct Raw {
    pub(super) gateway: RawGateway,
    pub(super) deployments: Vec<RawDeployment>,
}

#[derive(Default)]
pub(super) struct RawGateway {
    pub(super) instance: Option<At<String>>,
    pub(super) uplinks: Option<At<Vec<At<String>>>>,
    pub(super) attach: Option<At<String>>,
    pub(super) path: Option<At<String>>,
    pub(super) own_vips: Option<At<bool>>,
    pub(super) socket: Option<At<String>>,
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

pub(super) struct RawDeployment {
    pub(super) name: At<String>,
    pub(super) initial: Option<At<String>>,
    pub(super) slices: [Option<At<Vec<At<String>>>>; 2],
    pub(super) services: Vec<RawService>,
}

pub(super) struct RawService {
    pub(super) name: At<String>,
    pub(super) vips: Option<At<Vec<At<String>>>>,
    pub(super) port: Option<At<NumberOrWord>>,
    pub(super) protocol: Option<At<String>>,
    pub(super) backend_port: Option<At<NumberOrWord>>,
}

/// Keys that are easily put in the wrong table.
const HOMES: &[(&str, &str)] = &[
    ("instance", "[gateway]"),
    ("uplinks", "[gateway]"),
    ("attach", "[gateway]"),
    ("path", "[gateway]"),
    ("own_vips", "[gateway]"),
    ("socket", "[gateway]"),
    ("flows", "[gateway]"),
    ("half_open", "[gateway]"),
    ("lifetimes", "[gateway.lifetimes]"),
    ("established", "[gateway.lifetimes]"),
    ("half_closed", "[gateway.lifetimes]"),
    ("closed", "[gateway.lifetimes]"),
    ("udp", "[gateway.lifetimes]"),
    ("initial", "[deployment.NAME]"),
    ("blue", "[deployment.NAME]"),
    ("green", "[deployment.NAME]"),
    ("service", "[deployment.NAME.service.NAME]"),
    ("vips", "[deployment.NAME.service.NAME]"),
    ("port", "[deployment.NAME.service.NAME]"),
    ("protocol", "[deployment.NAME.service.NAME]"),
    ("backend_port", "[deployment.NAME.service.NAME]"),
];

impl Raw {
    /// Reads `text`; `None` when it is no TOML, which is reported.
    pub(super) fn read(text: &str, problems: &mut Problems<'_>) -> Option<Self> {
        let document = document(text, problems)?;
        let mut root = Section::root(&document);
        let gateway = root.table("gateway", problems).map(|section| RawGateway::read(section, problems));
        let deployments = root
            .tables("deployment", "[deployment.NAME]", problems)
            .into_iter()
            .map(|(name, section)| RawDeployment::read(name, section, problems))
            .collect();
        root.finish(HOMES, problems);
        Some(Self { gateway: gateway.unwrap_or_default(), deployments })
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
    /// Reads `[gateway]` and nothing else; `None` when `text` is no TOML, which is reported.
    pub(super) fn read_only(text: &str, problems: &mut Problems<'_>) -> Option<Self> {
        let document = document(text, problems)?;
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
            socket: section.take("socket", r#"socket = "/run/bg/default/bg.sock""#, problems),
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

impl RawDeployment {
    fn read(name: At<String>, mut section: Section<'_>, problems: &mut Problems<'_>) -> Self {
        let raw = Self {
            initial: section.take("initial", r#"initial = "blue""#, problems),
            slices: [
                section.require("blue", r#"blue = ["10.1.0.2"]"#, problems),
                section.require("green", r#"green = ["10.2.0.2"]"#, problems),
            ],
            services: section
                .tables("service", &format!("[{}.service.NAME]", name.place.key), problems)
                .into_iter()
                .map(|(name, section)| RawService::read(name, section, problems))
                .collect(),
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
        };
        section.finish(HOMES, problems);
        raw
    }
}
