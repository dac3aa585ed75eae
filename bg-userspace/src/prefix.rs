//! A network of clients, as it is typed: `203.0.113.0/24`, `2001:db8::/32`, or one address.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// All addresses that begin like `addr`. No bit behind the length is set, and the length is not 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Prefix {
    addr: IpAddr,
    len: u8,
}

/// What was given where a network is wanted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAPrefix {
    /// It has another form.
    #[error("{0:?} is no network: write one such as 203.0.113.0/24 or 2001:db8::/32")]
    Form(String),
    /// Its length does not fit its family.
    #[error("the length of {0:?} is not from 1 to {1}")]
    Length(String, u8),
    /// It has bits behind its length.
    #[error("{0:?} has bits behind its length: did you mean {1}?")]
    Bits(String, Prefix),
    /// It is IPv4 in the form of IPv6.
    #[error("{0:?} is IPv4 in the form of IPv6: write it as IPv4")]
    Mapped(String),
}

impl Prefix {
    /// What to do about a network that [covers](Self::covers_ipv4) IPv4 clients.
    pub const LESS: &str =
        "write the part of IPv6 that is meant, such as 2000::/3 for all that is routed, and IPv4 by itself";

    /// Whether it is IPv6 and has all of IPv4 in it, whose addresses the tables hold as `::ffff:0:0/96` (RFC 4291
    /// section 2.5.5.2).
    #[must_use]
    pub fn covers_ipv4(&self) -> bool {
        let mapped = std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
        self.addr.is_ipv6() && Self::around(mapped.into(), self.len) == *self
    }

    /// The network of one address.
    #[must_use]
    pub const fn one(addr: IpAddr) -> Self {
        Self { addr, len: if addr.is_ipv4() { 32 } else { 128 } }
    }

    /// The first address.
    #[must_use]
    pub const fn addr(&self) -> IpAddr {
        self.addr
    }

    /// Number of bits that count.
    #[must_use]
    pub const fn bits(&self) -> u8 {
        self.len
    }

    /// The network of `addr` with so many bits.
    fn around(addr: IpAddr, len: u8) -> Self {
        let addr = match addr {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(len.into())).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(len.into())).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & mask).into())
            }
        };
        Self { addr, len }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl TryFrom<String> for Prefix {
    type Error = NotAPrefix;

    fn try_from(text: String) -> Result<Self, NotAPrefix> {
        text.parse()
    }
}

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let form = || NotAPrefix::Form(text.to_owned());
        let (addr, len) = text.split_once('/').map_or((text, None), |(addr, len)| (addr, Some(len)));
        let addr: IpAddr = addr.parse().map_err(|_| form())?;
        if let IpAddr::V6(v6) = addr
            && v6.to_ipv4_mapped().is_some()
        {
            return Err(NotAPrefix::Mapped(text.to_owned()));
        }
        let most = if addr.is_ipv4() { 32 } else { 128 };
        let len: u32 = len.map_or(Ok(most), |len| len.parse().map_err(|_| form()))?;
        let len = u8::try_from(len).ok().filter(|len| (1..=most).contains(&u32::from(*len)));
        let len =
            len.ok_or_else(|| NotAPrefix::Length(text.to_owned(), if most == 32 { 32 } else { 128 }))?;
        let prefix = Self::around(addr, len);
        if prefix.addr == addr { Ok(prefix) } else { Err(NotAPrefix::Bits(text.to_owned(), prefix)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_they_are_printed() {
        for (text, printed) in [
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("203.0.113.7", "203.0.113.7/32"),
            ("128.0.0.0/1", "128.0.0.0/1"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:db8::1", "2001:db8::1/128"),
        ] {
            let prefix: Prefix = text.parse().unwrap();
            assert_eq!(prefix.to_string(), printed);
            assert_eq!(printed.parse(), Ok(prefix));
        }
    }

    #[test]
    fn a_network_of_ipv6_that_has_ipv4_in_it_is_known() {
        for (text, covers) in [
            ("::/1", true),
            ("::/80", true),
            ("::fffe:0:0/95", true),
            ("::/81", false),
            ("2000::/3", false),
            ("8000::/1", false),
            ("::1", false),
            ("128.0.0.0/1", false),
            ("0.0.0.0/1", false),
        ] {
            assert_eq!(text.parse::<Prefix>().unwrap().covers_ipv4(), covers, "{text}");
        }
        let one: Prefix = "2001:db8::1".parse().unwrap();
        assert_eq!(Prefix::one("2001:db8::1".parse().unwrap()), one);
    }

    #[test]
    fn what_is_no_network_is_refused_with_a_reason() {
        for (text, says) in [
            ("office", "write one such as"),
            ("203.0.113.0/", "write one such as"),
            ("203.0.113.0/x", "write one such as"),
            ("203.0.113.0/33", "from 1 to 32"),
            ("0.0.0.0/0", "from 1 to 32"),
            ("2001:db8::/129", "from 1 to 128"),
            ("203.0.113.7/24", "did you mean 203.0.113.0/24?"),
            ("2001:db8::1/64", "did you mean 2001:db8::/64?"),
            ("::ffff:203.0.113.0/120", "write it as IPv4"),
        ] {
            let why = text.parse::<Prefix>().unwrap_err().to_string();
            assert!(why.contains(says), "{text}: {why}");
        }
    }
}
