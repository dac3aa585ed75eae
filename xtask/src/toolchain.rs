//! The eBPF toolchain: a Rust sysroot that has the sources of `core`, and bpf-linker.
//!
//! `cargo xtask setup` records the pair that it has proved to work; `bg-userspace/build.rs` includes
//! this file, so that both look in the same places. It finds and runs tools, and installs nothing.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the pair is recorded, below the root of the workspace.
pub(crate) const RECORD: &str = "target/bpf-toolchain.toml";

/// A compiler and a linker. That their versions of LLVM fit is known only of a recorded pair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Toolchain {
    /// Holds `bin/cargo`, `bin/rustc` and the library sources.
    pub(crate) sysroot: PathBuf,
    /// The bpf-linker to use.
    pub(crate) linker: PathBuf,
}

impl Toolchain {
    /// The recorded pair, if its files are still there.
    pub(crate) fn recorded(root: &Path) -> Option<Self> {
        let record = fs::read_to_string(root.join(RECORD)).ok()?;
        let value = |key: &str| {
            let line = record.lines().find(|line| line.starts_with(key))?;
            line.split('"').nth(1).map(PathBuf::from)
        };
        let (sysroot, linker) = (value("sysroot")?, value("linker")?);
        (has_sources(&sysroot) && linker.is_file()).then_some(Self { sysroot, linker })
    }

    /// Cargo of this toolchain, with an environment that holds nothing of a cargo around it.
    pub(crate) fn cargo(&self) -> Command {
        // These lead to the registry; every other variable of cargo and rustc shapes a build, and the
        // outer build is of another target, profile, compiler and linter.
        const KEPT: [&str; 6] =
            ["CARGO_HOME", "CARGO_HTTP_", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_"];
        const REMOVED: [&str; 5] = ["CARGO", "LD_LIBRARY_PATH", "RUSTC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"];
        let starts = |name: &OsStr, with: &[&str]| {
            name.to_str().is_some_and(|name| with.iter().any(|prefix| name.starts_with(prefix)))
        };
        let mut cargo = Command::new(self.sysroot.join("bin/cargo"));
        for (name, _) in env::vars_os() {
            if starts(&name, &REMOVED) && !starts(&name, &KEPT) {
                cargo.env_remove(name);
            }
        }
        // `-Z build-std` on a compiler that is not a nightly.
        cargo.env("RUSTC", self.rustc()).env("RUSTC_BOOTSTRAP", "1");
        cargo
    }

    /// The flags that make a loadable object for a machine of `arch`, as `CARGO_ENCODED_RUSTFLAGS`.
    pub(crate) fn rustflags(&self, arch: &str, target: &str) -> String {
        let mut flags = vec![
            format!("--cfg=bpf_target_arch=\"{arch}\""),
            format!("-Clinker={}", self.linker.display()),
            "-Clink-arg=--btf".to_owned(),
            "-Cdebuginfo=2".to_owned(),
        ];
        // Without it LLVM takes a 4-byte load from a packet apart into bytes.
        const MISALIGNED: &str = "allows-misaligned-mem-access";
        let known =
            output(Command::new(self.rustc()).args(["--print", "target-features", "--target", target]));
        if known.is_some_and(|known| known.contains(MISALIGNED)) {
            flags.push(format!("-Clink-arg=--cpu-features=+{MISALIGNED}"));
        }
        flags.join("\x1f")
    }

    fn rustc(&self) -> PathBuf {
        self.sysroot.join("bin/rustc")
    }
}

/// Sysroots with the sources of `core`: rustup's nightly first, then those of the compilers on the
/// PATH and of the distribution, which a rustup before them hides.
pub(crate) fn sysroots() -> Vec<PathBuf> {
    let nightly = output(Command::new("rustup").args(["which", "--toolchain", "nightly", "rustc"]))
        .and_then(|rustc| Path::new(rustc.trim()).ancestors().nth(2).map(Path::to_owned));
    let compilers = tool_dirs().into_iter().map(|dir| dir.join("rustc")).filter(|rustc| rustc.is_file());
    let others = compilers.filter_map(|rustc| {
        let sysroot = output(Command::new(rustc).args(["--print", "sysroot"]))?;
        Some(PathBuf::from(sysroot.trim()))
    });
    let mut found: Vec<PathBuf> = Vec::new();
    for sysroot in nightly.into_iter().chain(others) {
        if has_sources(&sysroot) && !found.contains(&sysroot) {
            found.push(sysroot);
        }
    }
    found
}

/// A program on the PATH or where cargo and distributions install.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    tool_dirs().into_iter().map(|dir| dir.join(name)).find(|path| path.is_file())
}

fn has_sources(sysroot: &Path) -> bool {
    ["bin/cargo", "bin/rustc", "lib/rustlib/src/rust/library/core/Cargo.toml"]
        .iter()
        .all(|file| sysroot.join(file).is_file())
}

fn tool_dirs() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    dirs.extend(cargo_home.map(|home| home.join("bin")));
    dirs.extend(["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"].map(PathBuf::from));
    let mut seen = Vec::new();
    dirs.retain(|dir| {
        let new = !seen.contains(dir);
        if new {
            seen.push(dir.clone());
        }
        new
    });
    dirs
}

fn output(command: &mut Command) -> Option<String> {
    let output = command
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("RUSTUP_AUTO_INSTALL", "0")
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}
