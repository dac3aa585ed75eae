//! The programs with which tests, demonstration and measurements make networks and traffic.

use super::Installer;
use crate::toolchain::find_program;
use anyhow::Result;
use std::process::{Command, Stdio};

/// Program and the Debian package that has it.
const PROGRAMS: [(&str, &str); 10] = [
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("ethtool", "ethtool"),
    ("nft", "nftables"),
    ("tcpdump", "tcpdump"),
    ("curl", "curl"),
    ("wrk", "wrk"),
    ("iperf3", "iperf3"),
    ("nginx", "nginx-light"),
    ("sysctl", "procps"),
];
/// Packages that bring a service, which is not for the next start of the machine either.
const SERVICES: [(&str, &str); 2] = [("nginx-light", "nginx"), ("haproxy", "haproxy")];

pub(super) fn look() -> Result<String, String> {
    let missing = missing(&PROGRAMS).map(|(program, _)| program).collect::<Vec<_>>();
    match missing.as_slice() {
        [] => Ok(PROGRAMS.map(|(program, _)| program).join(" ")),
        missing => Err(missing.join(" ")),
    }
}

pub(super) fn provide(installer: &Installer<'_>) -> Result<()> {
    let mut packages: Vec<&str> = missing(&PROGRAMS).map(|(_, package)| package).collect();
    packages.dedup();
    let why = "makes networks, servers and traffic for the tests";
    installer.apt.install(installer, why, &packages)?;
    disable(&packages);
    Ok(())
}

/// Keeps services of packages that were just installed from the next start of the machine.
pub(super) fn disable(packages: &[&str]) {
    for (_, service) in SERVICES.iter().filter(|(package, _)| packages.contains(package)) {
        // There may be no init system to tell.
        let disable = Command::new("update-rc.d")
            .args([service, "disable"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        drop(disable);
    }
}

/// Those that are not on the path.
pub(super) fn missing<'a>(
    programs: &'a [(&'static str, &'static str)],
) -> impl Iterator<Item = (&'static str, &'static str)> + 'a {
    programs.iter().copied().filter(|(program, _)| find_program(program).is_none())
}
