//! Things in the kernel that are not bg's: an XDP program on an interface, a map in a pin directory.

use crate::netns::Namespace;
use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_PROG_QUERY: libc::c_long = 16;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const BPF_TCX_INGRESS: u32 = 46;
const BPF_TCX_EGRESS: u32 = 47;

/// The first fields of `union bpf_attr` for each command used here, zeros behind them.
#[repr(C, align(8))]
struct Attr([u32; 32]);

impl Attr {
    fn new(fields: &[u32]) -> Self {
        let mut all = [0; 32];
        for (slot, field) in all.iter_mut().zip(fields) {
            *slot = *field;
        }
        Self(all)
    }
}

/// `r0 = XDP_PASS; exit`.
static PASS: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];
static LICENCE: &[u8] = b"GPL\0";

/// An XDP program that passes everything, on an interface until it is dropped.
#[derive(Debug)]
pub struct Program {
    _link: OwnedFd,
}

impl Program {
    /// Attaches it.
    ///
    /// # Errors
    ///
    /// When the interface has one already or its driver takes none.
    pub fn attach(namespace: &Namespace, interface: &str) -> Result<Self> {
        let attach = || {
            let [code_low, code_high] = split(PASS.as_ptr().addr());
            let [licence_low, licence_high] = split(LICENCE.as_ptr().addr());
            let load = [BPF_PROG_TYPE_XDP, PASS.len() as u32, code_low, code_high, licence_low, licence_high];
            let program = descriptor(bpf(BPF_PROG_LOAD, &Attr::new(&load))?);
            let ifindex = if_nametoindex(interface)?;
            let create = [program.as_raw_fd().cast_unsigned(), ifindex, BPF_XDP, XDP_FLAGS_DRV_MODE];
            Ok::<_, io::Error>(descriptor(bpf(BPF_LINK_CREATE, &Attr::new(&create))?))
        };
        let link = namespace.run(attach).with_context(|| format!("attach a program to {interface}"))?;
        Ok(Self { _link: link })
    }
}

/// Pins an array of one element of `size` bytes at `path`.
///
/// # Errors
///
/// When the path is not on a bpffs, or taken.
pub fn pin_map(path: &Path, size: u32) -> Result<()> {
    let map = descriptor(bpf(BPF_MAP_CREATE, &Attr::new(&[BPF_MAP_TYPE_ARRAY, 4, size, 1]))?);
    let name = CString::new(path.as_os_str().as_bytes())?;
    let [low, high] = split(name.as_ptr().addr());
    let pin = [low, high, map.as_raw_fd().cast_unsigned()];
    bpf(BPF_OBJ_PIN, &Attr::new(&pin)).with_context(|| format!("pin {}", path.display()))?;
    Ok(())
}

/// How many TCX programs are on an interface of the calling thread's namespace, both directions.
///
/// # Errors
///
/// When there is no such interface.
pub fn tcx_programs(interface: &str) -> io::Result<u32> {
    let ifindex = if_nametoindex(interface)?;
    let mut programs = 0;
    for direction in [BPF_TCX_INGRESS, BPF_TCX_EGRESS] {
        // Fields: target, attach type, query flags, attach flags, two for the list of ids, count.
        let mut attr = Attr::new(&[ifindex, direction]);
        query(&mut attr)?;
        programs += attr.0.get(6).copied().unwrap_or_default();
    }
    Ok(programs)
}

fn query(attr: &mut Attr) -> io::Result<()> {
    // SAFETY: the kernel writes the count into `attr`, which is as long as stated and asks for no list.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut *attr, size_of::<Attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn split(address: usize) -> [u32; 2] {
    [address as u32, (address >> 32) as u32]
}

fn bpf(command: libc::c_long, attr: &Attr) -> io::Result<i32> {
    // SAFETY: `attr` is as long as stated and zero behind its fields; the addresses in it are of statics
    // or of a string that the caller keeps.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr, size_of::<Attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

fn descriptor(fd: i32) -> OwnedFd {
    // SAFETY: every caller passes what a command that makes a descriptor has just returned.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
