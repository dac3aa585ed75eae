//! XDP: frames as they come off a wire, checksums complete.

use super::linear::{Linear, move_end, whole_len};
use super::maps::{self, KernelTables};
use super::{icmp, refuse};
use aya_ebpf::bindings::{xdp_action, xdp_md};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use bg_common::{Reason, Verdict};
use bg_ebpf::checksum::Change;
use bg_ebpf::icmp::{Message, forward as forward_error};
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
/// It is an ICMP error: what it quotes is to be read,
const ERROR: Step = 0x104;
/// and decided about,
const DECIDE_ERROR: Step = 0x105;
/// and changed.
const TRANSLATE: Step = 0x106;

/// Towards a slice, on an uplink. The kernel routes what was rewritten.
///
/// The fast path is part of the entry, which saves it a call. Each step of the slow path is a subprogram, for which there is
/// room on the stack beside it; where the verifier says that there is none, `fast` has to become one, too.
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
    if step == ERROR {
        step = quote(metadata);
    }
    if step == DECIDE_ERROR {
        step = decide_error();
    }
    if step == TRANSLATE {
        step = translate(metadata);
    }
    if step == ANSWER { answer(metadata) } else { step }
}

#[inline(always)]
fn step(result: Result<Step, Detour>) -> Step {
    match result {
        Ok(step) => step,
        Err(Detour::Rare | Detour::Undecided) => RARE,
        Err(Detour::Refused(reason)) => match refuse(reason) {
            Verdict::Pass | Verdict::Forward => xdp_action::XDP_PASS,
            Verdict::Drop => xdp_action::XDP_DROP,
            Verdict::Answer => ANSWER,
        },
    }
}

#[inline(always)]
fn fast(metadata: *mut xdp_md) -> Step {
    step(ingress(&mut XdpFrame::<false>::new(metadata)))
}

#[inline(always)]
fn ingress(frame: &mut XdpFrame<false>) -> Result<Step, Detour> {
    let packet = parse(frame)?;
    let rewrite = match forward(&packet, &KernelTables) {
        Err(Detour::Undecided) => {
            maps::keep_packet(packet.for_slow_path()).ok_or(Reason::BrokenTable)?;
            return Ok(DECIDE);
        }
        decided => decided?.ok_or(Reason::NotOurs)?,
    };
    rewrite.apply(&packet, frame, Hop::Keep)?;
    Ok(xdp_action::XDP_PASS)
}

#[inline(never)]
fn read(metadata: *mut xdp_md) -> Step {
    step(read_rare(&XdpFrame::<true>::new(metadata)))
}

#[inline(always)]
fn read_rare(frame: &XdpFrame<true>) -> Result<Step, Detour> {
    Ok(match icmp::keep(parse_rare(frame)?, frame)? {
        Message::Packet => DECIDE,
        Message::Error => ERROR,
    })
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

#[inline(never)]
fn quote(metadata: *mut xdp_md) -> Step {
    let read = icmp::quote(&XdpFrame::<true>::new(metadata));
    step(read.map(|()| DECIDE_ERROR).map_err(Detour::from))
}

#[inline(never)]
fn decide_error() -> Step {
    step(icmp::decide(forward_error).map(|()| TRANSLATE).map_err(Detour::from))
}

#[inline(never)]
fn translate(metadata: *mut xdp_md) -> Step {
    step(translate_error(&mut XdpFrame::<true>::new(metadata)))
}

#[inline(always)]
fn translate_error(frame: &mut XdpFrame<true>) -> Result<Step, Detour> {
    let packet = maps::packet().ok_or(Reason::BrokenTable)?;
    let rewrite = maps::rewrite().ok_or(Reason::BrokenTable)?;
    icmp::apply(rewrite, packet, frame, Hop::Keep)?;
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
