//! The tc programs beside those of the link: on links to backends for which clients' addresses are replaced.

use super::buffer::TcFrame;
use super::maps::KernelTables;
use super::tc::{ANSWER, Step, answer_sender, send_to_client, step};
use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use bg_common::Via;
use bg_ebpf::reply::exact_reply;
use bg_ebpf::{Detour, Hop, Rewrite, Tables as _, nat, parse};

/// To a backend, when everything else has been done: the gateway takes the client's place.
#[classifier]
fn bg_nat_egress(context: TcContext) -> i32 {
    match to_backend(context.skb.skb) {
        // Nothing that is answered leaves for a backend.
        ANSWER => TC_ACT_SHOT as i32,
        done => done,
    }
}

/// With the stack to itself, as the next.
#[inline(never)]
fn to_backend(buffer: *mut __sk_buff) -> Step {
    step(egress(&mut TcFrame::new(buffer)))
}

#[inline(never)]
fn to_client(buffer: *mut __sk_buff) -> Step {
    step(ingress(&mut TcFrame::new(buffer)))
}

#[inline(always)]
fn egress(frame: &mut TcFrame<false>) -> Result<Step, Detour> {
    // What is none of ours the link's other program has counted.
    if let Ok(packet) = parse(frame)
        && let Some(rewrite) = nat::hide(&packet, &KernelTables)?
    {
        rewrite.apply(&packet, frame, Hop::Keep)?;
    }
    Ok(TC_ACT_UNSPEC)
}

/// From a backend, when the link's other program has passed it: the client takes the gateway's place.
#[classifier]
fn bg_nat_ingress(context: TcContext) -> i32 {
    let buffer = context.skb.skb;
    match to_client(buffer) {
        ANSWER => answer_sender(buffer),
        done => done,
    }
}

#[inline(always)]
fn ingress(frame: &mut TcFrame<false>) -> Result<Step, Detour> {
    let Ok(packet) = parse(frame) else {
        return Ok(TC_ACT_UNSPEC);
    };
    let Some((to_client, reveal)) = nat::reveal(&packet, &KernelTables) else {
        return Ok(TC_ACT_UNSPEC);
    };
    // Before anything is written: what is over is answered to whom the backend knows.
    let by_redirect = is_redirected(&to_client);
    // Replaced clients are those of services with a port.
    let back = if by_redirect { exact_reply(&to_client, &KernelTables)? } else { None };
    reveal.apply(&packet, frame, Hop::Keep)?;
    match back {
        Some(rewrite) => Ok(send_to_client(frame, &to_client, &rewrite, Rewrite::apply)?),
        // The kernel routes it, and it is rewritten when it leaves.
        None => Ok(TC_ACT_UNSPEC),
    }
}

/// Whether packets of this backend are redirected both ways.
#[inline(always)]
fn is_redirected(packet: &bg_ebpf::Packet) -> bool {
    let id = KernelTables.backend_at(&packet.source());
    id.and_then(|id| KernelTables.backend(id)).is_some_and(|backend| backend.via() != Via::Stack)
}
