//! How one question is asked, whatever its kind, when there is room and within its time; and what came
//! of it.

use super::connect::{Connector, Kernel, Way};
use super::course::Course;
use super::failure::{Failure, REFUSED};
use super::names::Names;
use super::question::{Question, Whom};
use super::spec::{Ask, ProbeSpec, WhoAnswered, protocol};
use super::tls::Trust;
use super::{command, grpc, http, tcp, udp};
use crate::dataplane::Protocol;
use crate::model::Moment;
use crate::model::event::OwnFlows;
use crate::model::policy::Finding;
use bg_common::Colour;
use futures_util::future::{BoxFuture, join_all};
use nix::time::{ClockId, clock_gettime};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// So many conversations are open at a time; more questions wait.
const CONVERSATIONS: usize = 256;

/// So many commands run at a time. They have places of their own, since they are slow and large.
const COMMANDS: usize = 32;

/// So many frontends are told by name when a VIP is bad.
const TOLD: usize = 3;

/// When the asking began and what came of it, or what this host lacks to ask.
type Came = Result<(Moment, Finding, [OwnFlows; 2]), String>;

/// What asking takes.
pub(super) struct Means {
    vip: Option<Arc<dyn Connector>>,
    who: Arc<dyn WhoAnswered>,
    trust: Trust,
    conversations: Semaphore,
    commands: Semaphore,
}

impl Means {
    pub(super) fn new(vip: Option<Arc<dyn Connector>>, who: Arc<dyn WhoAnswered>) -> Self {
        Self {
            vip,
            who,
            trust: Trust::default(),
            conversations: Semaphore::new(CONVERSATIONS),
            commands: Semaphore::new(COMMANDS),
        }
    }

    /// Whether there is a client beyond the uplink that goes through VIPs.
    pub(super) fn reaches_vips(&self) -> bool {
        self.vip.is_some()
    }

    /// Asks, when there is room.
    pub(super) async fn ask(&self, question: &Question) -> Came {
        match &question.whom {
            Whom::Machine(colour, address) => {
                let names = question.names(*colour, vec![*address]);
                self.directly(&question.spec, &names, Some(*address)).await
            }
            Whom::Slice(colour, addresses) => {
                self.directly(&question.spec, &question.names(*colour, addresses.clone()), None).await
            }
            Whom::Vip(live, frontends) => {
                let Some(vip) = &self.vip else {
                    return Err("there is no client beyond the uplink".to_owned());
                };
                let mut asked: Vec<BoxFuture<'_, Came>> = Vec::new();
                for frontend in frontends {
                    let names = question.names(*live, vec![frontend.ip()]);
                    asked.push(Box::pin(self.through(
                        vip.as_ref(),
                        &question.spec,
                        names,
                        (*live, *frontend),
                    )));
                }
                together(join_all(asked).await, *live)
            }
        }
    }

    async fn directly(&self, spec: &ProbeSpec, names: &Names, address: Option<IpAddr>) -> Came {
        let to = address.zip(spec.port).map(SocketAddr::from);
        let (began, result, _) = self.within_limits(&Kernel, spec, names, to).await;
        Ok((began, finding(result, None, |why| why)?, [OwnFlows::default(); 2]))
    }

    async fn through(
        &self,
        vip: &dyn Connector,
        spec: &ProbeSpec,
        names: Names,
        (live, frontend): (Colour, SocketAddr),
    ) -> Came {
        let (began, result, course) = self.within_limits(vip, spec, &names, Some(frontend)).await;
        let protocol = protocol(&spec.ask);
        let answered =
            course.own.zip(protocol).and_then(|(own, protocol)| self.who.colour(own, frontend, protocol));
        let mut own = [OwnFlows::default(); 2];
        let colour = answered.unwrap_or(live);
        if let Some(made) = own.get_mut(colour.index()) {
            *made = flows_of(protocol, course, &result);
        }
        Ok((began, finding(result, answered, |why| format!("{frontend}: {why}"))?, own))
    }

    /// Asks one conversation's worth when there is room, within the probe's timeout.
    async fn within_limits(
        &self,
        connector: &dyn Connector,
        spec: &ProbeSpec,
        names: &Names,
        to: Option<SocketAddr>,
    ) -> (Moment, Result<(), Failure>, Course) {
        let room = match protocol(&spec.ask) {
            Some(_) => &self.conversations,
            None => &self.commands,
        };
        // The semaphores are never closed.
        let _place = room.acquire().await;
        let (began, mut course) = (now(), Course::default());
        let way = Way { connector, trust: &self.trust };
        let asked = timeout(spec.timeout, ask(way, spec, names, to, &mut course)).await;
        let result = asked.unwrap_or_else(|_| Err(course.late(spec.timeout)));
        (began, result, course)
    }
}

async fn ask(
    way: Way<'_>,
    spec: &ProbeSpec,
    names: &Names,
    to: Option<SocketAddr>,
    course: &mut Course,
) -> Result<(), Failure> {
    if let Ask::Command(arguments) = &spec.ask {
        return command::ask(arguments, names, course).await;
    }
    let Some(to) = to else {
        return Err(Failure::Answer("this probe has no address and port to ask".to_owned()));
    };
    match &spec.ask {
        Ask::Tcp => tcp::ask(way, to, course).await,
        Ask::Http(http) => http::ask(way, to, http, names, course).await,
        Ask::Udp { send, expect } => udp::ask(way, to, send, expect, names, course).await,
        Ask::Grpc { service, tls } => grpc::ask(way, to, service, tls.as_ref(), names, course).await,
        Ask::Command(_) => Ok(()),
    }
}

/// What the data plane counts of a question through the VIP.
fn flows_of(protocol: Option<Protocol>, course: Course, result: &Result<(), Failure>) -> OwnFlows {
    let is_tcp = protocol == Some(Protocol::Tcp);
    let is_connected = is_tcp && course.own.is_some();
    let is_refused = is_tcp && !is_connected && matches!(result, Err(Failure::Answer(why)) if why == REFUSED);
    let one = u64::from;
    OwnFlows { flows: 1, handshakes: one(is_tcp), answered: one(is_connected), refused: one(is_refused) }
}

fn finding(
    result: Result<(), Failure>,
    answered: Option<Colour>,
    say: impl FnOnce(String) -> String,
) -> Result<Finding, String> {
    match result {
        Ok(()) => Ok(Finding::Good { answered }),
        Err(Failure::Answer(why)) => Ok(Finding::Bad { why: say(why), answered }),
        Err(Failure::Host(why)) => Err(why),
    }
}

/// What the answers of all frontends say about the VIP. Who answered is whoever should not have, if anybody.
fn together(asked: Vec<Came>, live: Colour) -> Came {
    let (mut began, mut wrong, mut colours) = (Moment(Duration::MAX), Vec::new(), Vec::new());
    let mut own = [OwnFlows::default(); 2];
    for one in asked {
        let (moment, finding, made) = one?;
        began = began.min(moment);
        for (sum, made) in own.iter_mut().zip(made) {
            sum.flows += made.flows;
            sum.handshakes += made.handshakes;
            sum.answered += made.answered;
            sum.refused += made.refused;
        }
        match finding {
            Finding::Good { answered } => colours.extend(answered),
            Finding::Bad { why, answered } => {
                wrong.push(why);
                colours.extend(answered);
            }
        }
    }
    let answered = colours.iter().find(|colour| **colour != live).or(colours.first()).copied();
    let finding = if wrong.is_empty() {
        Finding::Good { answered }
    } else {
        let more = wrong.len().saturating_sub(TOLD);
        wrong.truncate(TOLD);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Finding::Bad { why: wrong.join("; ") + &more, answered }
    };
    Ok((began, finding, own))
}

/// The time on CLOCK_MONOTONIC, which every kernel has.
fn now() -> Moment {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(|time| Moment(time.into())).unwrap_or_default()
}
