//! Orders that are given while the daemon is about to die.

use super::stage::Stage;
use crate::dice::Dice;
use anyhow::Result;
use bg_common::Colour;
use bg_userspace::api::client::{Client, Error};
use bg_userspace::api::protocol::{
    ForceRequest, FreezeRequest, PauseRequest, ReasonRequest, RollbackRequest, Seconds, StageRequest,
    SwitchRequest,
};
use std::time::{Duration, Instant};

/// The first packet of a held connection is sent again after 1 s, 3 s and 7 s, and clients wait for 5 s: they
/// have to be let go in between.
const REST: Duration = Duration::from_secs(8);

/// The longest that an order takes that is not cut off by a kill.
const PATIENCE: Duration = Duration::from_secs(5);

/// An order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Switch,
    /// Goes back by itself, perhaps while there is no daemon.
    SwitchUnconfirmed,
    Rollback,
    Confirm,
    Pause,
    Stage,
    Freeze,
    Unfreeze,
    Reload,
}

impl Order {
    /// As often as it is to come; switches are what it is about.
    const ALL: [Self; 14] = [
        Self::Switch,
        Self::Switch,
        Self::Switch,
        Self::Switch,
        Self::Rollback,
        Self::Rollback,
        Self::SwitchUnconfirmed,
        Self::SwitchUnconfirmed,
        Self::Confirm,
        Self::Pause,
        Self::Stage,
        Self::Freeze,
        Self::Unfreeze,
        Self::Reload,
    ];
}

/// Chooses orders.
#[derive(Debug)]
pub(super) struct Chooser {
    paused: Option<Instant>,
}

impl Chooser {
    pub(super) const fn new() -> Self {
        Self { paused: None }
    }

    pub(super) fn choose(&mut self, dice: &mut Dice) -> Order {
        match dice.one_of(&Order::ALL).copied().unwrap_or(Order::Switch) {
            Order::Pause if self.paused.is_some_and(|at| at.elapsed() < REST) => Order::Switch,
            Order::Pause => {
                self.paused = Some(Instant::now());
                Order::Pause
            }
            order @ (Order::Switch
            | Order::SwitchUnconfirmed
            | Order::Rollback
            | Order::Confirm
            | Order::Stage
            | Order::Freeze
            | Order::Unfreeze
            | Order::Reload) => order,
        }
    }
}

impl Stage {
    /// Gives an order and waits for its end, but not longer than `cut` says. That it is refused, or that nobody
    /// answers any more, is part of the game.
    pub(super) fn give(&self, order: Order, cut: Option<Duration>) -> Result<()> {
        if order == Order::Reload {
            self.reload()?;
        }
        let limit = cut.unwrap_or(PATIENCE);
        // The answer is looked at by comparing all accounts afterwards.
        drop(self.runtime.block_on(async { tokio::time::timeout(limit, say(&self.client, order)).await }));
        Ok(())
    }
}

async fn say(client: &Client, order: Order) -> Result<(), Error> {
    let force = ForceRequest::All(true);
    let reason = Some("chaos".to_owned());
    match order {
        Order::Switch => {
            client.switch(None, &SwitchRequest { force, ..SwitchRequest::default() }).await.map(drop)
        }
        Order::SwitchUnconfirmed => {
            let confirm_within_s = Some(Seconds(Duration::from_millis(1500)));
            let request = SwitchRequest { force, confirm_within_s, ..SwitchRequest::default() };
            client.switch(None, &request).await.map(drop)
        }
        Order::Rollback => {
            client.rollback(None, &RollbackRequest { force, ..RollbackRequest::default() }).await.map(drop)
        }
        Order::Confirm => client.confirm(None, &ReasonRequest { reason }).await.map(drop),
        Order::Pause => client
            .pause(None, &PauseRequest { for_s: Seconds(Duration::from_millis(400)), reason })
            .await
            .map(drop),
        Order::Stage => {
            let version = Some("next".to_owned());
            let request = StageRequest { version, give_up_rollback: true, reason, ..StageRequest::default() };
            client.stage(None, &request).await.map(drop)
        }
        Order::Freeze => client.freeze(None, &FreezeRequest { reason: "chaos".to_owned() }).await.map(drop),
        Order::Unfreeze => client.unfreeze(None, &ReasonRequest { reason }).await.map(drop),
        // A reload is a signal; a switch meets it half-way.
        Order::Reload => {
            let request = SwitchRequest { force, to: Some(Colour::Blue), ..SwitchRequest::default() };
            client.switch(None, &request).await.map(drop)
        }
    }
}
