//! What the subprograms of the slow path hand to each other.
//!
//! It lies in a table and not on the stack, of which there is little; and the verifier, which knows nothing of a table's
//! contents, looks at each subprogram once, and not once for each kind of packet.

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use bg_ebpf::icmp::Quote;
use bg_ebpf::{Packet, Rewrite};
use core::mem::MaybeUninit;

/// A packet on the slow path.
pub(super) struct Scratch {
    packet: MaybeUninit<Packet>,
    rewrite: MaybeUninit<Rewrite>,
    /// Type of an ICMP error.
    kind: MaybeUninit<u8>,
    quote: MaybeUninit<Quote>,
}

/// Its own for each CPU: packet programs do not interrupt each other there. Nothing outlasts a packet in it, so it is no
/// part of the contract and is not pinned.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: any bytes are a value of fields that may be uninitialised, and each subprogram holds it once.
    SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
}

/// Keeps what was read.
#[inline(always)]
pub(super) fn keep_packet(packet: Packet) -> Option<()> {
    scratch()?.packet.write(packet);
    Some(())
}

/// Keeps what was decided.
#[inline(always)]
pub(super) fn keep_rewrite(rewrite: Rewrite) -> Option<()> {
    scratch()?.rewrite.write(rewrite);
    Some(())
}

/// Keeps what an ICMP error is.
#[inline(always)]
pub(super) fn keep_kind(kind: u8) -> Option<()> {
    scratch()?.kind.write(kind);
    Some(())
}

/// Keeps what an ICMP error quotes.
#[inline(always)]
pub(super) fn keep_quote(quote: Quote) -> Option<()> {
    scratch()?.quote.write(quote);
    Some(())
}

/// What was read.
///
/// # Safety
///
/// [`keep_packet`] has been called in this run of the program.
#[inline(always)]
pub(super) unsafe fn packet() -> Option<&'static Packet> {
    // SAFETY: the caller's promise.
    scratch().map(|scratch| unsafe { scratch.packet.assume_init_ref() })
}

/// What was decided.
///
/// # Safety
///
/// [`keep_rewrite`] has been called in this run of the program.
#[inline(always)]
pub(super) unsafe fn rewrite() -> Option<&'static Rewrite> {
    // SAFETY: the caller's promise.
    scratch().map(|scratch| unsafe { scratch.rewrite.assume_init_ref() })
}

/// What an ICMP error is.
///
/// # Safety
///
/// [`keep_kind`] has been called in this run of the program.
#[inline(always)]
pub(super) unsafe fn kind() -> Option<u8> {
    // SAFETY: the caller's promise.
    scratch().map(|scratch| unsafe { scratch.kind.assume_init() })
}

/// What an ICMP error quotes.
///
/// # Safety
///
/// [`keep_quote`] has been called in this run of the program.
#[inline(always)]
pub(super) unsafe fn quote() -> Option<&'static Quote> {
    // SAFETY: the caller's promise.
    scratch().map(|scratch| unsafe { scratch.quote.assume_init_ref() })
}
