//! The eBPF toolchain: tries what is there, installs what is missing, records what is proved.
//!
//! Rust's `core` is compiled for the BPF target from source, so a compiler counts only with its
//! sources. Rustup has them as a component of any toolchain; where it cannot download, Debian's
//! `-web` packages have a compiler that is new enough.

use super::{Installer, linker, probe};
use crate::session::Session;
use crate::sh::say;
use crate::toolchain::{RECORD, Toolchain, find_program, sysroots};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The compiler, and the LLVM it is made with, for the linker.
const DEBIAN: [&str; 6] =
    ["rustc-web", "cargo-web", "rust-web-src", "llvm-22-dev", "libpolly-22-dev", "libzstd-dev"];

pub(super) fn look(session: &Session) -> Result<String, String> {
    match Toolchain::recorded(&session.root) {
        Some(Toolchain { sysroot, linker }) => {
            Ok(format!("Rust with the sources of core in {}, {}", sysroot.display(), linker.display()))
        }
        None => Err("no compiler and linker that are known to work together".to_owned()),
    }
}

pub(super) fn provide(installer: &Installer<'_>) -> Result<()> {
    let mut compilers = sysroots();
    if let Some(toolchain) = compilers.iter().find_map(|sysroot| with_any_linker(installer, sysroot)) {
        return record(&installer.session.root, &toolchain);
    }
    if compilers.is_empty() {
        install_sources(installer)?;
        compilers = sysroots();
    }
    let sysroot = compilers.first().context("a compiler was installed and cannot be found")?;
    let toolchain = linker::install(installer, sysroot)?;
    record(&installer.session.root, &toolchain)
}

/// The compiler with a linker that is there and reads what the compiler writes.
fn with_any_linker(installer: &Installer<'_>, sysroot: &Path) -> Option<Toolchain> {
    let toolchain = Toolchain { sysroot: sysroot.to_owned(), linker: find_program("bpf-linker")? };
    probe::works(installer, &toolchain).then_some(toolchain)
}

fn install_sources(installer: &Installer<'_>) -> Result<()> {
    let mut refused = Vec::new();
    if find_program("rustup").is_some() {
        let mut add = Command::new("rustup");
        add.current_dir(&installer.session.root).args(["component", "add", "rust-src"]);
        match installer.step("adds the sources of core to the Rust that is here", &mut add) {
            Ok(()) => return Ok(()),
            Err(error) => {
                let error = format!("{error:#}");
                say(&format!("         not this way: {}", error.lines().next().unwrap_or_default()));
                refused.push(format!("- {error}"));
            }
        }
    }
    match installer.apt.install(installer, "brings a Rust with the sources of core, and its LLVM", &DEBIAN) {
        Ok(()) => Ok(()),
        Err(error) => {
            refused.push(format!("- {error:#}"));
            bail!("no Rust here has the sources of core; any one of these would do\n{}", refused.join("\n"))
        }
    }
}

fn record(root: &Path, Toolchain { sysroot, linker }: &Toolchain) -> Result<()> {
    let path = root.join(RECORD);
    let text = format!(
        "# `cargo xtask setup` has built a BPF object with these.\nsysroot = \"{}\"\nlinker = \"{}\"\n",
        sysroot.display(),
        linker.display()
    );
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_as_long_as_its_files_exist() {
        let root = std::env::temp_dir().join(format!("bg-xtask-{}", std::process::id()));
        let toolchain = Toolchain { sysroot: root.join("rust"), linker: root.join("bpf-linker") };
        let core = toolchain.sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml");
        for file in [
            &toolchain.sysroot.join("bin/cargo"),
            &toolchain.sysroot.join("bin/rustc"),
            &core,
            &toolchain.linker,
        ] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }

        record(&root, &toolchain).unwrap();
        let fresh = Toolchain::recorded(&root);
        fs::remove_file(&core).unwrap();
        let stale = Toolchain::recorded(&root);
        fs::remove_dir_all(&root).unwrap();

        assert_eq!(fresh, Some(toolchain));
        assert_eq!(stale, None);
    }
}
