//! Lets steps happen to programs and model alike, and compares.

use super::machine::{Machine, Sizes, flow, flow_key, fragment, fragment_key, nat_key, traffic_differs};
use super::network;
use super::step::{Change, Made, Step, hex};
use crate::clock;
use crate::model::{Action, Input, Key, Model, Output, Pin, Place, Program, Tables, Word, verifies};
use crate::packet::difference;
use anyhow::Result;
use bg_common::{Colour, Flow, Tick};
use std::collections::HashMap;

/// Programs and model in the same state.
pub(super) struct Player {
    machine: Machine,
    model: Model,
    /// Both at the beginning of a round.
    fresh: Tables,
    out: Vec<u8>,
    /// Packets that were compared.
    pub(super) packets: u64,
}

/// The tick of the clock that the programs read.
fn tick() -> u32 {
    Tick::from_nanos(clock::coarse()).0
}

impl Player {
    pub(super) fn new(sizes: Sizes) -> Result<Self> {
        Self::with(sizes, network::tables(sizes, true))
    }

    pub(super) fn with(sizes: Sizes, fresh: Tables) -> Result<Self> {
        let machine = Machine::load(sizes, &fresh)?;
        let model = Model::new(fresh.clone(), network::routes());
        Ok(Self { machine, model, fresh, out: Vec::new(), packets: 0 })
    }

    pub(super) const fn model(&self) -> &Model {
        &self.model
    }

    /// What became of the last frame.
    pub(super) fn out(&self) -> &[u8] {
        &self.out
    }

    /// Back to the beginning.
    pub(super) fn reset(&mut self) -> Result<()> {
        self.machine.clear()?;
        for (deployment, word) in &self.fresh.words {
            self.machine.set_word(*deployment, *word)?;
        }
        for (id, backend) in &self.fresh.backends {
            self.machine.set_backend(*id, Some(backend))?;
        }
        self.model.tables = self.fresh.clone();
        Ok(())
    }

    /// Lets one step happen, and says how the two differ after it.
    pub(super) fn play(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Packet { program, frame, segments } => self.packet(*program, frame, *segments),
            Step::Word { .. }
            | Step::Backend { .. }
            | Step::Pin { .. }
            | Step::Sweep { .. }
            | Step::Port { .. } => self.change(step).map_err(|error| format!("{error:#}")),
        }
    }

    fn change(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Packet { .. } => {}
            Step::Word { deployment, bits, deadline } => {
                let deadline = deadline.map_or(0, |ticks| tick().saturating_add_signed(ticks));
                let word = Word(u64::from(*bits) | u64::from(deadline) << 32);
                self.machine.set_word(*deployment, word)?;
                self.model.tables.words.insert(*deployment, word);
            }
            Step::Backend { id, change } => {
                let backend = match change {
                    Change::Gone => None,
                    Change::Up => self.fresh.backends.get(id).copied(),
                    Change::Down(pinned) => self.fresh.backends.get(id).copied().map(|mut backend| {
                        backend.down = Some(*pinned);
                        backend
                    }),
                };
                self.machine.set_backend(*id, backend.as_ref())?;
                match backend {
                    Some(backend) => drop(self.model.tables.backends.insert(*id, backend)),
                    None => drop(self.model.tables.backends.remove(id)),
                }
            }
            Step::Pin { place, key, pin } => {
                let room = self.model.tables.room[usize::from(*place == Place::HalfOpen)];
                let table = self.model.tables.of_mut(*place);
                if table.contains_key(key) || table.len() < room {
                    let Made { backend, frontend, state, age, begun } = *pin;
                    let now = tick();
                    let pin = Pin {
                        backend,
                        frontend,
                        state,
                        seen: now.saturating_sub(age),
                        began: now.saturating_sub(begun),
                    };
                    table.insert(*key, pin);
                    self.machine.set_pin(*place, key, Some(pin))?;
                }
            }
            Step::Sweep { place, key } => {
                self.model.tables.of_mut(*place).remove(key);
                self.machine.set_pin(*place, key, None)?;
            }
            Step::Port { at, flow } => {
                let Tables { hidden, nat_room, .. } = &mut self.model.tables;
                match flow {
                    Some(flow) if hidden.contains_key(at) || hidden.len() < *nat_room => {
                        hidden.insert(*at, *flow);
                        self.machine.set_hidden(at, Some(flow))?;
                    }
                    Some(_) => {}
                    None => {
                        hidden.remove(at);
                        self.machine.set_hidden(at, None)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn packet(&mut self, program: Program, frame: &[u8], segments: (u16, u16)) -> Result<(), String> {
        let (before, begun) = (tick(), clock::now());
        let returned = self.machine.run(program, frame, segments, &mut self.out);
        let (ended, after) = (clock::now(), tick());
        self.packets += 1;
        let returned = returned.map_err(|error| format!("{error:#}"))?;
        let segments = if program.is_tc() { segments } else { (0, 0) };
        let input = |now| Input { frame, segments, now, span: (begun, ended) };
        // The clock may have moved on while the program ran: then what any of its ticks leads to is right.
        let fresh = (before != after).then(|| self.model.clone());
        let mut verdict = self.check(program, &input(before), returned);
        for tick in before..=after {
            let Some(fresh) = &fresh else { break };
            if tick > before && verdict.is_err() {
                self.model = fresh.clone();
                verdict = self.check(program, &input(tick), returned);
            }
            // Two ticks can lead to the same packet and pins, and be counted differently.
            verdict = verdict.and_then(|()| self.compare_counters());
        }
        verdict.map_err(|how| format!("{program:?} {}\n{how}", hex(frame)))
    }

    fn check(&mut self, program: Program, input: &Input<'_>, returned: i32) -> Result<(), String> {
        let want = self.model.run(program, input);
        let mut how = outcome_differs(program, input, &want, returned, &self.out);
        for key in &self.model.tables.touched.clone() {
            for place in Place::BOTH {
                let got = self.machine.pin(place, key);
                self.forgive(place, key, got.as_ref());
                let want = self.model.tables.of(place).get(key);
                if want.map(flow) != got {
                    how += &format!("{place:?} {key:?}: {got:?} instead of {want:?}\n");
                }
            }
        }
        for name in &self.model.tables.fragments_touched {
            let (want, got) = (self.model.tables.fragments.get(name), self.machine.fragment(name));
            if want.map(fragment) != got {
                how += &format!("fragments {name:?}: {got:?} instead of {want:?}\n");
            }
        }
        if how.is_empty() { Ok(()) } else { Err(format!("{how}the model counts {:?}\n", want.reasons)) }
    }

    /// An established pin's time may be that of a packet of a moment ago, because programs do not look at the pin
    /// for each packet of a busy flow.
    fn forgive(&mut self, place: Place, key: &Key, got: Option<&Flow>) {
        let pin = self.model.tables.established.get_mut(key).filter(|_| place == Place::Established);
        if let (Some(pin), Some(got)) = (pin, got)
            && pin.seen == got.seen.0 + 1
        {
            pin.seen = got.seen.0;
        }
    }

    /// Says how the two differ in anything.
    pub(super) fn compare_all(&mut self) -> Result<(), String> {
        let mut how = String::new();
        for place in Place::BOTH {
            let mut want: HashMap<_, _> =
                self.model.tables.of(place).iter().map(|(key, pin)| (flow_key(key), flow(pin))).collect();
            for (key, got) in self.machine.pins(place) {
                let want = want.remove(&key);
                if want != Some(got) {
                    how += &format!("{place:?} {key:?}: {got:?} instead of {want:?}\n");
                }
            }
            how.extend(
                want.iter().map(|(key, want)| format!("{place:?} {key:?}: nothing instead of {want:?}\n")),
            );
        }
        let fragments = &self.model.tables.fragments;
        let mut want: HashMap<_, _> =
            fragments.iter().map(|(name, went)| (fragment_key(name), fragment(went))).collect();
        for (key, got) in self.machine.all_fragments() {
            let want = want.remove(&key);
            if want != Some(got) {
                how += &format!("fragments {key:?}: {got:?} instead of {want:?}\n");
            }
        }
        how.extend(
            want.iter().map(|(key, want)| format!("fragments {key:?}: nothing instead of {want:?}\n")),
        );
        let hidden = &self.model.tables.hidden;
        let mut want: HashMap<_, _> = hidden.iter().map(|(at, key)| (nat_key(at), flow_key(key))).collect();
        for (at, got) in self.machine.hidden() {
            let want = want.remove(&at);
            if want != Some(got) {
                how += &format!("port {at:?}: {got:?} instead of {want:?}\n");
            }
        }
        how.extend(want.iter().map(|(at, want)| format!("port {at:?}: nothing instead of {want:?}\n")));
        if let Err(differs) = self.compare_counters() {
            how += &differs;
        }
        if how.is_empty() { Ok(()) } else { Err(how) }
    }

    /// Says how the two differ in what they have counted.
    fn compare_counters(&self) -> Result<(), String> {
        let mut how = String::new();
        for (reason, got) in self.machine.counted().map_err(|error| format!("{error:#}"))? {
            let want = self.model.tables.counted.get(&reason).copied().unwrap_or_default();
            if got != want {
                how += &format!("{reason:?} was counted {got} times instead of {want}\n");
            }
        }
        for deployment in 0..network::DEPLOYMENTS {
            for colour in Colour::BOTH {
                let want = self.model.tables.slices.get(&(deployment, colour)).copied().unwrap_or_default();
                let got = self.machine.traffic(deployment, colour).map_err(|error| format!("{error:#}"))?;
                let differs = traffic_differs(&want, &got);
                if !differs.is_empty() {
                    how += &format!("slice {deployment} {colour}: {differs}\n");
                }
            }
        }
        if how.is_empty() { Ok(()) } else { Err(how) }
    }
}

fn outcome_differs(program: Program, input: &Input<'_>, want: &Output, returned: i32, out: &[u8]) -> String {
    let action = match (program, returned) {
        (Program::Xdp, 2) | (_, -1) => Some(Action::Pass),
        (Program::Xdp, 1) => Some(Action::Drop),
        (Program::Xdp, 3) | (_, 7) => Some(Action::Redirect),
        (_, 2) => Some(Action::Drop),
        _ => None,
    };
    let mut how = String::new();
    if action != Some(want.action) {
        how += &format!("action {action:?} ({returned}) instead of {:?}\n", want.action);
    }
    if let Some(want) = &want.frame
        && !verifies(input.frame, want, out)
    {
        how += &difference(want, out);
    }
    how
}
