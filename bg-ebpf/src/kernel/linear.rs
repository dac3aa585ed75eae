//! The part of a frame that lies in one piece and can be read and written directly: all of an XDP
//! frame, the linear part of a socket buffer.

use aya_ebpf::helpers::generated::{bpf_xdp_adjust_tail, bpf_xdp_get_buff_len};
use aya_ebpf::programs::XdpContext;

/// From where to where it reaches, as addresses. `FAR`: offsets are not constants.
#[derive(Clone, Copy)]
pub(super) struct Linear<const FAR: bool> {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What a frame can be read as: arrays of integers, for which any bytes are a value.
pub(super) trait Wire: Copy {}

impl<const N: usize> Wire for [u8; N] {}
impl<const N: usize> Wire for [u32; N] {}
impl<const N: usize> Wire for [u64; N] {}

/// Beyond this nothing is read: the verifier wants a bound of every offset.
const FARTHEST: usize = 0x3ff;

impl<const FAR: bool> Linear<FAR> {
    /// The address of a `T` at `offset`, if it lies inside.
    #[inline(always)]
    fn at<T>(self, offset: usize) -> Option<*mut T> {
        let offset = if FAR { opaque(offset) } else { offset };
        if FAR && offset > FARTHEST {
            return None;
        }
        let start = self.start + offset;
        let start = if FAR { opaque(start) } else { start };
        // The form of this comparison is what the verifier learns the bounds from.
        (start + size_of::<T>() <= self.end).then_some(start as *mut T)
    }

    /// Reads what lies at `offset`; `None` past the end.
    #[inline(always)]
    pub(super) fn read<T: Wire>(self, offset: usize) -> Option<T> {
        // SAFETY: `at` has checked the bounds, and any bytes are a value.
        self.at::<T>(offset).map(|at| unsafe { at.read_unaligned() })
    }

    /// Writes at `offset`; `None`, and nothing is written, past the end.
    #[inline(always)]
    pub(super) fn write<T: Wire>(self, offset: usize, new: T) -> Option<()> {
        // SAFETY: as in `read`; the kernel has made this part the running program's own.
        self.at::<T>(offset).map(|at| unsafe { at.write_unaligned(new) })
    }
}

/// The same value, in a form that the compiler cannot take apart: the verifier learns bounds of what is compared, and
/// not of something else with the same sum.
#[inline(always)]
fn opaque(value: usize) -> usize {
    // SAFETY: a local variable is valid for reads.
    unsafe { (&raw const value).read_volatile() }
}

/// Length of an XDP frame, all its pieces together.
#[inline(always)]
pub(super) fn whole_len(frame: &XdpContext) -> u32 {
    // SAFETY: the context is valid for the whole run.
    (unsafe { bpf_xdp_get_buff_len(frame.ctx) }) as u32
}

/// Makes an XDP frame longer or shorter by so many bytes; `None` when the kernel refuses. A [`Linear`] of before
/// is void.
#[inline(always)]
pub(super) fn move_end(frame: &XdpContext, by: i32) -> Option<()> {
    // SAFETY: the context is valid for the whole run, and the verifier lets nobody use what was read of it before.
    let refused = unsafe { bpf_xdp_adjust_tail(frame.ctx, by) };
    (refused == 0).then_some(())
}
