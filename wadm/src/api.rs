//! The API: 1.x's subjects, requests and replies (`wasmcloud-v1.md`, Application manager).
//!
//! Any application manager answers any request: all of it is in the store. Only the leader acts on it.

mod delete;
mod deploy;
mod history;
mod put;
mod read;
mod rollout;

use std::{sync::Arc, time::Duration};

use async_nats::{Client, Message, Subscriber, client::PublishErrorKind};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use trellis_lattice::{
    DecodeError, LatticeName,
    app::{AppResult, ErrorReply},
    from_json, header,
    subject::Subjects,
};

use crate::{
    manifest,
    store::{Store, StoreError},
};

/// 1.x's queue group: in a lattice with both, either answers.
const QUEUE_GROUP: &str = "wadm_server";

/// What only the manager that leads can answer, from what it knows: it subscribes to that itself, and here it is passed
/// over. Nobody leads for a moment now and then; who asks then gets no answer, and asks again.
pub(crate) const EXPLAIN: &str = "explain";

/// How many requests are answered at once; more wait.
const MAX_IN_FLIGHT: usize = 32;

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// The longest message of a refusal, in bytes. It may quote what was sent, and JSON may write each byte as six.
const MAX_MESSAGE: usize = 32 * 1024;

/// The most of it that is logged, in bytes.
const MAX_LOGGED: usize = 2 * 1024;

/// What can be asked.
const VERBS: &str =
    "put, list, get, deploy, undeploy, delete (del), status, versions, history, rollout, explain";

/// A request that is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// The request itself is wrong.
    #[error("{0}")]
    Request(String),
    /// Its body is not what it should be.
    #[error(transparent)]
    Body(#[from] DecodeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Answers requests about one lattice's applications.
#[derive(Clone, Debug)]
pub struct Api {
    store: Store,
    subjects: Arc<Subjects>,
}

impl Api {
    /// An API on a store.
    pub fn new(store: Store, lattice: LatticeName) -> Self {
        Self {
            store,
            subjects: Arc::new(Subjects::new(lattice)),
        }
    }

    /// Begins to take requests; they wait until [`Self::serve`] runs.
    ///
    /// # Errors
    /// NATS refuses the subscription.
    pub async fn subscribe(
        &self,
        client: &Client,
    ) -> Result<Subscriber, async_nats::SubscribeError> {
        client
            .queue_subscribe(self.subjects.apps(), QUEUE_GROUP.into())
            .await
    }

    /// Answers requests until told to stop; those that were taken are answered first.
    pub async fn serve(
        &self,
        client: &Client,
        mut requests: Subscriber,
        shutdown: CancellationToken,
    ) {
        let permits = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
        let mut running = JoinSet::new();
        loop {
            let message = tokio::select! {
                () = shutdown.cancelled() => break,
                message = requests.next() => message,
            };
            let Some(message) = message else { break };
            if self.is_for_the_leader(&message.subject) {
                continue;
            }
            while let Some(ended) = running.try_join_next() {
                log_panic(ended);
            }
            let Ok(permit) = permits.clone().acquire_owned().await else {
                break;
            };
            let (api, client) = (self.clone(), client.clone());
            running.spawn(async move {
                api.answer_message(&client, &message).await;
                drop(permit);
            });
        }
        while let Some(ended) = running.join_next().await {
            log_panic(ended);
        }
    }

    fn is_for_the_leader(&self, subject: &str) -> bool {
        let base = self.subjects.app_named(EXPLAIN, "");
        subject
            .strip_prefix(base.as_str())
            .is_some_and(manifest::is_app_name)
    }

    async fn answer_message(&self, client: &Client, message: &Message) {
        let content_type = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get_last(header::CONTENT_TYPE))
            .map(async_nats::HeaderValue::as_str);
        let answer = self.answer(&message.subject, content_type, &message.payload);
        let answer = match tokio::time::timeout(DEADLINE, answer).await {
            Ok(answer) => answer,
            Err(_) => refuse(format!(
                "no answer within {} s; the request may have been carried out",
                DEADLINE.as_secs()
            )),
        };
        let Some(reply) = &message.reply else { return };
        let bytes = answer.len();
        let mut sent = client.publish(reply.clone(), answer).await;
        if let Err(error) = &sent
            && error.kind() == PublishErrorKind::MaxPayloadExceeded
        {
            tracing::warn!(bytes, subject = %message.subject, "an answer is too large");
            let limit = client.server_info().max_payload;
            let short = refuse(format!(
                "the answer has {bytes} bytes, more than the {limit} that the NATS server takes: raise its max_payload, or ask for less"
            ));
            sent = client.publish(reply.clone(), short).await;
        }
        if let Err(error) = sent {
            tracing::warn!(%error, subject = %message.subject, "could not answer");
        }
    }

    /// Answers one request. Never fails: a request that can't be carried out is answered with why.
    pub async fn answer(&self, subject: &str, content_type: Option<&str>, body: &[u8]) -> Bytes {
        match self.carry_out(subject, content_type, body).await {
            Ok(answer) => answer,
            Err(refusal) => {
                let refusal = refusal.to_string();
                let answer = refuse(refusal.clone());
                let refusal = shorten(refusal, MAX_LOGGED);
                tracing::info!(subject, refusal, "refused a request");
                answer
            }
        }
    }

    async fn carry_out(
        &self,
        subject: &str,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Bytes, Refusal> {
        let base = self.subjects.app("");
        let Some(rest) = subject.strip_prefix(base.as_str()) else {
            return Err(Refusal::Request(format!(
                "{subject} is not a request of this API"
            )));
        };
        let (verb, name) = match rest.split_once('.') {
            Some((verb, name)) => (verb, Some(name)),
            None => (rest, None),
        };
        if let Some(name) = name
            && !manifest::is_app_name(name)
        {
            return Err(Refusal::Request(format!(
                "{name:?} can't be an application's name: use letters, digits, '-' and '_'"
            )));
        }
        match (verb, name) {
            ("put", None) => encode(&self.put(content_type, body).await?),
            ("list", None) => encode(&self.list().await?),
            ("get", None) => encode(&self.list_reply().await?),
            ("get", Some(name)) => encode(&self.get(name, read_body(body)?).await?),
            ("versions", Some(name)) => encode(&self.versions(name).await?),
            ("history", Some(name)) => encode(&self.history(name).await?),
            ("status", Some(name)) => encode(&self.status(name).await?),
            ("deploy", Some(name)) => encode(&self.deploy(name, read_body(body)?).await?),
            ("rollout", Some(name)) => encode(&self.rollout(name, read_body(body)?).await?),
            ("undeploy", Some(name)) => {
                read_body::<serde_json::Map<String, serde_json::Value>>(body)?;
                encode(&self.undeploy(name).await?)
            }
            ("del" | "delete", Some(name)) => encode(&self.delete(name, read_body(body)?).await?),
            (
                "deploy" | "undeploy" | "del" | "delete" | "status" | "versions" | "history"
                | "rollout" | EXPLAIN,
                None,
            ) => Err(Refusal::Request(format!(
                "{verb} needs an application's name: {base}{verb}.NAME"
            ))),
            ("put" | "list", Some(_)) => Err(Refusal::Request(format!(
                "{verb} takes no name: {base}{verb}"
            ))),
            _ => Err(Refusal::Request(format!(
                "unknown request {verb:?}: use {VERBS}"
            ))),
        }
    }
}

/// A body that may be left out.
pub(crate) fn read_body<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, DecodeError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    from_json("request", body)
}

fn encode(answer: &impl Serialize) -> Result<Bytes, Refusal> {
    serde_json::to_vec(answer)
        .map(Bytes::from)
        .map_err(|error| Refusal::Request(format!("the answer can't be written: {error}")))
}

pub(crate) fn refuse(message: String) -> Bytes {
    let reply = ErrorReply {
        result: AppResult::Error,
        message: shorten(message, MAX_MESSAGE),
    };
    serde_json::to_vec(&reply).unwrap_or_default().into()
}

/// A text of at most so many bytes; where it was cut, it says so.
fn shorten(mut text: String, most: usize) -> String {
    const CUT: &str = "… (shortened)";
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most.saturating_sub(CUT.len())));
        text.push_str(CUT);
    }
    text
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a request's answer panicked");
    }
}
