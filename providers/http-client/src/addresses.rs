//! Which addresses a link may reach: those of the internet at large, and what its configuration adds.
//!
//! A component names a host, and whoever owns that name says what address it has: the machine's own, a neighbour's, a
//! cloud's metadata service. So it is the address that is checked, the one that is connected to.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::ifaddrs::getifaddrs;
use serde::{Deserialize, Deserializer, de::Error as _};

/// What a link may reach beyond the internet at large.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Nothing.
    #[default]
    Public,
    /// These networks.
    Also(Arc<[IpNet]>),
    /// Every address that there is.
    Everything,
}

/// An address that a link may not reach.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {what}, which the link's `allow_private` does not allow")]
pub struct Prohibited {
    /// The address.
    pub address: IpAddr,
    /// What it is.
    pub what: &'static str,
}

impl Reach {
    /// Whether an address may be reached.
    ///
    /// # Errors
    /// [`Prohibited`] says why not.
    pub fn check(&self, address: IpAddr) -> Result<(), Prohibited> {
        let allowed = match self {
            Self::Everything => return Ok(()),
            Self::Public => false,
            Self::Also(networks) => {
                let meant = meant(address);
                let has = |network: &IpNet| network.contains(&meant) || network.contains(&address);
                networks.iter().any(has)
            }
        };
        match not_public(address) {
            Some(what) if !allowed => Err(Prohibited { address, what }),
            _ => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Reach {
    /// `true`, `false`, or networks: `10.0.0.0/8, fd00::/8, 127.0.0.1`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.trim().to_ascii_lowercase().as_str() {
            "true" => return Ok(Self::Everything),
            "false" | "" => return Ok(Self::Public),
            _ => {}
        }
        let parts = text.split(',').map(str::trim);
        let networks = parts
            .filter(|part| !part.is_empty())
            .map(|part| network(part).map_err(D::Error::custom));
        Ok(Self::Also(networks.collect::<Result<_, _>>()?))
    }
}

/// A network, or a single address.
fn network(text: &str) -> Result<IpNet, String> {
    let single = || Some(IpNet::from(text.parse::<IpAddr>().ok()?));
    text.parse().ok().or_else(single).ok_or_else(|| {
        format!(
            "{text:?} is neither true nor false nor a network: write it like 10.0.0.0/8 or fd00::/8"
        )
    })
}

/// The address that packets to this one come out at.
fn meant(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) if NAT64.contains(&v6) => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(_) => address.to_canonical(),
    }
}

/// What an address is that is not one of the internet at large.
fn not_public(address: IpAddr) -> Option<&'static str> {
    let meant = meant(address);
    let what = match meant {
        IpAddr::V4(v4) => V4.iter().find(|(net, _)| net.contains(&v4)).map(said),
        IpAddr::V6(v6) => V6
            .iter()
            .find(|(net, _)| net.contains(&v6))
            .map(said)
            .or_else(|| (!IN_USE.contains(&v6)).then_some("a reserved address")),
    };
    what.or_else(|| is_own(meant).then_some("an address of this machine"))
}

fn said<N>((_, what): &(N, &'static str)) -> &'static str {
    what
}

/// Whether one of this machine's interfaces has the address, which may well be a public one: what listens there for the
/// machine itself must not be reached from inside.
fn is_own(address: IpAddr) -> bool {
    let Ok(interfaces) = getifaddrs() else {
        return false;
    };
    let addresses = interfaces.filter_map(|interface| interface.address);
    addresses
        .filter_map(|own| {
            let v4 = own.as_sockaddr_in().map(|own| IpAddr::V4(own.ip()));
            v4.or_else(|| own.as_sockaddr_in6().map(|own| IpAddr::V6(own.ip())))
        })
        .any(|own| own == address)
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// IPv4 behind a translator (RFC 6052): the last four bytes are the address that is meant.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

/// All that was given out so far.
const IN_USE: Ipv6Net = v6(0x2000, 0, 0, 3);

/// IANA's registry of special-purpose IPv4 addresses, and multicast.
const V4: [(Ipv4Net, &str); 16] = [
    (v4(0, 0, 0, 0, 8), "an address of \"this network\""),
    (v4(10, 0, 0, 0, 8), "a private address"),
    (v4(100, 64, 0, 0, 10), "an address behind a carrier's NAT"),
    (v4(127, 0, 0, 0, 8), "a loopback address"),
    (v4(169, 254, 0, 0, 16), "a link-local address"),
    (v4(172, 16, 0, 0, 12), "a private address"),
    (v4(192, 0, 0, 0, 24), "an address for protocols' own use"),
    (v4(192, 0, 2, 0, 24), "an address for documentation"),
    (v4(192, 88, 99, 0, 24), "an address of 6to4's relays"),
    (v4(192, 168, 0, 0, 16), "a private address"),
    (v4(198, 18, 0, 0, 15), "an address for measurements"),
    (v4(198, 51, 100, 0, 24), "an address for documentation"),
    (v4(203, 0, 113, 0, 24), "an address for documentation"),
    (v4(224, 0, 0, 0, 4), "a multicast address"),
    (v4(255, 255, 255, 255, 32), "the broadcast address"),
    (v4(240, 0, 0, 0, 4), "a reserved address"),
];

/// IANA's registry of special-purpose IPv6 addresses, multicast, and what leads to IPv4 in a way that no one needs.
const V6: [(Ipv6Net, &str); 15] = [
    (
        Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128),
        "no address",
    ),
    (
        Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128),
        "a loopback address",
    ),
    (v6(0, 0, 0, 8), "an address that leads into IPv4"),
    (v6(0x64, 0xff9b, 1, 48), "an address of a local translator"),
    (v6(0x100, 0, 0, 64), "an address that leads nowhere"),
    (v6(0x2001, 0, 0, 23), "an address for protocols' own use"),
    (v6(0x2001, 0xdb8, 0, 32), "an address for documentation"),
    (v6(0x2002, 0, 0, 16), "an address that leads into IPv4"),
    (v6(0x3ffe, 0, 0, 16), "a reserved address"),
    (v6(0x3fff, 0, 0, 20), "an address for documentation"),
    (v6(0x5f00, 0, 0, 16), "an address of segment routing"),
    (v6(0xfc00, 0, 0, 7), "a private address"),
    (v6(0xfe80, 0, 0, 10), "a link-local address"),
    (v6(0xfec0, 0, 0, 10), "a site-local address"),
    (v6(0xff00, 0, 0, 8), "a multicast address"),
];

#[cfg(test)]
mod tests {
    use serde::de::value::{Error, StrDeserializer};

    use super::*;

    fn reach(text: &str) -> Result<Reach, Error> {
        Reach::deserialize(
            serde::de::IntoDeserializer::<Error>::into_deserializer(text)
                as StrDeserializer<'_, Error>,
        )
    }

    fn allowed(reach: &Reach, address: &str) -> bool {
        reach.check(address.parse().unwrap()).is_ok()
    }

    #[test]
    fn only_the_internet_at_large_is_reached_by_itself() {
        for address in [
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.170",
            "198.19.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!allowed(&Reach::Public, address), "{address}");
            assert!(allowed(&Reach::Everything, address), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(allowed(&Reach::Public, address), "{address}");
        }
    }

    #[test]
    fn every_address_of_this_machine_is_its_own() {
        let interfaces = getifaddrs().unwrap();
        for own in interfaces.filter_map(|interface| interface.address) {
            if let Some(own) = own.as_sockaddr_in() {
                let error = Reach::Public.check(own.ip().into());
                assert!(error.is_err(), "{}", own.ip());
            }
        }
    }

    #[test]
    fn networks_are_added() {
        let some = reach("10.1.0.0/16, fd00::/8,127.0.0.1").unwrap();
        assert!(allowed(&some, "10.1.2.3") && allowed(&some, "fd12::1"));
        assert!(allowed(&some, "127.0.0.1") && allowed(&some, "8.8.8.8"));
        // However the address is written.
        assert!(allowed(&some, "::ffff:10.1.2.3") && allowed(&some, "64:ff9b::a01:203"));
        assert!(!allowed(&some, "10.2.0.1") && !allowed(&some, "127.0.0.2"));
        assert!(!allowed(&some, "::1") && !allowed(&some, "169.254.169.254"));
    }

    #[test]
    fn a_configuration_is_a_word_or_networks() {
        assert_eq!(reach("true"), Ok(Reach::Everything));
        assert_eq!(reach(" False "), Ok(Reach::Public));
        assert_eq!(
            reach("yes").unwrap_err().to_string(),
            "\"yes\" is neither true nor false nor a network: write it like 10.0.0.0/8 or fd00::/8"
        );
        assert!(reach("10.0.0.0/33").is_err());
    }

    #[test]
    fn a_refusal_says_what_the_address_is() {
        let error = Reach::Public.check("169.254.169.254".parse().unwrap());
        assert_eq!(
            error.unwrap_err().to_string(),
            "169.254.169.254 is a link-local address, which the link's `allow_private` does not allow"
        );
    }
}
