//! The data plane of this machine's kernel.

use super::attach::{Links, Tc, cgroup};
use super::load::{self, Sizes};
use super::lock::Lock;
use super::observer::TableObserver;
use super::pins::Pins;
use super::reconcile::{flaps, forget_backend, forget_frontend, reconcile};
use super::state::{Op, Retired, State};
use super::tables::Tables;
use crate::dataplane::{
    Applied, AttachPlan, Attachment, Dataplane, DeploymentSpec, Detached, Exchange, Observer, Sweep,
};
use crate::refusal::Refusal;
use bg_common::Word;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub use super::load::OBJECT;

/// What a daemon opens its data plane with.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Names the pins and the lock.
    pub instance: String,
    /// Established pins; counts when the tables are made.
    pub flows: u32,
    /// Half-open pins; counts when the tables are made.
    pub half_open: u32,
}

/// The data plane of one instance.
pub struct Kernel {
    pins: Pins,
    tables: Tables,
    state: State,
    /// What the state was brought in line with by the last [`Dataplane::apply`]; empty if that failed.
    wanted: Vec<DeploymentSpec>,
    tc: Tc,
    /// What the last sweep found no pin of.
    unnamed: Retired,
    /// Why local processes are not served, which is not told again.
    deaf: Option<Refusal>,
    /// Held by the daemon; `bgctl --offline` goes without.
    _lock: Option<Lock>,
}

impl Kernel {
    /// Opens the pinned data plane, or makes one. Programs of another build are replaced; words, flows
    /// and attachments stay.
    ///
    /// # Errors
    ///
    /// When another daemon runs the instance, the pins are of another version or not bg's, or the kernel
    /// does not take the programs. What was there before stays as it was.
    pub fn open(options: &OpenOptions) -> Result<Self, Refusal> {
        let OpenOptions { instance, flows, half_open } = options;
        Pins::require_bpffs()?;
        let lock = Lock::take(instance)?;
        let pins = Pins::new(instance);
        pins.require_own()?;
        pins.tidy_up()?;
        if pins.exists()? {
            pins.check_layout()?;
            pins.compare_sizes(*flows, *half_open);
            load::upgrade(&pins)?;
        } else {
            load::create(&pins, Sizes { flows: *flows, half_open: *half_open })?;
        }
        Self::assemble(pins, Some(lock))
    }

    /// Opens the pinned data plane without a daemon: words can be read and changed, nothing else.
    ///
    /// # Errors
    ///
    /// When nothing is pinned, or not in this version's form.
    pub fn open_pinned(instance: &str) -> Result<Self, Refusal> {
        Pins::require_bpffs()?;
        let pins = Pins::new(instance);
        if !pins.exists()? {
            return Err(Refusal::new(
                "nothing-pinned",
                format!("no data plane of instance {instance} is in the kernel"),
                pins.dir().display(),
                "start the daemon (systemctl start bgd), or name another --instance",
            ));
        }
        pins.require_own()?;
        pins.check_layout()?;
        Self::assemble(pins, None)
    }

    /// Takes an instance down without reading anything of it, whatever state it is in.
    ///
    /// # Errors
    ///
    /// When a daemon runs the instance, or a pin cannot be removed.
    pub fn remove(instance: &str) -> Result<Detached, Refusal> {
        Pins::require_bpffs()?;
        let pins = Pins::new(instance);
        if pins.is_empty() {
            return Ok(Detached::default());
        }
        let _lock = Lock::take(instance).map_err(|refusal| match refusal.code.as_str() {
            "second-daemon" => Refusal {
                what: "a daemon runs this instance".to_owned(),
                mend: "leave out --offline: the daemon takes its data plane down itself".to_owned(),
                ..refusal
            },
            _ => refusal,
        })?;
        pins.require_own()?;
        take_down(&pins)
    }

    fn assemble(pins: Pins, lock: Option<Lock>) -> Result<Self, Refusal> {
        let tables = Tables::open(&pins.dir())?;
        let state = tables.state()?;
        let (tc, unnamed, wanted) = (Tc::of_this_kernel(), Retired::default(), Vec::new());
        Ok(Self { pins, tables, state, wanted, tc, unnamed, deaf: None, _lock: lock })
    }

    /// Attaches tc programs as kernels before 6.6 need it, whatever this kernel has.
    pub fn use_clsact(&mut self) {
        self.tc = Tc::Filter;
    }

    fn execute(&mut self, ops: &[Op]) -> Result<(), Refusal> {
        for op in ops {
            self.tables.execute(op)?;
        }
        Ok(())
    }

    /// Executes the changes of a plan. If that fails, what holds is in the tables.
    fn execute_or_reread(&mut self, ops: &[Op]) -> Result<(), Refusal> {
        let done = self.execute(ops);
        if done.is_err() {
            self.wanted.clear();
            self.state = self.tables.state()?;
        }
        done
    }
}

/// Removes every pin of an instance, attachments first.
fn take_down(pins: &Pins) -> Result<Detached, Refusal> {
    let links = Links::new(pins, Tc::of_this_kernel());
    // What cannot be listed can still be removed.
    let attachments = links.list().unwrap_or_default();
    links.take_off();
    Ok(Detached { attachments, pins: pins.remove()? })
}

impl Dataplane for Kernel {
    fn apply(&mut self, want: &[DeploymentSpec]) -> Result<Applied, Refusal> {
        if !self.wanted.is_empty()
            && let Some(changes) = flaps(&self.state, &self.wanted, want)
        {
            let (ops, changed) = changes?;
            self.execute_or_reread(&ops)?;
            self.state.take_over(changed);
            want.clone_into(&mut self.wanted);
            return Ok(Applied { writes: ops.len(), ..Applied::default() });
        }
        let (ops, state) = reconcile(&self.state, want)?;
        let names = |ours: &State, theirs: &State| {
            let missing = ours.deployments.values().filter(|name| theirs.deployment_id(name).is_none());
            missing.cloned().collect()
        };
        let applied = Applied {
            created: names(&state, &self.state),
            removed: names(&self.state, &state),
            writes: ops.len(),
        };
        self.execute_or_reread(&ops)?;
        self.state = state;
        want.clone_into(&mut self.wanted);
        Ok(applied)
    }

    fn words(&self) -> Result<Vec<(String, Word)>, Refusal> {
        let word = |id| Ok(Word::from_bits(self.tables.word(id)?.load(Ordering::Acquire)));
        self.state.deployments.iter().map(|(id, name)| Ok((name.clone(), word(*id)?))).collect()
    }

    fn exchange(&self, deployment: &str, expected: Word, new: Word) -> Result<Exchange, Refusal> {
        let id = self.state.deployment_id(deployment).ok_or_else(|| {
            let known: Vec<&str> = self.state.deployments.values().map(String::as_str).collect();
            Refusal::new(
                "unknown-deployment",
                format!("there is no deployment {deployment}"),
                "the tables in the kernel",
                format!("name one of: {}", known.join(", ")),
            )
        })?;
        let word = self.tables.word(id)?;
        let start = Instant::now();
        let exchanged =
            word.compare_exchange(expected.bits(), new.bits(), Ordering::AcqRel, Ordering::Acquire);
        Ok(match exchanged {
            Ok(_) => Exchange::Done { took: start.elapsed() },
            Err(actual) => Exchange::Lost { actual: Word::from_bits(actual) },
        })
    }

    fn attach(&mut self, plan: &AttachPlan) -> Result<Vec<Attachment>, Refusal> {
        let links = Links::new(&self.pins, self.tc);
        links.bring_in_line(plan)?;
        // Whoever comes in over an interface is served whether or not local processes are.
        let deaf = cgroup::bring_in_line(&self.pins, plan.cgroup.as_deref()).err();
        if let Some(Refusal { what, at, mend, .. }) =
            deaf.as_ref().filter(|deaf| self.deaf.as_ref() != Some(*deaf))
        {
            tracing::warn!(at, mend, "{what}");
        }
        self.deaf = deaf;
        links.list()
    }

    fn attachments(&self) -> Result<Vec<Attachment>, Refusal> {
        Links::new(&self.pins, self.tc).list()
    }

    fn observer(&self) -> Result<Box<dyn Observer>, Refusal> {
        Ok(Box::new(TableObserver::open(&self.pins)?))
    }

    fn settle(&mut self, sweep: &Sweep) -> Result<(), Refusal> {
        let Retired { mut backends, mut frontends } = self.state.retired();
        backends.retain(|id| !sweep.backends.contains(id));
        frontends.retain(|id| !sweep.frontends.contains(id));
        let before = std::mem::replace(
            &mut self.unnamed,
            Retired { backends: backends.clone(), frontends: frontends.clone() },
        );
        for id in backends.intersection(&before.backends) {
            let ops = forget_backend(&mut self.state, *id);
            self.execute(&ops)?;
        }
        for id in frontends.intersection(&before.frontends) {
            let ops = forget_frontend(&mut self.state, *id);
            self.execute(&ops)?;
        }
        Ok(())
    }

    fn detach(&mut self) -> Result<Detached, Refusal> {
        take_down(&self.pins)
    }
}
