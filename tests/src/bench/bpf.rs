//! What aya does not offer of the bpf(2) system call: programs written as single instructions, and
//! test runs of those. Everything ends with its descriptor.

use anyhow::{Context, Result, bail};
use aya_obj::generated::{
    BPF_F_TEST_XDP_LIVE_FRAMES, XDP_FLAGS_DRV_MODE, bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn,
    bpf_map_type, bpf_prog_type,
};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Where a program belongs, which decides what it is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A frame as it comes from a driver.
    Xdp,
    /// A socket buffer.
    Tc,
}

/// What a test run is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    /// The frame, which is not restored between two packets.
    pub(super) frame: &'a [u8],
    /// Packets.
    pub(super) repeat: u32,
    /// The interface that the packet is said to be on; for socket buffers only, none if 0.
    pub(super) ifindex: u32,
}

/// A buffer as a socket would hand it on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Segments {
    /// Packets that it stands for.
    pub(crate) count: u16,
    /// Bytes of each one's payload; 0 when it is one packet.
    pub(crate) size: u16,
}

/// How a test run ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ran {
    /// What the program returned for the last packet.
    pub(super) action: u32,
    /// Nanoseconds per packet, rounded down by the kernel.
    pub(super) nanos: u32,
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    let size = size_of::<bpf_attr>() as libc::c_uint;
    // SAFETY: the attribute is valid for its size; pointers in it are the callers' duty.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_uint, &raw mut *attr, size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

fn zeroed() -> bpf_attr {
    // SAFETY: a union of integers and structures of integers, for which zero is a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: callers pass a descriptor that the kernel has just made for them.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// uapi linux/bpf.h: the program takes frames of several pieces.
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;

/// Loads instructions as a program.
pub(super) fn load(kind: Kind, code: &[bpf_insn]) -> Result<OwnedFd> {
    let license = c"GPL";
    let mut log = vec![0_u8; 1 << 16];
    let mut attr = zeroed();
    attr.__bindgen_anon_3.prog_type = match kind {
        Kind::Xdp => bpf_prog_type::BPF_PROG_TYPE_XDP,
        Kind::Tc => bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS,
    } as u32;
    if kind == Kind::Xdp {
        attr.__bindgen_anon_3.expected_attach_type = bpf_attach_type::BPF_XDP as u32;
        // As bg's own: programs that call each other agree on whether frames may have several pieces.
        attr.__bindgen_anon_3.prog_flags = BPF_F_XDP_HAS_FRAGS;
    }
    attr.__bindgen_anon_3.insns = code.as_ptr() as u64;
    attr.__bindgen_anon_3.insn_cnt = code.len() as u32;
    attr.__bindgen_anon_3.license = license.as_ptr() as u64;
    attr.__bindgen_anon_3.log_level = 1;
    attr.__bindgen_anon_3.log_buf = log.as_mut_ptr() as u64;
    attr.__bindgen_anon_3.log_size = log.len() as u32;
    let loaded = bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr);
    let said = || String::from_utf8_lossy(&log).trim_matches('\0').trim().to_owned();
    loaded
        .map(owned)
        .with_context(|| format!("the kernel does not take a program of the benchmark: {}", said()))
}

/// Hooks a program in at the ingress of an interface of this thread's namespace, XDP in the driver, as long
/// as the link is kept.
pub(super) fn attach(kind: Kind, program: BorrowedFd<'_>, ifindex: u32) -> Result<OwnedFd> {
    let (hook, flags) = match kind {
        Kind::Xdp => (bpf_attach_type::BPF_XDP, XDP_FLAGS_DRV_MODE),
        Kind::Tc => (bpf_attach_type::BPF_TCX_INGRESS, 0),
    };
    let mut attr = zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.__bindgen_anon_2.target_ifindex = ifindex;
    attr.link_create.attach_type = hook as u32;
    attr.link_create.flags = flags;
    let link = bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr).map(owned);
    link.with_context(|| format!("attach a program of the benchmark by {kind:?} to interface {ifindex}"))
}

/// A table of one program, for [`tail calls`](super::asm::Code::tail_call).
pub(super) fn program_table(program: BorrowedFd<'_>) -> Result<OwnedFd> {
    let mut attr = zeroed();
    attr.__bindgen_anon_1.map_type = bpf_map_type::BPF_MAP_TYPE_PROG_ARRAY as u32;
    attr.__bindgen_anon_1.key_size = size_of::<u32>() as u32;
    attr.__bindgen_anon_1.value_size = size_of::<u32>() as u32;
    attr.__bindgen_anon_1.max_entries = 1;
    let table = bpf(bpf_cmd::BPF_MAP_CREATE, &mut attr).map(owned).context("make a table of programs")?;
    let (key, value) = (0_u32, program.as_raw_fd());
    let mut attr = zeroed();
    attr.__bindgen_anon_2.map_fd = table.as_raw_fd() as u32;
    attr.__bindgen_anon_2.key = &raw const key as u64;
    attr.__bindgen_anon_2.__bindgen_anon_1.value = &raw const value as u64;
    bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr).context("fill a table of programs")?;
    Ok(table)
}

/// Runs a program on a frame in memory.
pub(super) fn run(program: BorrowedFd<'_>, run: Run<'_>) -> Result<Ran> {
    let Run { frame, repeat, ifindex } = run;
    // The beginning of `struct __sk_buff`, up to its interface.
    let mut buffer = [0_u32; 11];
    if let Some(field) = buffer.last_mut() {
        *field = ifindex;
    }
    let mut attr = zeroed();
    attr.test.prog_fd = program.as_raw_fd() as u32;
    attr.test.data_in = frame.as_ptr() as u64;
    attr.test.data_size_in = frame.len() as u32;
    attr.test.repeat = repeat;
    if ifindex != 0 {
        attr.test.ctx_in = buffer.as_ptr() as u64;
        attr.test.ctx_size_in = size_of_val(&buffer) as u32;
    }
    bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr).context("test run of a program")?;
    // SAFETY: the kernel has written these fields of this member.
    let test = unsafe { attr.test };
    Ok(Ran { action: test.retval, nanos: test.duration })
}

/// Runs a program on one frame, and leaves in `out` what becomes of that; `segments` are for socket buffers only.
/// Returns what the program returned.
pub(crate) fn once(
    program: BorrowedFd<'_>,
    frame: &[u8],
    segments: Option<Segments>,
    out: &mut Vec<u8>,
) -> io::Result<u32> {
    /// Room for a frame that grows.
    const GROWTH: usize = 128;
    // `struct __sk_buff` up to the size of its segments.
    let mut buffer = [0_u32; 45];
    out.resize(frame.len() + GROWTH, 0);
    let mut attr = zeroed();
    attr.test.prog_fd = program.as_raw_fd() as u32;
    attr.test.data_in = frame.as_ptr() as u64;
    attr.test.data_size_in = frame.len() as u32;
    attr.test.data_out = out.as_mut_ptr() as u64;
    attr.test.data_size_out = out.len() as u32;
    attr.test.repeat = 1;
    if let Some(Segments { count, size }) = segments {
        let [.., segs, _, _, bytes] = &mut buffer;
        (*segs, *bytes) = (count.into(), size.into());
        attr.test.ctx_in = buffer.as_ptr() as u64;
        attr.test.ctx_size_in = size_of_val(&buffer) as u32;
    }
    bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr)?;
    // SAFETY: the kernel has written these fields of this member.
    let test = unsafe { attr.test };
    out.truncate(test.data_size_out as usize);
    Ok(test.retval)
}

/// Makes a hash table and pins it, for a program that is to find it in the place of its own.
pub(crate) fn pinned_hash(path: &std::path::Path, key: u32, value: u32, entries: u32) -> Result<OwnedFd> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut attr = zeroed();
    attr.__bindgen_anon_1.map_type = bpf_map_type::BPF_MAP_TYPE_HASH as u32;
    attr.__bindgen_anon_1.key_size = key;
    attr.__bindgen_anon_1.value_size = value;
    attr.__bindgen_anon_1.max_entries = entries;
    let table = bpf(bpf_cmd::BPF_MAP_CREATE, &mut attr).map(owned).context("make a hash table")?;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut attr = zeroed();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    attr.__bindgen_anon_4.bpf_fd = table.as_raw_fd() as u32;
    bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr).context("pin a hash table")?;
    Ok(table)
}

/// Runs an XDP program on real frames, in batches: what it redirects is sent. The frames are used
/// again as they come back, so the program has to write all of each.
pub(super) fn send(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> Result<()> {
    let mut attr = zeroed();
    attr.test.prog_fd = program.as_raw_fd() as u32;
    attr.test.data_in = frame.as_ptr() as u64;
    attr.test.data_size_in = frame.len() as u32;
    attr.test.repeat = repeat;
    attr.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    match bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr) {
        Ok(_) => Ok(()),
        Err(error) => bail!("send frames by a program: {error}"),
    }
}
