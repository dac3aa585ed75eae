//! `bgctl detach`: takes the data plane down, by the daemon if there is one.

use super::Global;
use super::env::Env;
use super::render::{self, count};
use super::run::Result;
use super::target::Target;
use crate::api::client::{Client, Error};
use crate::dataplane::Detached;
use crate::net::Net;
use crate::refusal::Refusal;

pub(super) async fn run(global: &Global, target: &Target, client: &Client, env: &mut Env<'_>) -> Result {
    let by_daemon = if global.offline { None } else { ask(client).await? };
    let detached = match by_daemon {
        Some(detached) => detached,
        None => {
            let detached = env.kernel.remove(&target.instance)?;
            if detached != Detached::default() {
                release_vips(target, env).await?;
            }
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

/// Removes the VIPs that a daemon has added. Only the configuration tells which those are.
async fn release_vips(target: &Target, env: &mut Env<'_>) -> Result {
    let Some(config) = target.configuration() else {
        let path = target.config.display();
        writeln!(
            env.err,
            "bgctl: {path} does not describe this instance, so VIPs that bgd has added may be left:"
        )?;
        writeln!(env.err, "  see:   ip address, or name the configuration with --config FILE")?;
        return Ok(());
    };
    let released = match Net::open() {
        Ok(net) => net.release_vips(&config.vips()).await,
        Err(refusal) => Err(refusal),
    };
    match released {
        Ok(_) => Ok(()),
        Err(Refusal { what, at, mend, .. }) => {
            // The data plane is down all the same.
            Ok(writeln!(env.err, "bgctl: a VIP may be left: {what}\n  where: {at}\n  mend:  {mend}")?)
        }
    }
}
