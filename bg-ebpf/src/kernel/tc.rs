//! tc: socket buffers, which may come from a local sender and so may be larger than any wire takes,
//! with a checksum that the device is to complete.

use super::linear::Linear;
use super::maps::KernelTables;
use super::{icmp, refuse, scratch};
use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{
    __sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_FIB_LKUP_RET_FRAG_NEEDED,
    BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS, TC_ACT_SHOT, TC_ACT_UNSPEC,
    bpf_fib_lookup as FibLookup, bpf_redir_neigh as NextHop,
};
use aya_ebpf::helpers::generated::{
    bpf_check_mtu, bpf_csum_update, bpf_fib_lookup, bpf_redirect, bpf_redirect_neigh, bpf_redirect_peer,
    bpf_skb_change_tail,
};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use bg_common::{Reason, Verdict, Via};
use bg_ebpf::checksum::{Change, Delta};
use bg_ebpf::decide::Way;
use bg_ebpf::icmp::{Quote, forward as forward_error, reply as reply_error, zone as zone_error};
use bg_ebpf::packet::{Family, L3, Packet};
use bg_ebpf::rare::sender;
use bg_ebpf::walk::MAX_HEADERS;
use bg_ebpf::{
    Detour, Hop, Rewrite, Tables as _, View, forward, forward_rare, parse, parse_rare, reply, reply_rare,
    reset, zone, zone_rare,
};

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
struct TcFrame<const FAR: bool> {
    context: TcContext,
}

impl<const FAR: bool> TcFrame<FAR> {
    /// Makes the headers readable in one piece.
    #[inline(always)]
    fn new(buffer: *mut __sk_buff) -> Self {
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
    fn ifindex(&self) -> u32 {
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

/// What a path has come to: one of the kernel's actions, or a step that the entry takes after it.
type Step = i32;
/// The slow path has to read the frame,
const RARE: Step = 0x100;
/// and to decide about it,
const DECIDE: Step = 0x101;
/// and to change and send it.
const SEND: Step = 0x102;
/// The packet is to be answered.
const ANSWER: Step = 0x103;
/// It is an ICMP error, and what it quotes is to be read,
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
fn step(result: Result<Step, Detour>) -> Step {
    match result {
        Ok(step) => step,
        Err(Detour::Rare) => RARE,
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
fn answer_sender(buffer: *mut __sk_buff) -> Step {
    if !reset_in(buffer) {
        return TC_ACT_SHOT as i32;
    }
    let ifindex = TcFrame::<false> { context: TcContext::new(buffer) }.ifindex();
    // SAFETY: the helper only notes where the packet goes once the program has ended.
    (unsafe { bpf_redirect(ifindex, 0) }) as i32
}

/// Sends a RST to the backend whose reply was about to leave.
#[inline(always)]
fn answer_backend(buffer: *mut __sk_buff) -> Step {
    let ifindex = link_of_sender(buffer);
    if !reset_in(buffer) {
        return TC_ACT_SHOT as i32;
    }
    // SAFETY: as above; without a next hop the kernel finds it by route.
    (unsafe { bpf_redirect_neigh(ifindex, core::ptr::null_mut(), 0, 0) }) as i32
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
    step(fast(&mut TcFrame::new(buffer), forward, send))
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

#[inline(never)]
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
    let rewrite = decide(&packet, &KernelTables)?.ok_or(Reason::NotOurs)?;
    Ok(send(frame, &packet, &rewrite)?)
}

/// The slow path begins: whatever the frame is, it is read.
#[inline(never)]
fn read(buffer: *mut __sk_buff) -> Step {
    step(read_rare(&TcFrame::<true>::new(buffer)))
}

#[inline(always)]
fn read_rare(frame: &TcFrame<true>) -> Result<Step, Detour> {
    let is_error = icmp::keep(parse_rare(frame)?, frame)?;
    Ok(if is_error { ERROR } else { DECIDE })
}

#[inline(always)]
fn decide(decide: fn(&Packet, &KernelTables) -> Decided<Reason>) -> Result<Step, Detour> {
    // SAFETY: `read` has kept it.
    let packet = unsafe { scratch::packet() }.ok_or(Reason::BrokenTable)?;
    let rewrite = decide(packet, &KernelTables)?.ok_or(packet.none_of_ours())?;
    scratch::keep_rewrite(rewrite).ok_or(Reason::BrokenTable)?;
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
    step(finish(buffer, |frame, packet, rewrite| send_by(frame, packet, rewrite, translate)))
}

#[inline(never)]
fn leave_error(buffer: *mut __sk_buff) -> Step {
    step(finish(buffer, |frame, packet, rewrite| {
        translate(rewrite, packet, frame, Hop::Keep)?;
        Ok(TC_ACT_UNSPEC)
    }))
}

/// [`Rewrite::apply`] for an ICMP error.
#[inline(always)]
fn translate(rewrite: &Rewrite, packet: &Packet, frame: &mut TcFrame<true>, hop: Hop) -> Result<(), Reason> {
    icmp::apply(packet, rewrite, frame, hop)
}

#[inline(always)]
fn finish(
    buffer: *mut __sk_buff,
    send: fn(&mut TcFrame<true>, &Packet, &Rewrite) -> Result<Step, Reason>,
) -> Result<Step, Detour> {
    // SAFETY: `read` has kept it.
    let packet = unsafe { scratch::packet() }.ok_or(Reason::BrokenTable)?;
    // SAFETY: `decide` has kept it.
    let rewrite = unsafe { scratch::rewrite() }.ok_or(Reason::BrokenTable)?;
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
        Way::Client if packet.is_tagged() => return Err(Reason::Vlan),
        Way::Client => return send_to_client(frame, packet, rewrite, apply),
        Way::Slice(..) if packet.is_tagged() => {}
        Way::Slice(Via::Stack, _) => {}
        Way::Slice(..) if packet.hop_limit <= 1 => KernelTables.count(Reason::HopLimit),
        Way::Slice(_, ifindex) if !fits(frame, packet, ifindex) => KernelTables.count(Reason::TooBig),
        Way::Slice(Via::Peer, ifindex) => {
            apply(rewrite, packet, frame, Hop::Take)?;
            // SAFETY: the helper only notes where the packet goes once the program has ended.
            return Ok(unsafe { bpf_redirect_peer(ifindex, 0) } as i32);
        }
        Way::Slice(Via::Neighbour, ifindex) => {
            apply(rewrite, packet, frame, Hop::Take)?;
            // SAFETY: as above; without a next hop the kernel finds it by route.
            return Ok(unsafe { bpf_redirect_neigh(ifindex, core::ptr::null_mut(), 0, 0) } as i32);
        }
    }
    apply(rewrite, packet, frame, Hop::Keep)?;
    Ok(TC_ACT_UNSPEC)
}

/// Whether an interface takes the packet, of which the kernel's redirect makes sure for nobody: what is too large would
/// get lost there, and nobody be told.
#[inline(always)]
fn fits<const FAR: bool>(frame: &TcFrame<FAR>, packet: &Packet, ifindex: u32) -> bool {
    /// No link has a smaller MTU than every host must take (RFC 791, section 3.1), and nobody is asked.
    const EVERYWHERE: u32 = L3 as u32 + 576;
    if packet.len <= EVERYWHERE {
        return true;
    }
    let Some(len) = wire_len(frame, packet).map(u32::from) else { return false };
    let mut mtu = len;
    // SAFETY: context and parameter are valid for the call, which puts the interface's MTU in the place of the length.
    // Without such an interface it stays, and the redirect fails.
    let _ = unsafe { bpf_check_mtu(frame.context.as_ptr(), ifindex, &raw mut mtu, 0, 0) };
    len <= mtu
}

/// Sends a reply out where the route to the client leads. A reply that only the kernel can handle goes to
/// it as the backend sent it: the kernel's errors then quote what the backend knows, and what the kernel
/// routes is rewritten at egress.
#[inline(always)]
fn send_to_client<const FAR: bool>(
    frame: &mut TcFrame<FAR>,
    packet: &Packet,
    rewrite: &Rewrite,
    apply: Apply<FAR>,
) -> Result<Step, Reason> {
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
    apply(rewrite, packet, frame, Hop::Take)?;
    let size = size_of::<NextHop>() as i32;
    // SAFETY: as above.
    Ok(unsafe { bpf_redirect_neigh(route.ifindex, &raw mut next, size, 0) } as i32)
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
