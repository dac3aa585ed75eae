//! The seam to a packet's bytes.

use crate::checksum::{Change, Delta};
use bg_common::Reason;

/// A frame from its Ethernet header on: an XDP buffer, a socket buffer, or a slice of bytes.
///
/// Each access states its whole width, so that an implementation checks bounds once and the
/// verifier can follow.
pub trait View {
    /// Length of the frame in bytes, as far as it is known without asking: of an XDP frame in several pieces that
    /// of the first.
    fn len(&self) -> u32;

    /// Length of the frame in bytes, whatever part of it can be read.
    fn whole_len(&self) -> u32 {
        self.len()
    }

    /// Whether the frame has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Packets that the frame stands for: more than one when segmentation is left to the device.
    fn segments(&self) -> u32 {
        1
    }

    /// Whether the kernel has moved a VLAN tag out of the frame.
    fn has_tag_beside(&self) -> bool {
        false
    }

    /// Why the frame is none of ours, before anything is read of it.
    fn stray(&self) -> Option<Reason> {
        None
    }

    /// Reads `N` bytes at `offset`; `None` past the end.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// Reads `N` words of four bytes at `offset`, each as its bytes lie there; `None` past the end.
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]>;

    /// Reads `N` long words of eight bytes, as [`View::words`] reads words.
    fn longs<const N: usize>(&self, offset: usize) -> Option<[u64; N]>;

    /// Writes `N` bytes at `offset`; `None`, and nothing is written, past the end.
    fn write<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()>;

    /// Writes an address of 16 bytes; `None`, and nothing is written, past the end.
    fn write_longs(&mut self, offset: usize, longs: [u64; 2]) -> Option<()>;

    /// Cuts the frame to its first `len` bytes; `None` when that is refused.
    fn shorten(&mut self, len: usize) -> Option<()>;

    /// Whether the device is to complete the transport checksum at `offset`, whose field is overwritten. The
    /// field is then to hold the sum of the pseudo-header alone.
    fn completed_by_device(&mut self, _offset: usize) -> Option<bool> {
        Some(false)
    }

    /// Mends the transport checksum at `offset` after a change of addresses and ports; `None` when
    /// the field cannot be written.
    ///
    /// This is the view's business because a frame of a local sender may carry a checksum that the
    /// device is to complete, and only the kernel knows.
    fn mend_checksum(&mut self, offset: usize, change: &Change) -> Option<()>;

    /// Tells of a change that no checksum in the packet covers, for views that keep a sum of their own.
    fn uncovered(&mut self, _delta: Delta) {}
}
