//! Which requests of an address are a link's: by their host and by the beginning of their path.

use std::fmt;

use http::uri::{Authority, PathAndQuery};
use trellis_provider::config::SettingsError;

/// The longest path that a route has, in bytes.
const MAX_PATH_BYTES: usize = 1024;
/// The longest name of a host (RFC 1035).
pub const MAX_HOST_BYTES: usize = 253;

/// A route: the hosts and paths that are a link's. The default takes every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Route {
    host: Host,
    /// Without a slash at its end: empty for every path.
    path: Box<str>,
}

/// The hosts of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Host {
    /// Every host, and requests that name none.
    #[default]
    Any,
    /// The hosts below one, at any depth, written as in the configuration: `*.example.com`.
    Below(Box<str>),
    /// This one.
    Exactly(Box<str>),
}

impl Route {
    /// The route of a link's `host` and `path`, each for everything when it isn't given.
    ///
    /// # Errors
    /// Names the field that can't be one.
    pub fn new(host: Option<&str>, path: Option<&str>) -> Result<Self, SettingsError> {
        Ok(Self {
            host: host.map_or(Ok(Host::Any), parse_host)?,
            path: path.map_or(Ok(Box::default()), parse_path)?,
        })
    }

    /// Its hosts.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// How paths begin that are its own, without a slash at the end; empty for every path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether every request is its own.
    pub fn takes_everything(&self) -> bool {
        self.host == Host::Any && self.path.is_empty()
    }

    /// A host that is its own, for looking up who has its requests.
    pub fn example_host(&self) -> &str {
        match &self.host {
            Host::Any => "",
            // The star is a name as good as any.
            Host::Exactly(host) | Host::Below(host) => host,
        }
    }

    /// What is left of a path with its query when the route's path is taken off.
    pub fn stripped(&self, path_with_query: &str) -> String {
        match path_with_query.strip_prefix(&*self.path) {
            Some(rest) if self.path.is_empty() || rest.starts_with('/') => rest.to_owned(),
            Some(rest) => format!("/{rest}"),
            None => path_with_query.to_owned(),
        }
    }
}

fn parse_host(text: &str) -> Result<Host, SettingsError> {
    let wrong = |problem: String| SettingsError {
        field: "host",
        problem,
    };
    let shown: String = text.chars().take(80).collect();
    let lowered = text.trim().to_ascii_lowercase();
    let lowered = lowered.strip_suffix('.').unwrap_or(&lowered);
    let (below, name) = match lowered.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, lowered),
    };
    if name.contains('*') {
        return Err(wrong(format!(
            "{shown:?}: a star stands for the first part of a name only: *.example.com"
        )));
    }
    let is_name = Authority::try_from(name)
        .is_ok_and(|authority| authority.host() == name && !name.contains('@'));
    if !is_name || name.len() > MAX_HOST_BYTES {
        return Err(wrong(format!(
            "{shown:?} is not the name of a host; without a port, for example www.example.com or *.example.com"
        )));
    }
    Ok(if below {
        Host::Below(lowered.into())
    } else {
        Host::Exactly(name.into())
    })
}

fn parse_path(text: &str) -> Result<Box<str>, SettingsError> {
    let wrong = |problem: String| {
        Err(SettingsError {
            field: "path",
            problem,
        })
    };
    let shown: String = text.chars().take(80).collect();
    if !text.starts_with('/') {
        return wrong(format!("{shown:?} does not begin with a slash"));
    }
    if text.len() > MAX_PATH_BYTES {
        return wrong(format!("it is longer than {MAX_PATH_BYTES} bytes"));
    }
    let is_path = PathAndQuery::try_from(text).is_ok_and(|path| path.as_str() == text);
    if !is_path || !text.is_ascii() || text.contains(['?', '#', '*']) {
        return wrong(format!(
            "{shown:?} is not a path: no query, no star, and what is not ASCII as %XX"
        ));
    }
    Ok(text.trim_end_matches('/').into())
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Any => f.write_str("every host")?,
            Host::Below(host) | Host::Exactly(host) => write!(f, "host {host}")?,
        }
        match &*self.path {
            "" => f.write_str(", every path"),
            path => write!(f, ", path {path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(host: &str, path: &str) -> Result<Route, String> {
        let given = |text: &'static str| (!text.is_empty()).then_some(text);
        let (host, path) = (host.to_owned().leak(), path.to_owned().leak());
        Route::new(given(host), given(path)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_route_is_written_in_one_way() {
        let same = |one: (&str, &str), two: (&str, &str)| {
            assert_eq!(route(one.0, one.1), route(two.0, two.1));
        };
        same(("Example.COM.", "/a/"), ("example.com", "/a"));
        same(("", "/"), ("", ""));
        assert!(route("", "").unwrap().takes_everything());
        assert_eq!(
            route("*.example.com", "/a/b").unwrap().to_string(),
            "host *.example.com, path /a/b"
        );
        assert_ne!(route("*.example.com", ""), route("example.com", ""));
        assert!(route("[::1]", "").is_ok());
    }

    #[test]
    fn what_is_no_route_is_refused_by_the_name_of_its_field() {
        for host in [
            "a:80", "a/b", "me@a", "a b", "*", "a.*.b", "*.*.b", "\u{e4}",
        ] {
            let error = route(host, "").unwrap_err();
            assert!(error.starts_with("field `host`: "), "{host}: {error}");
        }
        for path in ["a", "/a?b", "/a#b", "/a b", "/*", "/\u{e4}"] {
            let error = route("", path).unwrap_err();
            assert!(error.starts_with("field `path`: "), "{path}: {error}");
        }
        assert!(route("", &format!("/{}", "a".repeat(2000))).is_err());
    }

    #[test]
    fn a_prefix_is_taken_off_whole() {
        let api = route("", "/api").unwrap();
        for (path, rest) in [
            ("/api", "/"),
            ("/api/", "/"),
            ("/api/a?b", "/a?b"),
            ("/api?b", "/?b"),
            ("/other", "/other"),
        ] {
            assert_eq!(api.stripped(path), rest, "{path}");
        }
        assert_eq!(Route::default().stripped("*"), "*");
    }
}
