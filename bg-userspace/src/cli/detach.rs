//! `bgctl detach`: takes the data plane down, by the daemon if there is one.

use super::Global;
use super::env::Env;
use super::render;
use super::run::Result;
use super::say::count;
use super::target::Target;
use crate::api::client::{Client, Error};
use crate::dataplane::{Detached, lock};
use crate::leftovers::{self, Vips};
use crate::net::Net;
use crate::refusal::Refusal;
use std::net::IpAddr;
use std::time::Duration;

pub(super) async fn run(global: &Global, target: &Target, client: &Client, env: &mut Env<'_>) -> Result {
    let by_daemon = if global.offline { None } else { ask(client).await? };
    let detached = match by_daemon {
        Some(detached) => {
            wait_for_end(&target.instance).await;
            detached
        }
        None => {
            let detached = env.kernel.remove(&target.instance)?;
            release_vips(target, env).await?;
            leftovers::remove_dead_socket(&target.socket);
            detached
        }
    };
    leftovers::remove_lock(&target.instance);
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

/// Waits for a daemon that was told to detach: it removes the VIPs last.
async fn wait_for_end(instance: &str) {
    const PATIENCE: Duration = Duration::from_secs(10);
    const POLL: Duration = Duration::from_millis(20);
    let gone = async {
        while lock::is_held(instance) {
            tokio::time::sleep(POLL).await;
        }
    };
    // A daemon that hangs is its log's to explain; the data plane is down.
    let _ = tokio::time::timeout(PATIENCE, gone).await;
}

/// Removes the VIPs that a daemon has added. The data plane is down whatever comes of it.
async fn release_vips(target: &Target, env: &mut Env<'_>) -> Result {
    let vips = Vips::of(&target.instance);
    let added = vips.read();
    if added.is_empty() {
        return Ok(());
    }
    let left = match Net::open() {
        Ok(net) => release(&net, &added).await,
        Err(refusal) => Err(refusal),
    };
    // What is left is remembered for the next try.
    match left.and_then(|left| vips.write(&left).map(|()| left)) {
        Ok(left) if left.is_empty() => {}
        Ok(left) => {
            let left: Vec<_> = left.iter().map(ToString::to_string).collect();
            let left = left.join(", ");
            writeln!(
                env.err,
                "bgctl: these VIPs are not here: {left}\n  where: this network namespace\n  mend:  if the gateway \
                 is another one, run this there again: nsenter --net=/run/netns/NAME bgctl detach"
            )?;
        }
        Err(Refusal { what, at, mend, .. }) => {
            writeln!(env.err, "bgctl: a VIP may be left: {what}\n  where: {at}\n  mend:  {mend}")?;
        }
    }
    Ok(())
}

/// Removes what of `added` is here, and returns the rest.
async fn release(net: &Net, added: &[IpAddr]) -> std::result::Result<Vec<IpAddr>, Refusal> {
    let released = net.release_vips(added).await?;
    Ok(added.iter().copied().filter(|vip| !released.iter().any(|home| home.vip == *vip)).collect())
}
