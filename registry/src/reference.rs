//! References of images, as 1.x's manifests have them: `ghcr.io/acme/cart:1.0`, `oci://` before it or not.

use std::{fmt, str::FromStr};

use crate::{Digest, DigestError};

/// The scheme that may be written.
const SCHEME: &str = "oci://";
/// The tag that stands for none.
const LATEST: &str = "latest";

/// A reference of an image: registry, repository, and a tag, a digest or both. A digest decides.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    parsed: oci_client::Reference,
    digest: Option<Digest>,
}

/// A text that is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Not of the form.
    #[error(
        "image {text:?}: {problem}: write REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST, such as ghcr.io/acme/cart:1.0"
    )]
    Form {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The first word is no host, so Docker would mean its own registry; who writes `cart.wasm` does not.
    #[error(
        "image {text:?} names no registry: write REGISTRY/NAME:TAG, such as ghcr.io/acme/cart:1.0, docker.io/acme/cart:1.0 or localhost:5000/cart:1.0"
    )]
    NoRegistry {
        /// What was given.
        text: String,
    },
    /// A digest of another kind.
    #[error("image {text:?}: {source}")]
    Digest {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: DigestError,
    },
}

impl Reference {
    /// The registry, as it is named in the reference: a host, perhaps with a port.
    pub fn registry(&self) -> &str {
        self.parsed.registry()
    }

    /// The host that is asked; Docker's own registry is reached under another name than it has.
    pub(crate) fn host(&self) -> &str {
        self.parsed.resolve_registry()
    }

    /// The repository in the registry.
    pub fn repository(&self) -> &str {
        self.parsed.repository()
    }

    /// The digest of the manifest it means, where it names one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The tag, where it names one; `latest` where it names neither tag nor digest.
    pub fn tag(&self) -> Option<&str> {
        self.parsed.tag()
    }

    /// Whether what it means is whatever was pushed last.
    pub fn is_latest(&self) -> bool {
        self.digest.is_none() && self.tag() == Some(LATEST)
    }

    /// The same repository's manifest of that digest.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            parsed: self.parsed.clone_with_digest(digest.to_string()),
            digest: Some(digest),
        }
    }

    /// What a manifest's address ends with.
    pub(crate) fn manifest_name(&self) -> String {
        match self.digest {
            Some(digest) => digest.to_string(),
            None => self.tag().unwrap_or(LATEST).to_owned(),
        }
    }

    pub(crate) fn as_oci(&self) -> &oci_client::Reference {
        &self.parsed
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(300).collect::<String>();
        let bare = text.strip_prefix(SCHEME).unwrap_or(text);
        let form = |problem: String| ReferenceError::Form {
            text: shown(),
            problem,
        };
        let parsed: oci_client::Reference =
            bare.parse().map_err(|error| form(format!("{error}")))?;
        let is_host = |word: &str| word.contains(['.', ':']) || word == "localhost";
        match bare.split_once('/') {
            Some((first, _)) if is_host(first) => {}
            _ => return Err(ReferenceError::NoRegistry { text: shown() }),
        }
        let digest = parsed
            .digest()
            .map(str::parse::<Digest>)
            .transpose()
            .map_err(|source| ReferenceError::Digest {
                text: shown(),
                source,
            })?;
        Ok(Self { parsed, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.parsed, f)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.parsed, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn its_parts_are_read() {
        let reference: Reference = "oci://ghcr.io/acme/shop/cart:1.0".parse().unwrap();
        assert_eq!(
            (
                reference.registry(),
                reference.repository(),
                reference.tag()
            ),
            ("ghcr.io", "acme/shop/cart", Some("1.0"))
        );
        assert_eq!(reference.to_string(), "ghcr.io/acme/shop/cart:1.0");
        let both: Reference = format!("localhost:5000/cart:1.0@{DIGEST}").parse().unwrap();
        assert_eq!(
            (both.registry(), both.tag()),
            ("localhost:5000", Some("1.0"))
        );
        assert_eq!(both.digest(), Some(Digest::of(b"")));
        assert_eq!(both.manifest_name(), DIGEST);
        let docker: Reference = "docker.io/acme/cart:1".parse().unwrap();
        assert_eq!(
            (docker.registry(), docker.host()),
            ("docker.io", "index.docker.io")
        );
    }

    #[test]
    fn no_tag_and_no_digest_is_latest() {
        for (text, latest) in [
            ("ghcr.io/a/b".to_owned(), true),
            ("ghcr.io/a/b:latest".to_owned(), true),
            ("ghcr.io/a/b:1".to_owned(), false),
            (format!("ghcr.io/a/b@{DIGEST}"), false),
            (format!("ghcr.io/a/b:latest@{DIGEST}"), false),
        ] {
            assert_eq!(
                text.parse::<Reference>().unwrap().is_latest(),
                latest,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_one_is_told() {
        for (text, said) in [
            ("", "write REGISTRY/NAME:TAG"),
            ("cart.wasm", "names no registry"),
            ("acme/cart:1", "names no registry"),
            ("ghcr.io/acme/Cart:1", "write REGISTRY/NAME:TAG"),
            ("ghcr.io/acme/cart:1.0 ", "write REGISTRY/NAME:TAG"),
            (
                format!("ghcr.io/a/b@sha512:{}", "0".repeat(128)).as_str(),
                "no other kind",
            ),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }
}
