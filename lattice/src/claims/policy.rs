//! Whose components and providers a host takes, and the checks that they go through.
//!
//! In this order, so that the first error is the one to act on: is it a component or an archive at all,
//! is it signed, is the signature its issuer's, is the content what was signed, is the issuer trusted, is
//! now within the claims' time; then, for a component, does it want a WASI that hosts run, and does it
//! import no more than it was granted.
//!
//! Everything here is work for the processor, for a large component tens of milliseconds of it: run
//! it off an asynchronous reactor.

use std::{fmt, io::Read};

use time::OffsetDateTime;

use super::{
    archive::{Keep, ProviderArchive},
    binary::Binary,
    component::{ComponentMetadata, ComponentToken},
    error::ClaimsError,
    grants::Grants,
    keys::{Issuer, KeyError},
    provider::ProviderToken,
    token::{Metadata, Token},
    wasi::check_wasi_version,
    world::World,
};

/// Whose signature counts. The default trusts nobody and takes nothing unsigned, so takes nothing at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerPolicy {
    /// The accounts that are trusted.
    pub trusted: Vec<Issuer>,
    /// For development: takes what isn't signed. What *is* signed must still hold, so a tampered component
    /// is refused here too. A host that has this on says so loudly.
    pub allow_unsigned: bool,
}

impl IssuerPolicy {
    /// Trusts some accounts by their public keys, and takes signed things only.
    ///
    /// # Errors
    /// The first that isn't an account's public key.
    pub fn trusting<T: AsRef<str>>(
        accounts: impl IntoIterator<Item = T>,
    ) -> Result<Self, KeyError> {
        let trusted = accounts
            .into_iter()
            .map(|key| Issuer::new(key.as_ref()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            trusted,
            allow_unsigned: false,
        })
    }

    /// Whether an issuer is trusted.
    ///
    /// # Errors
    /// [`ClaimsError::UntrustedIssuer`] with those who are.
    pub fn check_issuer(&self, issuer: &Issuer) -> Result<(), ClaimsError> {
        if self.trusted.contains(issuer) {
            return Ok(());
        }
        Err(ClaimsError::UntrustedIssuer {
            issuer: issuer.clone(),
            trusted: self.trusted.clone(),
        })
    }

    /// The checks that components and providers share.
    fn admit<M: Metadata>(
        &self,
        text: Option<&str>,
        what: &'static str,
        check_content: impl FnOnce(&M) -> Result<(), ClaimsError>,
        now: OffsetDateTime,
    ) -> Result<Option<Token<M>>, ClaimsError> {
        let Some(text) = text else {
            return if self.allow_unsigned {
                Ok(None)
            } else {
                Err(ClaimsError::Unsigned { what })
            };
        };
        let token = Token::<M>::verify(text)?;
        check_content(&token.claims.wascap)?;
        self.check_issuer(&token.claims.iss)?;
        token.claims.check_time(now)?;
        Ok(Some(token))
    }
}

/// A component that passed every check.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedComponent {
    /// Its claims; `None`: not signed, and the policy allows that.
    pub claims: Option<ComponentToken>,
    /// Its hash as claims count it ([`super::binary`]): stays the same when it is signed again.
    pub hash: String,
    /// What it imports and exports.
    pub world: World,
}

impl VerifiedComponent {
    /// What its signer grants; `None` where there is no such list: unsigned, or signed as 1.x signs.
    pub fn grants(&self) -> Option<&Grants> {
        self.claims.as_ref()?.claims.wascap.grants.as_ref()
    }

    /// Whether its signer granted an import by name. For what must never be given unasked, such as
    /// directories (`wasi:filesystem/preopens`): without a list of grants the answer is no.
    pub fn grants_by_name(&self, import: &str) -> bool {
        self.grants().is_some_and(|grants| grants.names(import))
    }

    /// Its signed public key (`M…`).
    pub fn public_key(&self) -> Option<&str> {
        Some(self.claims.as_ref()?.claims.sub.as_str())
    }
}

/// Takes a component through every check.
///
/// # Errors
/// The first check that it fails: [`ClaimsError`] has one variant for each.
pub fn verify_component(
    bytes: &[u8],
    policy: &IssuerPolicy,
    now: OffsetDateTime,
) -> Result<VerifiedComponent, ClaimsError> {
    let binary = Binary::read(bytes)?;
    if !binary.is_component {
        return Err(ClaimsError::NotComponent);
    }
    let hash = binary.hash();
    let claims: Option<ComponentToken> = policy.admit(
        binary.token()?,
        "the component",
        |signed: &ComponentMetadata| signed.check_hash(&hash),
        now,
    )?;
    // The copy for the hash is as large as the component: not to be held while its types are read.
    drop(binary);
    let world = World::read(bytes)?;
    check_wasi_version(world.import_names().chain(world.export_names()))?;
    if let Some(token) = &claims {
        token.claims.wascap.check_grants(&world)?;
    }
    Ok(VerifiedComponent {
        claims,
        hash,
        world,
    })
}

/// A provider's binary for one machine kind, from an archive that passed every check.
#[derive(Clone, PartialEq)]
pub struct VerifiedProvider {
    /// Its claims; `None`: not signed, and the policy allows that.
    pub claims: Option<ProviderToken>,
    /// The machine kind.
    pub target: String,
    /// The binary's SHA-256 in upper-case hexadecimal.
    pub sha256: String,
    /// The binary.
    pub executable: Vec<u8>,
}

impl fmt::Debug for VerifiedProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedProvider")
            .field("claims", &self.claims)
            .field("target", &self.target)
            .field("sha256", &self.sha256)
            .field("size_bytes", &self.executable.len())
            .finish()
    }
}

/// Takes an archive through every check, and one target's binary out of it ([`super::this_target`]).
/// Every binary's hash must be the signed one, not only that target's.
///
/// # Errors
/// The first check that it fails; [`super::ArchiveError::NoSuchTarget`] when it has nothing for the target.
pub fn verify_archive(
    archive: impl Read,
    target: &str,
    policy: &IssuerPolicy,
    now: OffsetDateTime,
) -> Result<VerifiedProvider, ClaimsError> {
    let mut archive = ProviderArchive::read(archive, Keep::Target(target))?;
    let claims: Option<ProviderToken> = policy.admit(
        archive.token.as_deref(),
        "the provider archive",
        |signed| archive.check_hashes(signed),
        now,
    )?;
    let (sha256, executable) = archive.take_binary(target)?;
    Ok(VerifiedProvider {
        claims,
        target: target.into(),
        sha256,
        executable,
    })
}
