//! The JetStream key-value buckets that hold a lattice's state, their keys and values
//! (`wasmcloud-v1.md`, Buckets).

use serde::{Deserialize, Serialize};

use crate::{
    id::{ComponentId, LatticeName},
    link::Link,
};

/// The bucket of component specifications and claims.
pub fn lattice_data(lattice: &LatticeName) -> String {
    format!("LATTICEDATA_{lattice}")
}

/// The bucket of named configurations; the key is the configuration's name.
pub fn config_data(lattice: &LatticeName) -> String {
    format!("CONFIGDATA_{lattice}")
}

/// The bucket of the application manager's manifests (one for all lattices, as 1.x has it).
pub const MANIFESTS: &str = "wadm_manifests";

/// The bucket of our application manager's own notes on a lattice: who leads, what it put there, how applications are.
pub fn manager_data(lattice: &LatticeName) -> String {
    format!("TRELLISWADM_{lattice}")
}

/// A key of the lattice bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LatticeKey {
    /// A component's or provider's specification.
    Component(ComponentId),
    /// Claims by their subject's public key.
    Claims(String),
}

impl LatticeKey {
    /// Reads a key; `None` for one of another kind, which some other version may have put there.
    pub fn parse(key: &str) -> Option<Self> {
        if let Some(id) = key.strip_prefix("COMPONENT_") {
            return ComponentId::new(id).ok().map(Self::Component);
        }
        key.strip_prefix("CLAIMS_")
            .map(|public_key| Self::Claims(public_key.to_owned()))
    }
}

impl std::fmt::Display for LatticeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Component(id) => write!(f, "COMPONENT_{id}"),
            Self::Claims(public_key) => write!(f, "CLAIMS_{public_key}"),
        }
    }
}

/// What the lattice knows of a component or provider: its image, and the links whose source it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentSpec {
    /// The image's reference; empty when only links exist so far.
    #[serde(default)]
    pub url: String,
    /// The links whose source it is.
    #[serde(default)]
    pub links: Vec<Link>,
}

/// Claims of a component as they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredClaims {
    /// Only components have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_alias: Option<String>,
    /// Who signed (`A…`).
    pub issuer: String,
    /// The signed name.
    pub name: String,
    /// The revision, as text.
    pub revision: String,
    /// Whom it is about (`M…` or `V…`).
    pub subject: String,
    /// Only components have tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The version; empty when the signer gave none.
    pub version: String,
}
