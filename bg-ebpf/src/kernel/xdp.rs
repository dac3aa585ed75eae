//! XDP: frames as they come off a wire, checksums complete.

use super::linear::{Linear, move_end};
use super::maps::KernelTables;
use super::refuse;
use aya_ebpf::bindings::{xdp_action, xdp_md};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use bg_common::{Reason, Verdict};
use bg_ebpf::checksum::Change;
use bg_ebpf::{Hop, View, forward, parse, reset};

struct XdpFrame {
    context: XdpContext,
}

impl XdpFrame {
    /// The frame's bytes.
    #[inline(always)]
    fn linear(&self) -> Linear {
        Linear { start: self.context.data(), end: self.context.data_end() }
    }
}

impl View for XdpFrame {
    #[inline(always)]
    fn len(&self) -> u32 {
        (self.context.data_end() - self.context.data()) as u32
    }

    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.linear().read(offset)
    }

    #[inline(always)]
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        self.linear().read(offset)
    }

    #[inline(always)]
    fn longs<const N: usize>(&self, offset: usize) -> Option<[u64; N]> {
        self.linear().read(offset)
    }

    #[inline(always)]
    fn write<const N: usize>(&mut self, offset: usize, new: [u8; N]) -> Option<()> {
        self.linear().write(offset, new)
    }

    #[inline(always)]
    fn write_longs(&mut self, offset: usize, new: [u64; 2]) -> Option<()> {
        self.linear().write(offset, new)
    }

    #[inline(always)]
    fn shorten(&mut self, len: usize) -> Option<()> {
        move_end(&self.context, len as i32 - self.len() as i32)
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
    let metadata = context.ctx;
    match ingress(&mut XdpFrame { context }) {
        Ok(()) => xdp_action::XDP_PASS,
        Err(reason) => match refuse(reason) {
            Verdict::Pass | Verdict::Forward => xdp_action::XDP_PASS,
            Verdict::Drop => xdp_action::XDP_DROP,
            Verdict::Answer => answer(metadata),
        },
    }
}

/// Sends a RST back to where the frame came from.
#[cold]
#[inline(never)]
fn answer(metadata: *mut xdp_md) -> u32 {
    match reset(&mut XdpFrame { context: XdpContext::new(metadata) }) {
        Ok(()) => xdp_action::XDP_TX,
        Err(_) => {
            refuse(Reason::Rewrite);
            xdp_action::XDP_DROP
        }
    }
}

#[inline(always)]
fn ingress(frame: &mut XdpFrame) -> Result<(), Reason> {
    let packet = parse(frame)?;
    let rewrite = forward(&packet, &KernelTables)?.ok_or(Reason::NotOurs)?;
    rewrite.apply(&packet, frame, Hop::Keep)
}
