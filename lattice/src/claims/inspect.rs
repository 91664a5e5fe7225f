//! What a file is, who signed it and whether that holds, for people to look at. Nothing is trusted for it:
//! a file with bad claims is shown with what is bad about them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::{
    archive::{ArchiveError, ArchivedBinary, Keep, ProviderArchive},
    binary::{Binary, sha256},
    component::ComponentMetadata,
    error::ClaimsError,
    moment,
    provider::ProviderMetadata,
    token::{Metadata, Token, peek},
    wasi::check_wasi_version,
    world::{Item, World},
};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A WebAssembly component.
    Component,
    /// A core WebAssembly module, which no host runs.
    CoreModule,
    /// A provider archive.
    ProviderArchive,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A short name that stays the same, for programs ([`ClaimsError::code`]).
    pub code: &'static str,
    /// The same for people.
    pub message: String,
}

impl From<ClaimsError> for Problem {
    fn from(error: ClaimsError) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
        }
    }
}

/// What claims say, whether or not it is true.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ShownClaims {
    /// Who is said to have signed (`A…`).
    pub issuer: Option<String>,
    /// Whom it is about (`M…` or `V…`).
    pub subject: Option<String>,
    /// When it was signed; RFC 3339 where it is serialized, as the other moments.
    #[serde(with = "time::serde::rfc3339::option")]
    pub signed_at: Option<OffsetDateTime>,
    /// From when on it holds; `None`: at once.
    #[serde(with = "time::serde::rfc3339::option")]
    pub not_before: Option<OffsetDateTime>,
    /// Until when it holds; `None`: without end.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires: Option<OffsetDateTime>,
    /// The signed name.
    pub name: Option<String>,
    /// The signed version.
    pub version: Option<String>,
    /// The signed revision.
    pub revision: Option<i64>,
    /// A provider's maker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// The signed tags.
    pub tags: Vec<String>,
    /// What a component may import; `None`: no such list, as in 1.x, so anything.
    pub grants: Option<Vec<String>>,
    /// The token's whole content.
    pub content: Value,
}

/// A file, looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// What it is.
    pub kind: FileKind,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The whole file's SHA-256 in upper-case hexadecimal.
    pub sha256: String,
    /// A component's hash as claims count it ([`super::binary`]); an archive's are with its binaries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Whether it carries claims.
    pub signed: bool,
    /// Whether the claims hold: signed by their issuer, about this very content, and valid now. Whether the
    /// issuer is trusted is each host's own question.
    pub verified: bool,
    /// What the claims say.
    pub claims: Option<ShownClaims>,
    /// Everything that a host would refuse it for, but for the issuer.
    pub problems: Vec<Problem>,
    /// What a component imports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imports: Option<Vec<Item>>,
    /// What a component exports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exports: Option<Vec<Item>>,
    /// An archive's binaries by machine kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binaries: Option<BTreeMap<String, ArchivedBinary>>,
}

/// Looks at a component or an archive.
///
/// # Errors
/// Only when it is neither, or can't be taken apart; bad claims are [`Inspection::problems`].
pub fn inspect(bytes: &[u8], now: OffsetDateTime) -> Result<Inspection, ClaimsError> {
    if bytes.starts_with(b"\0asm") {
        return inspect_wasm(bytes, now);
    }
    match ProviderArchive::read(bytes, Keep::None) {
        Ok(archive) => Ok(inspect_archive(bytes, archive, now)),
        Err(ArchiveError::Unreadable { .. } | ArchiveError::Empty) if !is_gzip(bytes) => {
            Err(ClaimsError::Unrecognized)
        }
        Err(error) => Err(error.into()),
    }
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&super::archive::GZIP_MAGIC)
}

fn inspect_wasm(bytes: &[u8], now: OffsetDateTime) -> Result<Inspection, ClaimsError> {
    let binary = Binary::read(bytes)?;
    let hash = binary.hash();
    let kind = if binary.is_component {
        FileKind::Component
    } else {
        FileKind::CoreModule
    };
    let mut inspection = Inspection::of(kind, bytes);
    let world = match World::read(bytes) {
        Ok(world) => world,
        Err(error) => {
            inspection.problem(error);
            World::default()
        }
    };
    match binary.token() {
        Ok(None) => inspection.problem(ClaimsError::Unsigned {
            what: "the component",
        }),
        Ok(Some(text)) => {
            let check = |claims: &ComponentMetadata| claims.check_hash(&hash);
            let claims = inspection.look_at(text, now, check);
            if let Some(Err(error)) = claims.map(|claims| claims.check_grants(&world)) {
                inspection.problem(error);
            }
        }
        Err(error) => {
            inspection.signed = true;
            inspection.problem(error);
        }
    }
    if let Err(error) = check_wasi_version(world.import_names().chain(world.export_names())) {
        inspection.problem(error);
    }
    inspection.hash = Some(hash);
    if binary.is_component {
        inspection.imports = Some(world.imports);
        inspection.exports = Some(world.exports);
    }
    Ok(inspection)
}

fn inspect_archive(bytes: &[u8], archive: ProviderArchive, now: OffsetDateTime) -> Inspection {
    let mut inspection = Inspection::of(FileKind::ProviderArchive, bytes);
    match &archive.token {
        None => inspection.problem(ClaimsError::Unsigned {
            what: "the provider archive",
        }),
        Some(text) => {
            let check = |claims: &ProviderMetadata| archive.check_hashes(claims);
            inspection.look_at(text, now, check);
        }
    }
    inspection.binaries = Some(archive.binaries);
    inspection
}

impl Inspection {
    fn of(kind: FileKind, bytes: &[u8]) -> Self {
        Self {
            kind,
            size_bytes: bytes.len() as u64,
            sha256: sha256(bytes),
            hash: None,
            signed: false,
            verified: false,
            claims: None,
            problems: Vec::new(),
            imports: None,
            exports: None,
            binaries: None,
        }
    }

    fn problem(&mut self, error: ClaimsError) {
        self.problems.push(error.into());
    }

    /// Shows a token's content, checks it, and gives what it says where its signature is good.
    fn look_at<M: Metadata>(
        &mut self,
        text: &str,
        now: OffsetDateTime,
        check_content: impl FnOnce(&M) -> Result<(), ClaimsError>,
    ) -> Option<M> {
        self.signed = true;
        self.claims = peek(text).ok().map(ShownClaims::of);
        let claims = match Token::<M>::verify(text) {
            Ok(token) => token.claims,
            Err(error) => {
                self.problem(error);
                return None;
            }
        };
        let checks = [check_content(&claims.wascap), claims.check_time(now)];
        self.verified = checks.iter().all(Result::is_ok);
        self.problems.extend(
            checks
                .into_iter()
                .filter_map(Result::err)
                .map(Problem::from),
        );
        Some(claims.wascap)
    }
}

impl ShownClaims {
    fn of(content: Value) -> Self {
        let text = |path: &str| {
            content
                .pointer(path)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let list = |path: &str| {
            let texts = content.pointer(path)?.as_array()?.iter();
            Some(
                texts
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            )
        };
        let when = |path: &str| {
            let seconds = content.pointer(path)?.as_u64()?;
            Some(moment::from_seconds(seconds))
        };
        Self {
            issuer: text("/iss"),
            subject: text("/sub"),
            signed_at: when("/iat"),
            not_before: when("/nbf"),
            expires: when("/exp"),
            name: text("/wascap/name"),
            version: text("/wascap/ver"),
            revision: content.pointer("/wascap/rev").and_then(Value::as_i64),
            vendor: text("/wascap/vendor"),
            tags: list("/wascap/tags").unwrap_or_default(),
            grants: list("/wascap/grants"),
            content,
        }
    }
}
