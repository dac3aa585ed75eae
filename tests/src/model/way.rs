//! How a packet leaves the gateway.

use super::packet::Packet;
use super::rewrite::{To, rewritten};
use super::{Action, Input, Model, Program};
use bg_common::{Reason, Via};
use std::net::IpAddr;

/// What the kernel of the gateway would say when it is asked for a way.
#[derive(Clone, Debug)]
pub struct Routes {
    /// Networks of neighbours: address and prefix length.
    pub networks: Vec<(IpAddr, u32)>,
    /// Addresses in these which are no host's: the gateway's own, broadcast, anycast.
    pub not_hosts: Vec<IpAddr>,
    /// Bytes of the longest packet that they take.
    pub mtu: usize,
}

impl Routes {
    fn reaches(&self, ip: IpAddr) -> bool {
        let inside = |(network, prefix): &(IpAddr, u32)| is_inside(ip, *network, *prefix);
        self.networks.iter().any(inside) && !self.not_hosts.contains(&ip)
    }
}

/// Whether an address is in a network.
pub(super) fn is_inside(ip: IpAddr, network: IpAddr, prefix: u32) -> bool {
    let bits = |ip| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, false),
        IpAddr::V6(ip) => (u128::from(ip), true),
    };
    let ((network, family), (ip, is)) = (bits(network), bits(ip));
    family == is && (network ^ ip).checked_shr(128 - prefix).unwrap_or(0) == 0
}

impl Model {
    /// Sends a packet where it was decided that it goes.
    pub(super) fn leave(
        &mut self,
        program: Program,
        input: &Input<'_>,
        packet: &Packet,
        to: &To,
    ) -> Result<(Action, Vec<u8>), Reason> {
        let redirects = self.redirects(program, input, packet, to)?;
        // Who redirects takes the hop that the kernel would have taken.
        let frame = rewritten(input.frame, packet, to, u8::from(redirects));
        Ok((if redirects { Action::Redirect } else { Action::Pass }, frame))
    }

    /// Whether a packet is redirected.
    pub(super) fn redirects(
        &mut self,
        program: Program,
        input: &Input<'_>,
        packet: &Packet,
        to: &To,
    ) -> Result<bool, Reason> {
        Ok(match (program, to) {
            (Program::Xdp | Program::Egress | Program::NatEgress, _) => false,
            // The kernel takes the tag off.
            (Program::Ingress | Program::Zone | Program::NatIngress, To::Slice(_)) if packet.is_tagged() => {
                false
            }
            (Program::Ingress | Program::Zone | Program::NatIngress, To::Client(..))
                if packet.is_tagged() =>
            {
                return Err(Reason::Vlan);
            }
            (Program::Ingress | Program::Zone | Program::NatIngress, To::Slice(backend))
                if backend.via == Via::Stack =>
            {
                false
            }
            (Program::Ingress | Program::Zone | Program::NatIngress, To::Slice(_)) if packet.hops <= 1 => {
                // The kernel drops it, and says so.
                self.reasons.push(Reason::HopLimit);
                false
            }
            (Program::Ingress | Program::Zone | Program::NatIngress, To::Slice(_)) => true,
            (Program::Ingress | Program::Zone | Program::NatIngress, To::Client(..)) => {
                self.way_to_client(input, packet)?;
                true
            }
        })
    }

    fn way_to_client(&self, input: &Input<'_>, packet: &Packet) -> Result<(), Reason> {
        if packet.hops <= 1 {
            return Err(Reason::HopLimit);
        }
        if !self.routes.reaches(packet.dst) {
            return Err(Reason::NoRoute);
        }
        // Of a frame that stands for several packets, one has to fit.
        let length = match input.segments {
            (_, 0) => input.frame.len() - packet.l3,
            (_, size) => {
                let header = if packet.is_tcp() { packet.tcp.header } else { 8 };
                packet.l4 - packet.l3 + header + usize::from(size)
            }
        };
        if length > self.routes.mtu { Err(Reason::TooBig) } else { Ok(()) }
    }
}
