//! `bgctl detach`: takes the data plane down, by the daemon if there is one.

use super::Global;
use super::env::Env;
use super::render::{self, count};
use super::run::Result;
use super::target::Target;
use crate::api::client::{Client, Error};
use crate::dataplane::Detached;
use crate::leftovers::{self, Vips};
use crate::net::Net;
use crate::refusal::Refusal;

pub(super) async fn run(global: &Global, target: &Target, client: &Client, env: &mut Env<'_>) -> Result {
    let by_daemon = if global.offline { None } else { ask(client).await? };
    let detached = match by_daemon {
        Some(detached) => detached,
        None => {
            let detached = env.kernel.remove(&target.instance)?;
            release_vips(target, env).await?;
            leftovers::remove_dead_socket(&target.socket);
            detached
        }
    };
    if global.json {
        return render::json(&detached, env);
    }
    let Detached { attachments, pins } = &detached;
    if attachments.is_empty() && *pins == 0 {
        writeln!(env.out, "there was nothing to take down")?;
    }
    for attachment in attachments {
        writeln!(env.out, "{} {}: {} detached", attachment.interface, attachment.hook, attachment.program)?;
    }
    if *pins > 0 {
        let pins = count(u64::try_from(*pins).unwrap_or(u64::MAX), "pin");
        writeln!(env.out, "instance {}: {pins} removed", target.instance)?;
    }
    Ok(())
}

/// What the daemon has taken down; none if there is no daemon.
async fn ask(client: &Client) -> std::result::Result<Option<Detached>, Error> {
    match client.detach().await {
        Ok(detached) => Ok(Some(detached)),
        Err(Error::Unreachable(refusal)) if refusal.code == "unreachable" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the VIPs that a daemon has added. The data plane is down whatever comes of it.
async fn release_vips(target: &Target, env: &mut Env<'_>) -> Result {
    let vips = Vips::of(&target.instance);
    let added = vips.read();
    if added.is_empty() {
        return Ok(());
    }
    let released = match Net::open() {
        Ok(net) => net.release_vips(&added).await.and_then(|_| vips.write(&[])),
        Err(refusal) => Err(refusal),
    };
    if let Err(Refusal { what, at, mend, .. }) = released {
        writeln!(env.err, "bgctl: a VIP may be left: {what}\n  where: {at}\n  mend:  {mend}")?;
    }
    Ok(())
}
