//! The proof that a compiler and a linker fit: building the smallest BPF object there is.

use super::Installer;
use crate::sh::say;
use crate::toolchain::Toolchain;
use anyhow::{Context as _, Result};
use std::env::consts::ARCH;
use std::fs;
use std::path::Path;

const TARGET: &str = if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" };

/// A workspace of its own, because it lies inside another. Its profile is that of the packet programs,
/// so that the `core` built here serves them too.
const MANIFEST: &str = r#"[package]
name = "probe"
version = "0.0.0"
edition = "2024"

[profile.release]
debug = "line-tables-only"

[workspace]
"#;

const PROGRAM: &str = r#"#![no_std]
#![no_main]

#[unsafe(no_mangle)]
#[unsafe(link_section = "xdp")]
pub extern "C" fn probe(packet: *const u32) -> u32 {
    unsafe { packet.read() }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
"#;

/// Whether they fit; the reason why not goes to the log, because other pairs may follow.
pub(super) fn works(installer: &Installer<'_>, toolchain: &Toolchain) -> bool {
    match build(installer, toolchain) {
        Ok(()) => true,
        Err(error) => {
            let error = error.to_string();
            say(&format!("         they do not fit: {}", error.lines().next().unwrap_or_default()));
            false
        }
    }
}

/// Builds the object.
pub(super) fn build(installer: &Installer<'_>, toolchain: &Toolchain) -> Result<()> {
    let dir = installer.session.target.join("setup/probe");
    write(&dir.join("Cargo.toml"), MANIFEST)?;
    write(&dir.join("src/main.rs"), PROGRAM)?;
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(&dir)
        .args(["build", "--release", "-Z", "build-std=core", "--target", TARGET, "--target-dir"])
        .arg(installer.session.target.join("bpf"))
        .env("CARGO_ENCODED_RUSTFLAGS", toolchain.rustflags(ARCH, TARGET));
    let why = format!(
        "tries the Rust in {} with {} on the smallest BPF object",
        toolchain.sysroot.display(),
        toolchain.linker.display()
    );
    installer.step(&why, &mut cargo)
}

fn write(path: &Path, text: &str) -> Result<()> {
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}
