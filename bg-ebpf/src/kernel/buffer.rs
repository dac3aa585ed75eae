//! Socket buffers, which may come from a local sender and so may be larger than any wire takes, with a checksum that the
//! device is to complete; and the kernel's ways to send them on.

use super::linear::Linear;
use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{
    __sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_FIB_LKUP_RET_FRAG_NEEDED,
    BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as FibLookup,
    bpf_redir_neigh as NextHop,
};
use aya_ebpf::helpers::generated::{
    bpf_csum_update, bpf_fib_lookup, bpf_redirect, bpf_redirect_neigh, bpf_redirect_peer, bpf_skb_change_tail,
};
use aya_ebpf::programs::TcContext;
use bg_common::Reason;
use bg_ebpf::checksum::{Change, Delta};
use bg_ebpf::packet::{Family, L3, Packet};
use bg_ebpf::walk::MAX_HEADERS;
use bg_ebpf::{Rewrite, View};

/// `BPF_F_IPV6` of include/uapi/linux/bpf.h: the pseudo-header is not balanced by a header checksum.
/// Kernels that lack it refuse unknown flags.
const BPF_F_IPV6: u64 = 1 << 7;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Ethernet, IPv6 and TCP headers: what is read and written directly.
const HEADERS: u32 = L3 as u32 + 40 + 20;

/// The same on the slow path.
const FAR_HEADERS: u32 = MAX_HEADERS as u32 + 20;

/// A frame; `FAR` on the slow path.
pub(super) struct TcFrame<const FAR: bool> {
    context: TcContext,
}

impl<const FAR: bool> TcFrame<FAR> {
    /// A buffer of which no bytes are wanted.
    #[inline(always)]
    pub(super) fn on(buffer: *mut __sk_buff) -> Self {
        Self { context: TcContext::new(buffer) }
    }

    /// Makes the headers readable in one piece.
    #[inline(always)]
    pub(super) fn new(buffer: *mut __sk_buff) -> Self {
        let context = TcContext::new(buffer);
        let headers = if FAR { FAR_HEADERS } else { HEADERS };
        let wanted = if context.len() < headers { context.len() } else { headers };
        if context.data() + wanted as usize > context.data_end() {
            // Without memory the frame stays short, and parsing says so.
            let _ = context.pull_data(wanted);
        }
        Self { context }
    }

    /// The bytes that can be accessed directly. They may move when the kernel changes the buffer.
    #[inline(always)]
    fn linear(&self) -> Linear<FAR> {
        Linear { start: self.context.data(), end: self.context.data_end() }
    }

    /// What the kernel knows about the buffer.
    #[inline(always)]
    fn metadata(&self) -> *const __sk_buff {
        self.context.as_ptr().cast()
    }

    /// The interface that the frame is on.
    #[inline(always)]
    pub(super) fn ifindex(&self) -> u32 {
        // SAFETY: the context is valid for the whole run.
        unsafe { (*self.metadata()).ifindex }
    }
}

impl<const FAR: bool> View for TcFrame<FAR> {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.context.len()
    }

    #[inline(always)]
    fn stray(&self) -> Option<Reason> {
        /// Caught for another machine, by an interface that listens to everything.
        const PACKET_OTHERHOST: u32 = 3;
        // SAFETY: as in `ifindex`.
        let kind = unsafe { (*self.metadata()).pkt_type };
        (kind == PACKET_OTHERHOST).then_some(Reason::NotOurs)
    }

    #[inline(always)]
    fn has_tag_beside(&self) -> bool {
        // SAFETY: as in `ifindex`.
        unsafe { (*self.metadata()).vlan_present != 0 }
    }

    #[inline(always)]
    fn segments(&self) -> u32 {
        // SAFETY: as in `ifindex`.
        let segments = unsafe { (*self.metadata()).gso_segs };
        if segments == 0 { 1 } else { segments }
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
        // SAFETY: the context is valid for the whole run, and what is read afterwards is checked anew.
        let refused = unsafe { bpf_skb_change_tail(self.context.as_ptr().cast(), len as u32, 0) };
        (refused == 0).then_some(())
    }

    /// A change of two bytes that no pseudo-header covers is one that the device will sum up by itself: the kernel
    /// then leaves the field alone.
    #[inline(always)]
    fn completed_by_device(&mut self, offset: usize) -> Option<bool> {
        self.write(offset, [0, 0])?;
        self.context.l4_csum_replace(offset, 0, 1, 2).ok()?;
        Some(self.read(offset)? == [0, 0])
    }

    #[inline(always)]
    fn uncovered(&mut self, delta: Delta) {
        // SAFETY: the context is valid for the whole run. That the buffer has no sum of its own to update
        // is no failure.
        let _ = unsafe { bpf_csum_update(self.context.as_ptr().cast(), delta.to_difference()) };
    }

    #[inline(always)]
    fn mend_checksum(&mut self, offset: usize, change: &Change) -> Option<()> {
        let udp = if change.udp { u64::from(BPF_F_MARK_MANGLED_0) } else { 0 };
        let flags = u64::from(BPF_F_PSEUDO_HDR) | udp;
        let difference = u64::from(change.addresses.to_difference());
        let mended = if change.v6 {
            self.context
                .l4_csum_replace(offset, 0, difference, flags | BPF_F_IPV6)
                .or_else(|_| self.context.l4_csum_replace(offset, 0, difference, flags))
        } else {
            self.context.l4_csum_replace(offset, 0, difference, flags)
        };
        mended.ok()?;
        match change.port {
            Some((old, new)) => {
                let (old, new) = (u16::from_ne_bytes(old), u16::from_ne_bytes(new));
                self.context.l4_csum_replace(offset, old.into(), new.into(), udp | 2).ok()
            }
            None => Some(()),
        }
    }
}

/// Sends the running program's buffer out of an interface, once the program has ended, and returns its action.
#[inline(always)]
pub(super) fn redirect(ifindex: u32) -> i32 {
    // SAFETY: the helper only notes where the buffer goes.
    (unsafe { bpf_redirect(ifindex, 0) }) as i32
}

/// The same, into the network namespace at the other end of a veth pair.
#[inline(always)]
pub(super) fn redirect_peer(ifindex: u32) -> i32 {
    // SAFETY: as in `redirect`.
    (unsafe { bpf_redirect_peer(ifindex, 0) }) as i32
}

/// The same, to the next hop that the kernel finds by route.
#[inline(always)]
pub(super) fn redirect_neighbour(ifindex: u32) -> i32 {
    // SAFETY: as in `redirect`; a next hop may be left out.
    (unsafe { bpf_redirect_neigh(ifindex, core::ptr::null_mut(), 0, 0) }) as i32
}

/// A way to a client.
pub(super) struct Route(FibLookup);

impl Route {
    /// The way of a reply, from the frontend that `rewrite` names.
    ///
    /// # Errors
    ///
    /// Why the reply cannot be redirected.
    #[inline(always)]
    pub(super) fn find<const FAR: bool>(
        frame: &TcFrame<FAR>,
        packet: &Packet,
        rewrite: &Rewrite,
    ) -> Result<Self, Reason> {
        let len = wire_len(frame, packet).ok_or(Reason::Truncated)?;
        let mut route = route(frame, packet, rewrite, len);
        let size = size_of::<FibLookup>() as i32;
        // SAFETY: context and parameters are valid for the call, and the size is the parameters'.
        let found = unsafe { bpf_fib_lookup(frame.context.as_ptr(), &raw mut route, size, 0) };
        match found as u32 {
            // The kernel resolves the neighbour when it sends.
            BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH => Ok(Self(route)),
            BPF_FIB_LKUP_RET_FRAG_NEEDED => Err(Reason::TooBig),
            _ => Err(Reason::NoRoute),
        }
    }

    /// The hop that the buffer is to go to.
    #[inline(always)]
    pub(super) fn next_hop(&self) -> Station {
        Station { ifindex: self.0.ifindex, next: next_hop(&self.0) }
    }
}

/// A station next to this one.
pub(super) struct Station {
    ifindex: u32,
    next: NextHop,
}

impl Station {
    /// Sends the running program's buffer there, once the program has ended, and returns its action.
    #[inline(always)]
    pub(super) fn redirect(mut self) -> i32 {
        let size = size_of::<NextHop>() as i32;
        // SAFETY: the next hop is valid for the call, and the size is its own.
        (unsafe { bpf_redirect_neigh(self.ifindex, &raw mut self.next, size, 0) }) as i32
    }
}

/// The question for the way to the client.
#[inline(always)]
fn route<const FAR: bool>(frame: &TcFrame<FAR>, packet: &Packet, rewrite: &Rewrite, len: u16) -> FibLookup {
    // SAFETY: integers and unions of them, for which zero is a value.
    let mut route: FibLookup = unsafe { core::mem::zeroed() };
    route.l4_protocol = packet.proto.0;
    route.ifindex = frame.ifindex();
    route.sport = u16::from_ne_bytes(rewrite.port.to_wire());
    route.dport = u16::from_ne_bytes(packet.dst_port.to_wire());
    route.__bindgen_anon_1.tot_len = len;
    match packet.family {
        Family::V4 => {
            route.family = AF_INET;
            route.__bindgen_anon_3.ipv4_src = rewrite.addr.v4_word();
            route.__bindgen_anon_4.ipv4_dst = packet.dst.v4_word();
        }
        Family::V6 => {
            route.family = AF_INET6;
            route.__bindgen_anon_3.ipv6_src = rewrite.addr.words();
            route.__bindgen_anon_4.ipv6_dst = packet.dst.words();
        }
    }
    route
}

/// Length of the network packet as it will be on the wire: of one segment, when the buffer holds several.
#[inline(always)]
fn wire_len<const FAR: bool>(frame: &TcFrame<FAR>, packet: &Packet) -> Option<u16> {
    const UDP_HEADER: u32 = 8;
    // SAFETY: the context is valid for the whole run.
    let segment = unsafe { (*frame.metadata()).gso_size };
    if segment == 0 {
        return Some((packet.len - packet.l3() as u32) as u16);
    }
    let transport = if packet.is_tcp() {
        let [offset] = frame.read::<1>(packet.l4() + 12)?;
        u32::from(offset >> 4) * 4
    } else {
        UDP_HEADER
    };
    Some(((packet.l4() - packet.l3()) as u32 + transport + segment) as u16)
}

/// The next hop that a look-up has put in the place of the destination.
#[inline(always)]
fn next_hop(route: &FibLookup) -> NextHop {
    // SAFETY: as in `route`.
    let mut next: NextHop = unsafe { core::mem::zeroed() };
    // The family of the next hop may differ from the packet's (RFC 5549 routes).
    next.nh_family = u32::from(route.family);
    if route.family == AF_INET {
        // SAFETY: the look-up has written the field that the family names.
        next.__bindgen_anon_1.ipv4_nh = unsafe { route.__bindgen_anon_4.ipv4_dst };
    } else {
        // SAFETY: as above.
        next.__bindgen_anon_1.ipv6_nh = unsafe { route.__bindgen_anon_4.ipv6_dst };
    }
    next
}
