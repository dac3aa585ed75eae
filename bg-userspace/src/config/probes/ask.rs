//! Judges what a probe asks, and which answers are good.

use super::Kind;
use crate::config::problems::{At, Place, Problems};
use crate::config::raw::RawAsk;
use crate::config::read::{Given, NumberOrWord, OneOrMore};
use crate::config::values::{among, command, filled_in, host_and_port, placeholders};
use crate::health::spec::{Ask, Http, Tls, Verify};
use crate::model::policy::Level;
use hyper::Uri;
use hyper::http::uri::Authority;
use rustls::pki_types::ServerName;
use std::path::PathBuf;

/// Larger datagrams would be fragments, which are not switched.
const MAX_DATAGRAM: usize = 1200;

/// How a probe asks.
pub(super) struct Asks<'p> {
    pub(super) kind: Kind,
    pub(super) level: Level,
    /// The keys of the probe.
    pub(super) given: &'p Given,
    /// Where its table begins.
    pub(super) probe: &'p Place,
}

/// Judges the keys of its kind; `None` when something is missing, which was reported.
pub(super) fn ask(asks: &Asks<'_>, raw: RawAsk, problems: &mut Problems<'_>) -> Option<Ask> {
    match asks.kind {
        Kind::Tcp => Some(Ask::Tcp),
        Kind::Http => Some(Ask::Http(Http { tls: None, ..http(raw, problems) })),
        Kind::Https => {
            let tls = tls(raw.tls_name.clone(), raw.tls_verify.clone(), asks, problems);
            let http = http(raw, problems);
            Some(Ask::Http(Http { tls: Some(tls?), ..http }))
        }
        Kind::Udp => {
            let send = payload("send", raw.send, raw.send_hex, problems);
            let expect = payload("expect", raw.expect, raw.expect_hex, problems);
            match send {
                Payload::Bytes(send) => Some(Ask::Udp { send, expect: expect.bytes() }),
                Payload::Wrong => None,
                Payload::Nothing if asks.given.has(&["send", "send_hex"]) => None,
                Payload::Nothing => {
                    let what = "nothing says what to send, and few servers answer an empty datagram";
                    let mend = "add a line like this: send = \"ping\", or send_hex = \"70696e67\"";
                    problems.add("config-missing", asks.probe, what, mend);
                    None
                }
            }
        }
        Kind::Grpc => {
            let wants_tls = raw.tls.as_ref().is_some_and(|tls| tls.value);
            let service = text(raw.grpc_service, problems).unwrap_or_default();
            let tls = if wants_tls {
                Some(tls(raw.tls_name, raw.tls_verify, asks, problems)?)
            } else if raw.tls.is_none() && asks.given.has(&["tls"]) {
                return None;
            } else {
                for (key, raw) in [("tls_name", raw.tls_name), ("tls_verify", raw.tls_verify)] {
                    let Some(At { place, .. }) = raw else { continue };
                    let what = format!("`{key}` is for TLS, which this probe does not speak");
                    problems.add("config-unfit", &place, what, "add tls = true, or remove it");
                }
                None
            };
            Some(Ask::Grpc { service, tls })
        }
        Kind::Command => argv(raw.command, asks, problems).map(Ask::Command),
    }
}

/// What a text may hold that stands for something else.
const COLOUR: &[&str] = &["colour"];

fn text(raw: Option<At<String>>, problems: &mut Problems<'_>) -> Option<String> {
    let raw = raw?;
    placeholders(&raw, COLOUR, problems);
    Some(raw.value)
}

fn http(raw: RawAsk, problems: &mut Problems<'_>) -> Http {
    if let Some(At { value, place }) = &raw.path {
        let path = filled_in(value);
        let whole = path.parse::<Uri>().ok().filter(|uri| uri.authority().is_none());
        if !path.starts_with('/') || path.contains('#') || whole.is_none() {
            let what = format!("{value:?} is not the path of a URL");
            let mend = "begin it with a slash and write what cannot stand in a URL as %20 and the like";
            problems.add("config-path", place, what, mend);
        }
    }
    if let Some(At { value, place }) = &raw.host {
        let why = match filled_in(value).parse::<Authority>() {
            Err(_) => Err("is not a host"),
            Ok(authority) => host_and_port(&authority),
        };
        if let Err(why) = why {
            let mend = "write it as a browser sends it: \"shop.example\" or \"shop.example:8080\"";
            problems.add("config-host", place, format!("{value:?} {why}"), mend);
        }
    }
    Http {
        path: text(raw.path, problems).unwrap_or_else(|| "/".to_owned()),
        host: text(raw.host, problems),
        status: raw.status.map_or_else(|| vec![(200, 299)], |raw| statuses(raw, problems)),
        body: text(raw.body, problems),
        tls: None,
    }
}

fn statuses(raw: At<OneOrMore<NumberOrWord>>, problems: &mut Problems<'_>) -> Vec<(u16, u16)> {
    let mend = "write statuses from 100 to 599, such as 200 or \"200-299\"";
    let At { value: OneOrMore(list), place } = raw;
    if list.is_empty() {
        problems.add("config-empty", &place, "no status would be good", mend);
    }
    let mut found = Vec::new();
    for At { value, place } in list {
        let (first, last) = match &value {
            NumberOrWord::Number(number) => (number.to_string(), number.to_string()),
            NumberOrWord::Word(word) => match word.split_once('-') {
                Some((first, last)) => (first.trim().to_owned(), last.trim().to_owned()),
                None => (word.clone(), word.clone()),
            },
        };
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) if first <= last && first >= 100 && last <= 599 => {
                found.push((first, last))
            }
            _ => {
                let shown = match value {
                    NumberOrWord::Number(number) => number.to_string(),
                    NumberOrWord::Word(word) => format!("{word:?}"),
                };
                problems.add("config-range", &place, format!("{shown} is no range of statuses"), mend);
            }
        }
    }
    found
}

fn tls(
    name: Option<At<String>>,
    verify: Option<At<String>>,
    asks: &Asks<'_>,
    problems: &mut Problems<'_>,
) -> Option<Tls> {
    if let Some(At { value, place }) = &name
        && ServerName::try_from(filled_in(value)).is_err()
    {
        let what = format!("{value:?} cannot be a name in a certificate");
        problems.add("config-host", place, what, "write a DNS name or an IP address, without a port");
    }
    let name = text(name, problems);
    let Some(At { value, place }) = verify else {
        if asks.given.has(&["tls_verify"]) {
            return None;
        }
        let mend = "add tls_verify = \"system\", \"/etc/bg/ca.pem\" or \"none\"; there is no default, because one \
                    that verifies fails on certificates that slices sign themselves, and one that does not \
                    overlooks the expired one";
        problems.add("config-missing", asks.probe, "`tls_verify` is missing", mend);
        return None;
    };
    let verify = match value.as_str() {
        "system" => Verify::System,
        "none" => Verify::Nothing,
        path if path.starts_with('/') && !path.ends_with('/') && !path.contains('\0') => {
            Verify::File(PathBuf::from(path))
        }
        other => {
            let mend = among(other, &["system", "none", "/absolute/path/of/ca.pem"]);
            problems.add("config-choice", &place, format!("{other:?} is none of the choices"), mend);
            return None;
        }
    };
    Some(Tls { name, verify })
}

/// A payload, as far as it was given.
enum Payload {
    Bytes(Vec<u8>),
    Nothing,
    /// And that was reported.
    Wrong,
}

impl Payload {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Nothing | Self::Wrong => Vec::new(),
        }
    }
}

/// A payload as text or in hexadecimal.
fn payload(
    key: &str,
    plain: Option<At<String>>,
    hex: Option<At<String>>,
    problems: &mut Problems<'_>,
) -> Payload {
    let (bytes, place) = match (plain, hex) {
        (None, None) => return Payload::Nothing,
        (Some(plain), Some(hex)) => {
            let what = format!("`{key}` and `{key}_hex` are the same");
            problems.add_pair("config-duplicate", [&hex.place, &plain.place], what, "keep one of them");
            return Payload::Wrong;
        }
        (Some(plain), None) => {
            placeholders(&plain, COLOUR, problems);
            (plain.value.into_bytes(), plain.place)
        }
        (None, Some(At { value, place })) => match unhex(&value) {
            Some(bytes) => (bytes, place),
            None => {
                let what = format!("{value:?} is not hexadecimal");
                problems.add("config-hex", &place, what, "write two digits of 0-9 a-f for each byte");
                return Payload::Wrong;
            }
        },
    };
    if bytes.len() > MAX_DATAGRAM {
        let what = format!("{} bytes may not fit one packet", bytes.len());
        problems.add("config-range", &place, what, format!("keep to {MAX_DATAGRAM}"));
        return Payload::Wrong;
    }
    Payload::Bytes(bytes)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<_> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| u8::try_from(high * 16 + low).ok()).collect()
}

fn argv(
    raw: Option<At<Vec<At<String>>>>,
    asks: &Asks<'_>,
    problems: &mut Problems<'_>,
) -> Option<Vec<String>> {
    let Some(raw) = raw else {
        if asks.given.has(&["command"]) {
            return None;
        }
        let mend =
            "add a line like this: command = [\"/usr/lib/nagios/plugins/check_disk\", \"-w\", \"10%\"]";
        problems.add("config-missing", asks.probe, "`command` is missing", mend);
        return None;
    };
    let of_slice =
        raw.value.iter().find(|text| text.value.contains("{address}") && asks.level == Level::Slice);
    if let Some(At { place, .. }) = of_slice {
        let what = "a slice has no `{address}`: this command is run once for all of its machines";
        problems.add("config-placeholder", place, what, "add per = \"backend\" to run it for each machine");
    }
    command(raw, &["address", "colour", "deployment"], problems)
}
