//! Whether the kernel has what bg needs.

use super::Finding;
use crate::net::sysctl;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use nix::sys::utsname::uname;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const TOPIC: &str = "kernel";
const BPFFS: &str = "/sys/fs/bpf";
const OUR_PINS: &str = "/sys/fs/bpf/bg";
const BTF: &str = "/sys/kernel/btf/vmlinux";

/// The oldest kernel that the programs were tried on.
const OLDEST: (u32, u32) = (6, 1);
/// The first kernel with TCX links.
const TCX: (u32, u32) = (6, 6);

/// What was read.
struct Facts {
    release: String,
    /// Whether a bpffs is mounted where pins go.
    bpffs: bool,
    /// Permissions of bg's own directory there, if it exists.
    pins: Option<u32>,
    btf: bool,
    jit: Option<i64>,
    unprivileged_bpf: Option<i64>,
}

pub(super) fn examine() -> Vec<Finding> {
    let release = uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
    check(&Facts {
        release,
        bpffs: statfs(BPFFS).is_ok_and(|mounted| mounted.filesystem_type() == BPF_FS_MAGIC),
        pins: std::fs::metadata(OUR_PINS).ok().map(|directory| directory.mode() & 0o7777),
        btf: Path::new(BTF).exists(),
        jit: sysctl::read("net/core/bpf_jit_enable"),
        unprivileged_bpf: sysctl::read("kernel/unprivileged_bpf_disabled"),
    })
}

fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = version(&facts.release);
    findings.push(if facts.bpffs {
        Finding::ok(TOPIC, format_args!("a bpffs is mounted on {BPFFS}"))
    } else {
        Finding::fail(
            TOPIC,
            format_args!("no bpffs is mounted on {BPFFS}, or this process cannot see it"),
            format_args!(
                "mount -t bpf -o mode=0700 bpf {BPFFS}; `ip netns exec` hides it: enter a namespace by \
                 `nsenter --net=/run/netns/NAME`"
            ),
        )
    });
    if let Some(mode) = facts.pins.filter(|mode| mode & 0o077 != 0) {
        findings.push(Finding::warn(
            TOPIC,
            format_args!("{OUR_PINS} has mode {mode:04o}: who can open a pin there can switch traffic"),
            format_args!("chmod 0700 {OUR_PINS}"),
        ));
    }
    if !facts.btf {
        findings.push(Finding::warn(
            TOPIC,
            format_args!(
                "the kernel has no type information ({BTF}), so its tools cannot show tables by field"
            ),
            "use a kernel built with CONFIG_DEBUG_INFO_BTF",
        ));
    }
    // Outside the first network namespace the setting cannot be read.
    if facts.jit == Some(0) {
        findings.push(Finding::warn(
            TOPIC,
            "BPF programs are interpreted, which makes each packet several times dearer",
            "sysctl -w net.core.bpf_jit_enable=1",
        ));
    }
    if facts.unprivileged_bpf == Some(0) {
        findings.push(Finding::warn(
            TOPIC,
            "every user may load BPF programs",
            "sysctl -w kernel.unprivileged_bpf_disabled=2",
        ));
    }
    findings
}

fn version(release: &str) -> Vec<Finding> {
    let Some(version) = parse(release) else {
        return vec![Finding::warn(
            TOPIC,
            format_args!("the kernel's version is not understood: `{release}`"),
            "check that it is Linux 6.1 or newer: uname -r",
        )];
    };
    if version < OLDEST {
        let (major, minor) = OLDEST;
        return vec![Finding::fail(
            TOPIC,
            format_args!("Linux {release} is too old"),
            format_args!("use Linux {major}.{minor} or newer"),
        )];
    }
    let tc = if version < TCX { "tc programs are clsact filters" } else { "tc programs are TCX links" };
    vec![Finding::ok(TOPIC, format_args!("Linux {release}: {tc}"))]
}

/// Major and minor of a release such as `6.1.0-18-amd64`.
fn parse(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn healthy() -> Facts {
        Facts {
            release: "6.12.3-amd64".to_owned(),
            bpffs: true,
            pins: Some(0o700),
            btf: true,
            jit: Some(1),
            unprivileged_bpf: Some(2),
        }
    }

    #[test]
    fn a_healthy_kernel_has_no_findings_to_mend() {
        assert!(check(&healthy()).iter().all(|finding| finding.level == Level::Ok && finding.mend.is_none()));
        let in_a_namespace = Facts { jit: None, pins: None, ..healthy() };
        assert!(check(&in_a_namespace).iter().all(|finding| finding.level == Level::Ok));
    }

    #[test]
    fn what_is_missing_is_named_with_its_mend() {
        let release = |release: &str| Facts { release: release.to_owned(), ..healthy() };
        let rows = [
            (release("5.10.0-28-amd64"), Level::Fail, "too old", "6.1"),
            (release("6.1.0-56-cloud-amd64"), Level::Ok, "clsact", ""),
            (release("6.5.13"), Level::Ok, "clsact", ""),
            (release("unknown"), Level::Warn, "not understood", "uname -r"),
            (
                Facts { bpffs: false, ..healthy() },
                Level::Fail,
                "no bpffs",
                "mount -t bpf -o mode=0700 bpf /sys/fs/bpf",
            ),
            (Facts { pins: Some(0o755), ..healthy() }, Level::Warn, "mode 0755", "chmod 0700"),
            (Facts { btf: false, ..healthy() }, Level::Warn, "type information", "BTF"),
            (Facts { jit: Some(0), ..healthy() }, Level::Warn, "interpreted", "bpf_jit_enable=1"),
            (Facts { unprivileged_bpf: Some(0), ..healthy() }, Level::Warn, "every user", "disabled=2"),
        ];
        for (facts, level, text, mend) in rows {
            let findings = check(&facts);
            let finding = findings.iter().find(|finding| finding.text.contains(text)).expect(text);
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.mend.as_deref().unwrap_or_default().contains(mend), "{finding:?}");
        }
    }
}
