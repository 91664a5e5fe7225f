//! Signing, in 1.x's format.
//!
//! Only the issuer's key signs; of the component's or provider's own key the public half is enough.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::{
    archive,
    binary::{Binary, sha256},
    component::{ComponentMetadata, ComponentToken},
    error::ClaimsError,
    grants::{GrantError, Grants, always_allowed},
    keys::{AccountKey, Component, Provider, PublicKey},
    moment,
    provider::ProviderMetadata,
    token::{Claims, Metadata, REVISION},
    world::World,
};

/// When something is signed, and for how long that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The moment of signing.
    pub signed_at: OffsetDateTime,
    /// From when on it holds; `None`: at once.
    pub not_before: Option<OffsetDateTime>,
    /// Until when it holds; `None`: without end.
    pub expires: Option<OffsetDateTime>,
}

impl Validity {
    /// At once and without end.
    pub fn unlimited(signed_at: OffsetDateTime) -> Self {
        Self {
            signed_at,
            not_before: None,
            expires: None,
        }
    }

    /// At once and for some time.
    pub fn lasting(signed_at: OffsetDateTime, duration: std::time::Duration) -> Self {
        let expires = time::Duration::try_from(duration)
            .ok()
            .and_then(|d| signed_at.checked_add(d));
        // So long that the calendar ends first is without end.
        Self {
            expires,
            ..Self::unlimited(signed_at)
        }
    }

    fn check(&self) -> Result<(), ClaimsError> {
        let begins = self
            .not_before
            .map_or(self.signed_at, |from| from.max(self.signed_at));
        match self.expires {
            Some(expires) if moment::to_seconds(expires) <= moment::to_seconds(begins) => {
                Err(ClaimsError::BadValidity {
                    problem: "they expire before they begin",
                })
            }
            _ => Ok(()),
        }
    }
}

/// What is said of a component beside its hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentDetails {
    /// A name for people.
    pub name: Option<String>,
    /// A version for people.
    pub version: Option<String>,
    /// A number that grows with each release.
    pub revision: Option<i32>,
    /// Free words.
    pub tags: Vec<String>,
    /// 1.x's second name for calls.
    pub call_alias: Option<String>,
    /// What it may import; `None`: [exactly what it imports](grants_for).
    pub grants: Option<Grants>,
}

/// What is said of a provider beside its hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderDetails {
    /// A name for people.
    pub name: Option<String>,
    /// Who makes it.
    pub vendor: String,
    /// A version for people.
    pub version: Option<String>,
    /// A number that grows with each release.
    pub revision: Option<i32>,
}

/// Signs a component: the binary with its claims in a section at the end, in place of those that were
/// there. A component that carries the same claims already, the moment of signing aside, comes back as it
/// is: signing after each build doesn't make a new binary.
///
/// Grants that don't cover the component's imports are signed as they are; a host will refuse it.
///
/// # Errors
/// When it isn't a component, the time is over before it begins, or the claims are too long.
pub fn sign_component(
    bytes: &[u8],
    issuer: &AccountKey,
    subject: &PublicKey<Component>,
    details: &ComponentDetails,
    validity: &Validity,
) -> Result<Vec<u8>, ClaimsError> {
    let binary = Binary::read(bytes)?;
    if !binary.is_component {
        return Err(ClaimsError::NotComponent);
    }
    let world = World::read(bytes)?;
    let grants = match &details.grants {
        Some(grants) => grants.clone(),
        None => grants_for(&world)?,
    };
    let metadata = ComponentMetadata {
        name: details.name.clone(),
        hash: binary.hash(),
        tags: Some(details.tags.clone()),
        revision: details.revision,
        version: details.version.clone(),
        call_alias: details.call_alias.clone(),
        provider: false,
        grants: Some(grants),
    };
    let claims = claims(issuer, subject, metadata, validity)?;
    if carries(&binary, &claims) {
        return Ok(bytes.to_vec());
    }
    let token = claims.sign(issuer)?;
    Ok(binary.with_token(&token))
}

/// The grants that cover exactly what a component imports; what every component may import
/// ([`super::grants::ALWAYS_ALLOWED`]) is left out, since naming it may give more than the import alone.
///
/// # Errors
/// When an import's name can't be written as a grant.
pub fn grants_for(world: &World) -> Result<Grants, GrantError> {
    Grants::parse(
        world
            .callable_imports()
            .filter(|import| !always_allowed(import)),
    )
}

/// Whether a binary carries these claims already, signed at whatever time.
fn carries(binary: &Binary<'_>, claims: &Claims<ComponentMetadata>) -> bool {
    let Ok(Some(Ok(old))) = binary.token().map(|text| text.map(ComponentToken::verify)) else {
        return false;
    };
    let new = Claims {
        jti: old.claims.jti.clone(),
        iat: old.claims.iat,
        ..claims.clone()
    };
    new == old.claims
}

/// Makes a signed archive from a provider's binaries, each with its machine kind (`x86_64-linux`); gzipped
/// or, as 1.x writes it, a plain tar.
///
/// # Errors
/// When there is no binary, a machine kind is malformed or there twice, a binary is too large, the time is over
/// before it begins, or the claims are too long.
pub fn sign_archive(
    binaries: &BTreeMap<String, Vec<u8>>,
    issuer: &AccountKey,
    subject: &PublicKey<Provider>,
    details: &ProviderDetails,
    validity: &Validity,
    gzip: bool,
) -> Result<Vec<u8>, ClaimsError> {
    let metadata = ProviderMetadata {
        name: details.name.clone(),
        vendor: details.vendor.clone(),
        revision: details.revision,
        version: details.version.clone(),
        target_hashes: binaries
            .iter()
            .map(|(target, content)| (target.clone(), sha256(content)))
            .collect(),
    };
    let token = claims(issuer, subject, metadata, validity)?.sign(issuer)?;
    let contents = binaries
        .iter()
        .map(|(target, content)| (target.as_str(), content.as_slice()));
    Ok(archive::write(&token, contents, gzip)?)
}

fn claims<M: Metadata>(
    issuer: &AccountKey,
    subject: &PublicKey<M::Subject>,
    wascap: M,
    validity: &Validity,
) -> Result<Claims<M>, ClaimsError> {
    validity.check()?;
    Ok(Claims {
        jti: String::new(),
        iat: moment::to_seconds(validity.signed_at),
        iss: issuer.public(),
        sub: subject.clone(),
        exp: validity.expires.map(moment::to_seconds),
        nbf: validity.not_before.map(moment::to_seconds),
        wascap,
        wascap_revision: Some(REVISION),
    })
}
