//! What goes wrong with registries, by reference, with the remedy.

use std::{io, path::PathBuf};

use crate::{CacheError, CredentialsError, Digest, Kind, Reference, ReferenceError};

/// Pushing, pulling or keeping an image failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// It is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// `latest` means something else every time.
    #[error(
        "image {reference}: the tag latest is not taken by this host, as it means something else from one start to the next: name a version or a digest, or let the host take it (--registry-allow-latest)"
    )]
    Latest {
        /// The reference.
        reference: String,
    },
    /// A digest can't be pushed to.
    #[error(
        "image {reference}: a digest is what pushing results in: push to a tag, such as {repository}:1.0"
    )]
    PushToDigest {
        /// The reference.
        reference: String,
        /// Its registry and repository.
        repository: String,
    },
    /// Credentials are there and can't be used.
    #[error("image {reference}: {source}")]
    Credentials {
        /// The reference.
        reference: String,
        /// Why not.
        source: CredentialsError,
    },
    /// The HTTP client can't be made.
    #[error(
        "the registry client can't start: {0}: install the machine's certificates (the package ca-certificates), or name a file of them in the variable SSL_CERT_FILE"
    )]
    Start(String),
    /// A file of certificates can't be used.
    #[error("certificates in {}: {problem}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Not let in.
    #[error("image {reference}: the registry {registry} does not let {who} do that{}: log in with `docker login {registry}`, or set TRELLIS_REGISTRY_USER and TRELLIS_REGISTRY_PASSWORD", said(.message))]
    Unauthorised {
        /// The reference.
        reference: String,
        /// The registry.
        registry: String,
        /// As whom it was asked.
        who: String,
        /// What it said.
        message: String,
    },
    /// No such image.
    #[error(
        "image {reference}: the registry has no such image: check the repository's name and the tag (some registries say so, too, where a login is missing)"
    )]
    NotFound {
        /// The reference.
        reference: String,
    },
    /// The registry speaks plain HTTP.
    #[error(
        "image {reference}: the registry {registry} does not speak TLS: where plain HTTP is meant, allow it with --insecure-registry {registry}"
    )]
    NotTls {
        /// The reference.
        reference: String,
        /// The registry.
        registry: String,
    },
    /// It is asked over plain HTTP and speaks TLS.
    #[error(
        "image {reference}: the registry {registry} speaks TLS: take it off the registries that are asked over plain HTTP"
    )]
    IsTls {
        /// The reference.
        reference: String,
        /// The registry.
        registry: String,
    },
    /// Its certificate is not trusted.
    #[error(
        "image {reference}: the certificate of {registry} is not trusted ({problem}): name the file of its authority with --registry-ca FILE"
    )]
    Certificate {
        /// The reference.
        reference: String,
        /// The registry.
        registry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The connection can't be made, or dropped.
    #[error("image {reference}: the connection to the registry failed: {cause}")]
    Lost {
        /// The reference.
        reference: String,
        /// Why.
        cause: String,
    },
    /// The registry refused.
    #[error("image {reference}: the registry answered {status}{}", said(.message))]
    Refused {
        /// The reference.
        reference: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// Its answer makes no sense.
    #[error("image {reference}: the registry's answer can't be used: {problem}")]
    Answer {
        /// The reference.
        reference: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Not an actor or a provider.
    #[error(
        "image {reference} is {found}: only WebAssembly components (application/wasm) and provider archives can be pulled; push one with `trellis push`"
    )]
    WrongType {
        /// The reference.
        reference: String,
        /// What it is.
        found: String,
    },
    /// The one where the other is needed.
    #[error("image {reference} is {found}, and {wanted} is needed")]
    WrongKind {
        /// The reference.
        reference: String,
        /// What it is.
        found: Kind,
        /// What it is to be.
        wanted: Kind,
    },
    /// Not what was signed for by its digest.
    #[error(
        "image {reference}: its {what} is not what was asked for: digest {found}, not {expected}. It was changed in the registry or on the way; nothing of it is kept"
    )]
    Mismatch {
        /// The reference.
        reference: String,
        /// Manifest or content.
        what: &'static str,
        /// The digest that was asked for.
        expected: Digest,
        /// That of what came.
        found: String,
    },
    /// Too large.
    #[error("image {reference}: its {what} has {size} bytes, more than the {limit} that are taken")]
    TooLarge {
        /// The reference.
        reference: String,
        /// Manifest or content.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// A file can't be read or written.
    #[error("image {reference}: file {}: {source}", path.display())]
    File {
        /// The reference.
        reference: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The cache can't take it.
    #[error("image {reference}: {source}")]
    Cache {
        /// The reference.
        reference: String,
        /// Why.
        source: CacheError,
    },
}

impl RegistryError {
    /// Whether it may be gone the next time: a lost connection, a registry that has too much to do.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }

    /// Whether there is no such image.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether what was asked for makes no sense, whatever the registry has.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Reference(_) | Self::PushToDigest { .. })
    }

    pub(crate) fn lost(reference: &Reference, cause: impl ToString) -> Self {
        Self::Lost {
            reference: reference.to_string(),
            cause: cause.to_string(),
        }
    }

    pub(crate) fn answer(reference: &Reference, problem: impl ToString) -> Self {
        Self::Answer {
            reference: reference.to_string(),
            problem: problem.to_string(),
        }
    }
}

/// What a registry said, where it said something.
fn said(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(" ({message})")
    }
}
