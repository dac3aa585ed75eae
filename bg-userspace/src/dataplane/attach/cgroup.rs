//! Attachment to a control group: the sockets of the gateway's own processes.
//!
//! One link for each program, pinned beside those of interfaces.

use super::super::load::{self, Loaded};
use super::super::pins::{Pins, file_names, refused as pin_refused};
use super::super::sys;
use super::super::table::Table;
use crate::refusal::Refusal;
use aya_obj::generated::bpf_attach_type::{self, *};
use bg_common::names::{self, SOCKET_PROGRAMS};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const INTERFACE: &str = "cgroup";

/// What a program is attached to.
fn hook(program: &str) -> bpf_attach_type {
    match program {
        names::CONNECT4 => BPF_CGROUP_INET4_CONNECT,
        names::CONNECT6 => BPF_CGROUP_INET6_CONNECT,
        names::SENDMSG4 => BPF_CGROUP_UDP4_SENDMSG,
        names::SENDMSG6 => BPF_CGROUP_UDP6_SENDMSG,
        names::RECVMSG4 => BPF_CGROUP_UDP4_RECVMSG,
        names::RECVMSG6 => BPF_CGROUP_UDP6_RECVMSG,
        names::GETPEERNAME4 => BPF_CGROUP_INET4_GETPEERNAME,
        names::GETPEERNAME6 => BPF_CGROUP_INET6_GETPEERNAME,
        _ => BPF_CGROUP_INET_SOCK_RELEASE,
    }
}

fn pin_name(program: &str) -> String {
    format!("{INTERFACE}@cgroup-{}", program.strip_prefix("bg_").unwrap_or(program))
}

/// Whether a pin of this name is of a control group.
pub(super) fn is_pin(name: &str) -> bool {
    SOCKET_PROGRAMS.iter().any(|program| pin_name(program) == name)
}

/// Makes the processes in `group` and in this network namespace clients, or none.
pub(in super::super) fn bring_in_line(pins: &Pins, group: Option<&Path>) -> Result<(), Refusal> {
    let dir = pins.dir().join("links");
    let Some(group) = group else {
        serve(pins, 0)?;
        return file_names(&dir)
            .iter()
            .filter(|name| is_pin(name))
            .try_for_each(|name| unpin(&dir.join(name)));
    };
    let refused = |error: &io::Error| refused(group, error);
    let opened = File::open(group).map_err(|error| refused(&error))?;
    let id = opened.metadata().map_err(|error| refused(&error))?.ino();
    serve(pins, sys::netns_cookie().map_err(|error| refused(&error))?)?;
    // Those that show a process what it has asked for come first, so that it is never shown anything else.
    for name in SOCKET_PROGRAMS.iter().rev() {
        let program = load::open(pins, name)?;
        ensure(&dir.join(pin_name(name)), &program, (&opened, id), hook(name))
            .map_err(|error| refused(&error))?;
    }
    Ok(())
}

/// Tells the programs whose sockets to look at.
fn serve(pins: &Pins, netns: u64) -> Result<(), Refusal> {
    Table::<u32, u64>::open(&pins.dir(), names::GATEWAY)?.set(&0, &netns)
}

fn ensure(path: &Path, program: &Loaded, (group, id): (&File, u64), hook: bpf_attach_type) -> io::Result<()> {
    let fd = program.fd().map_err(io::Error::other)?.as_fd();
    if path.exists() {
        let link = sys::open_pin(path)?;
        let (attached_to, attached) = sys::cgroup_info(link.as_fd())?;
        if attached_to == id {
            let same = program.id().map_err(io::Error::other)? == attached;
            return if same { Ok(()) } else { sys::update_link(link.as_fd(), fd) };
        }
        // Another group, or one that is gone.
        unpin(path).map_err(io::Error::other)?;
    }
    let link = sys::attach_to_cgroup(fd, group.as_fd(), hook)?;
    sys::pin(link.as_fd(), path)
}

fn unpin(path: &Path) -> Result<(), Refusal> {
    if let Ok(link) = sys::open_pin(path) {
        // One whose group is gone is off already.
        let _ = sys::detach_link(link.as_fd());
    }
    fs::remove_file(path).map_err(|error| pin_refused(path, &error))
}

fn refused(group: &Path, error: &io::Error) -> Refusal {
    let mend = match error.raw_os_error() {
        Some(libc::ENOENT) => "name one that exists in [gateway]: cgroup = \"/sys/fs/cgroup\"",
        Some(libc::EBADF) => "name a directory of the cgroup2 file system: findmnt -t cgroup2",
        Some(libc::EPERM) => "another program there excludes all others: bpftool cgroup show tells which",
        _ => "set local_clients = false, or run on a kernel with CONFIG_CGROUP_BPF",
    };
    Refusal::new(
        "no-local-clients",
        format!("the gateway's own processes cannot be served: {error}"),
        group.display(),
        mend,
    )
}
