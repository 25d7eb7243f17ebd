//! Ranges of addresses, by the rules that VPCs have for them.

use ipnetwork::{Ipv4Network, Ipv6Network};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use uuid::Uuid;

/// Addresses at the beginning of a range that are kept for the network itself, the gateway among them.
const KEPT_ADDRESSES: u8 = 5;

/// A text is not a range that a VPC can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Not an address with a prefix length.
    #[error("{0:?} is not an IP range like \"{1}\"")]
    Syntax(String, &'static str),
    /// Bits are set behind the prefix.
    #[error("{text:?} has bits set behind its prefix; its range begins at {first}")]
    HostBits {
        /// What was given.
        text: String,
        /// Where the range begins.
        first: String,
    },
    /// Not one of the private ranges.
    #[error("{0:?} is not within a private range (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16)")]
    NotPrivate(String),
    /// Too large or too small.
    #[error("{0:?} has a prefix length out of bounds: /{1} to /{2}")]
    Length(String, u8, u8),
}

/// A private IPv4 range, /8 to /26.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ipv4Block(Ipv4Network);

impl Ipv4Block {
    /// What the default subnet of a new VPC gets.
    pub const DEFAULT: Self = Self::known(Ipv4Addr::new(172, 30, 0, 0), 22);

    const fn known(first: Ipv4Addr, prefix: u8) -> Self {
        match Ipv4Network::new_checked(first, prefix) {
            Some(network) => Self(network),
            None => panic!("a prefix length beyond 32"),
        }
    }

    /// Its first address.
    pub fn first(self) -> Ipv4Addr {
        self.0.network()
    }

    /// Its last address.
    pub fn last(self) -> Ipv4Addr {
        self.0.broadcast()
    }

    /// The gateway's address.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.first()) + 1)
    }

    /// First and last address that may be given out.
    pub fn usable(self) -> (Ipv4Addr, Ipv4Addr) {
        // A /26 has room for both ends, and nothing smaller is accepted.
        let first = u32::from(self.first()) + u32::from(KEPT_ADDRESSES);
        (Ipv4Addr::from(first), Ipv4Addr::from(u32::from(self.last()) - 1))
    }
}

impl FromStr for Ipv4Block {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        let syntax = || BlockError::Syntax(text.to_owned(), "172.30.0.0/22");
        if !text.contains('/') {
            return Err(syntax());
        }
        let network: Ipv4Network = text.parse().map_err(|_| syntax())?;
        if network.ip() != network.network() {
            return Err(BlockError::HostBits { text: text.to_owned(), first: network.network().to_string() });
        }
        if !network.ip().is_private() {
            return Err(BlockError::NotPrivate(text.to_owned()));
        }
        // Beginning in a private range is not enough: 172.16.0.0/8 goes on far behind it.
        let smallest = match network.ip().octets()[0] {
            10 => 8,
            172 => 12,
            _ => 16,
        };
        if !(smallest..=26).contains(&network.prefix()) {
            return Err(BlockError::Length(text.to_owned(), smallest, 26));
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Ipv4Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The unique local /48 that a VPC's subnets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VpcPrefix([u8; 6]);

impl VpcPrefix {
    /// The one that belongs to `id`, whose bytes serve as the random ones.
    pub fn from_uuid(id: Uuid) -> Self {
        let [.., a, b, c, d, e] = *id.as_bytes();
        Self([0xfd, a, b, c, d, e])
    }

    /// One of its 65,536 subnet ranges.
    pub fn subnet(self, index: u16) -> Ipv6Block {
        Ipv6Block { prefix: self, index }
    }

    fn address(self) -> Ipv6Addr {
        self.subnet(0).first()
    }
}

impl fmt::Display for VpcPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/48", self.address())
    }
}

impl FromStr for VpcPrefix {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        let syntax = || BlockError::Syntax(text.to_owned(), "fd12:3456:789a::/48");
        let network: Ipv6Network = text.parse().map_err(|_| syntax())?;
        let [prefix @ .., _, _, _, _, _, _, _, _, _, _] = network.ip().octets();
        let this = Self(prefix);
        if network.prefix() != 48 || network.ip() != this.address() { Err(syntax()) } else { Ok(this) }
    }
}

/// A /64 inside a VPC's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ipv6Block {
    prefix: VpcPrefix,
    index: u16,
}

impl Ipv6Block {
    /// The prefix that it is inside of.
    pub fn prefix(self) -> VpcPrefix {
        self.prefix
    }

    /// Its number among the ranges of the prefix.
    pub fn index(self) -> u16 {
        self.index
    }

    fn first(self) -> Ipv6Addr {
        let mut octets = [0; 16];
        octets[..6].copy_from_slice(&self.prefix.0);
        octets[6..8].copy_from_slice(&self.index.to_be_bytes());
        Ipv6Addr::from(octets)
    }

    /// The gateway's address.
    pub fn gateway(self) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(self.first()) + 1)
    }

    /// First and last address that may be given out.
    pub fn usable(self) -> (Ipv6Addr, Ipv6Addr) {
        let first = u128::from(self.first());
        (Ipv6Addr::from(first + u128::from(KEPT_ADDRESSES)), Ipv6Addr::from(first + u128::from(u64::MAX)))
    }
}

impl FromStr for Ipv6Block {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        let syntax = || BlockError::Syntax(text.to_owned(), "fd12:3456:789a:1::/64");
        if !text.contains('/') {
            return Err(syntax());
        }
        let network: Ipv6Network = text.parse().map_err(|_| syntax())?;
        if network.prefix() != 64 {
            return Err(BlockError::Length(text.to_owned(), 64, 64));
        }
        if network.ip() != network.network() {
            return Err(BlockError::HostBits { text: text.to_owned(), first: network.network().to_string() });
        }
        let [prefix @ .., high, low, _, _, _, _, _, _, _, _] = network.ip().octets();
        Ok(Self { prefix: VpcPrefix(prefix), index: u16::from_be_bytes([high, low]) })
    }
}

impl fmt::Display for Ipv6Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/64", self.first())
    }
}

macro_rules! as_text {
    ($($block:ident),*) => {
        $(impl TryFrom<String> for $block {
            type Error = BlockError;

            fn try_from(text: String) -> Result<Self, BlockError> {
                text.parse()
            }
        }

        impl From<$block> for String {
            fn from(block: $block) -> Self {
                block.to_string()
            }
        })*
    };
}
as_text!(Ipv4Block, Ipv6Block);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_blocks_are_private_and_of_a_sensible_size() {
        for good in ["10.0.0.0/8", "172.30.0.0/22", "172.16.0.0/12", "192.168.4.0/24", "10.1.2.192/26"] {
            assert_eq!(good.parse::<Ipv4Block>().map(|block| block.to_string()), Ok(good.to_owned()));
        }
        let text = str::to_owned;
        let cases = [
            ("10.0.0.0", BlockError::Syntax(text("10.0.0.0"), "172.30.0.0/22")),
            ("fd00::/64", BlockError::Syntax(text("fd00::/64"), "172.30.0.0/22")),
            ("", BlockError::Syntax(text(""), "172.30.0.0/22")),
            ("10.0.0.1/24", BlockError::HostBits { text: text("10.0.0.1/24"), first: text("10.0.0.0") }),
            ("8.8.8.0/24", BlockError::NotPrivate(text("8.8.8.0/24"))),
            ("10.0.0.0/27", BlockError::Length(text("10.0.0.0/27"), 8, 26)),
            ("172.16.0.0/11", BlockError::HostBits { text: text("172.16.0.0/11"), first: text("172.0.0.0") }),
            ("192.168.0.0/13", BlockError::Length(text("192.168.0.0/13"), 16, 26)),
        ];
        for (block, error) in cases {
            assert_eq!(block.parse::<Ipv4Block>(), Err(error), "{block:?}");
        }
    }

    #[test]
    fn ipv6_blocks_count_within_their_prefix() {
        let prefix: VpcPrefix = "fd12:3456:789a::/48".parse().expect("a prefix");
        let block = prefix.subnet(0x1f2);
        assert_eq!(block.to_string(), "fd12:3456:789a:1f2::/64");
        assert_eq!("fd12:3456:789a:1f2::/64".parse(), Ok(block));
        assert_eq!((block.prefix(), block.index()), (prefix, 0x1f2));
        assert_eq!(block.gateway().to_string(), "fd12:3456:789a:1f2::1");
        assert_eq!(block.usable().0.to_string(), "fd12:3456:789a:1f2::5");
        for bad in ["fd12::", "fd12::/63", "fd12::1/64", "10.0.0.0/24"] {
            assert!(bad.parse::<Ipv6Block>().is_err(), "{bad}");
        }
        assert!("fd12:3456:789a:1::/48".parse::<VpcPrefix>().is_err());
    }

    #[test]
    fn every_prefix_reads_back_as_it_is_written() {
        for id in [Uuid::nil(), Uuid::max(), Uuid::from_u128(0x0102_0304_0506_0708)] {
            let prefix = VpcPrefix::from_uuid(id);
            assert_eq!(prefix.to_string().parse(), Ok(prefix));
        }
    }

    #[test]
    fn a_range_keeps_its_ends_and_its_gateway() {
        let block = Ipv4Block::DEFAULT;
        let (first, last) = block.usable();
        let shown =
            [block.first(), block.gateway(), first, last, block.last()].map(|address| address.to_string());
        assert_eq!(shown, ["172.30.0.0", "172.30.0.1", "172.30.0.5", "172.30.3.254", "172.30.3.255"]);
    }
}
