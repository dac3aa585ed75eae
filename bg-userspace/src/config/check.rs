//! Makes a [`Config`] of what was typed, or notes everything that is wrong with it. Each part is judged by
//! its own module, and what the parts claim together by `claims`.

use super::claims::Claims;
use super::deployments::deployment;
use super::gateway::gateway;
use super::problems::{At, Place, Problems};
use super::raw::Raw;
use super::services::name;
use super::{Config, Name};

/// Judges `raw`; `None` when something was found that leaves no configuration to speak of.
pub(super) fn config(raw: Raw, problems: &mut Problems<'_>) -> Option<Config> {
    let top = Place { span: 0..0, key: String::new() };
    let typed = raw.gateway.probe_addresses.clone();
    let gateway = gateway(raw.gateway, problems);
    if raw.deployments.is_empty() {
        let mend = if raw.leaving.is_empty() {
            "add a [deployment.NAME] with its slices and a service"
        } else {
            "keep one deployment; what takes all of them down is no change of the file but: bgctl detach"
        };
        problems.add("config-empty", &top, "there is no deployment", mend);
    }
    let mut claims = Claims::default();
    let mut deployments = Vec::new();
    for raw in raw.deployments {
        deployments.extend(deployment(raw, &gateway.probe_addresses, &mut claims, problems));
    }
    let leaving = raw.leaving.iter().filter_map(|raw| leaving(raw, problems)).collect();
    for addr in &gateway.probe_addresses {
        let mut typed = typed.iter().flat_map(|list| &list.value);
        let place = typed.find(|text| text.value.parse() == Ok(*addr)).map(|text| &text.place);
        claims.probe_address(*addr, place, problems);
    }
    claims.settle(&top, problems);
    Some(Config { gateway, deployments, leaving, notes: problems.take_notes() })
}

/// The name of a deployment that says `remove = true`.
fn leaving(raw: &At<String>, problems: &mut Problems<'_>) -> Option<Name> {
    let what = format!("a gateway that has the deployment {} removes it, which ends its flows", raw.value);
    let mend = format!("remove the table [{}] once that is done", raw.place.key);
    problems.note("config-leaving", &raw.place, what, mend);
    name("deployment", raw, problems)
}
