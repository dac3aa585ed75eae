//! tc: the programs at the ingress of uplinks and zone links, and at egress.

use super::buffer::{Route, TcFrame, redirect, redirect_neighbour, redirect_peer};
use super::maps::{self, KernelTables};
use super::{icmp, refuse};
use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use bg_common::{Reason, Verdict, Via};
use bg_ebpf::decide::Way;
use bg_ebpf::icmp::{Message, Quote, forward as forward_error, reply as reply_error, zone as zone_error};
use bg_ebpf::rare::sender;
use bg_ebpf::{
    Detour, Hop, Packet, Rewrite, Tables as _, forward, forward_rare, parse, parse_rare, reply, reply_rare,
    reset, zone, zone_rare,
};

/// What a path has come to: one of the kernel's actions, or a step that the entry takes after it.
pub(super) type Step = i32;
/// The slow path has to read the frame,
const RARE: Step = 0x100;
/// and to decide about it,
const DECIDE: Step = 0x101;
/// and to change and send it.
const SEND: Step = 0x102;
/// The packet is to be answered.
pub(super) const ANSWER: Step = 0x103;
/// It is an ICMP error: what it quotes is to be read,
const ERROR: Step = 0x104;
/// and decided about,
const DECIDE_ERROR: Step = 0x105;
/// and changed and sent.
const SEND_ERROR: Step = 0x106;

/// The steps of a program, each a subprogram that has the stack to itself. Nearly every packet takes the first alone.
struct Steps {
    fast: fn(*mut __sk_buff) -> Step,
    decide: fn() -> Step,
    send: fn(*mut __sk_buff) -> Step,
    decide_error: fn() -> Step,
    send_error: fn(*mut __sk_buff) -> Step,
    /// Sends a RST to where the packet came from.
    answer: fn(*mut __sk_buff) -> Step,
}

impl Steps {
    #[inline(always)]
    fn run(self, context: &TcContext) -> i32 {
        let buffer = context.skb.skb;
        let mut step = (self.fast)(buffer);
        if step == RARE {
            step = read(buffer);
        }
        if step == DECIDE {
            step = (self.decide)();
        }
        if step == SEND {
            step = (self.send)(buffer);
        }
        if step == ERROR {
            step = quote(buffer);
        }
        if step == DECIDE_ERROR {
            step = (self.decide_error)();
        }
        if step == SEND_ERROR {
            step = (self.send_error)(buffer);
        }
        if step == ANSWER { (self.answer)(buffer) } else { step }
    }
}

#[inline(always)]
pub(super) fn step(result: Result<Step, Detour>) -> Step {
    match result {
        Ok(step) => step,
        Err(Detour::Rare | Detour::Undecided) => RARE,
        Err(Detour::Refused(reason)) => match refuse(reason) {
            // Whatever other programs the operator has on the interface run next.
            Verdict::Pass | Verdict::Forward => TC_ACT_UNSPEC,
            Verdict::Drop => TC_ACT_SHOT as i32,
            Verdict::Answer => ANSWER,
        },
    }
}

/// Makes the answer of a packet, or counts that it cannot.
#[inline(never)]
fn reset_in(buffer: *mut __sk_buff) -> bool {
    let made = reset(&mut TcFrame::<true>::new(buffer)).is_ok();
    if !made {
        refuse(Reason::Rewrite);
    }
    made
}

/// Sends a RST back out of the interface that the packet came in by.
#[inline(always)]
pub(super) fn answer_sender(buffer: *mut __sk_buff) -> Step {
    if !reset_in(buffer) {
        return TC_ACT_SHOT as i32;
    }
    redirect(TcFrame::<false>::on(buffer).ifindex())
}

/// Sends a RST to the backend whose reply was about to leave.
#[inline(always)]
fn answer_backend(buffer: *mut __sk_buff) -> Step {
    let ifindex = link_of_sender(buffer);
    if !reset_in(buffer) {
        return TC_ACT_SHOT as i32;
    }
    redirect_neighbour(ifindex)
}

/// The interface that leads to the backend from which a packet comes.
#[inline(never)]
fn link_of_sender(buffer: *mut __sk_buff) -> u32 {
    let packet = parse_rare(&TcFrame::<true>::new(buffer));
    let id = packet.ok().and_then(|packet| sender(&packet, &KernelTables));
    id.and_then(|id| KernelTables.backend(id)).map_or(0, |backend| backend.ifindex())
}

/// Towards a slice.
#[classifier]
fn bg_tc_ingress(context: TcContext) -> i32 {
    Steps {
        fast: ingress,
        decide: decide_ingress,
        send: send_rare,
        decide_error: decide_error_ingress,
        send_error,
        answer: answer_sender,
    }
    .run(&context)
}

#[inline(never)]
fn ingress(buffer: *mut __sk_buff) -> Step {
    step(fast(&mut TcFrame::new(buffer), forward, send_to_slice))
}

#[inline(never)]
fn decide_ingress() -> Step {
    step(decide(forward_rare))
}

#[inline(never)]
fn decide_error_ingress() -> Step {
    step(decide_error(forward_error))
}

/// From a zone: back to the client, past the stack, or towards another slice.
#[classifier]
fn bg_tc_zone(context: TcContext) -> i32 {
    Steps {
        fast: from_zone,
        decide: decide_zone,
        send: send_rare,
        decide_error: decide_error_zone,
        send_error,
        answer: answer_sender,
    }
    .run(&context)
}

#[inline(never)]
fn from_zone(buffer: *mut __sk_buff) -> Step {
    step(fast(&mut TcFrame::new(buffer), zone, send))
}

#[inline(never)]
fn decide_zone() -> Step {
    step(decide(zone_rare))
}

#[inline(never)]
fn decide_error_zone() -> Step {
    step(decide_error(zone_error))
}

/// Back to the client, when the stack has routed the reply.
#[classifier]
fn bg_tc_egress(context: TcContext) -> i32 {
    Steps {
        fast: egress,
        decide: decide_egress,
        send: leave_rare,
        decide_error: decide_error_egress,
        send_error: leave_error,
        answer: answer_backend,
    }
    .run(&context)
}

/// A part of the entry, as in `xdp`: there is room for it and one of the other steps on the stack.
#[inline(always)]
fn egress(buffer: *mut __sk_buff) -> Step {
    step(fast(&mut TcFrame::new(buffer), reply, leave))
}

#[inline(never)]
fn decide_egress() -> Step {
    step(decide(reply_rare))
}

#[inline(never)]
fn decide_error_egress() -> Step {
    step(decide_error(reply_error))
}

/// What is decided about a packet.
type Decided<E> = Result<Option<Rewrite>, E>;

/// The fast path: a plain packet, decided and sent.
#[inline(always)]
fn fast(
    frame: &mut TcFrame<false>,
    decide: fn(&Packet, &KernelTables) -> Decided<Detour>,
    send: fn(&mut TcFrame<false>, &Packet, &Rewrite) -> Result<Step, Reason>,
) -> Result<Step, Detour> {
    let packet = parse(frame)?;
    let rewrite = match decide(&packet, &KernelTables) {
        Err(Detour::Undecided) => {
            maps::keep_packet(packet.for_slow_path()).ok_or(Reason::BrokenTable)?;
            return Ok(DECIDE);
        }
        decided => decided?.ok_or(Reason::NotOurs)?,
    };
    Ok(send(frame, &packet, &rewrite)?)
}

/// The slow path begins: whatever the frame is, it is read.
#[inline(never)]
fn read(buffer: *mut __sk_buff) -> Step {
    step(read_rare(&TcFrame::<true>::new(buffer)))
}

#[inline(always)]
fn read_rare(frame: &TcFrame<true>) -> Result<Step, Detour> {
    Ok(match icmp::keep(parse_rare(frame)?, frame)? {
        Message::Packet => DECIDE,
        Message::Error => ERROR,
    })
}

#[inline(always)]
fn decide(decide: fn(&Packet, &KernelTables) -> Decided<Reason>) -> Result<Step, Detour> {
    let packet = maps::packet().ok_or(Reason::BrokenTable)?;
    let rewrite = decide(packet, &KernelTables)?.ok_or(packet.none_of_ours())?;
    maps::keep_rewrite(rewrite).ok_or(Reason::BrokenTable)?;
    Ok(SEND)
}

#[inline(never)]
fn quote(buffer: *mut __sk_buff) -> Step {
    let read = icmp::quote(&TcFrame::<true>::new(buffer));
    step(read.map(|()| DECIDE_ERROR).map_err(Detour::from))
}

#[inline(always)]
fn decide_error(decide: fn(&Packet, &Quote, &KernelTables) -> Decided<Reason>) -> Result<Step, Detour> {
    icmp::decide(decide)?;
    Ok(SEND_ERROR)
}

#[inline(never)]
fn send_rare(buffer: *mut __sk_buff) -> Step {
    step(finish(buffer, send))
}

#[inline(never)]
fn leave_rare(buffer: *mut __sk_buff) -> Step {
    step(finish(buffer, leave))
}

#[inline(never)]
fn send_error(buffer: *mut __sk_buff) -> Step {
    step(finish(buffer, |frame, packet, rewrite| send_by(frame, packet, rewrite, icmp::apply)))
}

#[inline(never)]
fn leave_error(buffer: *mut __sk_buff) -> Step {
    step(finish(buffer, |frame, packet, rewrite| {
        icmp::apply(rewrite, packet, frame, Hop::Keep)?;
        Ok(TC_ACT_UNSPEC)
    }))
}

#[inline(always)]
fn finish(
    buffer: *mut __sk_buff,
    send: fn(&mut TcFrame<true>, &Packet, &Rewrite) -> Result<Step, Reason>,
) -> Result<Step, Detour> {
    let packet = maps::packet().ok_or(Reason::BrokenTable)?;
    let rewrite = maps::rewrite().ok_or(Reason::BrokenTable)?;
    Ok(send(&mut TcFrame::new(buffer), packet, rewrite)?)
}

/// Rewrites a packet that goes on as it was going.
#[inline(always)]
fn leave<const FAR: bool>(
    frame: &mut TcFrame<FAR>,
    packet: &Packet,
    rewrite: &Rewrite,
) -> Result<Step, Reason> {
    rewrite.apply(packet, frame, Hop::Keep)?;
    Ok(TC_ACT_UNSPEC)
}

/// Changes a frame into what was decided.
type Apply<const FAR: bool> = fn(&Rewrite, &Packet, &mut TcFrame<FAR>, Hop) -> Result<(), Reason>;

/// Rewrites the packet and sends it on its way.
#[inline(always)]
fn send<const FAR: bool>(
    frame: &mut TcFrame<FAR>,
    packet: &Packet,
    rewrite: &Rewrite,
) -> Result<Step, Reason> {
    send_by(frame, packet, rewrite, Rewrite::apply)
}

#[inline(always)]
fn send_by<const FAR: bool>(
    frame: &mut TcFrame<FAR>,
    packet: &Packet,
    rewrite: &Rewrite,
    apply: Apply<FAR>,
) -> Result<Step, Reason> {
    match rewrite.way {
        // The kernel alone knows which VLANs this machine takes part in, and takes the tag off.
        Way::Client if packet.is_tagged() => Err(Reason::Vlan),
        Way::Client => send_to_client(frame, packet, rewrite, apply),
        Way::Slice(via, ifindex) => send_over(frame, packet, rewrite, (via, ifindex), apply),
    }
}

/// Rewrites a packet of a client and sends it on its way.
#[inline(always)]
fn send_to_slice(frame: &mut TcFrame<false>, packet: &Packet, rewrite: &Rewrite) -> Result<Step, Reason> {
    let Way::Slice(via, ifindex) = rewrite.way else { return Err(Reason::BrokenTable) };
    send_over(frame, packet, rewrite, (via, ifindex), Rewrite::apply)
}

/// Rewrites a packet and sends it over the link to a slice.
#[inline(always)]
fn send_over<const FAR: bool>(
    frame: &mut TcFrame<FAR>,
    packet: &Packet,
    rewrite: &Rewrite,
    way: (Via, u32),
    apply: Apply<FAR>,
) -> Result<Step, Reason> {
    let redirects = match way {
        _ if packet.is_tagged() => false,
        (Via::Stack, _) => false,
        _ if packet.hop_limit <= 1 => {
            KernelTables.count(Reason::HopLimit);
            false
        }
        (_, ifindex) if !frame.fits(packet, ifindex) => {
            KernelTables.count(Reason::TooBig);
            false
        }
        (Via::Peer | Via::Neighbour, _) => true,
    };
    apply(rewrite, packet, frame, if redirects { Hop::Take } else { Hop::Keep })?;
    Ok(match way {
        (Via::Peer, ifindex) if redirects => redirect_peer(ifindex),
        (_, ifindex) if redirects => redirect_neighbour(ifindex),
        _ => TC_ACT_UNSPEC,
    })
}

/// Sends a reply out where the route to the client leads. A reply that only the kernel can handle goes to
/// it as the backend sent it: the kernel's errors then quote what the backend knows, and what the kernel
/// routes is rewritten at egress.
#[inline(always)]
pub(super) fn send_to_client<const FAR: bool>(
    frame: &mut TcFrame<FAR>,
    packet: &Packet,
    rewrite: &Rewrite,
    apply: Apply<FAR>,
) -> Result<Step, Reason> {
    if packet.hop_limit <= 1 {
        return Err(Reason::HopLimit);
    }
    let next = Route::find(frame, packet, rewrite)?.next_hop();
    apply(rewrite, packet, frame, Hop::Take)?;
    Ok(next.redirect())
}
