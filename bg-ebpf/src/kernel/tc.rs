//! tc: socket buffers, which may come from a local sender and so may be larger than any wire takes,
//! with a checksum that the device is to complete.

use super::linear::Linear;
use super::maps::KernelTables;
use super::refuse;
use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{
    __sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_FIB_LKUP_RET_FRAG_NEEDED,
    BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS, TC_ACT_SHOT, TC_ACT_UNSPEC,
    bpf_fib_lookup as FibLookup, bpf_redir_neigh as NextHop,
};
use aya_ebpf::helpers::generated::{
    bpf_csum_update, bpf_fib_lookup, bpf_redirect, bpf_redirect_neigh, bpf_redirect_peer, bpf_skb_change_tail,
};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use bg_common::{Reason, Verdict, Via};
use bg_ebpf::checksum::{Change, Delta};
use bg_ebpf::decide::Way;
use bg_ebpf::packet::{Family, L3, Packet};
use bg_ebpf::{Hop, Rewrite, Tables as _, View, forward, parse, reply, reset, zone};

/// `BPF_F_IPV6` of include/uapi/linux/bpf.h: the pseudo-header is not balanced by a header checksum.
/// Kernels that lack it refuse unknown flags.
const BPF_F_IPV6: u64 = 1 << 7;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Ethernet, IPv6 and TCP headers: what is read and written directly.
const HEADERS: u32 = L3 as u32 + 40 + 20;

pub(super) struct TcFrame {
    context: TcContext,
}

impl TcFrame {
    /// Makes the headers readable in one piece.
    #[inline(always)]
    pub(super) fn new(context: TcContext) -> Self {
        let wanted = if context.len() < HEADERS { context.len() } else { HEADERS };
        if context.data() + wanted as usize > context.data_end() {
            // Without memory the frame stays short, and parsing says so.
            let _ = context.pull_data(wanted);
        }
        Self { context }
    }

    /// The bytes that can be accessed directly. They may move when the kernel changes the buffer.
    #[inline(always)]
    fn linear(&self) -> Linear {
        Linear { start: self.context.data(), end: self.context.data_end() }
    }

    /// What the kernel knows about the buffer.
    #[inline(always)]
    fn metadata(&self) -> *const __sk_buff {
        self.context.as_ptr().cast()
    }

    /// The interface that the frame is on.
    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: the context is valid for the whole run.
        unsafe { (*self.metadata()).ifindex }
    }
}

impl View for TcFrame {
    #[inline(always)]
    fn len(&self) -> u32 {
        self.context.len()
    }

    #[inline(always)]
    fn stray(&self) -> Option<Reason> {
        /// Caught for another machine, by an interface that listens to everything.
        const PACKET_OTHERHOST: u32 = 3;
        // SAFETY: as in `ifindex`.
        let tagged = unsafe { (*self.metadata()).vlan_present };
        // SAFETY: as in `ifindex`.
        let kind = unsafe { (*self.metadata()).pkt_type };
        if tagged != 0 {
            // The kernel has moved the tag out of the frame.
            Some(Reason::Vlan)
        } else {
            (kind == PACKET_OTHERHOST).then_some(Reason::NotOurs)
        }
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

/// Turns what a program has come to into the kernel's action. `answer` sends a RST to where the packet came
/// from.
#[inline(always)]
pub(super) fn action(
    buffer: *mut __sk_buff,
    result: Result<i32, Reason>,
    answer: fn(*mut __sk_buff) -> i32,
) -> i32 {
    match result {
        Ok(action) => action,
        Err(reason) => match refuse(reason) {
            // Whatever other programs the operator has on the interface run next.
            Verdict::Pass | Verdict::Forward => TC_ACT_UNSPEC,
            Verdict::Drop => TC_ACT_SHOT as i32,
            Verdict::Answer => answer(buffer),
        },
    }
}

/// Makes the answer of a packet, or counts that it cannot.
#[cold]
#[inline(never)]
fn reset_in(buffer: *mut __sk_buff) -> bool {
    let made = reset(&mut TcFrame::new(TcContext::new(buffer))).is_ok();
    if !made {
        refuse(Reason::Rewrite);
    }
    made
}

/// Sends a RST back out of the interface that the packet came in by.
#[inline(always)]
pub(super) fn answer_sender(buffer: *mut __sk_buff) -> i32 {
    if !reset_in(buffer) {
        return TC_ACT_SHOT as i32;
    }
    let ifindex = TcFrame { context: TcContext::new(buffer) }.ifindex();
    // SAFETY: the helper only notes where the packet goes once the program has ended.
    (unsafe { bpf_redirect(ifindex, 0) }) as i32
}

/// Sends a RST to the backend whose reply was about to leave.
#[inline(always)]
fn answer_backend(buffer: *mut __sk_buff) -> i32 {
    let ifindex = link_of_sender(buffer);
    if !reset_in(buffer) {
        return TC_ACT_SHOT as i32;
    }
    // SAFETY: as above; without a next hop the kernel finds it by route.
    (unsafe { bpf_redirect_neigh(ifindex, core::ptr::null_mut(), 0, 0) }) as i32
}

/// The interface that leads to the backend from which a packet comes.
#[cold]
#[inline(never)]
fn link_of_sender(buffer: *mut __sk_buff) -> u32 {
    let sender = parse(&TcFrame::new(TcContext::new(buffer))).map(|packet| packet.source());
    let id = sender.ok().and_then(|sender| KernelTables.backend_at(&sender));
    id.and_then(|id| KernelTables.backend(id)).map_or(0, |backend| backend.ifindex())
}

/// Towards a slice.
#[classifier]
fn bg_tc_ingress(context: TcContext) -> i32 {
    action(context.skb.skb, ingress(&mut TcFrame::new(context)), answer_sender)
}

#[inline(always)]
fn ingress(frame: &mut TcFrame) -> Result<i32, Reason> {
    let packet = parse(frame)?;
    let rewrite = forward(&packet, &KernelTables)?.ok_or(Reason::NotOurs)?;
    send(frame, &packet, &rewrite)
}

/// From a zone: back to the client, past the stack, or towards another slice.
#[classifier]
fn bg_tc_zone(context: TcContext) -> i32 {
    action(context.skb.skb, from_zone(&mut TcFrame::new(context)), answer_sender)
}

#[inline(always)]
fn from_zone(frame: &mut TcFrame) -> Result<i32, Reason> {
    let packet = parse(frame)?;
    let rewrite = zone(&packet, &KernelTables)?.ok_or(Reason::NotOurs)?;
    send(frame, &packet, &rewrite)
}

/// Back to the client, when the stack has routed the reply.
#[classifier]
fn bg_tc_egress(context: TcContext) -> i32 {
    action(context.skb.skb, egress(&mut TcFrame::new(context)), answer_backend)
}

#[inline(always)]
fn egress(frame: &mut TcFrame) -> Result<i32, Reason> {
    let packet = parse(frame)?;
    let rewrite = reply(&packet, &KernelTables)?.ok_or(Reason::NotOurs)?;
    rewrite.apply(&packet, frame, Hop::Keep)?;
    Ok(TC_ACT_UNSPEC)
}

/// Rewrites the packet and sends it on its way.
#[inline(always)]
fn send(frame: &mut TcFrame, packet: &Packet, rewrite: &Rewrite) -> Result<i32, Reason> {
    match rewrite.way {
        Way::Client => return send_to_client(frame, packet, rewrite),
        Way::Slice(Via::Stack, _) => {}
        Way::Slice(..) if packet.hop_limit <= 1 => KernelTables.count(Reason::HopLimit),
        Way::Slice(Via::Peer, ifindex) => {
            rewrite.apply(packet, frame, Hop::Take)?;
            // SAFETY: the helper only notes where the packet goes once the program has ended.
            return Ok(unsafe { bpf_redirect_peer(ifindex, 0) } as i32);
        }
        Way::Slice(Via::Neighbour, ifindex) => {
            rewrite.apply(packet, frame, Hop::Take)?;
            // SAFETY: as above; without a next hop the kernel finds it by route.
            return Ok(unsafe { bpf_redirect_neigh(ifindex, core::ptr::null_mut(), 0, 0) } as i32);
        }
    }
    rewrite.apply(packet, frame, Hop::Keep)?;
    Ok(TC_ACT_UNSPEC)
}

/// Sends a reply out where the route to the client leads. A reply that only the kernel can handle goes to
/// it as the backend sent it: the kernel's errors then quote what the backend knows, and what the kernel
/// routes is rewritten at egress.
#[inline(always)]
pub(super) fn send_to_client(frame: &mut TcFrame, packet: &Packet, rewrite: &Rewrite) -> Result<i32, Reason> {
    if packet.hop_limit <= 1 {
        return Err(Reason::HopLimit);
    }
    let len = wire_len(frame, packet).ok_or(Reason::Truncated)?;
    let mut route = route(frame, packet, rewrite, len);
    let size = size_of::<FibLookup>() as i32;
    // SAFETY: context and parameters are valid for the call, and the size is the parameters'.
    let found = unsafe { bpf_fib_lookup(frame.context.as_ptr(), &raw mut route, size, 0) };
    match found as u32 {
        // The kernel resolves the neighbour when it sends.
        BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH => {}
        BPF_FIB_LKUP_RET_FRAG_NEEDED => return Err(Reason::TooBig),
        _ => return Err(Reason::NoRoute),
    }
    let mut next = next_hop(&route);
    rewrite.apply(packet, frame, Hop::Take)?;
    let size = size_of::<NextHop>() as i32;
    // SAFETY: as above.
    Ok(unsafe { bpf_redirect_neigh(route.ifindex, &raw mut next, size, 0) } as i32)
}

/// The question for the way to the client.
#[inline(always)]
fn route(frame: &TcFrame, packet: &Packet, rewrite: &Rewrite, len: u16) -> FibLookup {
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
fn wire_len(frame: &TcFrame, packet: &Packet) -> Option<u16> {
    const UDP_HEADER: u32 = 8;
    // SAFETY: the context is valid for the whole run.
    let segment = unsafe { (*frame.metadata()).gso_size };
    if segment == 0 {
        return Some((packet.len - L3 as u32) as u16);
    }
    let transport = if packet.is_tcp() {
        let [offset] = frame.read::<1>(packet.l4() + 12)?;
        u32::from(offset >> 4) * 4
    } else {
        UDP_HEADER
    };
    Some((packet.family.header_len() as u32 + transport + segment) as u16)
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
