//! `bgctl preview`: clients that see another colour than the live one, on the same address.

use super::env::Env;
use super::render::{self, table};
use super::run::Result;
use super::status::named;
use super::{Global, PreviewArgs, PreviewCommand, changes};
use crate::api::client::Client;
use crate::api::protocol::{Deployment, PreviewRequest, PreviewRule};
use bg_common::{Aim, Colour};
use serde::Serialize;

/// What `--json` prints for each rule.
#[derive(Debug, Serialize)]
struct Ruled<'a> {
    deployment: &'a str,
    #[serde(flatten)]
    rule: &'a PreviewRule,
    /// What they see at the moment.
    colour: Colour,
}

pub(super) async fn run(args: PreviewArgs, global: &Global, client: &Client, env: &mut Env<'_>) -> Result {
    let PreviewArgs { deployment, command } = args;
    let request = match command {
        None | Some(PreviewCommand::List) => return list(deployment.as_deref(), global, client, env).await,
        Some(PreviewCommand::Add { prefix, to, reason }) => PreviewRequest { prefix, to: Some(to), reason },
        Some(PreviewCommand::Rm { prefix, reason }) => PreviewRequest { prefix, to: None, reason },
    };
    changes::show(&client.preview(deployment.as_deref(), &request).await?, global, env)
}

async fn list(name: Option<&str>, global: &Global, client: &Client, env: &mut Env<'_>) -> Result {
    let status = client.status().await?;
    let found = named(&status, name)?;
    let ruled = |deployment: &Deployment, rule: &PreviewRule| rule.to.colour(deployment.live);
    if global.json {
        let rules = found.iter().flat_map(|deployment| {
            let of = |rule| Ruled { deployment: &deployment.name, rule, colour: ruled(deployment, rule) };
            deployment.previews.iter().map(of)
        });
        return render::json(&rules.collect::<Vec<_>>(), env);
    }
    if found.iter().all(|deployment| deployment.previews.is_empty()) {
        return render::line("no preview rule: everybody sees the live colour", env);
    }
    let mut table = table(&["DEPLOYMENT", "CLIENTS", "SEE", "NOW", "BY"], env);
    for deployment in found {
        for rule in &deployment.previews {
            let by = if rule.configured { "configuration" } else { "order" };
            table.add_row([
                deployment.name.clone(),
                rule.prefix.to_string(),
                whom(rule.to).to_owned(),
                ruled(deployment, rule).to_string(),
                by.to_owned(),
            ]);
        }
    }
    render::print(&table, env)
}

/// What a preview leads to, for people.
pub(super) const fn whom(aim: Aim) -> &'static str {
    match aim {
        Aim::Other => "the colour that is not live",
        Aim::Live | Aim::Blue | Aim::Green => aim.as_str(),
    }
}
