//! Who does the work on the gateway.

use super::Case;

/// One of those that are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Variant {
    /// The kernel routes; clients ask for the backend's own address.
    Plain,
    /// nftables translates by a map.
    Nft,
    /// HAProxy takes connections and makes its own.
    Haproxy,
    /// nginx does the same, by its stream module.
    Nginx,
    /// A tc program that only sends on: the limit of what redirecting can be.
    BareTc,
    /// The same by XDP on the uplink.
    BareXdp,
    /// bg at tc, past the stack.
    Redirect,
    /// bg at tc, through the stack.
    Stack,
    /// bg at XDP, through the stack.
    Xdp,
}

impl Variant {
    pub(super) const ALL: [Self; 9] = [
        Self::Plain,
        Self::Nft,
        Self::Haproxy,
        Self::Nginx,
        Self::BareTc,
        Self::BareXdp,
        Self::Redirect,
        Self::Stack,
        Self::Xdp,
    ];

    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Nft => "nft",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::BareTc => "bare_tc",
            Self::BareXdp => "bare_xdp",
            Self::Redirect => "tc_redirect",
            Self::Stack => "tc_stack",
            Self::Xdp => "xdp",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Plain => "plain routing",
            Self::Nft => "nftables DNAT map",
            Self::Haproxy => "HAProxy, TCP mode",
            Self::Nginx => "nginx, stream",
            Self::BareTc => "bare forward, tc",
            Self::BareXdp => "bare forward, XDP",
            Self::Redirect => "bg, tc redirect",
            Self::Stack => "bg, tc stack",
            Self::Xdp => "bg, XDP",
        }
    }

    /// Whether it is ours.
    pub(super) const fn is_bg(self) -> bool {
        self.settings().is_some()
    }

    /// `attach` and `path` of ours.
    pub(super) const fn settings(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Redirect => Some(("tc", "redirect")),
            Self::Stack => Some(("tc", "stack")),
            Self::Xdp => Some(("xdp", "stack")),
            Self::Plain | Self::Nft | Self::Haproxy | Self::Nginx | Self::BareTc | Self::BareXdp => None,
        }
    }

    /// Whether it does nothing but send on.
    pub(super) const fn is_bare(self) -> bool {
        matches!(self, Self::BareTc | Self::BareXdp)
    }

    /// Whether it is a process that takes connections, and no datagrams.
    pub(super) const fn is_proxy(self) -> bool {
        matches!(self, Self::Haproxy | Self::Nginx)
    }

    /// Whether clients ask for the VIP and not for the backend's own address.
    pub(super) const fn translates(self) -> bool {
        !matches!(self, Self::Plain) && !self.is_bare()
    }

    /// Whether frames come in by XDP.
    pub(super) const fn is_xdp(self) -> bool {
        matches!(self, Self::Xdp | Self::BareXdp)
    }

    /// Whether a case can be asked of it. A proxy's packets are sent by a process of its own, whose time a
    /// figure per CPU would leave out.
    pub(super) const fn can(self, case: Case) -> bool {
        !(self.is_proxy() && matches!(case, Case::Packets(_)))
    }
}
