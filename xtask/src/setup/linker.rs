//! bpf-linker, by the first of three ways that yields one: cargo-binstall, the project's released
//! binary, or a build against the distribution's LLVM.
//!
//! Its LLVM must be at least as new as the compiler's, or it cannot read what that writes.

use super::{Installer, probe};
use crate::sh::say;
use crate::toolchain::{Toolchain, find_program};
use anyhow::{Context as _, Result, bail};
use std::env::{self, consts::ARCH};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "0.13.0";
/// Versions of LLVM that it can be built with.
const LLVMS: RangeInclusive<u32> = 21..=23;

/// Puts a linker for the compiler in `sysroot` below `home`.
type Way = fn(installer: &Installer<'_>, sysroot: &Path, home: &Path) -> Result<()>;

/// Installs a linker for the compiler in `sysroot`, and proves it.
pub(super) fn install(installer: &Installer<'_>, sysroot: &Path) -> Result<Toolchain> {
    let home = install_root(installer)?;
    let ways: [Way; 3] = [by_binstall, by_release, by_build];
    let mut refused = Vec::new();
    for way in ways {
        let toolchain = Toolchain { sysroot: sysroot.to_owned(), linker: home.join("bin/bpf-linker") };
        match way(installer, sysroot, &home).and_then(|()| probe::build(installer, &toolchain)) {
            Ok(()) => return Ok(toolchain),
            Err(error) => {
                let error = format!("{error:#}");
                say(&format!("         not this way: {}", error.lines().next().unwrap_or_default()));
                refused.push(format!("- {error}"));
            }
        }
    }
    bail!("no way leads to a bpf-linker; any one of these would do\n{}", refused.join("\n"))
}

/// Where cargo installs, unless a linker of somebody's choice is there already.
fn install_root(installer: &Installer<'_>) -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))
        .context("there is no home directory to install bpf-linker in")?;
    let taken = home.join("bin/bpf-linker").exists();
    Ok(if taken { installer.session.target.join("setup") } else { home })
}

fn by_binstall(installer: &Installer<'_>, _sysroot: &Path, home: &Path) -> Result<()> {
    if find_program("cargo-binstall").is_none() {
        bail!("cargo-binstall is not installed, with which `cargo binstall bpf-linker` would do");
    }
    let mut binstall = installer.session.cargo(["binstall", "--no-confirm", "--version", VERSION, "--root"]);
    installer.step("brings the linker of BPF objects", binstall.arg(home).arg("bpf-linker"))
}

fn by_release(installer: &Installer<'_>, _sysroot: &Path, home: &Path) -> Result<()> {
    let missing: Vec<&str> =
        ["curl", "tar", "zstd"].into_iter().filter(|tool| find_program(tool).is_none()).collect();
    if !missing.is_empty() {
        bail!("to unpack the released bpf-linker, {} would be needed", missing.join(" and "));
    }
    let name = format!("bpf-linker-{ARCH}-unknown-linux-musl.tar.zst");
    let archive = installer.session.target.join("setup").join(&name);
    let bin = home.join("bin");
    for dir in [archive.parent(), Some(bin.as_path())].into_iter().flatten() {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--location", "--connect-timeout", "10", "--output"])
        .arg(&archive)
        .arg(format!("https://github.com/aya-rs/bpf-linker/releases/download/v{VERSION}/{name}"));
    installer.step("brings the linker of BPF objects", &mut curl)?;
    let mut tar = Command::new("tar");
    tar.arg("--zstd").arg("-xf").arg(&archive).arg("-C").arg(&bin).arg("bpf-linker");
    installer.step("unpacks it", &mut tar)
}

fn by_build(installer: &Installer<'_>, sysroot: &Path, home: &Path) -> Result<()> {
    let llvm = llvm_of(sysroot)?;
    if !LLVMS.contains(&llvm) {
        bail!("the Rust in {} has LLVM {llvm}, which bpf-linker {VERSION} does not know", sysroot.display());
    }
    let prefix = format!("/usr/lib/llvm-{llvm}");
    if !Path::new(&prefix).join("include/llvm-c").is_dir() {
        let packages = [format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev"), "libzstd-dev".to_owned()];
        let packages = packages.each_ref().map(String::as_str);
        installer.apt.install(
            installer,
            "brings the LLVM that the linker of BPF objects is built with",
            &packages,
        )?;
    }
    let feature = format!("llvm-{llvm}");
    let mut install =
        installer.session.cargo(["install", "bpf-linker", "--version", VERSION, "--locked", "--force"]);
    install
        .args(["--no-default-features", "--features", &feature, "--root"])
        .arg(home)
        .env("LLVM_PREFIX", prefix);
    installer.step("builds the linker of BPF objects; takes a minute or two", &mut install)
}

fn llvm_of(sysroot: &Path) -> Result<u32> {
    let rustc = Command::new(sysroot.join("bin/rustc")).arg("-vV").output().context("cannot run rustc")?;
    llvm_major(&String::from_utf8_lossy(&rustc.stdout)).context("rustc does not say its version of LLVM")
}

fn llvm_major(version: &str) -> Option<u32> {
    let line = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_llvm_is_read_from_rustc() {
        for (version, expected) in [
            ("rustc 1.96.0 (ac68faa20 2026-05-25)\nrelease: 1.96.0\nLLVM version: 22.1.8\n", Some(22)),
            ("rustc 1.96.0\nLLVM version: unknown\n", None),
            ("rustc 1.96.0\n", None),
        ] {
            assert_eq!(llvm_major(version), expected, "{version}");
        }
    }
}
