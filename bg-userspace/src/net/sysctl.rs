//! Kernel settings of this network namespace, read from /proc/sys. bg never writes one: a gateway's
//! forwarding policy is its owner's, so what is missing is named together with the command.

use std::net::IpAddr;

/// Reads a setting as a number. The path is relative to /proc/sys and written with slashes, because
/// an interface name may contain dots. `None` if the kernel has no such setting.
#[must_use]
pub fn read(path: &str) -> Option<i64> {
    std::fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().parse().ok()
}

/// The command that sets it.
#[must_use]
pub fn command(path: &str, value: i64) -> String {
    // sysctl takes slashes as well, with the dots of an interface name left alone.
    format!("sysctl -w {path}={value}")
}

/// The settings that stand in the way of forwarding packets that come in over `interface`, each with
/// the value it ought to have.
#[must_use]
pub fn forwarding_gaps(interface: &str, families: &[IpAddr]) -> Vec<(String, i64)> {
    let mut wanted = Vec::new();
    if families.iter().any(IpAddr::is_ipv4) {
        wanted.push(format!("net/ipv4/conf/{interface}/forwarding"));
    }
    if families.iter().any(IpAddr::is_ipv6) {
        wanted.push(format!("net/ipv6/conf/{interface}/forwarding"));
    }
    wanted.into_iter().filter(|path| read(path) == Some(0)).map(|path| (path, 1)).collect()
}

/// How strictly source addresses of packets coming in over `interface` are checked: the kernel takes
/// the higher of its own and the common setting. 1 is strict (RFC 3704 section 2.2).
#[must_use]
pub fn reverse_path_filter(interface: &str) -> i64 {
    let of = |name: &str| read(&format!("net/ipv4/conf/{name}/rp_filter")).unwrap_or(0);
    of("all").max(of(interface))
}

/// Whether this host acts as an IPv6 router on `interface`, as its neighbour advertisements say.
#[must_use]
pub fn is_ipv6_router(interface: &str) -> bool {
    read(&format!("net/ipv6/conf/{interface}/forwarding")) == Some(1)
}
