//! Secrets from their backends, over NATS and sealed both ways: [`trellis_lattice::secret`] says how. A value is given to
//! whoever asked here and kept nowhere else.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::{Client, HeaderMap, Message, Request, RequestErrorKind};
use nkeys::XKey;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use trellis_lattice::{
    claims::{AccountKey, ClaimsError, PublicKey, Validity, sign_builtin, sign_host},
    secret::{
        REQUEST_KEY, RESPONSE_KEY, Refusal, SecretReference, SecretRequest, SecretResponse,
        SecretValue, get_subject, key_subject,
    },
};

use crate::identity::Identity;

/// How long a backend may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many secrets are asked for at once.
const AT_ONCE: usize = 16;
/// Of how many backends the keys are remembered.
const MAX_BACKENDS: usize = 64;
/// The largest answer of a backend.
const MAX_ANSWER_BYTES: usize = 512 * 1024;
/// The largest secret. All that a provider gets have to fit into one line of host data.
const MAX_SECRET_BYTES: usize = 256 * 1024;

/// Asks backends for secrets.
pub(crate) struct Secrets {
    client: Client,
    topic: String,
    /// What we sign our own claims with. Made at each start: it says who asks, as in 1.x.
    issuer: AccountKey,
    host_jwt: String,
    /// The backends' public keys.
    keys: Mutex<BTreeMap<String, Arc<str>>>,
    asking: Semaphore,
}

/// For whom a secret is.
#[derive(Clone, Debug)]
pub(crate) struct Entity {
    /// Its claims, or why it has none.
    pub(crate) jwt: Result<String, String>,
    /// The application it belongs to.
    pub(crate) app: Option<String>,
}

/// A secret that can't be had. Never has any of its value in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("{secret}: no answer from the backend at {subject}: {why}")]
    Away {
        secret: Box<SecretReference>,
        subject: String,
        why: String,
    },
    #[error("{secret}: the backend's answer can't be used: {why}")]
    Answer {
        secret: Box<SecretReference>,
        why: String,
    },
    #[error("{secret}: refused by the backend: {refusal}")]
    Refused {
        secret: Box<SecretReference>,
        refusal: Refusal,
    },
    #[error("{secret}: nobody to ask for it: {why}")]
    NoClaims {
        secret: Box<SecretReference>,
        why: String,
    },
}

impl SecretError {
    /// Whether the same may well be granted in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Away { .. } | Self::Answer { .. } => true,
            Self::Refused { refusal, .. } => refusal.is_passing(),
            Self::NoClaims { .. } => false,
        }
    }
}

impl Secrets {
    /// Asks the backends under that topic, as that host.
    ///
    /// # Errors
    /// The host's claims can't be written.
    pub(crate) fn new(
        client: Client,
        topic: String,
        identity: &Identity,
    ) -> Result<Self, ClaimsError> {
        let issuer = AccountKey::generate();
        let validity = Validity::unlimited(OffsetDateTime::now_utc());
        let host = PublicKey::new(identity.id.as_str())?;
        let host_jwt = sign_host(&issuer, &host, &identity.friendly_name, &validity)?;
        Ok(Self {
            client,
            topic,
            issuer,
            host_jwt,
            keys: Mutex::default(),
            asking: Semaphore::new(AT_ONCE),
        })
    }

    /// The claims of a built-in provider.
    pub(crate) fn builtin(&self, name: &str) -> Result<String, String> {
        let validity = Validity::unlimited(OffsetDateTime::now_utc());
        sign_builtin(&self.issuer, name, &validity).map_err(|error| error.to_string())
    }

    /// The value of a secret.
    pub(crate) async fn fetch(
        &self,
        secret: &SecretReference,
        entity: &Entity,
    ) -> Result<SecretValue, SecretError> {
        let jwt = entity.jwt.as_ref().map_err(|why| SecretError::NoClaims {
            secret: Box::new(secret.clone()),
            why: why.clone(),
        })?;
        let request = secret.request(jwt, &self.host_jwt, entity.app.as_deref());
        // Never closed.
        let _turn = self.asking.acquire().await;
        let known = self.known_key(&secret.backend);
        let is_known = known.is_some();
        let key = match known {
            Some(key) => key,
            None => self.ask_key(secret).await?,
        };
        let response = match self.ask(secret, &request, &key).await {
            // It may have been started anew, with another key.
            Err(SecretError::Refused { refusal, .. }) if is_known && refusal.is_passing() => {
                self.forget_key(&secret.backend);
                let key = self.ask_key(secret).await?;
                self.ask(secret, &request, &key).await
            }
            response => response,
        }?;
        value(secret, response)
    }

    async fn ask_key(&self, secret: &SecretReference) -> Result<Arc<str>, SecretError> {
        let subject = key_subject(&self.topic, &secret.backend);
        let request = Request::new().timeout(Some(TIMEOUT));
        let answer = self.send(secret, subject, request).await?;
        let key = std::str::from_utf8(&answer.payload)
            .ok()
            .filter(|text| XKey::from_public_key(text).is_ok())
            .ok_or_else(|| unusable(secret, "it told no X key"))?;
        let key: Arc<str> = key.into();
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MAX_BACKENDS {
            keys.clear();
        }
        keys.insert(secret.backend.clone(), key.clone());
        Ok(key)
    }

    /// Sends a request that only the backend can read, and reads the answer that only we can.
    async fn ask(
        &self,
        secret: &SecretReference,
        request: &SecretRequest,
        backend: &str,
    ) -> Result<SecretResponse, SecretError> {
        // One key a request: nobody can tell that two come from the same host.
        let own = XKey::new();
        let backend =
            XKey::from_public_key(backend).map_err(|_| unusable(secret, "it told no X key"))?;
        let plain = serde_json::to_vec(request)
            .map_err(|_| unusable(secret, "the request has no JSON form"))?;
        let sealed = own
            .seal(&plain, &backend)
            .map_err(|_| unusable(secret, "the request can't be sealed for it"))?;
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_KEY, own.public_key());
        let subject = get_subject(&self.topic, &secret.backend);
        let request = Request::new()
            .headers(headers)
            .payload(sealed.into())
            .timeout(Some(TIMEOUT));
        let answer = self.send(secret, subject, request).await?;
        let sender = answer
            .headers
            .as_ref()
            .and_then(|headers| headers.get(RESPONSE_KEY));
        let Some(sender) = sender else {
            // Only refusals are sent in the open.
            return match read(secret, &answer.payload)? {
                SecretResponse {
                    error: Some(refusal),
                    ..
                } => Err(refused(secret, refusal)),
                _ => Err(unusable(secret, "it is not sealed")),
            };
        };
        let opened = XKey::from_public_key(sender.as_str())
            .and_then(|sender| own.open(&answer.payload, &sender))
            .map_err(|_| unusable(secret, "it is not sealed for this host"))?;
        read(secret, &opened)
    }

    async fn send(
        &self,
        secret: &SecretReference,
        subject: String,
        request: Request,
    ) -> Result<Message, SecretError> {
        let answer = self.client.send_request(subject.clone(), request).await;
        let answer = answer.map_err(|error| SecretError::Away {
            secret: Box::new(secret.clone()),
            subject,
            why: match error.kind() {
                RequestErrorKind::NoResponders => "nobody listens there".to_owned(),
                RequestErrorKind::TimedOut => format!("none within {} s", TIMEOUT.as_secs()),
                _ => error.to_string(),
            },
        })?;
        match answer.payload.len() {
            ..=MAX_ANSWER_BYTES => Ok(answer),
            _ => Err(unusable(secret, "it is too large")),
        }
    }

    fn known_key(&self, backend: &str) -> Option<Arc<str>> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(backend).cloned()
    }

    fn forget_key(&self, backend: &str) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.remove(backend);
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

fn read(secret: &SecretReference, json: &[u8]) -> Result<SecretResponse, SecretError> {
    // The parser's own words might repeat a part of the secret.
    serde_json::from_slice(json).map_err(|_| unusable(secret, "it is no secret's response"))
}

fn value(secret: &SecretReference, response: SecretResponse) -> Result<SecretValue, SecretError> {
    if let Some(refusal) = response.error {
        return Err(refused(secret, refusal));
    }
    let value = response
        .secret
        .and_then(trellis_lattice::secret::Secret::into_value)
        .ok_or_else(|| unusable(secret, "it has no value"))?;
    match value.size() {
        ..=MAX_SECRET_BYTES => Ok(value),
        size => {
            let why =
                format!("{size} bytes, more than the {MAX_SECRET_BYTES} that a secret may have");
            Err(unusable(secret, why))
        }
    }
}

fn unusable(secret: &SecretReference, why: impl Into<String>) -> SecretError {
    SecretError::Answer {
        secret: Box::new(secret.clone()),
        why: why.into(),
    }
}

fn refused(secret: &SecretReference, refusal: Refusal) -> SecretError {
    SecretError::Refused {
        secret: Box::new(secret.clone()),
        refusal,
    }
}
