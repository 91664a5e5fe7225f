//! The digest by which content is known.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a digest's text begins with.
const ALGORITHM: &str = "sha256:";

/// A SHA-256 as registries write it: `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("digest {0:?}: it must be sha256: and 64 hexadecimal digits; no other kind is taken")]
pub struct DigestError(String);

impl Digest {
    /// The digest of content.
    pub fn of(content: &[u8]) -> Self {
        Self::from_hasher(Sha256::new_with_prefix(content))
    }

    /// What a hasher that was given the content makes of it.
    pub(crate) fn from_hasher(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// The hexadecimal digits alone.
    pub fn hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text
            .strip_prefix(ALGORITHM)
            .and_then(|hex| {
                data_encoding::HEXLOWER_PERMISSIVE
                    .decode(hex.as_bytes())
                    .ok()
            })
            .and_then(|bytes| bytes.try_into().ok());
        // Shortened: it may come from a registry.
        bytes
            .map(Self)
            .ok_or_else(|| DigestError(text.chars().take(100).collect()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn its_text_is_read_as_it_is_written() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>(), Ok(Digest::of(b"")));
        assert_eq!(
            EMPTY.to_uppercase().replace("SHA", "sha").parse::<Digest>(),
            Ok(Digest::of(b""))
        );
    }

    #[test]
    fn what_is_none_is_told() {
        for text in [
            "",
            "sha256:",
            "sha256:00",
            "sha512:00",
            &EMPTY[7..],
            format!("{EMPTY}0").as_str(),
        ] {
            let error = text.parse::<Digest>().unwrap_err().to_string();
            assert!(error.contains("64 hexadecimal digits"), "{error}");
        }
    }
}
