//! Claims as the lattice's bucket and its events show them (`wasmcloud-v1.md`, Buckets and Events).

use time::OffsetDateTime;

use super::{component::ComponentToken, moment, provider::ProviderToken};
use crate::{bucket::StoredClaims, event::EventClaims};

/// What 1.x writes for a moment that never comes.
const NEVER: &str = "never";

impl ComponentToken {
    /// The form that the bucket keeps. What the signer left out is there, empty or zero, as 1.x has it.
    pub fn stored(&self) -> StoredClaims {
        let metadata = &self.claims.wascap;
        StoredClaims {
            call_alias: Some(metadata.call_alias.clone().unwrap_or_default()),
            issuer: self.claims.iss.to_string(),
            name: metadata.name.clone().unwrap_or_default(),
            revision: metadata.revision.unwrap_or_default().to_string(),
            subject: self.claims.sub.to_string(),
            tags: Some(metadata.tags.clone().unwrap_or_default()),
            version: metadata.version.clone().unwrap_or_default(),
        }
    }

    /// The form that events carry.
    pub fn shown(&self, now: OffsetDateTime) -> EventClaims {
        let metadata = &self.claims.wascap;
        EventClaims {
            call_alias: Some(metadata.call_alias.clone()),
            expires_human: human(self.claims.exp, now),
            issuer: self.claims.iss.to_string(),
            name: metadata.name.clone().unwrap_or_default(),
            not_before_human: human(self.claims.nbf, now),
            revision: Some(metadata.revision.unwrap_or_default()),
            tags: Some(metadata.tags.clone().unwrap_or_default()),
            version: metadata.version.clone(),
        }
    }
}

impl ProviderToken {
    /// The form that the bucket keeps.
    pub fn stored(&self) -> StoredClaims {
        let metadata = &self.claims.wascap;
        StoredClaims {
            call_alias: None,
            issuer: self.claims.iss.to_string(),
            name: metadata.name.clone().unwrap_or_default(),
            revision: metadata.revision.unwrap_or_default().to_string(),
            subject: self.claims.sub.to_string(),
            tags: None,
            version: metadata.version.clone().unwrap_or_default(),
        }
    }

    /// The form that events carry.
    pub fn shown(&self, now: OffsetDateTime) -> EventClaims {
        let metadata = &self.claims.wascap;
        EventClaims {
            call_alias: None,
            expires_human: human(self.claims.exp, now),
            issuer: self.claims.iss.to_string(),
            name: metadata.name.clone().unwrap_or_default(),
            not_before_human: human(self.claims.nbf, now),
            revision: None,
            tags: None,
            version: metadata.version.clone(),
        }
    }
}

fn human(seconds: Option<u64>, now: OffsetDateTime) -> String {
    seconds.map_or_else(
        || NEVER.into(),
        |seconds| moment::both(moment::from_seconds(seconds), now),
    )
}
