//! Names of things in a lattice, each its own type, each fit to stand in a NATS subject.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize};

/// The longest name. 1.x has no bound; a subject beyond a few hundred bytes is a mistake.
pub const MAX_NAME_BYTES: usize = 255;

/// A text that can't be the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} {problem}")]
pub struct IdError {
    what: &'static str,
    text: String,
    problem: &'static str,
}

/// Checks that a text can stand as one token of a NATS subject.
fn check_token(what: &'static str, text: &str) -> Result<(), IdError> {
    let problem = if text.is_empty() {
        "is empty"
    } else if text.len() > MAX_NAME_BYTES {
        "is longer than 255 bytes"
    } else if text.contains(['.', '*', '>']) {
        "contains '.', '*' or '>', which have a meaning in NATS subjects"
    } else if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "contains white space or control characters"
    } else {
        return Ok(());
    };
    Err(IdError {
        what,
        text: text.chars().take(80).collect(),
        problem,
    })
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name, checked.
            ///
            /// # Errors
            /// When it can't stand in a subject; the error says why.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                $check($what, text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name as a shared text, without a copy.
            pub fn to_shared(&self) -> Arc<str> {
                self.0.clone()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// A lattice's name; the first token of every call's subject.
    LatticeName, "lattice name", check_token
}
name! {
    /// The id of a component or of a provider: one name space, unique in the lattice. Not a public key.
    ComponentId, "component or provider id", check_token
}
name! {
    /// A link's name; a source may hold several links of one interface under different names.
    LinkName, "link name", check_token
}
name! {
    /// A host's public key (`N…`).
    HostId, "host id", check_host
}

name! {
    /// A PoP's name, such as `fra`: 1 to 63 letters, digits, '-' and '_'.
    PopName, "PoP name", check_place
}
name! {
    /// A region's name, such as `eu`: 1 to 63 letters, digits, '-' and '_'.
    RegionName, "region name", check_place
}

/// A place stands in subjects, in labels, and in the names of NATS servers and JetStream domains.
fn check_place(what: &'static str, text: &str) -> Result<(), IdError> {
    let fits = (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if fits {
        return Ok(());
    }
    Err(IdError {
        what,
        text: text.chars().take(80).collect(),
        problem: "has to have 1 to 63 letters, digits, '-' or '_'",
    })
}

/// A host id stands in subjects; that it is an nkey too is its host's business, and a 1.x tool asks for
/// any host by any text and expects "no responder" for one that isn't there.
fn check_host(what: &'static str, text: &str) -> Result<(), IdError> {
    check_token(what, text)
}

impl Default for LatticeName {
    /// 1.x's default lattice.
    fn default() -> Self {
        Self("default".into())
    }
}

impl Default for LinkName {
    fn default() -> Self {
        Self("default".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_subjects_can_t_hold_are_refused() {
        for text in ["", "a.b", "a b", "a*", ">", "a\n", &"x".repeat(256)] {
            assert!(ComponentId::new(text).is_err(), "{text:?}");
        }
        assert_eq!(
            ComponentId::new("shop-cart_1").unwrap().as_str(),
            "shop-cart_1"
        );
    }

    #[test]
    fn an_error_says_what_and_why() {
        let error = LinkName::new("a.b").unwrap_err().to_string();
        assert_eq!(
            error,
            "link name \"a.b\" contains '.', '*' or '>', which have a meaning in NATS subjects"
        );
    }

    #[test]
    fn names_are_checked_when_read_from_json() {
        assert!(serde_json::from_str::<ComponentId>("\"a b\"").is_err());
    }
}
