//! `bgctl switch` and `bgctl rollback`: change who is live.

use super::env::Env;
use super::render::{self, count, paint, short_time};
use super::run::Result;
use super::target::Target;
use super::{Global, RollbackArgs, SwitchArgs, offline};
use crate::api::client::Client;
use crate::api::protocol::{RollbackRequest, SwitchRequest, Switched};
use crate::model::order::{Actor, Order, RollbackOrder, SwitchOrder, Verb};

pub(super) async fn switch(
    args: SwitchArgs,
    global: &Global,
    target: &Target,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let SwitchArgs { deployment, to, reason } = args;
    let switched = if global.offline {
        offline::order(
            env.kernel,
            &target.instance,
            order(deployment, Verb::Switch(SwitchOrder { to, ..SwitchOrder::default() })),
        )?
    } else {
        client.switch(deployment.as_deref(), &SwitchRequest { to, reason }).await?
    };
    show(&switched, global, env)
}

pub(super) async fn rollback(
    args: RollbackArgs,
    global: &Global,
    target: &Target,
    client: &Client,
    env: &mut Env<'_>,
) -> Result {
    let RollbackArgs { deployment, reason } = args;
    let switched = if global.offline {
        offline::order(
            env.kernel,
            &target.instance,
            order(deployment, Verb::Rollback(RollbackOrder::default())),
        )?
    } else {
        client.rollback(deployment.as_deref(), &RollbackRequest { reason }).await?
    };
    show(&switched, global, env)
}

/// An order that nobody but this process has to know of.
fn order(deployment: Option<String>, verb: Verb) -> Order {
    Order { deployment, verb, actor: Actor::default(), reason: None }
}

fn show(switched: &Switched, global: &Global, env: &mut Env<'_>) -> Result {
    if global.json {
        return render::json(switched, env);
    }
    let Switched { deployment, from, to, generation, took_ns, already, staying, .. } = switched;
    if *already {
        let to = paint(*to, env);
        return Ok(writeln!(env.out, "{deployment}: {to} is live already  generation {generation}")?);
    }
    let stay = match staying {
        Some(1) => "1 flow stays".to_owned(),
        Some(flows @ 2..) => format!("{} stay", count(*flows, "flow")),
        Some(0) | None => "flows stay".to_owned(),
    };
    let until = if *staying == Some(1) { "it ends" } else { "they end" };
    let (from, to) = (paint(*from, env), paint(*to, env));
    let took = short_time(*took_ns);
    writeln!(
        env.out,
        "{deployment}: {from} → {to}  generation {generation}  ({took}; {stay} on {from} until {until})"
    )?;
    Ok(())
}
