//! Tables whose values lie in our own memory: what the programs read, we write with one store.

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// An array table, mapped.
#[derive(Debug)]
pub(super) struct Mapped {
    base: NonNull<libc::c_void>,
    bytes: NonZeroUsize,
    stride: usize,
    entries: u32,
}

// SAFETY: the mapping belongs to the value, not to a thread, and is only read and written atomically.
unsafe impl Send for Mapped {}

impl Mapped {
    /// Maps a table of `entries` values of `value_size` bytes, a multiple of 8.
    pub(super) fn new(map: impl AsFd, value_size: usize, entries: u32) -> io::Result<Self> {
        let bytes = NonZeroUsize::new(value_size * entries as usize)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, map, 0) }?;
        Ok(Self { base, bytes, stride: value_size, entries })
    }

    /// The 64 bits that lie `offset` bytes, a multiple of 8, into the value at `index`.
    pub(super) fn bits(&self, index: u32, offset: usize) -> Option<&AtomicU64> {
        if index >= self.entries || offset + size_of::<u64>() > self.stride || !offset.is_multiple_of(8) {
            return None;
        }
        // SAFETY: the offset lies inside the mapping by the check above.
        let bits = unsafe { self.base.byte_add(index as usize * self.stride + offset) };
        // SAFETY: aligned, because base, stride and offset are; valid as long as `self`; and the kernel's
        // programs read it with single loads.
        Some(unsafe { AtomicU64::from_ptr(bits.as_ptr().cast()) })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: nothing borrows the mapping any more. A failure would leave it in place, harmlessly.
        let _ = unsafe { munmap(self.base, self.bytes.get()) };
    }
}
