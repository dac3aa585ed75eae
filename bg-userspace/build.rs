//! Builds the packet programs and leaves them in `OUT_DIR/bg.bpf.o`, which the library includes.
//!
//! Our own and not aya-build's `build_ebpf`, because that runs `rustup run nightly` on every machine
//! that has rustup, and the toolchain that works may be the distribution's.

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

use anyhow::{Context as _, Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use toolchain::Toolchain;

const OBJECT: &str = "bg.bpf.o";

fn main() {
    if let Err(error) = build() {
        say("error", &format!("{error:#}"));
    }
}

fn build() -> Result<()> {
    let manifest = PathBuf::from(var("CARGO_MANIFEST_DIR")?);
    let root = manifest.parent().context("the crate has no workspace around it")?;
    // Cargo runs a script on each build whose trigger does not exist.
    let triggers = ["Cargo.toml", "Cargo.lock", "bg-common", "bg-ebpf", toolchain::RECORD];
    for trigger in triggers.iter().map(|path| root.join(path)).filter(|path| path.exists()) {
        say("rerun-if-changed", &trigger.display().to_string());
    }

    let Some(toolchain) = Toolchain::recorded(root).or_else(any_toolchain) else {
        bail!("the eBPF toolchain is missing; `cargo xtask setup` installs it");
    };
    let target = match var("CARGO_CFG_TARGET_ENDIAN")?.as_str() {
        "big" => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    // Not OUT_DIR, so that debug and release builds of user space share the object; and not the
    // directory of the cargo that runs this script, because it holds the lock.
    let target_dir =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let target_dir = target_dir.join("bpf");

    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--locked", "--release", "--package", "bg-ebpf", "--bin", "bg-programs"])
        .args(["-Z", "build-std=core", "--target", target, "--color", "never", "--target-dir"])
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", toolchain.rustflags(&var("CARGO_CFG_TARGET_ARCH")?, target))
        .stdin(Stdio::null());
    let output = cargo.output().with_context(|| format!("cannot run {}", cargo.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        said.lines().for_each(|line| say("error", line));
        bail!(
            "the packet programs (bg-ebpf) do not build with the toolchain of {}",
            toolchain.sysroot.display()
        );
    }
    said.lines().for_each(|line| say("warning", line));

    let built = target_dir.join(target).join("release/bg-programs");
    install(&built, &Path::new(&var("OUT_DIR")?).join(OBJECT))
}

/// Without a record: the first compiler and linker that are there, untried.
fn any_toolchain() -> Option<Toolchain> {
    let sysroot = toolchain::sysroots().into_iter().next()?;
    Some(Toolchain { sysroot, linker: toolchain::find_program("bpf-linker")? })
}

fn install(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn var(name: &str) -> Result<String> {
    env::var(name).with_context(|| format!("cargo does not say {name}"))
}

fn say(key: &str, value: &str) {
    println!("cargo::{key}={value}");
}
