//! Grants: the WIT interfaces a signer lets a component import. Ours: a field `grants` in the signed
//! `wascap` object, a list of patterns, which a 1.x peer ignores.
//!
//! | pattern | allows |
//! | --- | --- |
//! | `wasi:keyvalue/store` | that interface in any version |
//! | `wasi:keyvalue/store@0.2.0-draft` | versions compatible with that one (a pre-release: itself alone) |
//! | `wasi:keyvalue/*` | every interface of the package; a version may follow (`wasi:keyvalue/*@0.2.0-draft`) |
//! | `acme:*/*` | every interface of the namespace; no version may follow |
//! | `log-line` | the world's own function, instance or type of that name |
//!
//! Claims without the field, as 1.x signs them, restrict nothing. An empty list grants nothing beyond what
//! every component may import ([`ALWAYS_ALLOWED`]), as do imports that bring types only and no function.

use std::{fmt, str::FromStr};

use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    interface::{InterfaceName, compatible, is_word},
    keys::shorten,
};

/// What every component may import, because a host gives it a harmless form: streams and polling, clocks,
/// random numbers, a command line with no arguments and no environment whose output is a log, the types of
/// HTTP (which reach nobody without a handler), and a file system without any directory. A language's
/// runtime imports most of these unasked. A directory is opened only where the signer names
/// `wasi:filesystem` in the grants: see [`Grants::names`].
pub const ALWAYS_ALLOWED: [&str; 6] = [
    "wasi:io/*",
    "wasi:clocks/*",
    "wasi:random/*",
    "wasi:cli/*",
    "wasi:http/types",
    "wasi:filesystem/*",
];

/// The most patterns one component may carry.
pub const MAX_PATTERNS: usize = 256;

/// A pattern that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "grant {pattern:?} {problem}; write namespace:package/interface, optionally with @version, where interface, or package and interface, may be *"
)]
pub struct GrantError {
    /// The pattern, shortened.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: String,
}

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// A world's own name.
    Plain(String),
    /// Interfaces; `None` is any.
    Interfaces {
        namespace: String,
        package: Option<String>,
        interface: Option<String>,
        version: Option<Version>,
    },
}

impl Pattern {
    fn allows(&self, import: &str) -> bool {
        match self {
            Self::Plain(name) => name == import,
            Self::Interfaces {
                namespace,
                package,
                interface,
                version,
            } => {
                let Some(name) = InterfaceName::parse(import) else {
                    return false;
                };
                let any_or = |pattern: &Option<String>, text: &str| {
                    pattern.as_deref().is_none_or(|p| p == text)
                };
                namespace == name.namespace
                    && any_or(package, name.package)
                    && any_or(interface, name.interface)
                    && version.as_ref().is_none_or(|granted| {
                        name.version
                            .as_ref()
                            .is_some_and(|version| compatible(granted, version))
                    })
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let refuse = |problem: &str| {
            Err(GrantError {
                pattern: shorten(text),
                problem: problem.into(),
            })
        };
        if is_word(text) {
            return Ok(Self::Plain(text.into()));
        }
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => match Version::parse(version) {
                Ok(version) => (path, Some(version)),
                Err(_) => return refuse("has a version that is not three numbers, such as 0.2.0"),
            },
            None => (text, None),
        };
        let Some((namespace, rest)) = path.split_once(':') else {
            return refuse("has no namespace");
        };
        let Some((package, interface)) = rest.split_once('/') else {
            // All of a package is what is meant, as a rule.
            let all = match &version {
                Some(version) => format!("{path}/*@{version}"),
                None => format!("{path}/*"),
            };
            return refuse(&format!(
                "has no interface ({} grants all of the package)",
                shorten(&all)
            ));
        };
        let star_or_word = |word: &str| match word {
            "*" => Some(None),
            word if is_word(word) => Some(Some(word.to_owned())),
            _ => None,
        };
        match (
            is_word(namespace),
            star_or_word(package),
            star_or_word(interface),
        ) {
            (true, Some(None), Some(Some(_))) => {
                refuse("has * for the package, but not for the interface")
            }
            (true, Some(None), _) if version.is_some() => {
                refuse("has a version, but * for the package")
            }
            (true, Some(package), Some(interface)) => Ok(Self::Interfaces {
                namespace: namespace.into(),
                package,
                interface,
                version,
            }),
            _ => refuse("has a name that is not letters, digits and hyphens"),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(name) => f.write_str(name),
            Self::Interfaces {
                namespace,
                package,
                interface,
                version,
            } => {
                let star = |word: &Option<String>| word.clone().unwrap_or_else(|| "*".into());
                write!(f, "{namespace}:{}/{}", star(package), star(interface))?;
                version
                    .iter()
                    .try_for_each(|version| write!(f, "@{version}"))
            }
        }
    }
}

/// The interfaces a signer grants; see the module's text for the grammar.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(Vec<Pattern>);

impl Grants {
    /// Reads a list of patterns.
    ///
    /// # Errors
    /// Names the first pattern that can't be read, or says that there are more than [`MAX_PATTERNS`].
    pub fn parse<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<Self, GrantError> {
        let mut parsed = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            if parsed.len() == MAX_PATTERNS {
                return Err(GrantError {
                    pattern: shorten(pattern),
                    problem: format!("is one more than the {MAX_PATTERNS} allowed"),
                });
            }
            parsed.push(pattern.parse()?);
        }
        Ok(Self(parsed))
    }

    /// Whether an import is allowed: granted, or one of those that always are.
    pub fn allows(&self, import: &str) -> bool {
        self.names(import) || always_allowed(import)
    }

    /// Whether the signer granted an import by name, [`ALWAYS_ALLOWED`] aside. A host opens directories
    /// only where this holds for `wasi:filesystem/preopens`.
    pub fn names(&self, import: &str) -> bool {
        self.0.iter().any(|pattern| pattern.allows(import))
    }

    /// Whether all imports are allowed.
    ///
    /// # Errors
    /// The first that isn't.
    pub fn check_imports<'a>(
        &self,
        imports: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), String> {
        match imports.into_iter().find(|import| !self.allows(import)) {
            Some(import) => Err(import.to_owned()),
            None => Ok(()),
        }
    }

    /// The patterns as text.
    pub fn patterns(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(Pattern::to_string)
    }
}

pub(super) fn always_allowed(import: &str) -> bool {
    let Some(name) = InterfaceName::parse(import) else {
        return false;
    };
    ALWAYS_ALLOWED
        .iter()
        .filter_map(|pattern| pattern.strip_prefix("wasi:")?.split_once('/'))
        .any(|(package, interface)| {
            name.namespace == "wasi"
                && name.package == package
                && ["*", name.interface].contains(&interface)
        })
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        f.write_str(&self.patterns().collect::<Vec<_>>().join(", "))
    }
}

impl Serialize for Grants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.patterns())
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let patterns = Vec::<String>::deserialize(deserializer)?;
        Self::parse(patterns).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(patterns: &[&str]) -> Grants {
        Grants::parse(patterns).unwrap()
    }

    #[test]
    fn patterns_allow_what_they_say() {
        for (pattern, import, allowed) in [
            (
                "wasi:keyvalue/store",
                "wasi:keyvalue/store@0.2.0-draft",
                true,
            ),
            ("wasi:keyvalue/store", "wasi:keyvalue/store", true),
            (
                "wasi:keyvalue/store",
                "wasi:keyvalue/batch@0.2.0-draft",
                false,
            ),
            (
                "wasi:keyvalue/store@0.2.0-draft",
                "wasi:keyvalue/store@0.2.0-draft",
                true,
            ),
            (
                "wasi:keyvalue/store@0.2.0-draft",
                "wasi:keyvalue/store@0.2.0-draft2",
                false,
            ),
            (
                "wasi:keyvalue/store@0.2.0-draft",
                "wasi:keyvalue/store",
                false,
            ),
            ("wasi:keyvalue/*", "wasi:keyvalue/atomics@0.2.0-draft", true),
            ("wasi:keyvalue/*", "wasi:keyvalue-more/atomics", false),
            (
                "wasi:http/*@0.2.0",
                "wasi:http/outgoing-handler@0.2.12",
                true,
            ),
            (
                "wasi:http/*@0.2.0",
                "wasi:http/outgoing-handler@0.3.0",
                false,
            ),
            ("acme:*/*", "acme:shop/cart@1.0.0", true),
            ("acme:*/*", "wasi:sockets/tcp@0.2.0", false),
            ("log-line", "log-line", true),
            ("log-line", "log-lines", false),
        ] {
            assert_eq!(
                grants(&[pattern]).allows(import),
                allowed,
                "{pattern} {import}"
            );
        }
    }

    #[test]
    fn nothing_granted_still_leaves_what_every_component_needs() {
        let none = grants(&[]);
        for import in [
            "wasi:io/streams@0.2.6",
            "wasi:cli/environment@0.2.6",
            "wasi:filesystem/preopens@0.2.6",
            "wasi:http/types@0.2.12",
        ] {
            assert!(none.allows(import), "{import}");
            assert!(!none.names(import), "{import}");
        }
        for import in [
            "wasi:http/outgoing-handler@0.2.12",
            "wasi:sockets/tcp@0.2.6",
            "wasi:iot/x",
            "acme:io/streams",
            "run",
        ] {
            assert!(!none.allows(import), "{import}");
        }
    }

    #[test]
    fn the_first_import_beyond_is_named() {
        let imports = [
            "wasi:io/poll@0.2.6",
            "wasi:http/outgoing-handler@0.2.6",
            "wasi:sockets/tcp@0.2.6",
        ];
        assert_eq!(
            grants(&["wasi:sockets/*"]).check_imports(imports),
            Err("wasi:http/outgoing-handler@0.2.6".into())
        );
        assert_eq!(
            grants(&["wasi:sockets/*", "wasi:http/*"]).check_imports(imports),
            Ok(())
        );
    }

    #[test]
    fn patterns_that_can_t_be_read_say_why() {
        for (pattern, problem) in [
            ("", "has no namespace"),
            ("*", "has no namespace"),
            (
                "wasi:keyvalue",
                "has no interface (wasi:keyvalue/* grants all of the package)",
            ),
            (
                "wasi:keyvalue@0.2.0-draft",
                "has no interface (wasi:keyvalue/*@0.2.0-draft grants all of the package)",
            ),
            (
                "wasi:*/store",
                "has * for the package, but not for the interface",
            ),
            ("wasi:*/*@0.2.0", "has a version, but * for the package"),
            (
                "*:*/*",
                "has a name that is not letters, digits and hyphens",
            ),
            (
                "wasi:key value/store",
                "has a name that is not letters, digits and hyphens",
            ),
            (
                "wasi:http/types@0.2",
                "has a version that is not three numbers, such as 0.2.0",
            ),
        ] {
            assert_eq!(
                Grants::parse([pattern]).unwrap_err().problem,
                problem,
                "{pattern:?}"
            );
        }
        assert!(Grants::parse(vec!["a:b/c"; MAX_PATTERNS]).is_ok());
        assert!(Grants::parse(vec!["a:b/c"; MAX_PATTERNS + 1]).is_err());
    }

    #[test]
    fn patterns_survive_json() {
        let patterns = [
            "wasi:keyvalue/*",
            "wasi:logging/logging@0.1.0-draft",
            "acme:*/*",
            "log-line",
        ];
        let json = serde_json::to_value(grants(&patterns)).unwrap();
        assert_eq!(json, serde_json::json!(patterns));
        assert_eq!(
            serde_json::from_value::<Grants>(json).unwrap(),
            grants(&patterns)
        );
    }
}
