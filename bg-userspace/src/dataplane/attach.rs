//! Attaches programs to interfaces, and keeps them attached by pinned links.
//!
//! A link's pin is named after interface and hook, `<interface>@<hook>`, so that one hook has one link
//! and another program gets there by link update, never by detaching.

use super::load::{self, Loaded, chain};
use super::pins::{Pins, names, refused};
use super::sys::{self, LinkInfo};
use crate::dataplane::{AttachPlan, AttachSpec, Attachment, Hook, Path, Side};
use crate::refusal::Refusal;
use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::xdp::XdpLink;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode};
use bg_common::names::{TC_EGRESS, TC_INGRESS, TC_ZONE, XDP_INGRESS};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

const XDP: &str = "xdp";
const XDP_GENERIC: &str = "xdp-generic";
const TCX_INGRESS: &str = "tcx-ingress";
const TCX_EGRESS: &str = "tcx-egress";

/// A link that shall be there.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Wanted<'a> {
    link: &'a AttachSpec,
    hook: &'static str,
    program: &'static str,
}

/// The links of one interface.
fn wanted(path: Path, link: &AttachSpec) -> Vec<Wanted<'_>> {
    let want = |hook, program| Wanted { link, hook, program };
    let ingress = match (link.hook, link.side, path) {
        (Hook::Xdp, Side::Uplink | Side::Both, _) => want(XDP, XDP_INGRESS),
        (Hook::XdpGeneric, Side::Uplink | Side::Both, _) => want(XDP_GENERIC, XDP_INGRESS),
        (Hook::Tc, Side::Uplink, _) | (_, _, Path::Stack) => want(TCX_INGRESS, TC_INGRESS),
        (_, Side::Zone | Side::Both, Path::Redirect) => want(TCX_INGRESS, TC_ZONE),
    };
    match path {
        Path::Redirect => vec![ingress],
        Path::Stack => vec![ingress, want(TCX_EGRESS, TC_EGRESS)],
    }
}

/// The pinned links of an instance.
pub(super) struct Links<'a> {
    pins: &'a Pins,
}

impl<'a> Links<'a> {
    pub(super) fn new(pins: &'a Pins) -> Self {
        Self { pins }
    }

    fn dir(&self) -> PathBuf {
        self.pins.dir().join("links")
    }

    /// Attaches what is wanted, first taking off what is not: two modes of XDP exclude each other.
    pub(super) fn bring_in_line(&self, plan: &AttachPlan) -> Result<(), Refusal> {
        let wanted: Vec<Wanted<'_>> = plan.links.iter().flat_map(|link| wanted(plan.path, link)).collect();
        for name in names(&self.dir()) {
            if !wanted.iter().any(|wanted| pin_name(&wanted.link.name, wanted.hook) == name) {
                self.unpin(&name)?;
            }
        }
        let mut programs = BTreeMap::new();
        for wanted in &wanted {
            if !programs.contains_key(wanted.program) {
                programs.insert(wanted.program, load::open(self.pins, wanted.program)?);
            }
            if let Some(program) = programs.get_mut(wanted.program) {
                self.ensure(wanted, program)?;
            }
        }
        Ok(())
    }

    /// What is attached, in the order of the pins' names.
    pub(super) fn list(&self) -> Result<Vec<Attachment>, Refusal> {
        let programs = load::program_ids(self.pins);
        let mut list = Vec::new();
        for name in names(&self.dir()) {
            let info = self.info(&name)?;
            let (interface, hook) = parse_pin_name(&name);
            let program = programs.iter().find(|(id, _)| *id == info.program);
            let program = program.map_or_else(|| "unknown".to_owned(), |(_, name)| (*name).to_owned());
            list.push(Attachment { interface, ifindex: info.ifindex, program, hook });
        }
        Ok(list)
    }

    fn ensure(&self, wanted: &Wanted<'_>, program: &mut Loaded) -> Result<(), Refusal> {
        let name = pin_name(&wanted.link.name, wanted.hook);
        let path = self.dir().join(&name);
        if path.exists() {
            let LinkInfo { ifindex, program: attached } = self.info(&name)?;
            if ifindex == wanted.link.ifindex {
                if attached != program.id()? {
                    replace(&path, program).map_err(|error| refused(&path, &error))?;
                }
                return Ok(());
            }
            // The interface went away, or another one has its name: the link holds nothing.
            self.unpin(&name)?;
        }
        let link = attach(wanted, program)?;
        link.pin(&path).map(drop).map_err(|error| refused(&path, &chain(&error)))
    }

    fn info(&self, name: &str) -> Result<LinkInfo, Refusal> {
        let path = self.dir().join(name);
        sys::open_pin(&path)
            .and_then(|link| sys::link_info(link.as_fd()))
            .map_err(|error| refused(&path, &error))
    }

    fn unpin(&self, name: &str) -> Result<(), Refusal> {
        let path = self.dir().join(name);
        fs::remove_file(&path).map_err(|error| refused(&path, &error))
    }
}

/// Attaches a program where nothing of ours is.
fn attach(wanted: &Wanted<'_>, program: &mut Loaded) -> Result<FdLink, Refusal> {
    let attached = match program {
        Loaded::Xdp(xdp) => attach_xdp(wanted, xdp),
        Loaded::Tc(tc) => attach_tc(wanted, tc),
    };
    attached.map_err(|error| attach_refused(wanted, &error))
}

fn attach_xdp(wanted: &Wanted<'_>, xdp: &mut Xdp) -> Result<FdLink, ProgramError> {
    let mode = if wanted.hook == XDP_GENERIC { XdpMode::Skb } else { XdpMode::Driver };
    let id = xdp.attach_to_if_index(wanted.link.ifindex, mode)?;
    // Where the kernel refuses a link, aya attaches by netlink, which nothing could keep after us:
    // the conversion then fails, and dropping the link detaches it.
    xdp.take_link(id)?.try_into().map_err(not_a_link)
}

fn attach_tc(wanted: &Wanted<'_>, tc: &mut SchedClassifier) -> Result<FdLink, ProgramError> {
    let direction = if wanted.hook == TCX_EGRESS { TcAttachType::Egress } else { TcAttachType::Ingress };
    // At ingress before all others, at egress behind them: they see packets as clients send them.
    let order = if wanted.hook == TCX_EGRESS { LinkOrder::last() } else { LinkOrder::first() };
    let id = tc.attach_with_options(&wanted.link.name, direction, TcAttachOptions::TcxOrder(order))?;
    tc.take_link(id)?.try_into().map_err(not_a_link)
}

fn not_a_link(_: LinkError) -> ProgramError {
    ProgramError::IOError(std::io::Error::from(std::io::ErrorKind::Unsupported))
}

/// Puts a program in the place of another version, without a packet in between.
fn replace(path: &std::path::Path, program: &mut Loaded) -> Result<(), String> {
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
    }
    .map_err(|error| chain(&error))
}

fn attach_refused(wanted: &Wanted<'_>, error: &ProgramError) -> Refusal {
    let AttachSpec { name, .. } = wanted.link;
    let os = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
        .find_map(|error| error.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::raw_os_error);
    let at = format!("{name} ({})", wanted.hook);
    match os {
        Some(libc::EBUSY | libc::EEXIST) => Refusal::new(
            "foreign-program",
            "another XDP program is on this interface, and bg does not replace what is not its own",
            at,
            format!(
                "ip link show {name} names it; remove it with ip link set dev {name} xdp off, or use attach = \"tc\""
            ),
        ),
        Some(libc::ENODEV) => Refusal::new(
            "no-interface",
            "the interface is gone",
            at,
            "bring it back: bgd attaches as soon as it is there",
        ),
        Some(libc::EOPNOTSUPP) => Refusal::new(
            "no-native-xdp",
            "the interface's driver has no XDP",
            at,
            "use attach = \"tc\", or attach = \"xdp-generic\" for a test",
        ),
        Some(libc::ERANGE) => Refusal::new(
            "mtu-too-large",
            "the interface's MTU is larger than its driver takes with XDP",
            at,
            format!("ip link set dev {name} mtu 1500, or use attach = \"tc\""),
        ),
        Some(libc::ENOSPC) => Refusal::new(
            "too-few-queues",
            "the interface has fewer receive queues than its peer has transmit queues, which XDP needs",
            at,
            format!("raise them with ethtool -L {name}, or use attach = \"tc\""),
        ),
        _ => Refusal::new(
            "not-attached",
            format!("the kernel does not attach {}: {}", wanted.program, chain(error)),
            at,
            "bgctl doctor tells what is missing; attach = \"tc\" works on every Ethernet interface",
        ),
    }
}

/// bpffs reserves names with a dot; interfaces of VLANs have one.
fn pin_name(interface: &str, hook: &str) -> String {
    format!("{}@{hook}", interface.replace('%', "%25").replace('.', "%2e"))
}

fn parse_pin_name(name: &str) -> (String, String) {
    let (interface, hook) = name.rsplit_once('@').unwrap_or((name, ""));
    (interface.replace("%2e", ".").replace("%25", "%"), hook.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(path: Path, side: Side, hook: Hook) -> Vec<(&'static str, &'static str)> {
        let link = AttachSpec { ifindex: 1, name: "eth0".into(), side, hook };
        wanted(path, &link).into_iter().map(|wanted| (wanted.hook, wanted.program)).collect()
    }

    #[test]
    fn each_side_gets_the_programs_of_its_path() {
        let ingress = (TCX_INGRESS, TC_INGRESS);
        let egress = (TCX_EGRESS, TC_EGRESS);
        assert_eq!(programs(Path::Redirect, Side::Uplink, Hook::Tc), [ingress]);
        assert_eq!(programs(Path::Redirect, Side::Zone, Hook::Tc), [(TCX_INGRESS, TC_ZONE)]);
        assert_eq!(programs(Path::Redirect, Side::Both, Hook::Tc), [(TCX_INGRESS, TC_ZONE)]);
        assert_eq!(programs(Path::Stack, Side::Uplink, Hook::Xdp), [(XDP, XDP_INGRESS), egress]);
        assert_eq!(programs(Path::Stack, Side::Both, Hook::XdpGeneric), [(XDP_GENERIC, XDP_INGRESS), egress]);
        assert_eq!(programs(Path::Stack, Side::Uplink, Hook::Tc), [ingress, egress]);
        assert_eq!(programs(Path::Stack, Side::Zone, Hook::Tc), [ingress, egress]);
        // A zone is hooked by tc whatever is asked for.
        assert_eq!(programs(Path::Stack, Side::Zone, Hook::Xdp), [ingress, egress]);
    }

    #[test]
    fn every_interface_name_survives_its_pin() {
        for name in ["eth0", "eth0.100", "a@b", "50%2e", "%"] {
            let pin = pin_name(name, XDP);
            assert!(!pin.contains('.'), "{pin}");
            assert_eq!(parse_pin_name(&pin), (name.to_owned(), XDP.to_owned()));
        }
    }
}
