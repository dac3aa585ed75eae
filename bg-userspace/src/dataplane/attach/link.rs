//! Attachment by BPF links: XDP, and TCX where the kernel has it.

use super::{TCX_INGRESS, Wanted, XDP_GENERIC, is_egress};
use crate::dataplane::load::{Loaded, chain};
use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::xdp::XdpLink;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode};
use std::path::Path;

/// Attaches a program where nothing of ours is.
pub(super) fn attach(wanted: &Wanted<'_>, program: &mut Loaded) -> Result<FdLink, ProgramError> {
    match program {
        Loaded::Xdp(xdp) => attach_xdp(wanted, xdp),
        Loaded::Tc(tc) => attach_tc(wanted, tc),
        Loaded::SockAddr(_) | Loaded::Sock(_) => Err(ProgramError::UnexpectedProgramType),
    }
}

fn attach_xdp(wanted: &Wanted<'_>, xdp: &mut Xdp) -> Result<FdLink, ProgramError> {
    let mode = if wanted.hook == XDP_GENERIC { XdpMode::Skb } else { XdpMode::Driver };
    let id = xdp.attach_to_if_index(wanted.link.ifindex, mode)?;
    // Where the kernel knows no links of XDP (before 5.9), aya attaches by netlink, which could not be kept.
    xdp.take_link(id)?.try_into().map_err(not_a_link)
}

fn attach_tc(wanted: &Wanted<'_>, tc: &mut SchedClassifier) -> Result<FdLink, ProgramError> {
    let direction = if is_egress(wanted.hook) { TcAttachType::Egress } else { TcAttachType::Ingress };
    // At ingress before all others, at egress behind them: they see packets as clients send them.
    let order = if wanted.hook == TCX_INGRESS { LinkOrder::first() } else { LinkOrder::last() };
    let id = tc.attach_with_options(&wanted.link.name, direction, TcAttachOptions::TcxOrder(order))?;
    tc.take_link(id)?.try_into().map_err(not_a_link)
}

fn not_a_link(_: LinkError) -> ProgramError {
    ProgramError::IOError(std::io::Error::from(std::io::ErrorKind::Unsupported))
}

/// Puts a program in the place of another version, without a packet in between.
pub(super) fn replace(path: &Path, program: &mut Loaded) -> Result<(), String> {
    let link = FdLink::from(PinnedLink::from_pin(path).map_err(|error| chain(&error))?);
    match program {
        Loaded::Xdp(xdp) => {
            let link = XdpLink::try_from(link).map_err(|error| chain(&error))?;
            let id = xdp.attach_to_link(link).map_err(|error| chain(&error))?;
            xdp.take_link(id).map(drop)
        }
        Loaded::Tc(tc) => {
            let link = SchedClassifierLink::try_from(link).map_err(|error| chain(&error))?;
            let id = tc.attach_to_link(link).map_err(|error| chain(&error))?;
            tc.take_link(id).map(drop)
        }
        Loaded::SockAddr(_) | Loaded::Sock(_) => Err(ProgramError::UnexpectedProgramType),
    }
    .map_err(|error| chain(&error))
}
