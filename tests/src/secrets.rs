//! A secrets backend: it speaks the protocol of wasmCloud 1.x's over NATS, with keys of its own, and gives a secret only
//! to those that it was told may have it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use async_nats::{Client, HeaderMap, Message, Subscriber};
use futures::StreamExt as _;
use nkeys::XKey;
use tokio::task::JoinSet;
use trellis_lattice::{
    claims::{ComponentToken, HostToken, ProviderToken},
    secret::{
        REQUEST_KEY, RESPONSE_KEY, Refusal, Secret, SecretRequest, SecretResponse, TOPIC,
        get_subject, key_subject,
    },
};

/// A backend that serves until it is dropped.
#[derive(Debug)]
pub struct SecretsBackend {
    name: String,
    client: Client,
    kept: Arc<Mutex<Kept>>,
    serving: JoinSet<()>,
}

/// What a backend keeps.
#[derive(Debug, Default)]
struct Kept {
    /// Each secret's values, the newest last; a version is its place, counted from 1.
    secrets: BTreeMap<String, Vec<String>>,
    /// Which secrets a subject of claims may have.
    granted: BTreeMap<String, BTreeSet<String>>,
    /// Who asked for what.
    asked: Vec<Asked>,
}

/// A request that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The secret's key.
    pub key: String,
    /// For whom: the subject of the claims.
    pub subject: String,
    /// The application that it said.
    pub app: Option<String>,
    /// The policy that the manifest gave.
    pub policy: String,
}

impl SecretsBackend {
    /// Serves under that name.
    ///
    /// # Errors
    /// NATS refuses.
    pub async fn start(client: Client, name: &str) -> Result<Self> {
        let mut backend = Self {
            name: name.to_owned(),
            client,
            kept: Arc::default(),
            serving: JoinSet::new(),
        };
        backend.resume().await?;
        Ok(backend)
    }

    /// Listens no more.
    pub async fn pause(&mut self) {
        self.serving.shutdown().await;
    }

    /// Listens again, with a new key of its own.
    ///
    /// # Errors
    /// NATS refuses.
    pub async fn resume(&mut self) -> Result<()> {
        let key = XKey::new();
        let keys = self
            .client
            .subscribe(key_subject(TOPIC, &self.name))
            .await?;
        let gets = self
            .client
            .subscribe(get_subject(TOPIC, &self.name))
            .await?;
        self.client.flush().await?;
        self.serving
            .spawn(tell_key(self.client.clone(), key.public_key(), keys));
        let kept = self.kept.clone();
        self.serving
            .spawn(serve(self.client.clone(), key, kept, gets));
        Ok(())
    }

    /// Keeps another value of a secret.
    pub fn put(&self, key: &str, value: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let values = kept.secrets.entry(key.to_owned()).or_default();
        values.push(value.to_owned());
    }

    /// Lets whom those claims are about have a secret.
    pub fn grant(&self, subject: &str, key: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let granted = kept.granted.entry(subject.to_owned()).or_default();
        granted.insert(key.to_owned());
    }

    /// Who asked for what so far.
    pub fn asked(&self) -> Vec<Asked> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.asked.clone()
    }
}

async fn tell_key(client: Client, key: String, mut requests: Subscriber) {
    while let Some(request) = requests.next().await {
        if let Some(reply) = request.reply {
            // Whoever asked asks again.
            let _ = client.publish(reply, key.clone().into()).await;
        }
    }
}

async fn serve(client: Client, key: XKey, kept: Arc<Mutex<Kept>>, mut requests: Subscriber) {
    while let Some(request) = requests.next().await {
        let Some(reply) = request.reply.clone() else {
            continue;
        };
        let answered = match answer(&key, &kept, &request) {
            Ok((payload, headers)) => client.publish_with_headers(reply, headers, payload.into()),
            Err(refusal) => {
                let refused = SecretResponse {
                    error: Some(refusal),
                    ..SecretResponse::default()
                };
                let payload = serde_json::to_vec(&refused).unwrap_or_default();
                let _ = client.publish(reply, payload.into()).await;
                continue;
            }
        };
        let _ = answered.await;
    }
}

/// The sealed answer, or a refusal in the open, as 1.x's backends do it.
fn answer(
    key: &XKey,
    kept: &Mutex<Kept>,
    message: &Message,
) -> Result<(Vec<u8>, HeaderMap), Refusal> {
    let sender = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get(REQUEST_KEY))
        .and_then(|sender| XKey::from_public_key(sender.as_str()).ok())
        .ok_or_else(|| Refusal::plain("InvalidXKey"))?;
    let plain = key
        .open(&message.payload, &sender)
        .map_err(|_| Refusal::plain("DecryptionError"))?;
    let request: SecretRequest =
        serde_json::from_slice(&plain).map_err(|_| Refusal::plain("InvalidRequest"))?;
    let secret = find(kept, &request)?;
    let response = SecretResponse {
        secret: Some(secret),
        ..SecretResponse::default()
    };
    let own = XKey::new();
    let plain = serde_json::to_vec(&response).map_err(|_| Refusal::plain("Other"))?;
    let sealed = own
        .seal(&plain, &sender)
        .map_err(|_| Refusal::plain("EncryptionError"))?;
    let mut headers = HeaderMap::new();
    headers.insert(RESPONSE_KEY, own.public_key());
    Ok((sealed, headers))
}

fn find(kept: &Mutex<Kept>, request: &SecretRequest) -> Result<Secret, Refusal> {
    let context = &request.context;
    let subject = subject(&context.entity_jwt)
        .map_err(|error| Refusal::because("InvalidEntityJWT", &error.to_string()))?;
    HostToken::verify(&context.host_jwt)
        .map_err(|error| Refusal::because("InvalidHostJWT", &error.to_string()))?;
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.asked.push(Asked {
        key: request.key.clone(),
        subject: subject.clone(),
        app: context.application.name.clone(),
        policy: context.application.policy.clone(),
    });
    let is_granted = kept
        .granted
        .get(&subject)
        .is_some_and(|keys| keys.contains(&request.key));
    if !is_granted {
        return Err(Refusal::plain(Refusal::UNAUTHORIZED));
    }
    let values = kept.secrets.get(&request.key);
    let version = match &request.version {
        Some(version) => version
            .parse()
            .map_err(|_| Refusal::plain("InvalidRequest"))?,
        None => values.map_or(0, Vec::len),
    };
    let value = values.and_then(|values| values.get(version.checked_sub(1)?));
    let value = value.ok_or_else(|| Refusal::plain(Refusal::NOT_FOUND))?;
    Ok(Secret {
        version: version.to_string(),
        string_secret: Some(value.clone()),
        binary_secret: None,
    })
}

/// Whom claims are about, their signature verified.
fn subject(token: &str) -> Result<String> {
    if let Ok(token) = ProviderToken::verify(token) {
        return Ok(token.claims.sub.to_string());
    }
    let token = ComponentToken::verify(token).context("neither a provider's nor a component's")?;
    ensure!(!token.claims.sub.as_str().is_empty(), "about nobody");
    Ok(token.claims.sub.to_string())
}
