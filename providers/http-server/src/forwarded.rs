//! Whom a request comes from, where proxies stand between: what they say is believed of those only that the link trusts.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts, uri::Authority};
use ipnet::IpNet;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// How many proxies are believed to stand one behind the other.
const MAX_HOPS: usize = 32;

/// The client's end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

/// Whom a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The addresses that it came over, the client's or the first one that is known first, without this server's.
    hops: Vec<IpAddr>,
    /// The client: the last address that is no trusted proxy's.
    pub client: IpAddr,
    /// Whether the client's own connection is encrypted.
    pub encrypted: bool,
    /// The host that the client asked for.
    pub host: Option<String>,
}

impl Peer {
    /// The peer of a connection.
    pub fn new(address: SocketAddr, encrypted: bool) -> Self {
        Self {
            address: address.ip().to_canonical(),
            encrypted,
        }
    }

    /// Whether its word is believed.
    pub fn is_trusted(&self, trusted: &[IpNet]) -> bool {
        is_among(self.address, trusted)
    }

    /// Whom a request on its connection comes from.
    pub fn origin(&self, parts: &Parts, trusted: &[IpNet]) -> Origin {
        let mut origin = Origin {
            hops: vec![self.address],
            client: self.address,
            encrypted: self.encrypted,
            host: asked_host(parts).map(str::to_owned),
        };
        if !self.is_trusted(trusted) {
            return origin;
        }
        let headers = &parts.headers;
        origin.hops = hops(headers);
        origin.hops.push(self.address);
        let from_here = origin.hops.iter().rev();
        let client = from_here.copied().find(|hop| !is_among(*hop, trusted));
        // None but proxies: the first of them asked by itself.
        origin.client = client
            .or_else(|| origin.hops.first().copied())
            .unwrap_or(self.address);
        match word(headers, &PROTO, "proto") {
            Some("https") => origin.encrypted = true,
            Some("http") => origin.encrypted = false,
            _ => {}
        }
        let host = word(headers, &HOST, "host");
        if let Some(host) = host.filter(|host| Authority::try_from(*host).is_ok()) {
            origin.host = Some(host.to_owned());
        }
        origin
    }
}

impl Origin {
    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.encrypted { "https" } else { "http" }
    }

    /// Says all of it in the headers that there are for it, in place of what they held.
    pub fn write(&self, headers: &mut HeaderMap) {
        remove(headers);
        let (mut list, mut forwarded) = (String::new(), String::new());
        for (at, hop) in self.hops.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            // Writing to a String doesn't fail.
            let _ = write!(list, "{comma}{hop}");
            let _ = match hop {
                IpAddr::V4(hop) => write!(forwarded, "{comma}for={hop}"),
                IpAddr::V6(hop) => write!(forwarded, "{comma}for=\"[{hop}]\""),
            };
        }
        let _ = write!(forwarded, ";proto={}", self.scheme());
        if let Some(host) = &self.host {
            // A host has neither quotation marks nor backslashes.
            let _ = write!(forwarded, ";host=\"{host}\"");
            set(headers, HOST, host);
        }
        set(headers, FOR, &list);
        set(headers, header::FORWARDED, &forwarded);
        headers.insert(PROTO, HeaderValue::from_static(self.scheme()));
    }
}

/// Removes what clients say about whom they come from.
pub fn remove(headers: &mut HeaderMap) {
    // Nearly always there is nothing: one look is cheaper than many.
    while let Some(name) = headers.keys().find(|name| is_told(name)).cloned() {
        headers.remove(name);
    }
}

fn is_told(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-") || *name == header::FORWARDED || *name == REAL_IP
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn is_among(address: IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// The host, with its port, that a request names.
pub fn asked_host(parts: &Parts) -> Option<&str> {
    let authority = parts.uri.authority().map(Authority::as_str);
    let host = || parts.headers.get(header::HOST)?.to_str().ok();
    authority.or_else(host).filter(|host| !host.is_empty())
}

/// The addresses that trusted proxies tell, as far back as they can be read. `X-Forwarded-For` goes before `Forwarded`: where
/// proxies write one of them, the other may be the client's.
fn hops(headers: &HeaderMap) -> Vec<IpAddr> {
    let by_list = headers.contains_key(FOR);
    let name = if by_list { FOR } else { header::FORWARDED };
    let values = headers.get_all(name);
    let values = values.iter().rev().filter_map(|value| value.to_str().ok());
    let elements = values.flat_map(|value| value.rsplit(','));
    let told = elements.map_while(|element| match by_list {
        true => address(element),
        false => address(pair(element, "for")?),
    });
    let mut hops: Vec<IpAddr> = told.take(MAX_HOPS).collect();
    hops.reverse();
    hops
}

/// An address as proxies write it: with or without a port, brackets, quotation marks.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let parsed = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let parsed = parsed.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    parsed.map(|address| address.to_canonical())
}

/// What the nearest proxy says in a list.
fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?;
    Some(value.to_str().ok()?.rsplit(',').next()?.trim())
}

/// What the nearest proxy says about one thing, where it says the addresses.
fn word<'a>(headers: &'a HeaderMap, name: &HeaderName, key: &str) -> Option<&'a str> {
    if headers.contains_key(FOR) || !headers.contains_key(header::FORWARDED) {
        return last(headers, name);
    }
    let element = last(headers, &header::FORWARDED)?;
    pair(element, key).map(|value| value.trim_matches('"'))
}

fn pair<'a>(element: &'a str, key: &str) -> Option<&'a str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case(key).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn origin(peer: &str, trusted: &[&str], headers: &[(&str, &str)]) -> (Origin, HeaderMap) {
        let mut request = Request::builder().uri("/").header("host", "asked:81");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let peer = Peer {
            address: peer.parse().unwrap(),
            encrypted: false,
        };
        let origin = peer.origin(&parts, &trusted);
        origin.write(&mut parts.headers);
        (origin, parts.headers)
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let lies = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "bank"),
            ("x-forwarded-port", "443"),
            ("x-real-ip", "1.1.1.1"),
            ("forwarded", "for=1.1.1.1"),
        ];
        let (origin, headers) = origin("9.9.9.9", &["10.0.0.0/8"], &lies);
        assert_eq!(origin.client.to_string(), "9.9.9.9");
        assert_eq!(headers["x-forwarded-for"], "9.9.9.9");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "asked:81");
        assert_eq!(
            headers["forwarded"],
            "for=9.9.9.9;proto=http;host=\"asked:81\""
        );
        assert!(!headers.contains_key("x-real-ip") && !headers.contains_key("x-forwarded-port"));
    }

    #[test]
    fn of_trusted_proxies_the_first_stranger_is_the_client() {
        let told = [
            // The client wrote the first one itself.
            ("x-forwarded-for", "1.1.1.1, 9.9.9.9"),
            ("x-forwarded-for", "10.0.0.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "www.example.com"),
            ("forwarded", "for=6.6.6.6"),
        ];
        let (origin, headers) = origin("10.0.0.1", &["10.0.0.0/8", "::1/128"], &told);
        assert_eq!(origin.client.to_string(), "9.9.9.9");
        assert_eq!(
            headers["x-forwarded-for"],
            "1.1.1.1, 9.9.9.9, 10.0.0.7, 10.0.0.1"
        );
        assert_eq!(headers["x-forwarded-host"], "www.example.com");
        assert_eq!(
            headers["forwarded"],
            "for=1.1.1.1, for=9.9.9.9, for=10.0.0.7, for=10.0.0.1;proto=https;host=\"www.example.com\""
        );
    }

    #[test]
    fn forwarded_is_read_where_it_stands_alone() {
        let told = [(
            "forwarded",
            "for=\"[2001:db8::1]:4711\";proto=https;host=a.example, For=10.1.1.1;Proto=http;Host=\"b.example:8\"",
        )];
        let (origin, _) = origin("10.0.0.1", &["10.0.0.0/8"], &told);
        assert_eq!(origin.client.to_string(), "2001:db8::1");
        assert_eq!(origin.host.as_deref(), Some("b.example:8"));
        assert!(!origin.encrypted, "the nearest proxy's word counts");
    }

    #[test]
    fn what_is_no_address_ends_the_list() {
        for list in [
            "junk, 9.9.9.9",
            "unknown, 9.9.9.9:80",
            "1.1.1.1, _x, 9.9.9.9",
        ] {
            let told = [("x-forwarded-for", list)];
            let (origin, headers) = origin("10.0.0.1", &["10.0.0.0/8"], &told);
            assert_eq!(origin.client.to_string(), "9.9.9.9");
            assert_eq!(headers["x-forwarded-for"], "9.9.9.9, 10.0.0.1");
        }
        // Only proxies, and nothing that can be read.
        let (only, _) = origin(
            "10.0.0.1",
            &["10.0.0.0/8"],
            &[("x-forwarded-for", "10.0.0.9")],
        );
        assert_eq!(only.client.to_string(), "10.0.0.9");
        let (none, _) = origin("10.0.0.1", &["10.0.0.0/8"], &[]);
        assert_eq!(none.client.to_string(), "10.0.0.1");
    }
}
