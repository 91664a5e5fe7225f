//! Which hosts a link allows.

use std::{fmt, net::IpAddr, sync::Arc};

use http::uri::Authority;
use serde::{Deserialize, Deserializer, de::Error as _};

/// The hosts that a link allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AllowedHosts(Arc<[Pattern]>);

/// One or several hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pattern {
    host: Hosts,
    port: Ports,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Hosts {
    Any,
    /// This one, in small letters.
    One(String),
    /// All whose names end in this, which begins with a dot.
    Below(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ports {
    /// The one that goes without saying: 80, or 443 with TLS.
    Usual,
    Any,
    One(u16),
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The host's name in small letters, or its address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether the port is the scheme's own.
    pub usual_port: bool,
}

impl Destination {
    /// Where a request to that authority goes.
    pub fn of(authority: &Authority, tls: bool) -> Self {
        let usual = if tls { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(usual);
        Self {
            host: normal(authority.host()),
            port,
            usual_port: port == usual,
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl AllowedHosts {
    /// Every host, at every port.
    pub fn all() -> Self {
        Self(Arc::new([Pattern {
            host: Hosts::Any,
            port: Ports::Any,
        }]))
    }

    /// Whether a request may go there.
    pub fn allows(&self, destination: &Destination) -> bool {
        self.0.iter().any(|pattern| pattern.allows(destination))
    }
}

impl Pattern {
    fn allows(&self, to: &Destination) -> bool {
        let host = match &self.host {
            Hosts::Any => true,
            Hosts::One(host) => *host == to.host,
            // Something has to stand before the dot.
            Hosts::Below(end) => to.host.len() > end.len() && to.host.ends_with(end),
        };
        host && match self.port {
            Ports::Any => true,
            Ports::Usual => to.usual_port,
            Ports::One(port) => port == to.port,
        }
    }

    /// `HOST[:PORT]`, either of which may be `*`; a host may begin with `*.`.
    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self {
                host: Hosts::Any,
                port: Ports::Any,
            });
        }
        let wrong = |problem: &str| {
            format!(
                "{text:?} {problem}: write it like example.org, *.example.org, example.org:8443 or [2001:db8::1]:*"
            )
        };
        let (host, port) = split(text);
        let port = match port {
            None => Ports::Usual,
            Some("*") => Ports::Any,
            Some(port) => Ports::One(
                port.parse()
                    .map_err(|_| wrong("has no port after its colon"))?,
            ),
        };
        let host = match host.strip_prefix('*') {
            Some("") => Hosts::Any,
            Some(end) if end.starts_with('.') && is_name(&end[1..]) => Hosts::Below(normal(end)),
            Some(_) => return Err(wrong("has a star that is not a whole label")),
            None if is_name(host) || address(host).is_some() => Hosts::One(normal(host)),
            None if !host.is_ascii() => {
                return Err(wrong("is not in the form that DNS has (xn--…)"));
            }
            None => return Err(wrong("is not a host")),
        };
        Ok(Self { host, port })
    }
}

impl<'de> Deserialize<'de> for AllowedHosts {
    /// Comma-separated patterns.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = text.split(',').map(str::trim);
        let patterns = parts
            .filter(|part| !part.is_empty())
            .map(|part| Pattern::parse(part).map_err(D::Error::custom));
        let patterns: Arc<[Pattern]> = patterns.collect::<Result<_, _>>()?;
        if patterns.is_empty() {
            // Nobody makes a link that is of no use, so somebody means something else by it.
            return Err(D::Error::custom("names no host: `*` is every host"));
        }
        Ok(Self(patterns))
    }
}

/// Host and port of `host`, `host:port` or `[address]:port`.
fn split(text: &str) -> (&str, Option<&str>) {
    let after = text.rfind(']').map_or(0, |bracket| bracket + 1);
    match text[after..].split_once(':') {
        Some((before, port)) => (&text[..after + before.len()], Some(port)),
        None => (text, None),
    }
}

/// An address, in brackets if it is an IPv6 one.
fn address(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(bare) => Some(IpAddr::V6(bare.parse().ok()?)),
        None => Some(IpAddr::V4(host.parse().ok()?)),
    }
}

fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.strip_suffix('.').unwrap_or(host).split('.').all(label)
}

/// A host as it is compared.
fn normal(host: &str) -> String {
    if let Some(address) = address(host) {
        return address.to_string();
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    host.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use serde::de::{IntoDeserializer as _, value::Error};

    use super::*;

    fn hosts(text: &str) -> Result<AllowedHosts, String> {
        let text: serde::de::value::StrDeserializer<'_, Error> = text.into_deserializer();
        AllowedHosts::deserialize(text).map_err(|error| error.to_string())
    }

    fn allows(hosts: &AllowedHosts, scheme: &str, authority: &str) -> bool {
        let authority = authority.parse().unwrap();
        hosts.allows(&Destination::of(&authority, scheme == "https"))
    }

    #[test]
    fn a_host_is_allowed_at_its_usual_port_and_at_the_ports_that_are_named() {
        let hosts = hosts("api.example.com, *.example.org:8443,example.net:*").unwrap();
        for (scheme, authority) in [
            ("https", "api.example.com"),
            ("http", "API.example.com:80"),
            ("https", "api.example.com.:443"),
            ("https", "a.example.org:8443"),
            ("https", "a.b.example.org:8443"),
            ("http", "example.net:1"),
            ("http", "example.net"),
        ] {
            assert!(allows(&hosts, scheme, authority), "{scheme} {authority}");
        }
        for (scheme, authority) in [
            ("http", "api.example.com:443"),
            ("https", "api.example.com:8443"),
            ("https", "evil-api.example.com"),
            ("https", "api.example.com.evil.test"),
            ("https", "example.org:8443"),
            ("https", ".example.org:8443"),
            ("https", "a.example.org"),
            ("https", "notexample.org:8443"),
            ("http", "10.0.0.1"),
        ] {
            assert!(!allows(&hosts, scheme, authority), "{scheme} {authority}");
        }
    }

    #[test]
    fn a_star_is_every_host() {
        for all in [
            AllowedHosts::all(),
            hosts("*").unwrap(),
            hosts("*:*").unwrap(),
        ] {
            assert!(allows(&all, "http", "10.0.0.1:9") && allows(&all, "https", "x"));
        }
        let one_port = hosts("*:8080").unwrap();
        assert!(allows(&one_port, "http", "x:8080") && !allows(&one_port, "http", "x"));
    }

    #[test]
    fn an_address_is_a_host_however_it_is_written() {
        let hosts = hosts("[2001:DB8:0::1]:*, 192.0.2.1").unwrap();
        assert!(allows(&hosts, "http", "[2001:db8::1]:81"));
        assert!(allows(&hosts, "http", "192.0.2.1"));
        assert!(!allows(&hosts, "http", "[2001:db8::2]"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, problem) in [
            ("", "names no host: `*` is every host"),
            (" , ", "names no host: `*` is every host"),
            ("https://example.org", "has no port after its colon"),
            ("example.org:http", "has no port after its colon"),
            ("example.org/path", "is not a host"),
            ("*example.org", "has a star that is not a whole label"),
            ("a.*.org", "is not a host"),
            ("bücher.example", "is not in the form that DNS has"),
            ("me@example.org", "is not a host"),
            ("2001:db8::1", "has no port after its colon"),
        ] {
            let error = hosts(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn a_destination_is_shown_as_it_is_written() {
        let shown =
            |authority: &str| Destination::of(&authority.parse().unwrap(), true).to_string();
        assert_eq!(shown("Example.org"), "example.org:443");
        assert_eq!(shown("[::1]:81"), "[::1]:81");
    }
}
