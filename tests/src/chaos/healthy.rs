//! Switches that nothing speaks against, under load, with probes and a bake time: each has to stay.

use super::Healthy;
use super::stage::Stage;
use crate::daemon::Settings;
use crate::signals;
use crate::wait;
use anyhow::{Context, Result};
use bg_userspace::api::protocol::{HistoryQuery, ReasonRequest, Seconds, Status, SwitchRequest};
use serde_json::Value;
use std::time::Duration;

const BAKE: Duration = Duration::from_secs(1);

const TABLES: &str = "
[deployment.shop.probe.page]
kind = \"http\"
service = \"web\"
interval = \"1s\"
timeout = \"1s\"
rise = 1
fall = 3
[deployment.shop.probe.echo]
kind = \"udp\"
service = \"datagrams\"
send = \"well?\"
expect = \"{colour}\"
interval = \"1s\"
timeout = \"1s\"
rise = 1
fall = 3
[deployment.shop.passive]
window = \"5s\"
";

pub(super) fn run(switches: u64) -> Result<Healthy> {
    let settings = Settings {
        deployment: "bake = \"1s\"".to_owned(),
        tables: TABLES.to_owned(),
        ..Settings::hooked("tc", "auto")
    };
    let mut stage = Stage::new("bgd", &settings)?;
    stage.launch(None)?.context("the daemon ended at its start")?;
    let well = |status: &Status| {
        let slices = status.deployments.first().map(|deployment| deployment.slices.clone());
        slices
            .is_some_and(|slices| [slices.blue, slices.green].iter().all(|slice| slice.healthy == Some(true)))
    };
    wait::until("both slices are healthy", wait::PATIENCE, || stage.status().is_some_and(|it| well(&it)))?;
    stage.load(Some(Duration::from_secs(2)))?;
    let mut healthy = Healthy::default();
    while healthy.switches < switches && !signals::seen() {
        healthy.switches += 1;
        if let Err(why) = stage.switch_well() {
            healthy.false_rollbacks += 1;
            healthy.troubles.push(format!("switch {}: {why:#}", healthy.switches));
            // The next one has the same chance.
            drop(stage.runtime.block_on(stage.client.unfreeze(None, &ReasonRequest::default())));
        }
        if healthy.switches % 50 == 0 {
            crate::say(&format!("{} switches, {} not well", healthy.switches, healthy.false_rollbacks));
        }
    }
    let tally = stage.rest()?;
    healthy.failed = tally.failed();
    healthy.troubles.extend(tally.examples);
    Ok(healthy)
}

impl Stage {
    fn status(&self) -> Option<Status> {
        self.runtime.block_on(self.client.status()).ok()
    }

    /// One switch, which has to be baked.
    fn switch_well(&self) -> Result<()> {
        let request = SwitchRequest { bake_s: Some(Seconds(BAKE)), ..SwitchRequest::default() };
        let switched = self
            .runtime
            .block_on(self.client.switch(None, &request))
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let over = || {
            let status = self.status()?;
            let deployment = status.deployments.into_iter().next()?;
            let taken_back = deployment.live != switched.to || deployment.frozen.is_some();
            (taken_back || deployment.bake_left_s.is_none()).then_some(!taken_back)
        };
        let stays = wait::until_some("the bake time is over", wait::PATIENCE, over)?;
        anyhow::ensure!(stays, "it was taken back: {}", self.last_reason());
        Ok(())
    }

    fn last_reason(&self) -> String {
        let kind =
            serde_json::from_value(Value::from("switched,not-switched,slice,frozen")).unwrap_or_default();
        let query = HistoryQuery { kind, limit: Some(5), ..HistoryQuery::default() };
        let history = self.runtime.block_on(self.client.history(&query));
        history.map_or_else(
            |why| format!("{why:?}"),
            |it| serde_json::to_string(&it.entries).unwrap_or_default(),
        )
    }
}
