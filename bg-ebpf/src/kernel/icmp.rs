//! ICMP on the slow path, for both kinds of frames: the steps of an error, between reading its packet and sending it on.

use super::maps::KernelTables;
use super::scratch;
use bg_common::Reason;
use bg_ebpf::icmp::{self, Message, Quote};
use bg_ebpf::{Hop, Packet, Rewrite, Tables as _, View};

/// Reads the ICMP header of a packet that may have one, and keeps what was read; says whether it is an error's.
#[inline(always)]
pub(super) fn keep<V: View>(mut packet: Packet, view: &V) -> Result<bool, Reason> {
    let message = icmp::read(&mut packet, view)?;
    scratch::keep_packet(packet).ok_or(Reason::BrokenTable)?;
    let Message::Error(kind) = message else { return Ok(false) };
    scratch::keep_kind(kind).ok_or(Reason::BrokenTable)?;
    Ok(true)
}

/// Reads and keeps what an error quotes.
#[inline(always)]
pub(super) fn quote<V: View>(view: &V) -> Result<(), Reason> {
    // SAFETY: `keep` has kept it.
    let packet = unsafe { scratch::packet() }.ok_or(Reason::BrokenTable)?;
    // SAFETY: as above, because the packet is an error.
    let kind = unsafe { scratch::kind() }.ok_or(Reason::BrokenTable)?;
    scratch::keep_quote(Quote::read(packet, kind, view)?).ok_or(Reason::BrokenTable)
}

/// What is decided about an error.
type Decided = Result<Option<Rewrite>, Reason>;

/// Decides about an error.
#[inline(always)]
pub(super) fn decide(decide: fn(&Packet, &Quote, &KernelTables) -> Decided) -> Result<(), Reason> {
    // SAFETY: `keep` has kept it.
    let packet = unsafe { scratch::packet() }.ok_or(Reason::BrokenTable)?;
    // SAFETY: `quote` has kept it.
    let quote = unsafe { scratch::quote() }.ok_or(Reason::BrokenTable)?;
    let rewrite = decide(packet, quote, &KernelTables)?.ok_or(Reason::NotOurs)?;
    scratch::keep_rewrite(rewrite).ok_or(Reason::BrokenTable)
}

/// Translates an error, and counts it.
#[inline(always)]
pub(super) fn apply<V: View>(
    packet: &Packet,
    rewrite: &Rewrite,
    view: &mut V,
    hop: Hop,
) -> Result<(), Reason> {
    // SAFETY: `quote` has kept it.
    let quote = unsafe { scratch::quote() }.ok_or(Reason::BrokenTable)?;
    icmp::apply(rewrite, packet, quote, view, hop)?;
    KernelTables.count(Reason::IcmpError);
    Ok(())
}
