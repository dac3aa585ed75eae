//! What goes into the machine and what comes out of it.

use super::Moment;
use super::order::{Answer, Order, OrderId};
use super::policy::{Finding, Policy, Target};
use super::record::{Memory, Record, What};
use crate::prefix::Prefix;
use crate::refusal::Refusal;
use bg_common::{Aim, Colour, Traffic, Word};
use std::net::IpAddr;
use std::time::Duration;

/// The time, twice: what everything is measured by, and what people read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// CLOCK_MONOTONIC.
    pub moment: Moment,
    /// Seconds of Unix time, for the record only: it may jump.
    pub unix: u64,
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The journal was opened. Comes first, and once more if it could not be read by then.
    Remembered {
        /// Which boot of the machine this is.
        boot: String,
        /// The newest memory of each deployment.
        memories: Vec<(String, Memory)>,
        /// Why they are not to be relied on, if they are not.
        doubt: Option<String>,
    },
    /// The configuration was read.
    Configured(Vec<Configured>),
    /// The tables of these deployments were made, with the words that the machine remembers of them; their words
    /// come next.
    Made(Vec<String>),
    /// The words of all deployments were read.
    Words(Vec<(String, Word)>),
    /// An operator ordered something.
    Order {
        /// Returns with the answer.
        id: OrderId,
        /// What.
        order: Order,
    },
    /// An exchange that was asked for has ended.
    Exchanged {
        /// Whose word it was.
        deployment: String,
        /// How it ended.
        outcome: Outcome,
    },
    /// A record that was to be written first is durable, or cannot be.
    Journalled {
        /// Whose.
        deployment: String,
        /// Of [`Effect::Journal`].
        token: u64,
        /// How it ended.
        result: Result<(), Refusal>,
    },
    /// Why the journal writes nothing; none: it does.
    JournalState(Option<Refusal>),
    /// Hooks that were asked have answered.
    Asked {
        /// For which deployment.
        deployment: String,
        /// Of [`Effect::Ask`].
        token: u64,
        /// One for each hook of the phase.
        agreements: Vec<Agreement>,
    },
    /// A probe has asked a target.
    Probed {
        /// For which deployment.
        deployment: String,
        /// Its name.
        probe: String,
        /// Whom.
        target: Target,
        /// When it began to ask.
        began: Moment,
        /// Flows that it made through the VIP, on `[blue, green]`: the data plane counts them like any other.
        own: [OwnFlows; 2],
        /// What came of it.
        finding: Finding,
    },
    /// The data plane's counters were read, CPUs added up: for each deployment `[blue, green]`.
    Counted(Vec<(String, [Traffic; 2])>),
    /// The flows were counted.
    Swept {
        /// When the count began.
        began: Moment,
        /// For each deployment.
        open: Vec<(String, Open)>,
    },
    /// Something worth a record from which nothing follows.
    Noted {
        /// For which deployment.
        deployment: String,
        /// What.
        what: What,
    },
    /// The journal was begun anew: what is to be remembered has to be told again.
    Remind,
    /// Time has passed; [`Machine::next_timer`](super::Machine::next_timer) said when to come.
    Timer,
}

/// A deployment of the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configured {
    /// Its name.
    pub name: String,
    /// How it wants to be treated.
    pub policy: Policy,
    /// Names of its services.
    pub services: Vec<String>,
}

/// Flows of a slice that are bg's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OwnFlows {
    /// Of any protocol.
    pub flows: u64,
    /// TCP handshakes that were begun.
    pub handshakes: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that were refused.
    pub refused: u64,
}

/// Open flows of `[blue, green]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Open {
    /// How many.
    pub count: [u64; 2],
    /// Age of the oldest.
    pub oldest: [Duration; 2],
}

/// What a hook said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreement {
    /// Its name.
    pub hook: String,
    /// Whether it agrees.
    pub ok: bool,
    /// What it printed or answered.
    pub output: String,
    /// How long it took.
    pub took: Duration,
}

/// When hooks are asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// Before a switch.
    Before,
    /// While a switch is watched.
    Watch,
}

/// How an exchange ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The new word is there.
    Done {
        /// Just before it was written.
        at: Moment,
        /// Duration of the exchange.
        took: Duration,
    },
    /// Another word than expected was there, and still is.
    Lost {
        /// That word.
        actual: Word,
    },
    /// It could not be tried.
    Failed(Refusal),
}

/// What shall be done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Replace the word if it is as expected, and tell how that ended.
    Exchange {
        /// Whose word.
        deployment: String,
        /// What must be there.
        expected: Word,
        /// What shall be there.
        new: Word,
    },
    /// Answer an order.
    Answer {
        /// Which.
        id: OrderId,
        /// How.
        answer: Box<Answer>,
    },
    /// Remember what happened, and tell whoever wants to know.
    Record {
        /// What.
        record: Box<Record>,
        /// What has to be known again after a restart.
        memory: Box<Memory>,
    },
    /// As [`Effect::Record`], and tell when it is durable: something waits for it.
    Journal {
        /// Whose.
        deployment: String,
        /// To be returned.
        token: u64,
        /// What.
        record: Box<Record>,
        /// As in [`Effect::Record`].
        memory: Box<Memory>,
    },
    /// Ask the hooks of a phase.
    Ask {
        /// For which deployment.
        deployment: String,
        /// To be returned.
        token: u64,
        /// Which hooks.
        phase: Phase,
        /// What is about to be, or is being watched.
        record: Box<Record>,
    },
    /// Ask all probes of a deployment at once.
    ProbeNow {
        /// Its name.
        deployment: String,
    },
    /// Read the counters at once.
    CountNow,
    /// These clients are led elsewhere than to the live colour, besides those of the configuration.
    Preview {
        /// Whose.
        deployment: String,
        /// All of them.
        rules: Vec<(Prefix, Aim)>,
    },
    /// These backends get no new flows; all others do.
    Serve {
        /// Whose.
        deployment: String,
        /// The ones that do not.
        down: Vec<Down>,
    },
}

/// A backend that gets no new flows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
pub struct Down {
    /// Name of the service.
    pub service: String,
    /// Its slice.
    pub colour: Colour,
    /// Its machine.
    pub address: IpAddr,
}
