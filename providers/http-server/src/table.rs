//! Which link a request is for: the table that requests look into. It is never changed, only replaced.

use std::{collections::HashMap, sync::Arc};

use tokio::time::Instant;
use trellis_provider::contract::LinkKey;

use crate::{
    access::Format,
    config::Settings,
    route::{Host, MAX_HOST_BYTES, Route},
    routes::Target,
    tls::Tls,
};

/// The links of an address.
#[derive(Debug)]
pub struct Table {
    entries: Vec<Entry>,
    /// Nobody came for the grace time, or the provider ends: the address is given up.
    closed: bool,
    index: Index,
    bounds: Bounds,
}

/// A link of an address.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The link.
    pub target: Arc<Target>,
    /// When it was deleted. A replacement is often a deletion followed by a new link, and no request is to notice: they
    /// wait.
    pub vacant_since: Option<Instant>,
}

/// What holds for an address's connections: of the links' values the largest, because each request is checked against its
/// own link's besides.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// How many connections are open at once.
    pub max_connections: usize,
    /// The largest head of a request.
    pub max_header_bytes: usize,
    /// How long a client may take for a request's head.
    pub head_timeout: std::time::Duration,
    /// What connections are encrypted with.
    pub tls: Option<Arc<Tls>>,
    /// How requests are logged that are no link's.
    pub access_log: Format,
}

/// Who has a request.
#[derive(Debug)]
pub enum Found {
    /// This link.
    Target(Arc<Target>),
    /// A link that was deleted a moment ago: the next one is waited for.
    Vacant,
    /// None.
    Nobody,
    /// The address is given up.
    Closed,
}

/// Entries by route.
#[derive(Debug, Default)]
struct Index {
    /// The one entry that takes everything, where there is no other.
    only: Option<usize>,
    exactly: HashMap<Box<str>, Paths>,
    /// By the host without its star: `example.com`.
    below: HashMap<Box<str>, Paths>,
    any: Paths,
}

/// The entries of one host by their paths.
#[derive(Debug, Default)]
struct Paths {
    by_path: HashMap<Box<str>, usize>,
    /// How long the paths are, each length once and the longest first.
    lengths: Vec<usize>,
}

impl Table {
    /// A table of these links. One of no links is that of an address that is given up.
    pub fn new(entries: Vec<Entry>) -> Self {
        let mut index = Index::default();
        for (at, entry) in entries.iter().enumerate() {
            index.insert(&entry.target.settings.route, at);
        }
        if let [entry] = entries.as_slice()
            && entry.target.settings.route.takes_everything()
        {
            index.only = Some(0);
        }
        Self {
            bounds: Bounds::of(&entries),
            closed: entries.is_empty(),
            entries,
            index,
        }
    }

    /// The links.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether the address is given up.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// What holds for connections.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Who has the requests for a host and a path: the most specific host that has the path, and of its paths the longest.
    /// `asked` gives both, where they matter.
    pub fn find<'a>(&self, asked: impl FnOnce() -> (&'a str, &'a str)) -> Found {
        if self.closed {
            return Found::Closed;
        }
        let found = self.index.only.or_else(|| {
            let (host, path) = asked();
            self.index.find(host, path)
        });
        match found.and_then(|at| self.entries.get(at)) {
            None => Found::Nobody,
            Some(Entry {
                vacant_since: Some(_),
                ..
            }) => Found::Vacant,
            Some(entry) => Found::Target(entry.target.clone()),
        }
    }

    /// The links with this one among them, in place of its earlier self and of a deleted link with its route.
    ///
    /// # Errors
    /// [`Clash`] with another link.
    pub fn with(&self, target: &Arc<Target>) -> Result<Vec<Entry>, Clash> {
        let (link, settings) = (&target.link, &target.settings);
        let others = || {
            let others = self.entries.iter();
            others.filter(move |entry| entry.target.link != *link)
        };
        for other in others().filter(|entry| entry.vacant_since.is_none()) {
            let link = || other.target.link.clone();
            if other.target.settings.route == settings.route {
                return Err(Clash::Route(link()));
            }
            if let Some(field) = differing_tls(&other.target.settings, settings) {
                return Err(Clash::Tls(field, link()));
            }
        }
        let kept = others().filter(|entry| {
            entry.vacant_since.is_none() || entry.target.settings.route != settings.route
        });
        let mut entries: Vec<Entry> = kept.cloned().collect();
        entries.push(Entry {
            target: target.clone(),
            vacant_since: None,
        });
        Ok(entries)
    }
}

/// Why a link can't be put beside another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clash {
    /// The route is that link's.
    Route(LinkKey),
    /// The address is encrypted by that link in another way, by this field.
    Tls(&'static str, LinkKey),
}

fn differing_tls(one: &Settings, other: &Settings) -> Option<&'static str> {
    let cert = |settings: &Settings| settings.tls.as_ref().map(|files| files.cert.clone());
    let key = |settings: &Settings| settings.tls.as_ref().map(|files| files.key.clone());
    if cert(one) != cert(other) {
        return Some("tls_cert");
    }
    (key(one) != key(other)).then_some("tls_key")
}

impl Bounds {
    fn of(entries: &[Entry]) -> Self {
        // Those that were deleted say nothing any more, unless there are only such.
        let live = entries.iter().any(|entry| entry.vacant_since.is_none());
        let entries = entries
            .iter()
            .filter(|entry| !live || entry.vacant_since.is_none());
        entries.fold(Self::default(), |bounds, entry| {
            let settings = &entry.target.settings;
            Self {
                max_connections: bounds.max_connections.max(settings.max_connections),
                max_header_bytes: bounds.max_header_bytes.max(settings.max_header_bytes),
                head_timeout: bounds.head_timeout.max(settings.head_timeout),
                tls: bounds.tls.or_else(|| entry.target.tls.clone()),
                access_log: match bounds.access_log {
                    Format::Off => settings.access_log,
                    format => format,
                },
            }
        })
    }
}

impl Index {
    fn insert(&mut self, route: &Route, at: usize) {
        let paths = match route.host() {
            Host::Any => &mut self.any,
            Host::Exactly(host) => self.exactly.entry(host.clone()).or_default(),
            Host::Below(host) => {
                let host = host.strip_prefix("*.").unwrap_or(host);
                self.below.entry(host.into()).or_default()
            }
        };
        paths.by_path.insert(route.path().into(), at);
        let length = route.path().len();
        let place = paths.lengths.binary_search_by(|other| length.cmp(other));
        if let Err(place) = place {
            paths.lengths.insert(place, length);
        }
    }

    fn find(&self, host: &str, path: &str) -> Option<usize> {
        if self.exactly.is_empty() && self.below.is_empty() {
            return self.any.find(path);
        }
        let mut room = [0; MAX_HOST_BYTES];
        let host = lowered(host, &mut room);
        let exactly = self.exactly.get(host).and_then(|paths| paths.find(path));
        let below = || {
            let parts = host.match_indices('.');
            let mut above = parts.filter_map(|(dot, _)| self.below.get(host.get(dot + 1..)?));
            above.find_map(|paths| paths.find(path))
        };
        exactly.or_else(below).or_else(|| self.any.find(path))
    }
}

impl Paths {
    fn find(&self, path: &str) -> Option<usize> {
        let mut lengths = self.lengths.iter();
        lengths.find_map(|length| {
            let (start, rest) = path.split_at_checked(*length)?;
            // On the border of a segment.
            let within = start.is_empty() || rest.is_empty() || rest.starts_with('/');
            within.then(|| self.by_path.get(start).copied())?
        })
    }
}

/// A host as routes write it; empty for one that is too long to be one.
fn lowered<'a>(host: &'a str, room: &'a mut [u8; MAX_HOST_BYTES]) -> &'a str {
    let host = host.strip_suffix('.').unwrap_or(host);
    if !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return host;
    }
    let Some(room) = room.get_mut(..host.len()) else {
        return "";
    };
    room.copy_from_slice(host.as_bytes());
    room.make_ascii_lowercase();
    std::str::from_utf8(room).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(routes: &[(Option<&str>, Option<&str>)]) -> Index {
        let mut index = Index::default();
        for (at, (host, path)) in routes.iter().enumerate() {
            index.insert(&Route::new(*host, *path).unwrap(), at);
        }
        index
    }

    #[test]
    fn the_longest_path_wins_on_the_borders_of_segments() {
        let index = index(&[
            (None, None),
            (None, Some("/api")),
            (None, Some("/api/v2/")),
            (None, Some("/b")),
        ]);
        for (path, at) in [
            ("/", 0),
            ("*", 0),
            ("", 0),
            ("/api", 1),
            ("/api/", 1),
            ("/api/v1", 1),
            ("/api/v2", 2),
            ("/api/v2/x", 2),
            ("/api/v22", 1),
            ("/apis", 0),
            ("/b/c", 3),
        ] {
            assert_eq!(index.find("x", path), Some(at), "{path}");
        }
    }

    #[test]
    fn the_most_specific_host_that_has_the_path_wins() {
        let index = index(&[
            (Some("www.example.com"), None),
            (Some("*.example.com"), Some("/a")),
            (Some("*.b.example.com"), None),
            (None, Some("/a/b")),
            (Some("[::1]"), None),
        ]);
        for (host, path, at) in [
            ("WWW.Example.com.", "/a", Some(0)),
            ("x.example.com", "/a/b", Some(1)),
            ("x.y.EXAMPLE.com", "/a", Some(1)),
            ("x.b.example.com", "/c", Some(2)),
            ("b.example.com", "/a", Some(1)),
            ("b.example.com", "/c", None),
            ("example.com", "/a", None),
            ("example.com", "/a/b", Some(3)),
            ("", "/a/b", Some(3)),
            ("[::1]", "/", Some(4)),
        ] {
            assert_eq!(index.find(host, path), at, "{host}{path}");
        }
        let long = "A".repeat(5000);
        assert_eq!(index.find(&long, "/a/b"), Some(3));
        assert_eq!(
            index.find("*.example.com", "/a"),
            Some(1),
            "its own example"
        );
    }
}
