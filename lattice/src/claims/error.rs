//! Why a component, an archive or a token is refused: each reason its own error.

use super::{
    archive::ArchiveError,
    grants::GrantError,
    keys::{Issuer, KeyError},
    wasi::SUPPORTED,
};

/// A component, archive or token that is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimsError {
    /// Not a WebAssembly file.
    #[error("not a WebAssembly file: it doesn't begin with \\0asm")]
    NotWasm,
    /// Neither a WebAssembly file nor an archive.
    #[error("neither a WebAssembly component nor a provider archive")]
    Unrecognized,
    /// A core module where a component is needed.
    #[error(
        "a core WebAssembly module, not a component: build for wasm32-wasip2, or wrap it with `wasm-tools component new`"
    )]
    NotComponent,
    /// Too large to look at.
    #[error("{bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// WebAssembly that can't be read.
    #[error("broken WebAssembly: {problem}")]
    BrokenWasm {
        /// What the parser said.
        problem: String,
    },
    /// Made for a WASI that hosts don't run.
    #[error(
        "it needs {name}, which is not supported: hosts run {SUPPORTED}; build it against that"
    )]
    UnsupportedWasi {
        /// The import or export.
        name: String,
    },
    /// A token that can't be read.
    #[error("the claims are malformed: {problem}")]
    MalformedToken {
        /// What is wrong.
        problem: String,
    },
    /// Signed in another way than claims are.
    #[error("the claims are signed with {found:?}; only Ed25519 is accepted")]
    WrongAlgorithm {
        /// The header's algorithm.
        found: String,
    },
    /// The signature isn't the issuer's.
    #[error(
        "the claims' signature is not that of their issuer {issuer}: they were altered, or signed by someone else"
    )]
    BadSignature {
        /// Who is said to have signed.
        issuer: Issuer,
    },
    /// The issuer is no account.
    #[error("the claims' issuer is not an account key (A…): {source}")]
    IssuerNotAccount {
        /// Why.
        source: KeyError,
    },
    /// The claims are about another kind of thing.
    #[error("the claims are about another kind of thing: {source}")]
    WrongSubject {
        /// Why.
        source: KeyError,
    },
    /// No longer valid.
    #[error("the claims expired on {since}: sign it again")]
    Expired {
        /// When, and how long ago.
        since: String,
    },
    /// Not valid yet.
    #[error("the claims are not valid until {until}")]
    NotYetValid {
        /// When, and how far off.
        until: String,
    },
    /// The content isn't what was signed.
    #[error(
        "{what} is not what was signed (its SHA-256 is {found}, the claims say {signed}): it was altered after signing"
    )]
    HashMismatch {
        /// The component, or a binary of an archive.
        what: String,
        /// The claims' hash.
        signed: String,
        /// The content's hash.
        found: String,
    },
    /// An archive holds a binary that nobody signed.
    #[error("{what} is not in the claims' target_hashes: it was added after signing")]
    UnlistedBinary {
        /// The binary.
        what: String,
    },
    /// Signed by someone who isn't trusted.
    #[error(
        "signed by {issuer}, which this host does not trust ({}): sign it again with a key it trusts (`trellis sign --in-place FILE`), or start the host with --trusted-issuer {issuer}",
        list(trusted)
    )]
    UntrustedIssuer {
        /// Who signed.
        issuer: Issuer,
        /// Who is trusted.
        trusted: Vec<Issuer>,
    },
    /// Not signed.
    #[error(
        "{what} is not signed, and this host takes signed ones only: sign it with `trellis sign`"
    )]
    Unsigned {
        /// What it is.
        what: &'static str,
    },
    /// The component imports more than its signer grants.
    #[error(
        "it imports {import}, which its signer does not grant (granted: {granted}): grant it when signing, with --grant, or remove the import"
    )]
    GrantsExceeded {
        /// The import.
        import: String,
        /// What is granted.
        granted: String,
    },
    /// A grant can't be read.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A period that never begins or is over before it begins.
    #[error("the claims would never be valid: {problem}")]
    BadValidity {
        /// What is wrong.
        problem: &'static str,
    },
    /// The archive is broken.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

fn list(trusted: &[Issuer]) -> String {
    match trusted {
        [] => "it trusts nobody yet".into(),
        some => {
            let names: Vec<_> = some.iter().map(Issuer::as_str).collect();
            format!("it trusts {}", names.join(", "))
        }
    }
}

impl ClaimsError {
    /// A short name that stays the same, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotWasm => "not-wasm",
            Self::Unrecognized => "unrecognized",
            Self::NotComponent => "not-component",
            Self::TooLarge { .. } => "too-large",
            Self::BrokenWasm { .. } => "broken-wasm",
            Self::UnsupportedWasi { .. } => "unsupported-wasi",
            Self::MalformedToken { .. } => "malformed-claims",
            Self::WrongAlgorithm { .. } => "wrong-algorithm",
            Self::BadSignature { .. } => "bad-signature",
            Self::IssuerNotAccount { .. } => "issuer-not-account",
            Self::WrongSubject { .. } => "wrong-subject",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::HashMismatch { .. } | Self::UnlistedBinary { .. } => "tampered",
            Self::UntrustedIssuer { .. } => "untrusted-issuer",
            Self::Unsigned { .. } => "unsigned",
            Self::GrantsExceeded { .. } => "grants-exceeded",
            Self::Grant(_) => "bad-grant",
            Self::BadValidity { .. } => "bad-validity",
            Self::Archive(_) => "bad-archive",
            Self::Key(_) => "bad-key",
        }
    }
}
