//! What claims say of a provider.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    error::ClaimsError,
    keys::Provider,
    token::{Metadata, Token},
};

/// A provider's claims, signature verified.
pub type ProviderToken = Token<ProviderMetadata>;

/// The `wascap` object of a provider's claims.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProviderMetadata {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who makes it.
    #[serde(default)]
    pub vendor: String,
    /// A number that grows with each release.
    #[serde(default, rename = "rev", skip_serializing_if = "Option::is_none")]
    pub revision: Option<i32>,
    /// A version for people.
    #[serde(default, rename = "ver", skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// SHA-256 of each binary, by its target (`x86_64-linux`).
    #[serde(default)]
    pub target_hashes: BTreeMap<String, String>,
}

impl ProviderMetadata {
    /// Whether a binary's hash is the signed one.
    ///
    /// # Errors
    /// [`ClaimsError::UnlistedBinary`] or [`ClaimsError::HashMismatch`].
    pub fn check_hash(&self, target: &str, found: &str) -> Result<(), ClaimsError> {
        let what = format!("{target}.bin");
        match self.target_hashes.get(target) {
            None => Err(ClaimsError::UnlistedBinary { what }),
            Some(signed) if signed.eq_ignore_ascii_case(found) => Ok(()),
            Some(signed) => Err(ClaimsError::HashMismatch {
                what,
                signed: signed.clone(),
                found: found.into(),
            }),
        }
    }
}

impl Metadata for ProviderMetadata {
    type Subject = Provider;
}
