//! ICMP: an echo is a flow whose port is its identifier; an error belongs to the flow of the packet that it quotes, and
//! is translated outside and inside (RFC 792, RFC 4443, RFC 5508).

use super::checksum::{residue_of, set_checksum};
use super::decide::Decided;
use super::headers::network;
use super::packet::{ICMP, ICMP6, Packet, Part, bytes, half, header_of};
use super::pins::Key;
use super::rewrite::To;
use super::tables::WHOLE;
use super::{Action, Input, Model, Program};
use bg_common::Reason;
use std::net::IpAddr;

/// Length of an ICMP header.
const HEADER: usize = 8;

/// What an ICMP message is.
pub(super) enum Message {
    /// An echo, which has a port on the side of whoever asks.
    Request(u16),
    Reply(u16),
    /// An error.
    Error,
    /// Anything else, which is the gateway's own.
    Other,
}

/// Reads the header of an ICMP message.
pub(super) fn message(frame: &[u8], l4: usize, v6: bool) -> Result<Message, Reason> {
    let header: [u8; HEADER] = bytes(frame, l4).ok_or(Reason::Truncated)?;
    let id = u16::from_be_bytes([header[4], header[5]]);
    Ok(match (v6, header[0]) {
        (false, 3 | 11 | 12) | (true, 1..=4) => Message::Error,
        (false, 8) | (true, 128) => Message::Request(id),
        (false, 0) | (true, 129) => Message::Reply(id),
        _ => Message::Other,
    })
}

/// The packet that an error is about, as far as it is quoted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quote {
    src: (IpAddr, u16),
    dst: (IpAddr, u16),
    proto: u8,
    l3: usize,
    l4: usize,
    end: usize,
}

/// Reads what an error quotes.
fn quote(frame: &[u8], packet: &Packet) -> Option<Quote> {
    if packet.part != Part::Whole {
        return None;
    }
    let header: [u8; HEADER] = bytes(frame, packet.l4)?;
    let v6 = packet.is_v6();
    // RFC 4884: something else may follow the quote.
    let length = match (v6, header[0]) {
        (false, _) => usize::from(header[5]) * 4,
        (true, 1 | 3) => usize::from(header[4]) * 8,
        _ => 0,
    };
    let l3 = packet.l4 + HEADER;
    let end = if length == 0 { packet.end } else { packet.end.min(l3 + length) };
    if l3 + if v6 { 40 } else { 20 } > end {
        return None;
    }
    // Its length speaks of what is not here any more.
    let inner = network(frame, if v6 { 0x86dd } else { 0x0800 }, l3, true).ok()?;
    if inner.offset != 0 || inner.l4 + 8 > end {
        return None;
    }
    let word: [u8; 8] = bytes(frame, inner.l4)?;
    let id = u16::from_be_bytes([word[4], word[5]]);
    let (src_port, dst_port) = match (inner.proto, word[0]) {
        (ICMP, 8) | (ICMP6, 128) => (id, 0),
        (ICMP, 0) | (ICMP6, 129) => (0, id),
        (proto, _) if header_of(proto) > 0 => (half(&word, 0)?, half(&word, 2)?),
        _ => (0, 0),
    };
    Some(Quote {
        src: (inner.src, src_port),
        dst: (inner.dst, dst_port),
        proto: inner.proto,
        l3,
        l4: inner.l4,
        end,
    })
}

impl Model {
    /// Handles an error.
    pub(super) fn error(
        &mut self,
        program: Program,
        input: &Input<'_>,
        packet: &Packet,
    ) -> Result<(Action, Vec<u8>), Reason> {
        let quote = quote(input.frame, packet).ok_or(Reason::IcmpQuote)?;
        let to = match program {
            Program::Xdp | Program::Ingress => self.error_to_slice(packet, &quote)?,
            Program::Egress | Program::NatEgress | Program::NatIngress => {
                self.error_to_client(packet, &quote)?
            }
            Program::Zone => match self.error_to_client(packet, &quote) {
                Ok(Some(to)) => Some(to),
                back => match self.error_to_slice(packet, &quote)? {
                    None => back?,
                    to => to,
                },
            },
        };
        let to = to.ok_or(Reason::NotOurs)?;
        let redirects = self.redirects(program, input, packet, &to)?;
        self.reasons.push(Reason::IcmpError);
        let frame = translated(input.frame, packet, &quote, &to, u8::from(redirects));
        Ok((if redirects { Action::Redirect } else { Action::Pass }, frame))
    }

    /// About a reply: to the backend that sent it.
    fn error_to_slice(&mut self, packet: &Packet, quote: &Quote) -> Decided {
        let (vip, port) = quote.src;
        let ours = matches!(quote.proto, 6 | 17);
        let exact = self.tables.frontends.get(&(vip, port, quote.proto)).copied().filter(|_| ours);
        let owner = self.tables.frontends.get(&(vip, WHOLE.0, WHOLE.1)).copied();
        let (frontend, asked) = match (exact, owner) {
            (Some(frontend), _) => (frontend, 0),
            (None, Some(owner)) => (owner, port),
            (None, None) => return Ok(None),
        };
        let key: Key = (quote.dst.0, quote.dst.1, quote.proto, frontend.service, asked);
        let (_, pin) = self.tables.pin(&key).ok_or(Reason::IcmpNoFlow)?;
        if packet.dst != vip || pin.frontend != frontend.id {
            return Err(Reason::IcmpNoFlow);
        }
        Ok(Some(To::Slice(self.backend(pin.backend)?)))
    }

    /// About a packet to a backend: to the client that sent it.
    fn error_to_client(&mut self, packet: &Packet, quote: &Quote) -> Decided {
        let (ip, port) = quote.dst;
        let ours = matches!(quote.proto, 6 | 17);
        let exact = self.tables.backends_by_addr.get(&(ip, port, quote.proto)).copied().filter(|_| ours);
        let whole = self.tables.backends_by_addr.get(&(ip, WHOLE.0, WHOLE.1)).copied();
        let mut found = Ok(None);
        for (id, asked) in [(exact, 0), (whole, port)] {
            if let (Some(id), Ok(None) | Err(Reason::IcmpNoFlow)) = (id, &found) {
                found = self.error_of(packet, quote, id, asked);
            }
        }
        found
    }

    fn error_of(&mut self, packet: &Packet, quote: &Quote, id: u32, asked: u16) -> Decided {
        let backend = self.backend(id)?;
        let key: Key = (quote.src.0, quote.src.1, quote.proto, backend.service, asked);
        let (_, pin) = self.tables.pin(&key).ok_or(Reason::IcmpNoFlow)?;
        if packet.dst != quote.src.0 || pin.backend != id {
            return Err(Reason::IcmpNoFlow);
        }
        Ok(Some(To::Client(*self.tables.frontend_addrs.get(&pin.frontend).ok_or(Reason::BrokenTable)?)))
    }
}

/// The error as who gets it knows the packet. The quoted packet went the other way, so the other end of it changes.
fn translated(frame: &[u8], packet: &Packet, quote: &Quote, to: &To, hops: u8) -> Vec<u8> {
    let mut is = Packet { hops: packet.hops - hops, ..*packet };
    let mut inner = *quote;
    let (outer, quoted, (ip, port, proto)) = match to {
        To::Slice(backend) => (&mut is.dst, &mut inner.src, (backend.ip, backend.port, backend.proto)),
        To::Client(at) => (&mut is.src, &mut inner.dst, *at),
    };
    // A router on the way keeps its own address.
    if *outer == quoted.0 {
        *outer = ip;
    }
    quoted.0 = ip;
    if proto != WHOLE.1 {
        quoted.1 = port;
    }
    written(frame, (packet, quote), (&is, &inner))
}

/// The error with the ends of another, outside and inside, if it quotes a packet.
pub(super) fn carried(frame: &[u8], packet: &Packet, other: &[u8], outer: &Packet) -> Option<Vec<u8>> {
    let (was, is) = (quote(frame, packet)?, quote(other, outer)?);
    let inner = Quote { src: is.src, dst: is.dst, ..was };
    Some(written(frame, (packet, &was), (&packet.with_ends_of(outer), &inner)))
}

/// The error with other ends, and checksums to match.
fn written(frame: &[u8], was: (&Packet, &Quote), to: (&Packet, &Quote)) -> Vec<u8> {
    let ((packet, quote), (is, inner)) = (was, to);
    let mut after = frame.to_vec();
    super::rewrite::write(&mut after, is);
    super::rewrite::write_addresses(&mut after, quote.l3, inner.src.0, inner.dst.0);
    if matches!(quote.proto, 6 | 17) {
        after[quote.l4..quote.l4 + 2].copy_from_slice(&inner.src.1.to_be_bytes());
        after[quote.l4 + 2..quote.l4 + 4].copy_from_slice(&inner.dst.1.to_be_bytes());
    }
    mend(frame, (packet, quote), &mut after, (is, inner));
    after
}

/// All checksums, from the inside out: each is as right or wrong as it was.
fn mend(before: &[u8], was: (&Packet, &Quote), after: &mut [u8], is: (&Packet, &Quote)) {
    let ((packet, quote), (new, inner)) = (was, is);
    let v6 = packet.is_v6();
    if !v6 {
        let header = quote.l3..quote.l3 + usize::from(before[quote.l3] & 0xf) * 4;
        let wanted = residue_of(None, &before[header.clone()]);
        set_checksum(after, quote.l3 + 10, wanted, None, header, false);
    }
    let at = super::packet::checksum_of(quote.proto, v6).map(|at| quote.l4 + at);
    let lacks = matches!(quote.proto, 17 | 136);
    if let Some(at) = at.filter(|at| at + 2 <= quote.end)
        && !(lacks && half(before, at) == Some(0))
    {
        let old = Some((quote.src.0, quote.dst.0));
        let wanted = residue_of(old, &before[quote.l4..quote.end]);
        set_checksum(after, at, wanted, Some((inner.src.0, inner.dst.0)), quote.l4..quote.end, lacks);
    }
    let old = v6.then_some((packet.src, packet.dst));
    let wanted = residue_of(old, &before[packet.l4..packet.end]);
    set_checksum(
        after,
        packet.l4 + 2,
        wanted,
        v6.then_some((new.src, new.dst)),
        packet.l4..packet.end,
        false,
    );
    if !v6 {
        let header = packet.l3..packet.l4;
        let wanted = residue_of(None, &before[header.clone()]);
        set_checksum(after, packet.l3 + 10, wanted, None, header, false);
    }
}

/// Where checksums stand, as far as the frame goes, in an error that may be written as zero in both ways.
///
/// A quote may end before the checksum of what it quotes (RFC 792: eight bytes are enough).
pub(super) fn fields(frame: &[u8], packet: &Packet) -> Vec<usize> {
    let mut fields = vec![packet.l4 + 2];
    if let Some(quote) = quote(frame, packet) {
        if !packet.is_v6() {
            fields.extend([packet.l3 + 10, quote.l3 + 10]);
        }
        fields.extend(super::packet::checksum_of(quote.proto, packet.is_v6()).map(|at| quote.l4 + at));
    }
    fields.retain(|at| at + 2 <= frame.len());
    fields
}
