//! Network interfaces: what they are, and what lies at the other end of a veth pair.

use super::{Net, answer, collect, unreadable};
use crate::refusal::Refusal;
use futures_util::{StreamExt, pin_mut};
use rtnetlink::Error;
use rtnetlink::packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};

/// A network interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Kernel index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// Whether its frames begin with an Ethernet header.
    pub ethernet: bool,
    /// Largest packet, without the Ethernet header.
    pub mtu: u32,
    /// Hardware address, if it is an Ethernet one.
    pub mac: Option<[u8; 6]>,
    /// Whether it is switched on.
    pub up: bool,
    /// The XDP program on it.
    pub xdp: Option<Xdp>,
}

/// What an interface is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkKind {
    /// A device with a driver: packets come off a wire, or off a hypervisor's idea of one.
    Device,
    /// The loopback interface.
    Loopback,
    /// One end of a veth pair.
    Veth(PeerEnd),
    /// A bridge.
    Bridge,
    /// A TUN or TAP device.
    Tun,
    /// Another virtual device, by the kernel's name for its kind.
    Other(String),
}

/// The other end of a veth pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerEnd {
    /// In this network namespace.
    Here,
    /// In another network namespace, whose stack takes what arrives there.
    Elsewhere,
    /// In another network namespace, as a port of a bridge or bond: what arrives there is switched by
    /// its MAC address.
    ElsewherePort,
    /// In another network namespace that may not be looked into.
    ElsewhereUnknown,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Xdp {
    /// The kernel's id of the program.
    pub program: u32,
    /// How it is attached.
    pub mode: XdpMode,
}

/// How an XDP program is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// After the driver.
    Generic,
    /// On the device itself, or several at once.
    Other,
}

impl Net {
    /// Every interface of the network namespace.
    ///
    /// # Errors
    ///
    /// When the kernel does not list them.
    pub async fn links(&self) -> Result<Vec<Link>, Refusal> {
        let messages = collect(self.handle.link().get().execute())
            .await
            .map_err(|why| unreadable("interfaces", "ip link", &why))?;
        let mut links = Vec::with_capacity(messages.len());
        for message in &messages {
            let Some(mut link) = read(message) else { continue };
            if link.kind == LinkKind::Veth(PeerEnd::ElsewhereUnknown) {
                link.kind = LinkKind::Veth(self.peer_end(message).await);
            }
            links.push(link);
        }
        Ok(links)
    }

    /// Looks across into the peer's network namespace. That needs CAP_NET_ADMIN over it.
    async fn peer_end(&self, message: &LinkMessage) -> PeerEnd {
        let (mut namespace, mut index) = (None, None);
        for attribute in &message.attributes {
            if let LinkAttribute::LinkNetNsId(id) = attribute {
                namespace = Some(*id);
            } else if let LinkAttribute::Link(peer) = attribute {
                index = Some(*peer);
            }
        }
        let (Some(namespace), Some(index)) = (namespace, index) else { return PeerEnd::ElsewhereUnknown };
        let mut request = self.handle.link().get().match_index(index);
        request.message_mut().attributes.push(LinkAttribute::IfNetnsId(namespace));
        let peer = answer(async {
            let parts = request.execute();
            pin_mut!(parts);
            parts.next().await.unwrap_or(Err(Error::RequestFailed))
        })
        .await;
        match peer {
            Ok(peer) if is_port(&peer) => PeerEnd::ElsewherePort,
            Ok(_) => PeerEnd::Elsewhere,
            Err(_) => PeerEnd::ElsewhereUnknown,
        }
    }
}

fn is_port(message: &LinkMessage) -> bool {
    message.attributes.iter().any(|attribute| matches!(attribute, LinkAttribute::Controller(_)))
}

/// Reads one message. A veth whose peer is in another namespace is `ElsewhereUnknown` until it has
/// been looked at.
fn read(message: &LinkMessage) -> Option<Link> {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: LinkKind::Device,
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        mtu: 0,
        mac: None,
        up: message.header.flags.contains(LinkFlags::Up),
        xdp: None,
    };
    if message.header.flags.contains(LinkFlags::Loopback) {
        link.kind = LinkKind::Loopback;
    }
    let mut elsewhere = false;
    for attribute in &message.attributes {
        #[expect(clippy::wildcard_enum_match_arm, reason = "dozens of attributes say nothing to bg")]
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Address(bytes) if link.ethernet => link.mac = bytes.as_slice().try_into().ok(),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::Xdp(parts) => link.xdp = read_xdp(parts),
            LinkAttribute::LinkInfo(parts) => {
                if let Some(kind) = parts.iter().find_map(read_kind) {
                    link.kind = kind;
                }
            }
            _ => {}
        }
    }
    if elsewhere && link.kind == LinkKind::Veth(PeerEnd::Here) {
        link.kind = LinkKind::Veth(PeerEnd::ElsewhereUnknown);
    }
    (!link.name.is_empty()).then_some(link)
}

fn read_kind(info: &LinkInfo) -> Option<LinkKind> {
    let LinkInfo::Kind(kind) = info else { return None };
    Some(if *kind == InfoKind::Veth {
        LinkKind::Veth(PeerEnd::Here)
    } else if *kind == InfoKind::Bridge {
        LinkKind::Bridge
    } else if *kind == InfoKind::Tun {
        LinkKind::Tun
    } else {
        LinkKind::Other(kind.to_string())
    })
}

fn read_xdp(parts: &[LinkXdp]) -> Option<Xdp> {
    let (mut program, mut mode) = (None, XdpMode::Other);
    for part in parts {
        if let LinkXdp::ProgId(id) = part {
            program = Some(*id);
        } else if let LinkXdp::Attached(attached) = part {
            mode = match attached {
                XdpAttached::Driver => XdpMode::Native,
                XdpAttached::SocketBuffer => XdpMode::Generic,
                XdpAttached::None
                | XdpAttached::Hardware
                | XdpAttached::Multiple
                | XdpAttached::Other(_)
                | _ => XdpMode::Other,
            };
        }
    }
    program.filter(|id| *id != 0).map(|program| Xdp { program, mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(layer: LinkLayerType, flags: LinkFlags, attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.header.link_layer_type = layer;
        message.header.flags = flags;
        message.attributes = attributes;
        message.attributes.push(LinkAttribute::IfName("x0".to_owned()));
        message
    }

    fn kind(kind: InfoKind) -> LinkAttribute {
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])
    }

    #[test]
    fn kinds_are_told_apart() {
        let rows = [
            ("a device has no kind", LinkLayerType::Ether, vec![], LinkKind::Device),
            (
                "a veth pair in one namespace",
                LinkLayerType::Ether,
                vec![kind(InfoKind::Veth)],
                LinkKind::Veth(PeerEnd::Here),
            ),
            (
                "a veth pair across namespaces, whatever comes first",
                LinkLayerType::Ether,
                vec![LinkAttribute::LinkNetNsId(0), kind(InfoKind::Veth)],
                LinkKind::Veth(PeerEnd::ElsewhereUnknown),
            ),
            (
                "a macvlan over a link of another namespace is no veth",
                LinkLayerType::Ether,
                vec![kind(InfoKind::MacVlan), LinkAttribute::LinkNetNsId(0)],
                LinkKind::Other("macvlan".to_owned()),
            ),
            ("a bridge", LinkLayerType::Ether, vec![kind(InfoKind::Bridge)], LinkKind::Bridge),
            ("a tunnel", LinkLayerType::None, vec![kind(InfoKind::Tun)], LinkKind::Tun),
        ];
        for (what, layer, attributes, want) in rows {
            let link = read(&message(layer, LinkFlags::Up, attributes)).expect(what);
            assert_eq!(link.kind, want, "{what}");
            assert_eq!(link.ethernet, layer == LinkLayerType::Ether, "{what}");
            assert!(link.up, "{what}");
        }
    }

    #[test]
    fn loopback_is_neither_a_device_nor_ethernet() {
        let link = read(&message(LinkLayerType::Loopback, LinkFlags::Loopback, vec![])).unwrap();
        assert_eq!((link.kind, link.ethernet, link.up), (LinkKind::Loopback, false, false));
    }

    #[test]
    fn an_xdp_program_is_named_by_id_and_mode() {
        let parts = vec![LinkXdp::Attached(XdpAttached::Driver), LinkXdp::ProgId(42)];
        let link = read(&message(LinkLayerType::Ether, LinkFlags::Up, vec![LinkAttribute::Xdp(parts)]));
        assert_eq!(link.unwrap().xdp, Some(Xdp { program: 42, mode: XdpMode::Native }));
    }

    #[test]
    fn an_empty_xdp_slot_is_no_program() {
        let parts = vec![LinkXdp::Attached(XdpAttached::None)];
        let link = read(&message(LinkLayerType::Ether, LinkFlags::Up, vec![LinkAttribute::Xdp(parts)]));
        assert_eq!(link.unwrap().xdp, None);
    }
}
