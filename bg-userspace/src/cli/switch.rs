//! `bgctl switch` and `bgctl rollback`: change who is live, and say how that went.

use super::env::Env;
use super::render::{self, facts, paint};
use super::run::{Result, online};
use super::say::{clean, count, named, short_time, span};
use super::target::Target;
use super::{ForceArgs, Global, RollbackArgs, SwitchArgs, WaitArgs, changes, offline, plan, wait};
use crate::api::client::{Client, Error};
use crate::api::protocol::{
    ForceRequest, Gate, PlanQuery, Proof, RollbackRequest, RolledBack, Seconds, SwitchRequest, Switched,
};
use crate::refusal::Refusal;

/// The gate that a person opens.
pub(super) const CONFIRMATION: &str = "confirmation";

/// The code of its refusal.
const NOT_AGREED: &str = "gate-confirmation";

pub(super) async fn switch(
    args: SwitchArgs,
    global: &Global,
    target: &Target,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let SwitchArgs { deployment, to, plan, force, confirm_within, bake, fate, wait, yes, reason } = args;
    let request = SwitchRequest {
        to,
        plan,
        force: force.request(),
        confirm_within_s: confirm_within.map(Seconds),
        bake_s: bake.map(Seconds),
        fate,
        agreed: yes,
        reason,
    };
    let switched = if global.offline {
        online_only(wait, global)?;
        let (verb, reason) = request.meant()?;
        offline::switched(deployment.as_deref(), &verb, reason, target, global, env).await?
    } else {
        agreed(deployment.as_deref(), request, global, client, env).await?
    };
    told(&switched, wait, global, client, env).await
}

pub(super) async fn rollback(
    args: RollbackArgs,
    global: &Global,
    target: &Target,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let RollbackArgs { deployment, force, fate, wait, reason } = args;
    let request = RollbackRequest { force: force.request(), fate, reason };
    let switched = if global.offline {
        online_only(wait, global)?;
        let (verb, reason) = request.meant()?;
        offline::switched(deployment.as_deref(), &verb, reason, target, global, env).await?
    } else {
        match client.rollback(deployment.as_deref(), &request).await? {
            RolledBack::Switched(switched) => switched,
            RolledBack::Drill(changed) => return changes::show(&changed, global, env),
        }
    };
    told(&switched, wait, global, client, env).await
}

impl ForceArgs {
    /// `--force` alone is all gates.
    pub(super) fn request(self) -> ForceRequest {
        match self.force {
            None => ForceRequest::All(false),
            Some(gates) if gates.is_empty() => ForceRequest::All(true),
            Some(gates) => ForceRequest::Gates(gates),
        }
    }
}

fn online_only(wait: WaitArgs, global: &Global) -> std::result::Result<(), Refusal> {
    if wait.wait {
        online(global, "without the daemon no drain ends, so there is nothing to wait for")
    } else {
        Ok(())
    }
}

async fn told(
    switched: &Switched,
    wait: WaitArgs,
    global: &Global,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    show(switched, global, env)?;
    let WaitArgs { wait, wait_for } = wait;
    if !wait {
        return Ok(());
    }
    // Whoever waits for the end wants to know at once that it is on the way.
    env.out.flush()?;
    wait::drained(switched, wait_for, client, env).await?;
    if !global.json {
        writeln!(env.out, "{}: no flow is left on {}", switched.deployment, switched.to.other())?;
    }
    Ok(())
}

/// Orders a switch; where a person has to agree and one is there, asks.
async fn agreed(
    deployment: Option<&str>,
    mut request: SwitchRequest,
    global: &Global,
    client: &Client,
    env: &mut Env<'_>,
) -> Result<Switched> {
    let refusal = match client.switch(deployment, &request).await {
        Err(Error::Refused(refusal)) if refusal.code == NOT_AGREED => refusal,
        other => return Ok(other?),
    };
    if !env.asks || global.json || request.agreed {
        return Err(refusal.into());
    }
    let mut plan = client.plan(deployment, &PlanQuery { to: request.to }).await?;
    let in_the_way = |gate: &Gate| !gate.open && gate.name != CONFIRMATION && !opens(&request.force, gate);
    if plan.gates.iter().any(in_the_way) {
        return Err(refusal.into());
    }
    // It is this gate that asks.
    plan.gates.retain(|gate| gate.name != CONFIRMATION);
    plan::show(&plan, env)?;
    write!(
        env.out,
        "\nSwitch {}: {} → {}? [y/N] ",
        plan.deployment,
        paint(plan.from, env),
        paint(plan.to, env)
    )?;
    env.out.flush()?;
    let mut answer = String::new();
    env.answers.read_line(&mut answer)?;
    if !matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        let what = "nothing was changed: nobody agreed";
        return Err(Refusal::new("not-agreed", what, refusal.at, "answer y, or switch with --yes").into());
    }
    request.agreed = true;
    // What was shown is what a person has agreed to.
    request.plan.get_or_insert(plan.plan);
    Ok(client.switch(deployment, &request).await?)
}

/// Whether the order itself overrides a gate.
fn opens(force: &ForceRequest, gate: &Gate) -> bool {
    let named = match force {
        ForceRequest::All(all) => *all,
        ForceRequest::Gates(gates) => gates.contains(&gate.name),
    };
    gate.forcible && named
}

fn show(switched: &Switched, global: &Global, env: &mut Env<'_>) -> Result {
    if global.json {
        return render::json(switched, env);
    }
    render::line(&line(switched, env), env)?;
    facts(&after(switched, bgctl(!global.offline)), env)
}

/// What is to be typed, with and without a daemon.
pub(super) const fn bgctl(daemon: bool) -> &'static str {
    if daemon { "bgctl" } else { "bgctl --offline" }
}

/// What has changed, in a line.
pub(super) fn line(switched: &Switched, env: &Env<'_>) -> String {
    let Switched {
        deployment,
        from,
        to,
        from_version,
        to_version,
        generation,
        took_ns,
        already,
        staying,
        ..
    } = switched;
    let (old, new) = (paint(*from, env), paint(*to, env));
    let new = named(new, to_version.as_deref());
    if *already {
        return format!("{deployment}: {new} is live already  generation {generation}");
    }
    let stay = match staying {
        Some(0) => format!("no flow was open on {from}"),
        Some(1) => format!("1 flow stays on {from}"),
        Some(flows) => format!("{} stay on {from}", count(*flows, "flow")),
        None => format!("flows stay on {from}"),
    };
    let took = short_time(*took_ns);
    let old = named(old, from_version.as_deref());
    format!("{deployment}: {old} → {new}  generation {generation}  ({took}; {stay})")
}

/// What is known of a switch, and what happens next.
fn after(switched: &Switched, bgctl: &str) -> Vec<(String, String)> {
    let Switched { deployment, from, to, already, confirm_within_s, bake_s, proof, .. } = switched;
    if *already {
        return Vec::new();
    }
    let mut facts: Vec<_> =
        proved(proof, *from, *to).into_iter().map(|text| ("proof".to_owned(), text)).collect();
    let mut next = |text| facts.push(("next".to_owned(), text));
    if let Some(bake) = bake_s {
        next(format!("{to} is watched for {}, and the switch taken back if it fails", span(*bake)));
    }
    if let Some(within) = confirm_within_s {
        next(format!("it goes back in {} unless: {bgctl} confirm {deployment}", span(*within)));
    }
    facts
}

/// What is proved, in sentences.
pub(super) fn proved(proof: &Proof, from: impl std::fmt::Display, to: impl std::fmt::Display) -> Vec<String> {
    let Proof { first_new_us, last_old_us, vip, vip_detail, first_new_is_probe, last_old_is_probe, .. } =
        proof;
    let own = |is_probe: bool| if is_probe { " (a probe of bg's own)" } else { "" };
    let mut said = Vec::new();
    let micros = |micros: u64| short_time(micros.saturating_mul(1000));
    if let Some(first) = first_new_us {
        let own = own(*first_new_is_probe);
        said.push(format!("{to} got its first new flow {} after the switch{own}", micros(*first)));
    }
    match last_old_us {
        Some(last @ ..=0) => {
            said.push(format!(
                "{from} got its last new flow {} before the switch{}",
                micros(last.unsigned_abs()),
                own(*last_old_is_probe)
            ));
        }
        Some(last) => {
            let own = own(*last_old_is_probe);
            said.push(format!("{from} got a new flow {} AFTER the switch{own}", micros(last.unsigned_abs())))
        }
        None => {}
    }
    let detail = vip_detail.as_deref().map(|detail| format!(": {}", clean(detail))).unwrap_or_default();
    match vip {
        Some(true) => said.push(format!("the VIP answers, and from {to}{detail}")),
        Some(false) => said.push(format!("the VIP does NOT answer as it should{detail}")),
        None => {}
    }
    said
}
