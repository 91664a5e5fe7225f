//! What claims say of a component.

use serde::{Deserialize, Serialize};

use super::{
    error::ClaimsError,
    grants::Grants,
    keys::Component,
    token::{Metadata, Token},
    world::World,
};

/// A component's claims, signature verified.
pub type ComponentToken = Token<ComponentMetadata>;

/// The `wascap` object of a component's claims.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ComponentMetadata {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The component's hash: see [`super::binary`].
    pub hash: String,
    /// Free words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// A number that grows with each release.
    #[serde(default, rename = "rev", skip_serializing_if = "Option::is_none")]
    pub revision: Option<i32>,
    /// A version for people.
    #[serde(default, rename = "ver", skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// 1.x's second name for calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_alias: Option<String>,
    /// Always false: 1.x's mark of a provider.
    #[serde(default, rename = "prov")]
    pub provider: bool,
    /// Ours: what it may import. Absent, as in 1.x: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Grants>,
}

impl ComponentMetadata {
    /// Whether a component imports no more than its signer grants.
    ///
    /// # Errors
    /// [`ClaimsError::GrantsExceeded`] names the first import beyond.
    pub fn check_grants(&self, world: &World) -> Result<(), ClaimsError> {
        let Some(grants) = &self.grants else {
            return Ok(());
        };
        grants
            .check_imports(world.callable_imports())
            .map_err(|import| ClaimsError::GrantsExceeded {
                import,
                granted: grants.to_string(),
            })
    }

    /// Whether a component's hash is the signed one.
    ///
    /// # Errors
    /// [`ClaimsError::HashMismatch`].
    pub fn check_hash(&self, found: &str) -> Result<(), ClaimsError> {
        if self.hash.eq_ignore_ascii_case(found) {
            return Ok(());
        }
        let what = "the component".into();
        Err(ClaimsError::HashMismatch {
            what,
            signed: self.hash.clone(),
            found: found.into(),
        })
    }
}

impl Metadata for ComponentMetadata {
    type Subject = Component;
}
