//! Public keys.

use std::{fmt, marker::PhantomData, str::FromStr, sync::Arc};

use ed25519_dalek::VerifyingKey;
use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::{Article, KeyError, KeyKind, Provider, Role, shorten};

/// A public key, its prefix and checksum verified.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey<R: Role> {
    text: Arc<str>,
    role: PhantomData<R>,
}

impl<R: Role> PublicKey<R> {
    /// The key, checked.
    ///
    /// # Errors
    /// When it isn't a public key of this role.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let pair = public_pair(text)?;
        if KeyKind::of(&pair) != Some(R::KIND) {
            return Err(KeyError::WrongPublicKind {
                text: text.into(),
                expected: Article(R::KIND),
            });
        }
        Ok(Self {
            text: text.into(),
            role: PhantomData,
        })
    }

    /// The public half of a pair of this role.
    pub(super) fn of(pair: &KeyPair) -> Self {
        Self {
            text: pair.public_key().into(),
            role: PhantomData,
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a signature of some bytes was made with this key's seed.
    pub fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        public_pair(&self.text).is_ok_and(|pair| pair.verify(bytes, signature).is_ok())
    }
}

impl PublicKey<Provider> {
    /// What stands for a built-in provider in claims: the same in every lattice, so that a secrets backend can be told
    /// once what it may have. Nothing is ever signed with it.
    #[expect(clippy::expect_used, reason = "any 32 bytes make a key")]
    pub fn of_builtin(name: &str) -> Self {
        let digest = Sha256::digest(format!("trellis builtin provider {name}"));
        let pair = KeyPair::new_from_raw(KeyPairType::Service, digest.into());
        Self::of(&pair.expect("32 bytes"))
    }
}

fn public_pair(text: &str) -> Result<KeyPair, KeyError> {
    // A seed given by mistake must not end up in a message, and so in a log.
    if text.trim_start().starts_with(['S', 's']) {
        let problem = "it begins with S, as seeds do, which are secret; give the public key".into();
        return Err(KeyError::BadPublicKey {
            text: "S…".into(),
            problem,
        });
    }
    let refuse = |problem| KeyError::BadPublicKey {
        text: shorten(text),
        problem,
    };
    let pair = KeyPair::from_public_key(text).map_err(|error| refuse(error.to_string()))?;
    // A signature for a key of small order needs no seed. The likeliest is a row of As, as a placeholder.
    let (_, bytes) = nkeys::from_public_key(text).map_err(|error| refuse(error.to_string()))?;
    if VerifyingKey::from_bytes(&bytes).is_ok_and(|key| key.is_weak()) {
        return Err(refuse(
            "anybody can sign for it: it was not made from a seed".into(),
        ));
    }
    Ok(pair)
}

impl<R: Role> fmt::Display for PublicKey<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<R: Role> fmt::Debug for PublicKey<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<R: Role> FromStr for PublicKey<R> {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

impl<R: Role> Serialize for PublicKey<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, R: Role> Deserialize<'de> for PublicKey<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}
