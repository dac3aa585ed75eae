//! What aya does not offer of the bpf(2) system call: whole tables in batches, and where a link is
//! attached.

use aya::Pod;
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_link_info};
use std::ffi::CString;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Where a link is attached. Interface and program are 0 once the interface is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LinkInfo {
    pub(super) ifindex: u32,
    pub(super) program: u32,
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

/// Opens what is pinned at `path`.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = zeroed();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    let fd = bpf(bpf_cmd::BPF_OBJ_GET, &mut attr)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn raw_info(link: BorrowedFd<'_>) -> io::Result<bpf_link_info> {
    // SAFETY: as in `zeroed`.
    let mut info: bpf_link_info = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut attr = zeroed();
    attr.info.bpf_fd = link.as_raw_fd() as u32;
    attr.info.info_len = size_of::<bpf_link_info>() as u32;
    attr.info.info = &raw mut info as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

/// Which control group a link is attached to, by its id, and the program's id. Both are 0 once the group is gone.
pub(super) fn cgroup_info(link: BorrowedFd<'_>) -> io::Result<(u64, u32)> {
    let info = raw_info(link)?;
    // SAFETY: for this type of link the group is the first field of the union, which is all integers.
    let group = unsafe { info.__bindgen_anon_1.cgroup.cgroup_id };
    Ok((group, if group == 0 { 0 } else { info.prog_id }))
}

/// Attaches a program to a control group, beside whatever others have attached.
pub(super) fn attach_to_cgroup(
    program: BorrowedFd<'_>,
    group: BorrowedFd<'_>,
    hook: bpf_attach_type,
) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.__bindgen_anon_2.target_fd = group.as_raw_fd() as u32;
    attr.link_create.attach_type = hook as u32;
    let fd = bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)?;
    // SAFETY: as in `open_pin`.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Puts a program in the place of a link's.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = zeroed();
    attr.link_update.link_fd = link.as_raw_fd() as u32;
    attr.link_update.__bindgen_anon_1.new_prog_fd = program.as_raw_fd() as u32;
    bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// Pins what a descriptor is of.
pub(super) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = zeroed();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    attr.__bindgen_anon_4.bpf_fd = fd.as_raw_fd() as u32;
    bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr).map(drop)
}

/// What the kernel calls this thread's network namespace (`SO_NETNS_COOKIE`, Linux 5.14).
pub(super) fn netns_cookie() -> io::Result<u64> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let mut cookie = 0_u64;
    let mut size = size_of::<u64>() as libc::socklen_t;
    let place = (&raw mut cookie).cast();
    // SAFETY: the kernel writes at most `size` bytes there, which is an integer's size.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_NETNS_COOKIE, place, &raw mut size)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(cookie) }
}

/// Asks where a link is attached. XDP and TCX links only.
pub(super) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let info = raw_info(link)?;
    // SAFETY: for both types the interface is the first field of the union, which is all integers.
    let ifindex = unsafe { info.__bindgen_anon_1.xdp.ifindex };
    Ok(LinkInfo { ifindex, program: if ifindex == 0 { 0 } else { info.prog_id } })
}

/// Takes a link off its interface at once. Without this it would go some time after its last
/// reference, and until then keep others off.
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = zeroed();
    attr.link_detach.link_fd = link.as_raw_fd() as u32;
    bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr).map(drop)
}

fn element(map: BorrowedFd<'_>, key: u64, value: u64, flags: u64) -> bpf_attr {
    let mut attr = zeroed();
    attr.__bindgen_anon_2.map_fd = map.as_raw_fd() as u32;
    attr.__bindgen_anon_2.key = key;
    attr.__bindgen_anon_2.__bindgen_anon_1.value = value;
    attr.__bindgen_anon_2.flags = flags;
    attr
}

/// Writes an entry, which may exist.
pub(super) fn update<K: Pod, V: Pod>(map: BorrowedFd<'_>, key: &K, value: &V) -> io::Result<()> {
    let mut attr = element(map, &raw const *key as u64, &raw const *value as u64, 0);
    bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
}

/// Reads an entry.
pub(super) fn lookup<K: Pod, V: Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<Option<V>> {
    let mut value = MaybeUninit::<V>::uninit();
    let mut attr = element(map, &raw const *key as u64, value.as_mut_ptr() as u64, 0);
    match bpf(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr) {
        // SAFETY: the kernel has written the whole value, whose size was compared when the map was opened.
        Ok(_) => Ok(Some(unsafe { value.assume_init() })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes an entry; one that is gone already is as good as deleted.
pub(super) fn delete<K: Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<()> {
    let mut attr = element(map, &raw const *key as u64, 0, 0);
    match bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr) {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

/// Entries asked for in one call. A bucket of a hash table must fit as a whole, so that this grows when
/// the kernel says that it does not.
const BATCH: usize = 4096;

/// Where a batch ends: a number for hash tables, a key for all others.
type Cursor = [u64; 16];

/// Calls `visit` with all entries of a table, many at a time. Entries that are added or
/// removed meanwhile may or may not be seen; no entry that stays is missed.
pub(super) fn for_each<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    mut visit: impl FnMut(&[K], &[V]),
) -> io::Result<()> {
    let mut size = BATCH;
    let mut keys: Vec<K> = Vec::with_capacity(size);
    let mut values: Vec<V> = Vec::with_capacity(size);
    if size_of::<K>() > size_of::<Cursor>() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut cursor = Cursor::default();
    let mut next = Cursor::default();
    let mut first = true;
    loop {
        let mut attr = zeroed();
        attr.batch.map_fd = map.as_raw_fd() as u32;
        attr.batch.in_batch = if first { 0 } else { &raw const cursor as u64 };
        attr.batch.out_batch = &raw mut next as u64;
        attr.batch.keys = keys.as_mut_ptr() as u64;
        attr.batch.values = values.as_mut_ptr() as u64;
        attr.batch.count = size as u32;
        let result = bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr);
        // SAFETY: the kernel writes this integer back in any case.
        let count = unsafe { attr.batch.count } as usize;
        let last = match result {
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && size < 1 << 22 => {
                size *= 2;
                keys.reserve(size);
                values.reserve(size);
                continue;
            }
            Err(error) => return Err(error),
        };
        let count = count.min(size);
        // SAFETY: the kernel has written `count` keys, which is within the capacity.
        unsafe { keys.set_len(count) };
        // SAFETY: and as many values.
        unsafe { values.set_len(count) };
        visit(&keys, &values);
        keys.clear();
        values.clear();
        if last {
            return Ok(());
        }
        cursor = next;
        first = false;
    }
}
