//! Names of WIT interfaces, `namespace:package/interface@version`, and when two versions fit each other.

use std::fmt;

use semver::Version;

/// The parts of an interface's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceName<'a> {
    /// For example `wasi`.
    pub namespace: &'a str,
    /// For example `keyvalue`.
    pub package: &'a str,
    /// For example `store`.
    pub interface: &'a str,
    /// For example `0.2.0-draft`.
    pub version: Option<Version>,
}

impl<'a> InterfaceName<'a> {
    /// Reads a name; `None` for anything else, such as a world's plain function name.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Some(Version::parse(version).ok()?)),
            None => (text, None),
        };
        let (namespace, rest) = path.split_once(':')?;
        let (package, interface) = rest.split_once('/')?;
        let words = [namespace, package, interface];
        words.into_iter().all(is_word).then_some(Self {
            namespace,
            package,
            interface,
            version,
        })
    }
}

impl fmt::Display for InterfaceName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.namespace, self.package, self.interface)?;
        self.version
            .iter()
            .try_for_each(|version| write!(f, "@{version}"))
    }
}

/// Whether a text is a WIT identifier: letters, digits and hyphens, a letter first.
pub fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Whether two versions belong to one line of compatible releases, in the component model's sense: the
/// same major version; below 1.0 the same minor, below 0.1 the same patch. A pre-release (`-draft`) fits
/// itself alone.
pub fn compatible(a: &Version, b: &Version) -> bool {
    if !a.pre.is_empty() || !b.pre.is_empty() {
        return (a.major, a.minor, a.patch, &a.pre) == (b.major, b.minor, b.patch, &b.pre);
    }
    match (a.major, a.minor) {
        (0, 0) => (b.major, b.minor, b.patch) == (0, 0, a.patch),
        (0, minor) => (b.major, b.minor) == (0, minor),
        (major, _) => b.major == major,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let name = InterfaceName::parse("wasi:keyvalue/store@0.2.0-draft").unwrap();
        assert_eq!(
            (name.namespace, name.package, name.interface),
            ("wasi", "keyvalue", "store")
        );
        assert_eq!(name.to_string(), "wasi:keyvalue/store@0.2.0-draft");
        for other in [
            "run",
            "wasi:http",
            "a:b/c@x",
            "a:b/c/d",
            ":b/c",
            "a:/c",
            "a:b/",
            "a:b/*",
            "url=<a:b/c>",
        ] {
            assert_eq!(InterfaceName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn compatible_is_the_component_model_s_word() {
        for (a, b, fits) in [
            ("0.2.0", "0.2.12", true),
            ("0.2.0", "0.3.0", false),
            ("1.2.3", "1.9.0", true),
            ("1.0.0", "2.0.0", false),
            ("0.0.1", "0.0.1", true),
            ("0.0.1", "0.0.2", false),
            ("0.2.0-draft", "0.2.0-draft", true),
            ("0.2.0-draft", "0.2.0", false),
            ("0.2.0", "0.2.0-draft", false),
        ] {
            assert_eq!(
                compatible(&a.parse().unwrap(), &b.parse().unwrap()),
                fits,
                "{a} {b}"
            );
        }
    }
}
