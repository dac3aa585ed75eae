//! Real packets and real tables.
//!
//! No function here is `#[cold]`: that would put it into a section of its own, and aya-obj 0.3 takes two subprograms
//! at the same offset of two sections for one.

mod buffer;
mod clients;
mod icmp;
mod linear;
mod local;
mod maps;
mod nat;
mod tc;
mod xdp;

use bg_common::{Reason, Verdict};
use bg_ebpf::Tables as _;
use maps::KernelTables;

/// The BPF license: kernel helpers are for GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Counts why a packet is not handled and says whether it is dropped.
#[inline(always)]
fn refuse(reason: Reason) -> Verdict {
    KernelTables.count(reason);
    reason.verdict()
}

/// The verifier refuses a program in which a panic is reachable, because it cannot prove that this
/// ends.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
