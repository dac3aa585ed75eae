//! The verbs that change something and say so in a sentence: confirm, stage, freeze, unfreeze, pause, resume.

use super::env::Env;
use super::offline::Change;
use super::render;
use super::run::Result;
use super::say::clean;
use super::target::Target;
use super::{ChangeArgs, FreezeArgs, Global, PauseArgs, StageArgs, offline};
use crate::api::client::Client;
use crate::api::protocol::{Changed, FreezeRequest, PauseRequest, ReasonRequest, Seconds, StageRequest};

pub(super) async fn confirm(
    args: ChangeArgs,
    global: &Global,
    target: &Target,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let ChangeArgs { deployment, reason } = args;
    let changed = if global.offline {
        offline::change(deployment.as_deref(), &Change::Confirm, reason, target, global, env).await?
    } else {
        client.confirm(deployment.as_deref(), &ReasonRequest { reason }).await?
    };
    show(&changed, global, env)
}

pub(super) async fn stage(args: StageArgs, global: &Global, client: &Client, env: &mut Env<'_>) -> Result {
    let StageArgs { deployment, version, colour, give_up_rollback, hotfix, reason } = args;
    let request = StageRequest { colour, version: Some(version), give_up_rollback, hotfix, reason };
    show(&client.stage(deployment.as_deref(), &request).await?, global, env)
}

pub(super) async fn freeze(args: FreezeArgs, global: &Global, client: &Client, env: &mut Env<'_>) -> Result {
    let FreezeArgs { deployment, reason } = args;
    show(&client.freeze(deployment.as_deref(), &FreezeRequest { reason }).await?, global, env)
}

pub(super) async fn unfreeze(
    args: ChangeArgs,
    global: &Global,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let ChangeArgs { deployment, reason } = args;
    show(&client.unfreeze(deployment.as_deref(), &ReasonRequest { reason }).await?, global, env)
}

pub(super) async fn pause(
    args: PauseArgs,
    global: &Global,
    target: &Target,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let PauseArgs { deployment, time, reason } = args;
    let request = PauseRequest { for_s: Seconds(time), reason };
    let changed = if global.offline {
        let (_, reason) = request.meant()?;
        offline::change(deployment.as_deref(), &Change::Pause(time), reason, target, global, env).await?
    } else {
        client.pause(deployment.as_deref(), &request).await?
    };
    show(&changed, global, env)
}

pub(super) async fn resume(
    args: ChangeArgs,
    global: &Global,
    target: &Target,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let ChangeArgs { deployment, reason } = args;
    let changed = if global.offline {
        offline::change(deployment.as_deref(), &Change::Resume, reason, target, global, env).await?
    } else {
        client.resume(deployment.as_deref(), &ReasonRequest { reason }).await?
    };
    show(&changed, global, env)
}

/// Says what is so from here on.
pub(super) fn show(changed: &Changed, global: &Global, env: &mut Env<'_>) -> Result {
    if global.json {
        return render::json(changed, env);
    }
    let Changed { deployment, generation, what } = changed;
    render::line(&format!("{deployment}: {}  generation {generation}", clean(what)), env)
}
