//! Claims that a host makes up for itself: about itself, and about the providers that are built into it and so have no
//! archive to carry any. A secrets backend is shown them. As in 1.x the issuer is a key that the host made when it
//! started, so they say who asks and prove nothing more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    error::ClaimsError,
    keys::{AccountKey, Host, Provider, PublicKey},
    moment,
    provider::ProviderMetadata,
    sign::Validity,
    token::{Claims, Metadata, REVISION, Token},
};

/// A host's claims, signature verified.
pub type HostToken = Token<HostMetadata>;

/// The `wascap` object of a host's claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostMetadata {
    /// A name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// What else it says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

impl Metadata for HostMetadata {
    type Subject = Host;
}

/// A host's claims about itself, as text.
///
/// # Errors
/// The claims are too long.
pub fn sign_host(
    issuer: &AccountKey,
    subject: &PublicKey<Host>,
    name: &str,
    validity: &Validity,
) -> Result<String, ClaimsError> {
    let metadata = HostMetadata {
        name: Some(name.to_owned()),
        labels: Some([("self_signed".to_owned(), "true".to_owned())].into()),
    };
    claims(issuer, subject, metadata, validity).sign(issuer)
}

/// A host's claims about a provider that is built into it, as text. Their subject is [`PublicKey::of_builtin`].
///
/// # Errors
/// The claims are too long.
pub fn sign_builtin(
    issuer: &AccountKey,
    name: &str,
    validity: &Validity,
) -> Result<String, ClaimsError> {
    let metadata = ProviderMetadata {
        name: Some(name.to_owned()),
        vendor: "Trellis".to_owned(),
        ..ProviderMetadata::default()
    };
    claims(
        issuer,
        &PublicKey::<Provider>::of_builtin(name),
        metadata,
        validity,
    )
    .sign(issuer)
}

fn claims<M: Metadata>(
    issuer: &AccountKey,
    subject: &PublicKey<M::Subject>,
    wascap: M,
    validity: &Validity,
) -> Claims<M> {
    Claims {
        jti: String::new(),
        iat: moment::to_seconds(validity.signed_at),
        iss: issuer.public(),
        sub: subject.clone(),
        exp: validity.expires.map(moment::to_seconds),
        nbf: validity.not_before.map(moment::to_seconds),
        wascap,
        wascap_revision: Some(REVISION),
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::claims::{HostKey, ProviderToken};

    #[test]
    fn what_a_host_says_verifies() {
        let (issuer, host) = (AccountKey::generate(), HostKey::generate());
        let validity = Validity::unlimited(OffsetDateTime::UNIX_EPOCH);
        let text = sign_host(&issuer, &host.public(), "willow", &validity).unwrap();
        let token = HostToken::verify(&text).unwrap();
        assert_eq!(token.claims.sub, host.public());
        assert_eq!(token.claims.iss, issuer.public());
        assert_eq!(token.claims.wascap.name.as_deref(), Some("willow"));

        let text = sign_builtin(&issuer, "keyvalue-redis", &validity).unwrap();
        let token = ProviderToken::verify(&text).unwrap();
        // Written down in backends: it must never become another one.
        assert_eq!(
            token.claims.sub,
            PublicKey::<Provider>::of_builtin("keyvalue-redis")
        );
        assert_ne!(
            token.claims.sub,
            PublicKey::<Provider>::of_builtin("keyvalue-nats")
        );
    }
}
