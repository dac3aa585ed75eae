//! Who is live, by all accounts: the kernel's word, the daemon, its journal, the roles that slices are told,
//! and the clients.

use super::stage::Stage;
use crate::clock;
use crate::daemon::DEPLOYMENT;
use crate::run;
use crate::traffic::{Kind, Tally};
use crate::wait;
use anyhow::{Context, Result, ensure};
use bg_common::{Colour, Tick};
use bg_userspace::api::client::Error;
use bg_userspace::api::protocol::{HistoryQuery, Kinds};
use bg_userspace::dataplane::Dataplane as _;
use bg_userspace::dataplane::kernel::Kernel;
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

/// So long they may differ: what is written by one is read by another a little later.
const AGREE_WITHIN: Duration = Duration::from_secs(5);

/// And not before they were looked at so often, however long that takes.
const LOOKS: usize = 3;

/// How looking ended.
pub(super) enum Look {
    /// All say the same.
    Agree,
    /// They go on saying this.
    Differ(String),
    /// The daemon died meanwhile.
    Died,
}

/// What they say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Accounts {
    kernel: (Colour, u16),
    daemon: (Colour, u16),
    journal: Option<(Colour, u16)>,
    roles: Option<(Colour, u16)>,
    clients: Colour,
}

impl Accounts {
    fn agree(&self) -> bool {
        let Self { kernel, daemon, journal, roles, clients } = *self;
        kernel == daemon && journal == Some(kernel) && roles == Some(kernel) && clients == kernel.0
    }
}

impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, daemon, journal, roles, clients } = self;
        write!(
            f,
            "live is, by the kernel {kernel:?}, the daemon {daemon:?}, the journal {journal:?}, the roles {roles:?}, \
             and clients {clients}"
        )
    }
}

impl Stage {
    /// Compares all accounts until they agree.
    pub(super) fn look(&mut self) -> Result<Look> {
        let began = Instant::now();
        let mut different = Vec::new();
        let agree = wait::until_some("all agree", wait::PATIENCE, || match self.accounts() {
            _ if self.is_dead() => Some(Ok(Look::Died)),
            Err(error) => Some(Err(error)),
            Ok(None) => None,
            Ok(Some(accounts)) if accounts.agree() => Some(Ok(Look::Agree)),
            Ok(Some(accounts)) => {
                different.push(accounts.to_string());
                let over = different.len() >= LOOKS && began.elapsed() > AGREE_WITHIN;
                over.then(|| Ok(Look::Differ(different.last().cloned().unwrap_or_default())))
            }
        });
        agree.unwrap_or_else(|why| Ok(Look::Differ(format!("{why:#}: {different:#?}"))))
    }

    /// What all say; none if the daemon does not answer, or the word has changed meanwhile.
    fn accounts(&self) -> Result<Option<Accounts>> {
        let began = clock::now();
        let kernel = self.kernel()?;
        let newest = HistoryQuery { limit: Some(1), ..HistoryQuery::default() };
        let asked = self.runtime.block_on(async {
            let status = self.client.status().await?;
            let history = self.client.history(&newest).await?;
            Ok::<_, Error>((status, history))
        });
        let Ok((status, history)) = asked else { return Ok(None) };
        let daemon = status.deployments.first().context("there is no deployment")?;
        let journal = history.entries.last().map(|entry| (entry.record.live, entry.record.generation));
        let newer = |tally: &Tally| {
            let short = tally.connections.iter().rev().find(|one| one.kind == Kind::Short);
            short.filter(|one| one.called > began).map(|one| one.stamp.colour)
        };
        let clients = wait::until_some("a new connection is answered", wait::PATIENCE, || self.tally(newer))?;
        if self.kernel()? != kernel {
            return Ok(None);
        }
        let (daemon, roles) = ((daemon.live, daemon.generation), self.roles());
        Ok(Some(Accounts { kernel, daemon, journal, roles, clients }))
    }

    /// Who is live by the word in the kernel as the programs read it, and its generation. As `bgctl --offline`
    /// reads it, without a process for each look.
    fn kernel(&self) -> Result<(Colour, u16)> {
        let kernel = Kernel::open_pinned(self.daemon.instance()).map_err(|why| anyhow::anyhow!("{why}"))?;
        let words = kernel.words().map_err(|why| anyhow::anyhow!("{why}"))?;
        let (_, word) = words.first().context("there is no deployment")?;
        let word = word.effective(Tick::from_nanos(clock::now()));
        Ok((word.live(), word.generation()))
    }

    /// The same by `bgctl --offline status`.
    pub(super) fn verify_offline(&self) -> Result<()> {
        let status = self.daemon.json(&["--offline", "status"])?;
        let deployment = status.pointer("/deployments/0").context("there is no deployment")?;
        let (kernel, offline) = (self.kernel()?, live_of(deployment));
        ensure!(offline == Some(kernel), "the word says {kernel:?}, and bgctl --offline {offline:?}");
        Ok(())
    }

    /// Who is live by what slices are told; none while the two are told different things.
    fn roles(&self) -> Option<(Colour, u16)> {
        let directory = Path::new(run::RUNTIME).join(self.daemon.instance()).join("role");
        let [blue, green] = Colour::BOTH.map(|colour| {
            let text = std::fs::read(directory.join(format!("{DEPLOYMENT}.{colour}"))).ok()?;
            let state: Value = serde_json::from_slice(&text).ok()?;
            let (live, generation) = live_of(&state)?;
            (state.get("role")? == "live").eq(&(live == colour)).then_some((live, generation))
        });
        blue.filter(|_| blue == green)
    }

    /// How often live has changed since the entry `after`, as the journal has it, and the newest such entry; none
    /// if the daemon does not answer.
    pub(super) fn flips(&self, after: Option<u64>) -> Option<(u64, Option<u64>)> {
        let kind = Kinds(vec!["switched".to_owned()]);
        let limit = Some(HistoryQuery::MOST);
        let query = HistoryQuery { kind, limit, after_seq: after, ..HistoryQuery::default() };
        let history = self.runtime.block_on(self.client.history(&query)).ok()?;
        let newest = history.entries.last().and_then(|entry| entry.seq);
        Some((history.entries.len().try_into().ok()?, newest))
    }

    /// Refuses a journal that is not whole.
    pub(super) fn verify(&self) -> Result<()> {
        let verified = self.runtime.block_on(self.client.verify());
        let verified = verified.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        ensure!(verified.whole, "the journal is not whole: {verified:?}");
        Ok(())
    }
}

fn live_of(value: &Value) -> Option<(Colour, u16)> {
    let live = value.get("live")?.as_str()?.parse().ok()?;
    Some((live, u16::try_from(value.get("generation")?.as_u64()?).ok()?))
}
