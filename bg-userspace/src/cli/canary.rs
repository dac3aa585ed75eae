//! `bgctl canary`: a share of new flows goes to the colour that is not live.

use super::env::Env;
use super::offline::Change;
use super::run::Result;
use super::target::Target;
use super::{CanaryArgs, Global, changes, offline};
use crate::api::client::Client;
use crate::api::protocol::CanaryRequest;

pub(super) async fn run(
    args: CanaryArgs,
    global: &Global,
    target: &Target,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let CanaryArgs { deployment, share, force, reason } = args;
    let changed = if global.offline {
        offline::change(deployment.as_deref(), &Change::Canary(share), reason, target, global, env).await?
    } else {
        let request = CanaryRequest { share_per_mille: share, force: force.request(), reason };
        client.canary(deployment.as_deref(), &request).await?
    };
    changes::show(&changed, global, env)
}
