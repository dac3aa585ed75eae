//! Kernel settings of this network namespace, read from /proc/sys. bg never writes one: a gateway's
//! forwarding policy is its owner's, so what is missing is named together with the command.

use std::fmt;

/// Reads a setting as a number. The path is relative to /proc/sys and written with slashes, because
/// an interface name may contain dots. `None` if the kernel has no such setting.
#[must_use]
pub fn read(path: &str) -> Option<i64> {
    std::fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().parse().ok()
}

/// A setting and the value that it ought to have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Relative to /proc/sys, with slashes.
    pub path: String,
    /// The value.
    pub value: i64,
}

impl Setting {
    /// Puts the two together.
    #[must_use]
    pub fn new(path: impl Into<String>, value: i64) -> Self {
        Self { path: path.into(), value }
    }

    /// The setting as it is usually written: with dots, unless an interface name has some itself.
    #[must_use]
    pub fn name(&self) -> String {
        if self.path.contains('.') { self.path.clone() } else { self.path.replace('/', ".") }
    }
}

/// The command that makes the setting.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sysctl -w {}={}", self.name(), self.value)
    }
}

/// The families that are to be forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// The settings that stand in the way of packets between `interfaces`. Both paths need them: one lets
/// the kernel route, the other asks it for the route.
#[must_use]
pub fn forwarding_gaps(interfaces: &[&str], families: Families) -> Vec<Setting> {
    gaps(interfaces, families, read)
}

fn gaps(interfaces: &[&str], families: Families, read: impl Fn(&str) -> Option<i64>) -> Vec<Setting> {
    let off = |path: &str| read(path) == Some(0);
    let each = |family: &str| {
        let paths = interfaces.iter().map(|name| format!("net/{family}/conf/{name}/forwarding"));
        paths.filter(|path| off(path)).map(|path| Setting::new(path, 1)).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    if families.v4 {
        // IPv4 looks at the incoming interface only; the common switch sets them all.
        let missing = each("ipv4");
        if !missing.is_empty() && off("net/ipv4/ip_forward") {
            found.push(Setting::new("net/ipv4/ip_forward", 1));
        } else {
            found.extend(missing);
        }
    }
    if families.v6 {
        // IPv6 looks at the common switch and, for a route look-up, at the interface's own.
        if off("net/ipv6/conf/all/forwarding") {
            found.push(Setting::new("net/ipv6/conf/all/forwarding", 1));
        } else {
            found.extend(each("ipv6"));
        }
    }
    found
}

/// Whether packets whose sender would not be answered over `interface` are dropped there
/// (RFC 3704 section 2.2): the kernel takes the higher of the common setting and the interface's.
#[must_use]
pub fn strict_reverse_path(interface: &str) -> bool {
    let of = |name: &str| read(&format!("net/ipv4/conf/{name}/rp_filter")).unwrap_or(0);
    of("all").max(of(interface)) == 1
}

/// Whether this host acts as an IPv6 router on `interface`, as its neighbour advertisements say.
#[must_use]
pub fn is_ipv6_router(interface: &str) -> bool {
    read(&format!("net/ipv6/conf/{interface}/forwarding")) == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Families = Families { v4: true, v6: true };

    /// What is missing between eth0 and zone when the settings named in `off` are 0, all others 1.
    fn missing(families: Families, off: &[&str]) -> Vec<String> {
        let read = |path: &str| Some(i64::from(!off.contains(&path)));
        gaps(&["eth0", "zone"], families, read).iter().map(Setting::to_string).collect()
    }

    #[test]
    fn the_widest_switch_that_mends_is_named() {
        let (v4, v6) = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding");
        let (eth0, zone) = ("net/ipv4/conf/eth0/forwarding", "net/ipv4/conf/zone/forwarding");
        let zone6 = "net/ipv6/conf/zone/forwarding";
        let only_v4 = Families { v4: true, v6: false };
        let rows = [
            ("all on", BOTH, &[][..], &[][..]),
            ("IPv4 off", BOTH, &[v4, eth0, zone], &["sysctl -w net.ipv4.ip_forward=1"]),
            ("one interface off", BOTH, &[zone], &["sysctl -w net.ipv4.conf.zone.forwarding=1"]),
            ("on for each interface, off in common", BOTH, &[v4], &[]),
            ("IPv6 off", BOTH, &[v6, zone6], &["sysctl -w net.ipv6.conf.all.forwarding=1"]),
            ("IPv6 off on one", BOTH, &[zone6], &["sysctl -w net.ipv6.conf.zone.forwarding=1"]),
            ("IPv6 off and not used", only_v4, &[v6, zone6], &[]),
        ];
        for (what, families, off, want) in rows {
            assert_eq!(missing(families, off), want, "{what}");
        }
    }

    #[test]
    fn an_interface_name_keeps_its_dots() {
        let setting = Setting::new("net/ipv4/conf/eth0.7/rp_filter", 2);
        assert_eq!(setting.to_string(), "sysctl -w net/ipv4/conf/eth0.7/rp_filter=2");
    }
}
