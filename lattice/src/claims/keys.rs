//! nkeys: the Ed25519 keys that lattices know things by, and the files their seeds live in
//! (`wasmcloud-v1.md`, Ids and keys).

mod error;
mod public;
mod secret;

use std::{fmt, str::FromStr};

use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Serialize};

pub use error::{Article, KeyError};
pub use public::PublicKey;
pub use secret::{AnyKey, SigningKey};

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// `A…`: an issuer, who signs.
    Account,
    /// `M…`: a component, the subject of claims.
    Component,
    /// `V…`: a provider, the subject of claims.
    Provider,
    /// `N…`: a host.
    Host,
    /// `U…`: a user of NATS, whom its server knows by this key. It signs nothing else.
    User,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Account,
        Self::Component,
        Self::Provider,
        Self::Host,
        Self::User,
    ];

    /// The first letter of the public key.
    pub fn letter(self) -> char {
        match self {
            Self::Account => 'A',
            Self::Component => 'M',
            Self::Provider => 'V',
            Self::Host => 'N',
            Self::User => 'U',
        }
    }

    fn of(pair: &KeyPair) -> Option<Self> {
        match pair.key_pair_type() {
            KeyPairType::Account => Some(Self::Account),
            KeyPairType::Module => Some(Self::Component),
            KeyPairType::Service => Some(Self::Provider),
            KeyPairType::Server => Some(Self::Host),
            KeyPairType::User => Some(Self::User),
            _ => None,
        }
    }

    fn pair_type(self) -> KeyPairType {
        match self {
            Self::Account => KeyPairType::Account,
            Self::Component => KeyPairType::Module,
            Self::Provider => KeyPairType::Service,
            Self::Host => KeyPairType::Server,
            Self::User => KeyPairType::User,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account => "account",
            Self::Component => "component",
            Self::Provider => "provider",
            Self::Host => "host",
            Self::User => "user",
        })
    }
}

impl FromStr for KeyKind {
    type Err = KeyError;

    /// The kind by its name; 1.x's words `module` and `service` are understood too.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        match text.to_ascii_lowercase().as_str() {
            "account" => Ok(Self::Account),
            "component" | "module" => Ok(Self::Component),
            "provider" | "service" => Ok(Self::Provider),
            "host" | "server" => Ok(Self::Host),
            "user" => Ok(Self::User),
            _ => Err(KeyError::UnknownKind {
                text: shorten(text),
            }),
        }
    }
}

/// A role in types: a function that wants an account's key can't be given a host's.
pub trait Role: Clone + fmt::Debug + Eq + Ord + std::hash::Hash + Send + Sync + 'static {
    /// The kind at run time.
    const KIND: KeyKind;
}

macro_rules! role {
    ($($name:ident: $doc:literal),*) => {$(
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {}

        impl Role for $name {
            const KIND: KeyKind = KeyKind::$name;
        }
    )*};
}

role!(
    Account: "An issuer's role.",
    Component: "A component's role.",
    Provider: "A provider's role.",
    Host: "A host's role.",
    User: "The role of a user of NATS."
);

/// An issuer's key, which signs claims.
pub type AccountKey = SigningKey<Account>;
/// A component's key. Only its public half is used: claims are about it.
pub type ComponentKey = SigningKey<Component>;
/// A provider's key. Only its public half is used: claims are about it.
pub type ProviderKey = SigningKey<Provider>;
/// A host's key, whose public half is the host's id.
pub type HostKey = SigningKey<Host>;
/// The key of a user of NATS.
pub type UserKey = SigningKey<User>;
/// Who a user of NATS is: its public key.
pub type UserId = PublicKey<User>;
/// Who signed: an account's public key.
pub type Issuer = PublicKey<Account>;

/// At most this much of a foreign text is repeated in a message.
pub(super) fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}
