//! The BPF file system, where programs and tables are pinned.

use super::Installer;
use crate::session::is_root;
use anyhow::{Result, bail};
use std::fs;
use std::process::Command;

const PATH: &str = "/sys/fs/bpf";

pub(super) fn look() -> Result<String, String> {
    let mounts =
        fs::read_to_string("/proc/self/mounts").map_err(|error| format!("/proc/self/mounts: {error}"))?;
    if is_mounted(&mounts) { Ok(PATH.to_owned()) } else { Err(format!("nothing is mounted on {PATH}")) }
}

pub(super) fn provide(installer: &Installer<'_>) -> Result<()> {
    if !is_root() {
        bail!("file systems are mounted by root\n  mend: sudo mount -t bpf -o mode=0700 bpf {PATH}");
    }
    let mut mount = Command::new("mount");
    installer.step(
        "keeps programs and tables while no process holds them",
        mount.args(["-t", "bpf", "-o", "mode=0700", "bpf", PATH]),
    )
}

fn is_mounted(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(PATH) && fields.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bpf_file_system_at_the_usual_place_counts() {
        for (mounts, expected) in [
            ("proc /proc proc rw 0 0\nbpf /sys/fs/bpf bpf rw,nosuid 0 0\n", true),
            ("none /sys/fs/bpf tmpfs rw 0 0\n", false),
            ("bpf /run/bpf bpf rw 0 0\n", false),
            ("", false),
        ] {
            assert_eq!(is_mounted(mounts), expected, "{mounts}");
        }
    }
}
