//! XDP: frames as they come off a wire, checksums complete.

use super::linear::{Linear, move_end, whole_len};
use super::maps::{self, KernelTables};
use super::refuse;
use aya_ebpf::bindings::{xdp_action, xdp_md};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use bg_common::{Reason, Verdict};
use bg_ebpf::checksum::Change;
use bg_ebpf::{Detour, Hop, View, forward, forward_rare, parse, parse_rare, reset};

/// A frame; `FAR` on the slow path.
struct XdpFrame<const FAR: bool> {
    context: XdpContext,
}

impl<const FAR: bool> XdpFrame<FAR> {
    #[inline(always)]
    fn new(metadata: *mut xdp_md) -> Self {
        Self { context: XdpContext::new(metadata) }
    }

    /// The frame's bytes, as far as they lie in its first piece.
    #[inline(always)]
    fn linear(&self) -> Linear<FAR> {
        Linear { start: self.context.data(), end: self.context.data_end() }
    }
}

impl<const FAR: bool> View for XdpFrame<FAR> {
    #[inline(always)]
    fn len(&self) -> u32 {
        (self.context.data_end() - self.context.data()) as u32
    }

    #[inline(always)]
    fn whole_len(&self) -> u32 {
        whole_len(&self.context)
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
        move_end(&self.context, len as i32 - self.whole_len() as i32)
    }

    #[inline(always)]
    fn mend_checksum(&mut self, offset: usize, change: &Change) -> Option<()> {
        let old = self.read(offset)?;
        self.write(offset, change.apply(old))
    }
}

/// What a path has come to: one of the kernel's actions, or a step that the entry takes after it.
type Step = u32;
/// The slow path has to read the frame,
const RARE: Step = 0x100;
/// and to decide about it,
const DECIDE: Step = 0x101;
/// and to change it.
const REWRITE: Step = 0x102;
/// The frame is to be answered.
const ANSWER: Step = 0x103;

/// Towards a slice, on an uplink. The kernel routes what was rewritten.
///
/// Each step is a subprogram and has the stack to itself.
#[xdp(frags)]
fn bg_xdp_ingress(context: XdpContext) -> u32 {
    let metadata = context.ctx;
    let mut step = fast(metadata);
    if step == RARE {
        step = read(metadata);
    }
    if step == DECIDE {
        step = decide();
    }
    if step == REWRITE {
        step = rewrite(metadata);
    }
    if step == ANSWER { answer(metadata) } else { step }
}

#[inline(always)]
fn step(result: Result<Step, Detour>) -> Step {
    match result {
        Ok(step) => step,
        Err(Detour::Rare) => RARE,
        Err(Detour::Refused(reason)) => match refuse(reason) {
            Verdict::Pass | Verdict::Forward => xdp_action::XDP_PASS,
            Verdict::Drop => xdp_action::XDP_DROP,
            Verdict::Answer => ANSWER,
        },
    }
}

#[inline(never)]
fn fast(metadata: *mut xdp_md) -> Step {
    step(ingress(&mut XdpFrame::<false>::new(metadata)))
}

#[inline(always)]
fn ingress(frame: &mut XdpFrame<false>) -> Result<Step, Detour> {
    let packet = parse(frame)?;
    let rewrite = forward(&packet, &KernelTables)?.ok_or(Reason::NotOurs)?;
    rewrite.apply(&packet, frame, Hop::Keep)?;
    Ok(xdp_action::XDP_PASS)
}

#[inline(never)]
fn read(metadata: *mut xdp_md) -> Step {
    let packet = parse_rare(&XdpFrame::<true>::new(metadata));
    step(packet.map_err(Detour::from).and_then(|packet| {
        maps::keep_packet(packet).ok_or(Reason::BrokenTable)?;
        Ok(DECIDE)
    }))
}

#[inline(never)]
fn decide() -> Step {
    step(decide_rare())
}

#[inline(always)]
fn decide_rare() -> Result<Step, Detour> {
    let packet = maps::packet().ok_or(Reason::BrokenTable)?;
    let rewrite = forward_rare(packet, &KernelTables)?.ok_or(packet.none_of_ours())?;
    maps::keep_rewrite(rewrite).ok_or(Reason::BrokenTable)?;
    Ok(REWRITE)
}

#[inline(never)]
fn rewrite(metadata: *mut xdp_md) -> Step {
    step(rewrite_rare(&mut XdpFrame::<true>::new(metadata)))
}

#[inline(always)]
fn rewrite_rare(frame: &mut XdpFrame<true>) -> Result<Step, Detour> {
    let packet = maps::packet().ok_or(Reason::BrokenTable)?;
    let rewrite = maps::rewrite().ok_or(Reason::BrokenTable)?;
    rewrite.apply(packet, frame, Hop::Keep)?;
    Ok(xdp_action::XDP_PASS)
}

/// Sends a RST back to where the frame came from.
#[inline(never)]
fn answer(metadata: *mut xdp_md) -> u32 {
    match reset(&mut XdpFrame::<true>::new(metadata)) {
        Ok(()) => xdp_action::XDP_TX,
        Err(_) => {
            refuse(Reason::Rewrite);
            xdp_action::XDP_DROP
        }
    }
}
