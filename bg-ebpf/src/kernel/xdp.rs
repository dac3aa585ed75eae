//! XDP: frames as they come off a wire, checksums complete.

use super::maps::KernelTables;
use super::refuse;
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use bg_common::{Reason, Verdict};
use bg_ebpf::checksum::Change;
use bg_ebpf::{Hop, View, forward, parse};

struct XdpFrame {
    context: XdpContext,
}

impl XdpFrame {
    /// The address of a `T` at `offset`, if it lies inside the frame.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let start = self.context.data() + offset;
        // The form of this comparison is what the verifier learns the bounds from.
        (start + size_of::<T>() <= self.context.data_end()).then_some(start as *mut T)
    }
}

impl View for XdpFrame {
    #[inline(always)]
    fn len(&self) -> u32 {
        (self.context.data_end() - self.context.data()) as u32
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        // SAFETY: `at` has checked the bounds, and bytes need no alignment.
        self.at::<[u8; N]>(offset).map(|bytes| unsafe { bytes.read() })
    }

    #[inline(always)]
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        // SAFETY: `at` has checked the bounds.
        self.at::<[u32; N]>(offset).map(|words| unsafe { words.read_unaligned() })
    }

    #[inline(always)]
    fn longs<const N: usize>(&self, offset: usize) -> Option<[u64; N]> {
        // SAFETY: as in `words`.
        self.at::<[u64; N]>(offset).map(|longs| unsafe { longs.read_unaligned() })
    }

    #[inline(always)]
    fn write<const N: usize>(&mut self, offset: usize, new: [u8; N]) -> Option<()> {
        // SAFETY: as in `read`; the frame is this program's alone while it runs.
        self.at::<[u8; N]>(offset).map(|bytes| unsafe { bytes.write(new) })
    }

    #[inline(always)]
    fn write_longs(&mut self, offset: usize, new: [u64; 2]) -> Option<()> {
        // SAFETY: as in `words` and `write`.
        self.at::<[u64; 2]>(offset).map(|longs| unsafe { longs.write_unaligned(new) })
    }

    #[inline(always)]
    fn mend_checksum(&mut self, offset: usize, change: &Change) -> Option<()> {
        let old = self.read(offset)?;
        self.write(offset, change.apply(old))
    }
}

/// Towards a slice, on an uplink. The kernel routes what was rewritten.
#[xdp]
fn bg_xdp_ingress(context: XdpContext) -> u32 {
    match ingress(&mut XdpFrame { context }) {
        Ok(()) => xdp_action::XDP_PASS,
        Err(reason) => match refuse(reason) {
            Verdict::Pass | Verdict::Forward => xdp_action::XDP_PASS,
            Verdict::Drop => xdp_action::XDP_DROP,
        },
    }
}

#[inline(always)]
fn ingress(frame: &mut XdpFrame) -> Result<(), Reason> {
    let packet = parse(frame)?;
    let rewrite = forward(&packet, &KernelTables)?.ok_or(Reason::NotOurs)?;
    rewrite.apply(&packet, frame, Hop::Keep)
}
