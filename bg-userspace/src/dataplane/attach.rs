//! Attaches programs to interfaces, and keeps them attached by pinned links.
//!
//! A link's pin is named after interface and hook, `<interface>@<hook>`, so that one hook has one link
//! and another program gets there by link update, never by detaching.

pub(super) mod cgroup;
mod filter;
mod link;
mod refused;

use super::load::{self, Loaded, chain};
use super::pins::{Pins, file_names, refused as pin_refused};
use super::sys::{self, LinkInfo};
use crate::dataplane::{AttachPlan, AttachSpec, Attachment, Hook, Path, Side};
use crate::refusal::Refusal;
use aya::programs::ProgramInfo;
use aya::util::KernelVersion;
use bg_common::names::{NAT_EGRESS, NAT_INGRESS, TC_EGRESS, TC_INGRESS, TC_ZONE, XDP_INGRESS};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

const XDP: &str = "xdp";
const XDP_GENERIC: &str = "xdp-generic";
const TCX_INGRESS: &str = "tcx-ingress";
const TCX_EGRESS: &str = "tcx-egress";
const CLSACT_INGRESS: &str = "clsact-ingress";
const CLSACT_EGRESS: &str = "clsact-egress";
/// Behind the program of the link itself.
const TCX_INGRESS_NAT: &str = "tcx-ingress-nat";
const TCX_EGRESS_NAT: &str = "tcx-egress-nat";
const CLSACT_INGRESS_NAT: &str = "clsact-ingress-nat";
const CLSACT_EGRESS_NAT: &str = "clsact-egress-nat";

/// How tc programs are attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tc {
    /// By TCX links.
    Link,
    /// By filters of the clsact queueing discipline.
    Filter,
}

impl Tc {
    /// What this kernel has: TCX came with 6.6.
    pub(super) fn of_this_kernel() -> Self {
        let tcx = KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0));
        if tcx { Self::Link } else { Self::Filter }
    }

    const fn ingress(self) -> &'static str {
        match self {
            Self::Link => TCX_INGRESS,
            Self::Filter => CLSACT_INGRESS,
        }
    }

    const fn egress(self) -> &'static str {
        match self {
            Self::Link => TCX_EGRESS,
            Self::Filter => CLSACT_EGRESS,
        }
    }

    const fn nat(self) -> [&'static str; 2] {
        match self {
            Self::Link => [TCX_INGRESS_NAT, TCX_EGRESS_NAT],
            Self::Filter => [CLSACT_INGRESS_NAT, CLSACT_EGRESS_NAT],
        }
    }
}

fn is_filter(hook: &str) -> bool {
    [CLSACT_INGRESS, CLSACT_EGRESS, CLSACT_INGRESS_NAT, CLSACT_EGRESS_NAT].contains(&hook)
}

/// Whether packets meet it when they leave.
fn is_egress(hook: &str) -> bool {
    [TCX_EGRESS, TCX_EGRESS_NAT, CLSACT_EGRESS, CLSACT_EGRESS_NAT].contains(&hook)
}

/// A link that shall be there.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Wanted<'a> {
    link: &'a AttachSpec,
    hook: &'static str,
    program: &'static str,
}

/// The links of one interface, which may lead to backends with a source.
fn wanted(tc: Tc, path: Path, link: &AttachSpec, source: bool) -> Vec<Wanted<'_>> {
    let want = |hook, program| Wanted { link, hook, program };
    let ingress = match (link.hook, link.side, path) {
        (Hook::Xdp, Side::Uplink | Side::Both, _) => want(XDP, XDP_INGRESS),
        (Hook::XdpGeneric, Side::Uplink | Side::Both, _) => want(XDP_GENERIC, XDP_INGRESS),
        (Hook::Tc, Side::Uplink, _) | (_, _, Path::Stack) => want(tc.ingress(), TC_INGRESS),
        (_, Side::Zone | Side::Both, Path::Redirect) => want(tc.ingress(), TC_ZONE),
    };
    // On the redirect path, too: a reply that cannot be redirected is the kernel's to route.
    let mut all = vec![ingress, want(tc.egress(), TC_EGRESS)];
    if source {
        let [ingress, egress] = tc.nat();
        // First what takes away, so that no reply comes back that nobody knows.
        all.extend([want(ingress, NAT_INGRESS), want(egress, NAT_EGRESS)]);
    }
    all
}

/// The pinned links of an instance.
pub(super) struct Links<'a> {
    pins: &'a Pins,
    tc: Tc,
}

impl<'a> Links<'a> {
    pub(super) fn new(pins: &'a Pins, tc: Tc) -> Self {
        Self { pins, tc }
    }

    fn dir(&self) -> PathBuf {
        self.pins.dir().join("links")
    }

    /// Attaches what is wanted, then takes off what is not: in between some packets meet a program too many,
    /// which finds nothing to do, but none meets one too few.
    pub(super) fn bring_in_line(&self, plan: &AttachPlan) -> Result<(), Refusal> {
        let of = |link| wanted(self.tc, plan.path, link, plan.sources.contains(&link.ifindex));
        let wanted: Vec<Wanted<'_>> = plan.links.iter().flat_map(of).collect();
        let mut programs = BTreeMap::new();
        for wanted in &wanted {
            if !programs.contains_key(wanted.program) {
                programs.insert(wanted.program, load::open(self.pins, wanted.program)?);
            }
            if let Some(program) = programs.get_mut(wanted.program) {
                self.make_way(wanted)?;
                self.ensure(wanted, program)?;
                crate::fail_point!("between-links");
            }
        }
        for name in file_names(&self.dir()) {
            let is_wanted = wanted.iter().any(|wanted| pin_name(&wanted.link.name, wanted.hook) == name);
            if !is_wanted && !cgroup::is_pin(&name) {
                self.unpin(&name)?;
            }
        }
        Ok(())
    }

    /// The two modes of XDP exclude each other: only here one has to go before the other can come.
    fn make_way(&self, wanted: &Wanted<'_>) -> Result<(), Refusal> {
        let other = match wanted.hook {
            XDP => XDP_GENERIC,
            XDP_GENERIC => XDP,
            _ => return Ok(()),
        };
        let name = pin_name(&wanted.link.name, other);
        if self.dir().join(&name).exists() { self.unpin(&name) } else { Ok(()) }
    }

    /// What is attached, in the order of the pins' names.
    pub(super) fn list(&self) -> Result<Vec<Attachment>, Refusal> {
        let programs = load::program_ids(self.pins);
        let mut list = Vec::new();
        for name in file_names(&self.dir()) {
            let info = self.info(&name)?;
            if cgroup::is_pin(&name) && info.program == 0 {
                // Its control group is gone.
                continue;
            }
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
        if is_filter(wanted.hook) {
            return filter::ensure(wanted, program, &path).map_err(|error| refused::attach(wanted, &error));
        }
        if path.exists() {
            let LinkInfo { ifindex, program: attached } = self.info(&name)?;
            if ifindex == wanted.link.ifindex {
                if attached != program.id()? {
                    link::replace(&path, program).map_err(|error| pin_refused(&path, &error))?;
                }
                return Ok(());
            }
            // The interface went away, or another one has its name: the link holds nothing.
            self.unpin(&name)?;
        }
        let link = link::attach(wanted, program).map_err(|error| refused::attach(wanted, &error))?;
        link.pin(&path).map(drop).map_err(|error| pin_refused(&path, &chain(&error)))
    }

    /// Takes everything off, whatever state it is in.
    pub(super) fn take_off(&self) {
        for name in file_names(&self.dir()) {
            // What cannot be taken off here goes with its pin.
            let _ = self.unpin(&name);
        }
    }

    fn info(&self, name: &str) -> Result<LinkInfo, Refusal> {
        let path = self.dir().join(name);
        let (interface, hook) = parse_pin_name(name);
        if is_filter(&hook) {
            let program = ProgramInfo::from_pin(&path).map_err(|error| pin_refused(&path, &error))?.id();
            let ifindex = nix::net::if_::if_nametoindex(interface.as_str()).unwrap_or(0);
            return Ok(LinkInfo { ifindex, program });
        }
        let link = sys::open_pin(&path);
        if cgroup::is_pin(name) {
            let info = link.and_then(|link| sys::cgroup_info(link.as_fd()));
            let info = info.map(|(_, program)| LinkInfo { ifindex: 0, program });
            return info.map_err(|error| pin_refused(&path, &error));
        }
        link.and_then(|link| sys::link_info(link.as_fd())).map_err(|error| pin_refused(&path, &error))
    }

    fn unpin(&self, name: &str) -> Result<(), Refusal> {
        let path = self.dir().join(name);
        let (interface, hook) = parse_pin_name(name);
        if is_filter(&hook) {
            filter::remove(&interface, &hook);
        } else if let Ok(link) = sys::open_pin(&path) {
            // One whose interface is gone is off already.
            let _ = sys::detach_link(link.as_fd());
        }
        fs::remove_file(&path).map_err(|error| pin_refused(&path, &error))
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
        wanted(Tc::Link, path, &link, false).into_iter().map(|wanted| (wanted.hook, wanted.program)).collect()
    }

    #[test]
    fn each_side_gets_the_programs_of_its_path() {
        let ingress = (TCX_INGRESS, TC_INGRESS);
        let egress = (TCX_EGRESS, TC_EGRESS);
        assert_eq!(programs(Path::Redirect, Side::Uplink, Hook::Tc), [ingress, egress]);
        assert_eq!(programs(Path::Redirect, Side::Zone, Hook::Tc), [(TCX_INGRESS, TC_ZONE), egress]);
        assert_eq!(programs(Path::Redirect, Side::Both, Hook::Tc), [(TCX_INGRESS, TC_ZONE), egress]);
        assert_eq!(programs(Path::Stack, Side::Uplink, Hook::Xdp), [(XDP, XDP_INGRESS), egress]);
        assert_eq!(programs(Path::Stack, Side::Both, Hook::XdpGeneric), [(XDP_GENERIC, XDP_INGRESS), egress]);
        assert_eq!(programs(Path::Stack, Side::Uplink, Hook::Tc), [ingress, egress]);
        assert_eq!(programs(Path::Stack, Side::Zone, Hook::Tc), [ingress, egress]);
        // A zone is hooked by tc whatever is asked for.
        assert_eq!(programs(Path::Stack, Side::Zone, Hook::Xdp), [ingress, egress]);
    }

    #[test]
    fn a_link_to_backends_with_a_source_gets_two_programs_more() {
        let link = AttachSpec { ifindex: 1, name: "eth0".into(), side: Side::Zone, hook: Hook::Tc };
        for (tc, hooks) in [
            (Tc::Link, [TCX_INGRESS, TCX_EGRESS, TCX_INGRESS_NAT, TCX_EGRESS_NAT]),
            (Tc::Filter, [CLSACT_INGRESS, CLSACT_EGRESS, CLSACT_INGRESS_NAT, CLSACT_EGRESS_NAT]),
        ] {
            let all = wanted(tc, Path::Redirect, &link, true);
            assert_eq!(all.iter().map(|wanted| wanted.hook).collect::<Vec<_>>(), hooks);
            assert_eq!(
                all.iter().map(|wanted| is_egress(wanted.hook)).collect::<Vec<_>>(),
                [false, true, false, true]
            );
        }
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
