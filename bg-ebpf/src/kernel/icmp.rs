//! ICMP on the slow path, for both kinds of frames: the steps of an error, between reading its packet and sending it on.

use super::maps::{self, KernelTables};
use bg_common::Reason;
use bg_ebpf::icmp::{self, Message, Quote};
use bg_ebpf::{Hop, Packet, Rewrite, Tables as _, View};

/// Keeps a packet that was read, after a look at its ICMP header, if it has one.
#[inline(always)]
pub(super) fn keep<V: View>(mut packet: Packet, view: &V) -> Result<Message, Reason> {
    let message = icmp::read(&mut packet, view)?;
    maps::keep_packet(packet).ok_or(Reason::BrokenTable)?;
    Ok(message)
}

/// Reads and keeps what an error quotes.
#[inline(always)]
pub(super) fn quote<V: View>(view: &V) -> Result<(), Reason> {
    let packet = maps::packet().ok_or(Reason::BrokenTable)?;
    maps::keep_quote(Quote::read(packet, view)?).ok_or(Reason::BrokenTable)
}

/// What is decided about an error.
pub(super) type Decided = Result<Option<Rewrite>, Reason>;

/// Decides about an error.
#[inline(always)]
pub(super) fn decide(decide: fn(&Packet, &Quote, &KernelTables) -> Decided) -> Result<(), Reason> {
    let packet = maps::packet().ok_or(Reason::BrokenTable)?;
    let quote = maps::quote().ok_or(Reason::BrokenTable)?;
    let rewrite = decide(packet, quote, &KernelTables)?.ok_or(Reason::NotOurs)?;
    maps::keep_rewrite(rewrite).ok_or(Reason::BrokenTable)
}

/// Translates an error, and counts it: [`Rewrite::apply`] for errors.
#[inline(always)]
pub(super) fn apply<V: View>(
    rewrite: &Rewrite,
    packet: &Packet,
    view: &mut V,
    hop: Hop,
) -> Result<(), Reason> {
    let quote = maps::quote().ok_or(Reason::BrokenTable)?;
    icmp::apply(rewrite, packet, quote, view, hop)?;
    KernelTables.count(Reason::IcmpError);
    Ok(())
}
