//! Tells the neighbours of an uplink that a VIP lives here: an ARP announcement (RFC 5227 section 3) or
//! an unsolicited neighbour advertisement (RFC 4861 section 7.2.6). One call sends one frame; whoever
//! takes a VIP over sends it [`TIMES`] times, [`EVERY`] apart, because a frame may get lost.

use super::{Link, sysctl};
use crate::refusal::Refusal;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, sendto, socket};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// How often to announce a VIP that has been taken over; RFC 4861 allows three in a row.
pub const TIMES: u32 = 3;

/// The pause between two announcements; RFC 4861 asks for at least a second.
pub const EVERY: Duration = Duration::from_secs(1);

const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const BROADCAST: [u8; 6] = [0xff; 6];
/// The Ethernet group of ff02::1 (RFC 2464 section 7).
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ICMPV6: u8 = 58;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const FLAG_ROUTER: u8 = 0x80;
const FLAG_OVERRIDE: u8 = 0x20;
const OPTION_TARGET_MAC: u8 = 2;

/// Announces `vip` once on `link`. An interface without Ethernet has no neighbours to tell.
///
/// # Errors
///
/// When the kernel refuses the raw socket or the frame.
pub fn announce(link: &Link, vip: IpAddr) -> Result<(), Refusal> {
    let (true, Some(mac)) = (link.ethernet, link.mac) else { return Ok(()) };
    let frame = match vip {
        IpAddr::V4(ip) => arp_announcement(mac, ip),
        IpAddr::V6(ip) => neighbour_advertisement(mac, ip, sysctl::is_ipv6_router(&link.name)),
    };
    send(link.index, &frame).map_err(|why| {
        Refusal::new(
            "vip-not-announced",
            format_args!("cannot announce VIP {vip}: {why}"),
            format_args!("interface {}", link.name),
            "give bgd CAP_NET_RAW and AF_PACKET and restart it, or wait until the neighbours' caches expire",
        )
    })
}

/// Sends one frame. Protocol 0 makes it a socket that receives nothing.
fn send(ifindex: u32, frame: &[u8]) -> io::Result<()> {
    let packets = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    let address = libc::sockaddr_ll {
        sll_family: AddressFamily::Packet as libc::sa_family_t,
        sll_protocol: 0,
        sll_ifindex: i32::try_from(ifindex).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer is to a whole `sockaddr_ll` on this stack frame, whose family says so.
    let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), None) };
    let address = address.ok_or(io::ErrorKind::InvalidInput)?;
    sendto(packets.as_raw_fd(), frame, &address, MsgFlags::empty())?;
    Ok(())
}

/// An ARP request in which both sender and target are the VIP.
fn arp_announcement(mac: [u8; 6], vip: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(BROADCAST, mac, ETHERTYPE_ARP);
    // Hardware Ethernet, protocol IPv4, the lengths of their addresses, operation 1: request.
    frame.extend([0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(vip.octets());
    frame.extend([0; 6]);
    frame.extend(vip.octets());
    frame
}

/// An advertisement to all nodes that overrides what they have cached.
fn neighbour_advertisement(mac: [u8; 6], vip: Ipv6Addr, router: bool) -> Vec<u8> {
    let flags = if router { FLAG_ROUTER | FLAG_OVERRIDE } else { FLAG_OVERRIDE };
    let mut body = vec![flags, 0, 0, 0];
    body.extend(vip.octets());
    // The option's length is in units of eight bytes.
    body.extend([OPTION_TARGET_MAC, 1]);
    body.extend(mac);
    let length = 4 + body.len() as u16;
    let [high, low] = icmpv6_checksum(vip, length, &body).to_be_bytes();

    let mut frame = ethernet(ALL_NODES_MAC, mac, ETHERTYPE_IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    // A hop limit below 255 would be discarded: it proves that no router has forwarded the message.
    frame.extend([ICMPV6, 255]);
    frame.extend(vip.octets());
    frame.extend(ALL_NODES.octets());
    frame.extend([NEIGHBOUR_ADVERTISEMENT, 0, high, low]);
    frame.extend(body);
    frame
}

/// RFC 4443 section 2.3: over the pseudo-header and the message, here of the one type used.
fn icmpv6_checksum(source: Ipv6Addr, length: u16, body: &[u8]) -> u16 {
    let head = [source.octets(), ALL_NODES.octets()].concat();
    let words = head.chunks(2).chain(body.chunks(2)).map(|pair| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let fixed = u32::from(length) + u32::from(ICMPV6) + (u32::from(NEIGHBOUR_ADVERTISEMENT) << 8);
    let mut sum = words.fold(fixed, |sum, word| sum + word);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn ethernet(to: [u8; 6], from: [u8; 6], ethertype: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(86);
    frame.extend(to);
    frame.extend(from);
    frame.extend(ethertype.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

    #[test]
    fn an_arp_announcement_is_a_broadcast_request_for_the_vip_by_the_vip() {
        let frame = arp_announcement(MAC, Ipv4Addr::new(192, 0, 2, 10));
        let want = [
            &[0xff; 6][..],
            &MAC,
            &[0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1],
            &MAC,
            &[192, 0, 2, 10],
            &[0; 6],
            &[192, 0, 2, 10],
        ]
        .concat();
        assert_eq!(frame, want);
    }

    #[test]
    fn a_neighbour_advertisement_goes_to_all_nodes_and_overrides() {
        let vip: Ipv6Addr = "2001:db8::10".parse().unwrap();
        let frame = neighbour_advertisement(MAC, vip, true);
        assert_eq!(frame.len(), 14 + 40 + 32);
        assert_eq!(&frame[..14], [&ALL_NODES_MAC[..], &MAC, &[0x86, 0xdd]].concat());
        assert_eq!(&frame[18..22], [0, 32, 58, 255], "length, next header, hop limit");
        assert_eq!(&frame[22..38], vip.octets());
        assert_eq!(&frame[54..56], [136, 0]);
        assert_eq!(frame[58], 0xa0, "router and override");
        assert_eq!(&frame[62..78], vip.octets());
        assert_eq!(&frame[78..], [&[2, 1][..], &MAC].concat());
        assert_eq!(neighbour_advertisement(MAC, vip, false)[58], 0x20);
    }

    #[test]
    fn the_checksum_verifies_as_a_receiver_does_it() {
        for last in 0..=u8::MAX {
            let vip = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xffff, u16::from(last));
            let frame = neighbour_advertisement(MAC, vip, false);
            let mut sum: u32 = 32 + 58;
            for pair in frame[22..].chunks(2) {
                sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
            }
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            assert_eq!(sum, 0xffff, "{vip}");
        }
    }
}
