//! The kernel's routing decisions: where a packet for one address would go, and where the default
//! routes point.

use super::{Net, answer, collect, errno, reason, unreadable};
use crate::refusal::Refusal;
use futures_util::{StreamExt, pin_mut};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType, RouteVia,
};
use rtnetlink::{Error, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the kernel would send a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RouteTo {
    /// Out of an interface.
    Out(Route),
    /// To itself: the address is one of this network namespace's own.
    Local,
    /// Nowhere, and why in the kernel's words.
    Nowhere(String),
}

/// A way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The interface.
    pub ifindex: u32,
    /// The router on the way, if the address is not on the link itself.
    pub gateway: Option<IpAddr>,
    /// The source address that the kernel would choose.
    pub source: Option<IpAddr>,
}

impl Route {
    /// The address on the link that takes the packet, for a packet to `destination`.
    #[must_use]
    pub fn next_hop(&self, destination: IpAddr) -> IpAddr {
        self.gateway.unwrap_or(destination)
    }
}

impl Net {
    /// Asks the kernel where it would send a packet for `destination`. Rules that look at the incoming
    /// interface or the source address are not consulted.
    ///
    /// # Errors
    ///
    /// When the kernel does not answer; that there is no route is an answer.
    pub async fn route_to(&self, destination: IpAddr) -> Result<RouteTo, Refusal> {
        // The scope and table of a new route mean nothing in a question, but old kernels read them.
        let mut question = match destination {
            IpAddr::V4(ip) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(ip, 32).build(),
            IpAddr::V6(ip) => RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(ip, 128).build(),
        };
        question.header = RouteHeader {
            address_family: question.header.address_family,
            destination_prefix_length: question.header.destination_prefix_length,
            ..RouteHeader::default()
        };
        let found = answer(async {
            let parts = self.handle.route().get(question).execute();
            pin_mut!(parts);
            parts.next().await.unwrap_or(Err(Error::RequestFailed))
        })
        .await;
        match found {
            Ok(message) => Ok(read(&message)),
            Err(why) if errno(&why).is_some_and(is_no_route) => Ok(RouteTo::Nowhere(reason(&why))),
            Err(why) => Err(unreadable("routes", &format!("ip route get {destination}"), &why)),
        }
    }

    /// The interfaces of the default routes, the best one first: by metric, IPv4 before IPv6.
    ///
    /// # Errors
    ///
    /// When the kernel does not list its routes.
    pub async fn default_uplinks(&self) -> Result<Vec<u32>, Refusal> {
        let mut uplinks = Vec::new();
        for all in
            [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()]
        {
            let routes = collect(self.handle.route().get(all).execute())
                .await
                .map_err(|why| unreadable("routes", "ip route", &why))?;
            let mut ways: Vec<(u32, u32)> = routes.iter().flat_map(default_ways).collect();
            ways.sort_by_key(|(metric, _)| *metric);
            for (_, ifindex) in ways {
                if !uplinks.contains(&ifindex) {
                    uplinks.push(ifindex);
                }
            }
        }
        Ok(uplinks)
    }
}

fn is_no_route(number: i32) -> bool {
    [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::ESRCH, libc::EACCES, libc::EINVAL].contains(&number)
}

fn read(message: &RouteMessage) -> RouteTo {
    let kind = message.header.kind;
    if kind == RouteType::Local {
        return RouteTo::Local;
    }
    if kind != RouteType::Unicast {
        return RouteTo::Nowhere(format!("the route is of type {kind:?}"));
    }
    let mut out = Route { ifindex: 0, gateway: None, source: None };
    for attribute in &message.attributes {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest of a route says nothing to bg")]
        match attribute {
            RouteAttribute::Oif(ifindex) => out.ifindex = *ifindex,
            RouteAttribute::Gateway(address) => out.gateway = ip(address),
            RouteAttribute::Via(RouteVia::Inet6(address)) => out.gateway = Some(IpAddr::V6(*address)),
            RouteAttribute::Via(RouteVia::Inet(address)) => out.gateway = Some(IpAddr::V4(*address)),
            RouteAttribute::PrefSource(address) => out.source = ip(address),
            _ => {}
        }
    }
    if out.ifindex == 0 {
        RouteTo::Nowhere("the route names no interface".to_owned())
    } else {
        RouteTo::Out(out)
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "other families cannot occur in an IP route")]
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}

/// Metric and interface of each way that a default route of the main table offers.
fn default_ways(message: &RouteMessage) -> Vec<(u32, u32)> {
    let mut table = u32::from(message.header.table);
    let (mut metric, mut ways) = (0, Vec::new());
    for attribute in &message.attributes {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest of a route says nothing to bg")]
        match attribute {
            RouteAttribute::Table(id) => table = *id,
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Oif(ifindex) => ways.push(*ifindex),
            RouteAttribute::MultiPath(hops) => ways.extend(hops.iter().map(|hop| hop.interface_index)),
            _ => {}
        }
    }
    let is_default = message.header.destination_prefix_length == 0
        && message.header.kind == RouteType::Unicast
        && table == u32::from(RouteHeader::RT_TABLE_MAIN);
    if !is_default {
        ways.clear();
    }
    ways.into_iter().map(|ifindex| (metric, ifindex)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtnetlink::packet_route::route::RouteNextHop;

    fn message(kind: RouteType, prefix: u8, attributes: Vec<RouteAttribute>) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.kind = kind;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.destination_prefix_length = prefix;
        message.attributes = attributes;
        message
    }

    #[test]
    fn a_route_names_interface_router_and_source() {
        let router = Ipv4Addr::new(10, 0, 0, 1);
        let attributes = vec![
            RouteAttribute::Oif(3),
            RouteAttribute::Gateway(router.into()),
            RouteAttribute::PrefSource(Ipv4Addr::new(10, 0, 0, 9).into()),
        ];
        let RouteTo::Out(route) = read(&message(RouteType::Unicast, 32, attributes)) else {
            panic!("a unicast route leads out")
        };
        assert_eq!(route.ifindex, 3);
        assert_eq!(route.source, Some("10.0.0.9".parse().unwrap()));
        assert_eq!(route.next_hop("198.51.100.7".parse().unwrap()), IpAddr::V4(router));
    }

    #[test]
    fn an_ipv4_route_over_an_ipv6_router_keeps_the_router() {
        let router: Ipv6Addr = "fe80::1".parse().unwrap();
        let attributes = vec![RouteAttribute::Oif(3), RouteAttribute::Via(RouteVia::Inet6(router))];
        let want = Route { ifindex: 3, gateway: Some(router.into()), source: None };
        assert_eq!(read(&message(RouteType::Unicast, 32, attributes)), RouteTo::Out(want));
    }

    #[test]
    fn own_addresses_and_dead_ends_are_no_way_out() {
        let local = read(&message(RouteType::Local, 32, vec![RouteAttribute::Oif(1)]));
        assert_eq!(local, RouteTo::Local);
        let hole = read(&message(RouteType::BlackHole, 32, vec![]));
        assert!(matches!(hole, RouteTo::Nowhere(_)), "{hole:?}");
    }

    #[test]
    fn only_default_routes_of_the_main_table_name_uplinks() {
        let mut hop = RouteNextHop::default();
        hop.interface_index = 5;
        let metric = RouteAttribute::Priority(100);
        let rows = [
            ("plain", RouteType::Unicast, 0, vec![RouteAttribute::Oif(2), metric.clone()], vec![(100, 2)]),
            (
                "several next hops",
                RouteType::Unicast,
                0,
                vec![RouteAttribute::MultiPath(vec![hop])],
                vec![(0, 5)],
            ),
            ("a prefix", RouteType::Unicast, 24, vec![RouteAttribute::Oif(2)], vec![]),
            ("unreachable default", RouteType::Unreachable, 0, vec![RouteAttribute::Oif(1)], vec![]),
            (
                "another table",
                RouteType::Unicast,
                0,
                vec![RouteAttribute::Table(1000), RouteAttribute::Oif(2)],
                vec![],
            ),
        ];
        for (what, kind, prefix, attributes, want) in rows {
            assert_eq!(default_ways(&message(kind, prefix, attributes)), want, "{what}");
        }
    }
}
