//! A link as a provider gets it: who is at the other end, and its own side's configuration.

use std::{collections::BTreeMap, fmt};

use serde::de::DeserializeOwned;
use trellis_lattice::{ComponentId, LinkKey, LinkName, ResolvedLink, Within};

use crate::{
    config::{ConfigError, from_config},
    error::LinkError,
    secrets::{self, SecretKeys, Secrets},
};

/// Which end of a link the provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The provider calls the component: an HTTP server.
    Source,
    /// The component calls the provider: a key-value store.
    Target,
}

impl Role {
    /// The link's field that configures this end.
    fn side(self) -> &'static str {
        match self {
            Self::Source => "source_config",
            Self::Target => "target_config",
        }
    }
}

/// A link, with the configuration of the provider's side as the provider's own type.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkConfig<C> {
    /// Who calls.
    pub source_id: ComponentId,
    /// Who is called.
    pub target_id: ComponentId,
    /// The link's name, `default` when none was given.
    pub name: LinkName,
    /// The interfaces' WIT namespace, for example `wasi`.
    pub wit_namespace: String,
    /// The interfaces' WIT package, for example `keyvalue`.
    pub wit_package: String,
    /// The interfaces' names, for example `store`.
    pub interfaces: Vec<String>,
    /// Which end the provider is.
    pub role: Role,
    /// This side's configuration; a secret of a field's name takes the field's place.
    pub config: C,
    /// This side's secrets.
    pub secrets: Secrets,
    /// The residency bound that its calls never leave; this process is within it. [`crate::Lattice::linked`] keeps to it.
    pub within: Option<Within>,
}

impl<C> LinkConfig<C> {
    /// What identifies the link, also when it is deleted.
    pub fn key(&self) -> LinkKey {
        LinkKey {
            source_id: self.source_id.clone(),
            name: self.name.clone(),
            wit_namespace: self.wit_namespace.clone(),
            wit_package: self.wit_package.clone(),
        }
    }

    /// An error about a field of this link's configuration that only the provider could find.
    pub fn config_error(&self, field: &str, problem: impl Into<String>) -> LinkError {
        ConfigError::field(format!("{self}, {}", self.role.side()), field, problem).into()
    }
}

impl<C> fmt::Display for LinkConfig<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {} {}", self.key(), self.target_id)
    }
}

impl<C> fmt::Debug for LinkConfig<C> {
    /// Configuration may hold passwords: it is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads one side of a link.
pub(crate) fn read<C: DeserializeOwned>(
    link: &ResolvedLink,
    role: Role,
    keys: Option<&SecretKeys>,
) -> Result<LinkConfig<C>, LinkError> {
    let (config, sealed) = match role {
        Role::Source => (&link.source_config, &link.source_secrets),
        Role::Target => (&link.target_config, &link.target_secrets),
    };
    let secrets = secrets::open(keys, sealed.as_ref()).map_err(|error| {
        LinkError::Refused(format!("link {} {}: {error}", link.key(), link.target))
    })?;
    let what = format!("link {} {}, {}", link.key(), link.target, role.side());
    let merged: BTreeMap<String, String> = secrets::merge(config, &secrets);
    Ok(LinkConfig {
        source_id: link.source_id.clone(),
        target_id: link.target.clone(),
        name: link.name.clone(),
        wit_namespace: link.wit_namespace.clone(),
        wit_package: link.wit_package.clone(),
        interfaces: link.interfaces.clone(),
        role,
        config: from_config(&what, &merged)?,
        secrets,
        within: link.within.clone(),
    })
}
