//! Where packets from clients are taken, and the path that follows from it.

use crate::config::{Attach, PathChoice};
use crate::dataplane::{AttachSpec, Hook, Path};
use crate::net::{Link, LinkKind};
use crate::refusal::Refusal;

/// What fits in one page together with XDP's headroom and the kernel's own trailer. Drivers refuse XDP
/// above about this size unless the program takes packets in fragments.
pub(crate) const XDP_MTU: u32 = 3498;

/// The hook of an uplink.
pub(super) fn choose(wanted: Attach, link: &Link, notes: &mut Vec<String>) -> Hook {
    let (hook, why) = match wanted {
        Attach::Xdp => (Hook::Xdp, "as configured"),
        Attach::XdpGeneric => (Hook::XdpGeneric, "as configured"),
        Attach::Tc => (Hook::Tc, "as configured"),
        Attach::Auto if link.kind != LinkKind::Device => {
            (Hook::Tc, "because packets of a virtual interface may come with unfinished checksums")
        }
        Attach::Auto if link.mtu > XDP_MTU => (Hook::Tc, "because its MTU is too large for XDP"),
        Attach::Auto => (Hook::Xdp, "because it is a device with a driver"),
    };
    let name = match hook {
        Hook::Xdp => "XDP",
        Hook::XdpGeneric => "generic XDP",
        Hook::Tc => "tc",
    };
    notes.push(format!("{} is hooked by {name}, {why}", link.name));
    hook
}

/// The path of rewritten packets.
pub(super) fn path(
    wanted: PathChoice,
    hooks: &[AttachSpec],
    uplinks: &[&Link],
    zones: &[&Link],
    notes: &mut Vec<String>,
) -> Result<Path, Refusal> {
    let xdp = hooks.iter().find(|spec| spec.hook != Hook::Tc);
    let narrow = narrow(uplinks, zones);
    let (path, why) = match (wanted, xdp, narrow) {
        (PathChoice::Stack, _, _) => (Path::Stack, "as configured".to_owned()),
        (PathChoice::Redirect, Some(spec), _) => {
            return Err(Refusal::new(
                "path-needs-tc",
                format_args!("path \"redirect\" needs tc, and uplink `{}` is hooked by XDP", spec.name),
                "keys `path` and `attach` in [gateway]",
                "set attach = \"tc\", or path = \"auto\"",
            ));
        }
        (PathChoice::Redirect, None, None) => (Path::Redirect, "as configured".to_owned()),
        (PathChoice::Redirect, None, Some((zone, uplink))) => (
            Path::Redirect,
            format!(
                "as configured; packets that fit {} (MTU {}) and not {} (MTU {}) are left to the kernel, which tells \
                 their sender",
                uplink.name, uplink.mtu, zone.name, zone.mtu
            ),
        ),
        (PathChoice::Auto, Some(spec), _) => {
            (Path::Stack, format!("because XDP on {} hands packets to the kernel's routing", spec.name))
        }
        (PathChoice::Auto, None, Some((zone, uplink))) => (
            Path::Stack,
            format!(
                "because {} (MTU {}) is narrower than {} (MTU {}), and only the kernel answers \
                 what is too big",
                zone.name, zone.mtu, uplink.name, uplink.mtu
            ),
        ),
        (PathChoice::Auto, None, None) => (Path::Redirect, "because every uplink is hooked by tc".to_owned()),
    };
    let name = match path {
        Path::Redirect => "redirect",
        Path::Stack => "stack",
    };
    notes.push(format!("the path is {name}, {why}"));
    Ok(path)
}

/// A zone link with a smaller MTU than an uplink, and that uplink.
fn narrow<'a>(uplinks: &[&'a Link], zones: &[&'a Link]) -> Option<(&'a Link, &'a Link)> {
    let widest = uplinks.iter().max_by_key(|link| link.mtu)?;
    zones.iter().find(|zone| zone.mtu < widest.mtu).map(|zone| (*zone, *widest))
}
