//! What the benchmark puts in bg's place: proxies, nginx's with a module of its own.

use super::Installer;
use super::programs::{disable, missing as absent};
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// Program and the Debian package that has it.
const PROGRAMS: [(&str, &str); 2] = [("haproxy", "haproxy"), ("nginx", "nginx-light")];
const STREAM: (&str, &str) = ("nginx's stream module", "libnginx-mod-stream");
/// Where distributions put it.
const MODULES: [&str; 3] = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules"];

pub(super) fn look() -> Result<String, String> {
    let names =
        |things: Vec<(&'static str, &str)>| things.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    match names(missing()) {
        missing if missing.is_empty() => Ok(names([PROGRAMS.as_slice(), &[STREAM]].concat()).join(", ")),
        missing => Err(missing.join(", ")),
    }
}

pub(super) fn provide(installer: &Installer<'_>) -> Result<()> {
    let packages: Vec<&str> = missing().into_iter().map(|(_, package)| package).collect();
    installer.apt.install(installer, "is what the benchmark compares with", &packages)?;
    disable(&packages);
    Ok(())
}

fn missing() -> Vec<(&'static str, &'static str)> {
    let mut missing: Vec<_> = absent(&PROGRAMS).collect();
    if !has_stream() {
        missing.push(STREAM);
    }
    missing
}

/// As a module, or built in.
fn has_stream() -> bool {
    let is_module = |home: &str| Path::new(home).join("ngx_stream_module.so").is_file();
    MODULES.iter().any(|home| is_module(home))
        || Command::new("nginx").arg("-V").output().is_ok_and(|said| {
            String::from_utf8_lossy(&said.stderr).split_whitespace().any(|word| word == "--with-stream")
        })
}
