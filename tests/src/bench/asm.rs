//! The few programs that the benchmark itself needs, instruction by instruction: too small for an
//! object of their own, and each of them exactly what it says.

use super::bpf::Kind;
use aya_obj::generated::{
    BPF_ADD, BPF_ALU, BPF_ALU64, BPF_AND, BPF_B, BPF_CALL, BPF_DW, BPF_END, BPF_EXIT, BPF_H, BPF_IMM,
    BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JNE, BPF_K, BPF_LD, BPF_LDX, BPF_MEM, BPF_MOV, BPF_PSEUDO_MAP_FD, BPF_RSH,
    BPF_STX, BPF_TO_BE, BPF_W, BPF_X, BPF_XOR, bpf_insn,
};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Numbers of helpers in include/uapi/linux/bpf.h.
mod helper {
    pub(super) const GET_PRANDOM_U32: i32 = 7;
    pub(super) const TAIL_CALL: i32 = 12;
    pub(super) const REDIRECT: i32 = 23;
    pub(super) const REDIRECT_PEER: i32 = 155;
}

const XDP_ABORTED: i32 = 0;
const XDP_PASS: i32 = 2;
const TC_ACT_UNSPEC: i32 = -1;

/// Offsets in an Ethernet frame with an IPv4 header of 20 bytes.
mod offset {
    /// What follows the two link-layer addresses.
    pub(super) const ETHERTYPE: i16 = 12;
    /// Last byte of the source address.
    pub(super) const SOURCE_END: i16 = 29;
    /// Source port.
    pub(super) const SOURCE_PORT: i16 = 34;
    /// Destination port.
    pub(super) const DESTINATION_PORT: i16 = 36;
    /// UDP checksum.
    pub(super) const UDP_CHECKSUM: i16 = 40;
}

/// What a helper or the program returns.
const R0: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
const R4: u8 = 4;
const R5: u8 = 5;
/// This and the next survive a helper.
const R6: u8 = 6;
const R7: u8 = 7;

/// XDP that lets every frame pass.
pub(super) fn xdp_empty() -> Vec<bpf_insn> {
    Code::default().set(R0, XDP_PASS).exit()
}

/// tc that leaves every packet to whoever comes next.
pub(super) fn tc_empty() -> Vec<bpf_insn> {
    Code::default().set(R0, TC_ACT_UNSPEC).exit()
}

/// XDP that makes the frame one of `flows`, a power of two up to 2^24, at random, and hands it on to the
/// program in `table`. Flow `i` has [`flow_source`] `i`. The transport checksum is left wrong.
pub(super) fn spread(flows: u32, table: BorrowedFd<'_>) -> Vec<bpf_insn> {
    Code::default()
        .copy(R6, R1)
        .call(helper::GET_PRANDOM_U32)
        .and(R0, flows.wrapping_sub(1).cast_signed())
        .load_frame(i32::from(offset::UDP_CHECKSUM))
        .store(BPF_H, R2, offset::SOURCE_PORT, R0)
        .shift_right(R0, 16)
        .store(BPF_B, R2, offset::SOURCE_END, R0)
        .tail_call(table)
        .set(R0, XDP_ABORTED)
        .exit()
}

/// XDP that sends the frame to one of `ports`, a power of two, from `first` on, at random, and hands it on
/// to the program in `table`. The transport checksum is left wrong.
pub(super) fn spread_ports(first: u16, ports: u16, table: BorrowedFd<'_>) -> Vec<bpf_insn> {
    Code::default()
        .copy(R6, R1)
        .call(helper::GET_PRANDOM_U32)
        .and(R0, i32::from(ports) - 1)
        .add(R0, i32::from(first))
        .network_order_16(R0)
        .load_frame(i32::from(offset::UDP_CHECKSUM))
        .store(BPF_H, R2, offset::DESTINATION_PORT, R0)
        .tail_call(table)
        .set(R0, XDP_ABORTED)
        .exit()
}

/// Last byte of the address, and the port as its bytes lie in the packet, of a flow that [`spread`] makes.
pub(super) const fn flow_source(flow: u32) -> (u8, [u8; 2]) {
    ((flow >> 16) as u8, (flow as u16).to_ne_bytes())
}

/// XDP that makes every frame a copy of `frame`, a UDP datagram over IPv4 of 60 bytes, from one of
/// `flows`, a power of two, source ports from `first` on at random, with a right checksum, and sends it
/// out of the interface.
pub(super) fn generate(frame: &[u8; 60], first: u16, flows: u16, ifindex: u32) -> Vec<bpf_insn> {
    let mut code = Code::default()
        .copy(R6, R1)
        .call(helper::GET_PRANDOM_U32)
        .copy(R7, R0)
        .and(R7, i32::from(flows) - 1)
        .add(R7, i32::from(first))
        .network_order_16(R7)
        .load_frame(60);
    let (words, rest) = frame.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        code = code.set_wide(R4, u64::from_ne_bytes(*word)).store(BPF_DW, R2, at, R4);
        at += 8;
    }
    if let Ok(rest) = <[u8; 4]>::try_from(rest) {
        code = code.set(R4, i32::from_ne_bytes(rest)).store(BPF_W, R2, at, R4);
    }
    code.store(BPF_H, R2, offset::SOURCE_PORT, R7)
        // One's complement does not care for the order of bytes (RFC 1071, section 2B), so that words
        // are added as they lie.
        .set(R4, i32::from(udp_sum(frame)))
        .add_register(R4, R7)
        .copy(R5, R4)
        .shift_right(R5, 16)
        .and(R4, 0xffff)
        .add_register(R4, R5)
        .xor(R4, 0xffff)
        .skip_unless_zero(R4, 1)
        .set(R4, 0xffff)
        .store(BPF_H, R2, offset::UDP_CHECKSUM, R4)
        .set(R1, ifindex.cast_signed())
        .set(R2, 0)
        .call(helper::REDIRECT)
        .exit()
}

/// Where [`forward`] sends frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hop {
    /// The interface.
    pub(super) ifindex: u32,
    /// Whether they go at once to the other end of this veth, in its namespace; by tc only.
    pub(super) peer: bool,
    /// Link-layer address that they get as their destination.
    pub(super) destination: [u8; 6],
    /// And as their source.
    pub(super) source: [u8; 6],
}

/// Sends every IPv4 frame on with other link-layer addresses, and lets the rest pass, for without ARP there
/// would soon be no way. Nothing is looked up, nothing is translated: a forwarder cannot do less.
pub(super) fn forward(kind: Kind, hop: &Hop) -> Vec<bpf_insn> {
    const ETHERNET: i32 = 14;
    const IPV4: u16 = 0x0800;
    let (pass, helper) = match kind {
        Kind::Xdp => (XDP_PASS, helper::REDIRECT),
        Kind::Tc if hop.peer => (TC_ACT_UNSPEC, helper::REDIRECT_PEER),
        Kind::Tc => (TC_ACT_UNSPEC, helper::REDIRECT),
    };
    let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (hop.destination, hop.source);
    Code::default()
        .copy(R6, R1)
        .load_bytes(kind, ETHERNET, pass)
        .load(BPF_H, R4, R2, offset::ETHERTYPE)
        .skip_if(R4, i32::from(IPV4.to_be()), 2)
        .set(R0, pass)
        .push(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
        .set_wide(R4, u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
        .store(BPF_DW, R2, 0, R4)
        .set(R4, i32::from_ne_bytes([i, j, k, l]))
        .store(BPF_W, R2, 8, R4)
        .set(R1, hop.ifindex.cast_signed())
        .set(R2, 0)
        .call(helper)
        .exit()
}

/// The sum of what the UDP checksum covers, but for the source port and the checksum itself.
fn udp_sum(frame: &[u8; 60]) -> u16 {
    let [source, checksum] = [offset::SOURCE_PORT, offset::UDP_CHECKSUM].map(|at| at as usize);
    let (words, _) = frame.as_chunks::<2>();
    // From the addresses on; the rest of the pseudo-header is the protocol and the length.
    let covered =
        words.iter().enumerate().map(|(index, word)| (index * 2, *word)).filter(|(at, _)| *at >= 26);
    let kept = covered.filter(|(at, _)| *at != source && *at != checksum).map(|(_, word)| word);
    let pseudo = [[0, 17], [0, 60 - 34]];
    let mut sum: u32 = kept.chain(pseudo).map(|word| u32::from(u16::from_ne_bytes(word))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Instructions one after the other.
#[derive(Default)]
pub(super) struct Code(Vec<bpf_insn>);

impl Code {
    fn push(mut self, code: u32, dst: u8, src: u8, off: i16, imm: i32) -> Self {
        self.0.push(bpf_insn {
            code: code as u8,
            _bitfield_align_1: [],
            _bitfield_1: bpf_insn::new_bitfield_1(dst, src),
            off,
            imm,
        });
        self
    }

    fn set(self, dst: u8, value: i32) -> Self {
        self.push(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, value)
    }

    fn set_wide(self, dst: u8, value: u64) -> Self {
        self.wide(dst, 0, value)
    }

    fn wide(self, dst: u8, src: u8, value: u64) -> Self {
        self.push(BPF_LD | BPF_IMM | BPF_DW, dst, src, 0, value as i32).push(0, 0, 0, 0, (value >> 32) as i32)
    }

    fn copy(self, dst: u8, src: u8) -> Self {
        self.push(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
    }

    fn add(self, dst: u8, value: i32) -> Self {
        self.push(BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, value)
    }

    fn add_register(self, dst: u8, src: u8) -> Self {
        self.push(BPF_ALU64 | BPF_ADD | BPF_X, dst, src, 0, 0)
    }

    fn and(self, dst: u8, value: i32) -> Self {
        self.push(BPF_ALU64 | BPF_AND | BPF_K, dst, 0, 0, value)
    }

    fn xor(self, dst: u8, value: i32) -> Self {
        self.push(BPF_ALU64 | BPF_XOR | BPF_K, dst, 0, 0, value)
    }

    fn shift_right(self, dst: u8, bits: i32) -> Self {
        self.push(BPF_ALU64 | BPF_RSH | BPF_K, dst, 0, 0, bits)
    }

    fn network_order_16(self, dst: u8) -> Self {
        self.push(BPF_ALU | BPF_END | BPF_TO_BE, dst, 0, 0, 16)
    }

    fn store(self, size: u32, base: u8, off: i16, src: u8) -> Self {
        self.push(BPF_STX | BPF_MEM | size, base, src, off, 0)
    }

    fn load(self, size: u32, dst: u8, base: u8, off: i16) -> Self {
        self.push(BPF_LDX | BPF_MEM | size, dst, base, off, 0)
    }

    /// Jumps over `count` instructions unless `dst` is zero.
    fn skip_unless_zero(self, dst: u8, count: i16) -> Self {
        self.push(BPF_JMP | BPF_JNE | BPF_K, dst, 0, count, 0)
    }

    fn call(self, helper: i32) -> Self {
        self.push(BPF_JMP | BPF_CALL, 0, 0, 0, helper)
    }

    /// Jumps over `count` instructions if `dst` is `value`.
    fn skip_if(self, dst: u8, value: i32, count: i16) -> Self {
        self.push(BPF_JMP | BPF_JEQ | BPF_K, dst, 0, count, value)
    }

    /// Loads the start of an XDP frame, of which `bytes` can be written, into r2, given the context in r6.
    fn load_frame(self, bytes: i32) -> Self {
        self.load_bytes(Kind::Xdp, bytes, XDP_ABORTED)
    }

    /// The same of either kind; what is shorter ends with this action.
    fn load_bytes(self, kind: Kind, bytes: i32, otherwise: i32) -> Self {
        // `data` and `data_end` of `struct xdp_md` and of `struct __sk_buff`.
        let (data, end) = match kind {
            Kind::Xdp => (0, 4),
            Kind::Tc => (76, 80),
        };
        self.load(BPF_W, R2, R6, data)
            .load(BPF_W, R3, R6, end)
            .copy(R4, R2)
            .add(R4, bytes)
            .push(BPF_JMP | BPF_JGE | BPF_X, R3, R4, 2, 0)
            .set(R0, otherwise)
            .push(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
    }

    /// Goes on in the program of `table`, given the context in r6; comes back if there is none.
    fn tail_call(self, table: BorrowedFd<'_>) -> Self {
        self.copy(R1, R6)
            .wide(R2, BPF_PSEUDO_MAP_FD as u8, table.as_raw_fd() as u64)
            .set(R3, 0)
            .call(helper::TAIL_CALL)
    }

    fn exit(self) -> Vec<bpf_insn> {
        self.push(BPF_JMP | BPF_EXIT, 0, 0, 0, 0).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet;

    #[test]
    fn the_sum_of_a_datagram_yields_its_checksum() {
        let frame =
            packet::udp("198.51.100.2:2000".parse().unwrap(), "198.51.100.10:9".parse().unwrap(), &[7; 18]);
        let frame: [u8; 60] = frame.try_into().unwrap();
        let port = u32::from(u16::from_ne_bytes([frame[34], frame[35]]));
        let sum = u32::from(udp_sum(&frame)) + port;
        let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
        assert_eq!(checksum.to_ne_bytes(), [frame[40], frame[41]]);
    }

    #[test]
    fn flows_differ_in_port_and_last_byte() {
        let sources: std::collections::HashSet<_> = (0..1 << 18).step_by(977).map(flow_source).collect();
        assert_eq!(sources.len(), (1_usize << 18).div_ceil(977));
        assert_eq!(flow_source(0x2_0000), (2, [0, 0]));
    }
}
