//! Flows, one by one or added up.

use crate::dataplane::{FlowRow, FlowState, Protocol};
use bg_common::Colour;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A summary names so many of the clients with the most flows.
const TOP: usize = 3;

/// Which flows.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowQuery {
    /// Only of this deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
    /// Only of this colour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<Colour>,
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Whether they are to be added up, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub summary: bool,
}

/// The flows asked for, the most recently active first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Flows {
    /// How many there are, whatever the limit.
    pub total: usize,
    /// The first of them.
    pub flows: Vec<Flow>,
    /// All of them that are open, added up, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<FlowSummary>,
}

/// A flow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Flow {
    /// The client's address and port.
    pub client: SocketAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// Where the client connected to.
    pub frontend: SocketAddr,
    /// Who serves it.
    pub backend: SocketAddr,
    /// Name of the deployment.
    pub deployment: String,
    /// Name of the service.
    pub service: String,
    /// The colour that serves it.
    pub colour: Colour,
    /// What it is doing.
    pub state: FlowState,
    /// Milliseconds since its last packet, to 134.
    pub idle_ms: u64,
    /// Milliseconds since it began, to 2147.
    #[serde(default)]
    pub age_ms: Option<u64>,
}

/// Open flows, added up.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FlowSummary {
    /// In the order of deployment, VIP and colour; only those that have flows.
    pub vips: Vec<VipFlows>,
}

/// The open flows of one VIP and colour.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VipFlows {
    /// Name of the deployment.
    pub deployment: String,
    /// The address that clients connected to.
    pub vip: IpAddr,
    /// The colour that serves them.
    pub colour: Colour,
    /// How many there are.
    pub open: u64,
    /// Milliseconds since the oldest began.
    pub oldest_ms: Option<u64>,
    /// Addresses that they come from.
    pub clients: u64,
    /// Those with the most flows, at most three.
    pub top: Vec<Busy>,
}

/// A client with its flows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Busy {
    /// Its address.
    pub client: IpAddr,
    /// Its open flows.
    pub open: u64,
}

impl From<FlowRow> for Flow {
    fn from(row: FlowRow) -> Self {
        let FlowRow { client, protocol, frontend, backend, deployment, service, colour, state, idle, age } =
            row;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // It is known when a flow began to two seconds, and better how long it is idle.
        let (idle_ms, age_ms) = (millis(idle), Some(millis(age.max(idle))));
        Self { client, protocol, frontend, backend, deployment, service, colour, state, idle_ms, age_ms }
    }
}

impl Flows {
    /// What `query` asks for among `rows`.
    #[must_use]
    pub fn select(rows: Vec<FlowRow>, query: &FlowQuery) -> Self {
        let FlowQuery { deployment, colour, limit, summary } = query;
        let wanted = |row: &FlowRow| {
            deployment.as_ref().is_none_or(|name| *name == row.deployment)
                && colour.is_none_or(|colour| colour == row.colour)
        };
        let mut rows: Vec<_> = rows.into_iter().filter(wanted).collect();
        let summary = summary.then(|| FlowSummary::of(&rows));
        rows.sort_by_key(|row| (row.idle, row.client));
        let total = rows.len();
        let flows = rows.into_iter().take(limit.unwrap_or(usize::MAX)).map(Flow::from).collect();
        Self { total, flows, summary }
    }
}

impl FlowSummary {
    fn of(rows: &[FlowRow]) -> Self {
        #[derive(Default)]
        struct Group {
            open: u64,
            oldest: Duration,
            clients: HashMap<IpAddr, u64>,
        }
        let mut groups: BTreeMap<(&str, IpAddr, Colour), Group> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.state != FlowState::Closed) {
            let group = groups.entry((&row.deployment, row.frontend.ip(), row.colour)).or_default();
            group.open += 1;
            group.oldest = group.oldest.max(row.age);
            *group.clients.entry(row.client.ip()).or_default() += 1;
        }
        let vip = |((deployment, vip, colour), group): ((&str, IpAddr, Colour), Group)| {
            let Group { open, oldest, clients } = group;
            let number = u64::try_from(clients.len()).unwrap_or(u64::MAX);
            let mut top: Vec<_> = clients.into_iter().map(|(client, open)| Busy { client, open }).collect();
            top.sort_by_key(|busy| (std::cmp::Reverse(busy.open), busy.client));
            top.truncate(TOP);
            let oldest_ms = u64::try_from(oldest.as_millis()).ok();
            VipFlows { deployment: deployment.to_owned(), vip, colour, open, oldest_ms, clients: number, top }
        };
        Self { vips: groups.into_iter().map(vip).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(last: u8, vip: u8, colour: Colour, age: u64, state: FlowState) -> FlowRow {
        FlowRow {
            client: ([198, 51, 100, last], 1234).into(),
            protocol: Protocol::Tcp,
            frontend: ([192, 0, 2, vip], 80).into(),
            backend: ([10, 1, 0, 2], 8080).into(),
            deployment: "shop".to_owned(),
            service: "web".to_owned(),
            colour,
            state,
            idle: Duration::from_secs(1),
            age: Duration::from_secs(age),
        }
    }

    #[test]
    fn open_flows_are_added_up_by_address_and_colour_the_busiest_clients_first() {
        use Colour::{Blue, Green};
        use FlowState::{Closed, Established, HalfOpen};
        let rows = vec![
            row(1, 10, Blue, 5, Established),
            row(2, 10, Blue, 90, HalfOpen),
            row(2, 10, Blue, 7, Established),
            row(3, 10, Blue, 999, Closed),
            row(4, 10, Blue, 1, Established),
            row(5, 10, Blue, 1, Established),
            row(1, 9, Green, 3, Established),
        ];
        let query = FlowQuery { limit: Some(0), summary: true, ..FlowQuery::default() };
        let Flows { total, flows, summary } = Flows::select(rows.clone(), &query);
        assert_eq!((total, flows.len()), (7, 0));
        let FlowSummary { vips } = summary.unwrap();
        let said: Vec<_> = vips
            .iter()
            .map(|of| (of.vip.to_string(), of.colour, of.open, of.oldest_ms, of.clients))
            .collect();
        let expected = [
            ("192.0.2.9".to_owned(), Green, 1, Some(3_000), 1),
            ("192.0.2.10".to_owned(), Blue, 5, Some(90_000), 4),
        ];
        assert_eq!(said, expected);
        let top: Vec<_> = vips[1].top.iter().map(|busy| (busy.client.to_string(), busy.open)).collect();
        let expected = [("198.51.100.2", 2), ("198.51.100.1", 1), ("198.51.100.4", 1)];
        assert_eq!(top, expected.map(|(client, open)| (client.to_owned(), open)));

        let query = FlowQuery { colour: Some(Green), limit: Some(9), ..FlowQuery::default() };
        let Flows { total, flows, summary } = Flows::select(rows, &query);
        assert_eq!((total, flows[0].age_ms, summary), (1, Some(3_000), None));
    }
}
