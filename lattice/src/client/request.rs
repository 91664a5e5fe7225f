//! How a request is made and its answers are read, whatever it is about.

use std::collections::BTreeSet;

use async_nats::{HeaderMap, RequestErrorKind};
use bytes::Bytes;
use futures::StreamExt as _;
use serde::{Serialize, de::DeserializeOwned};

use super::{ControlClient, ControlError};
use crate::{control::Reply, decode::from_json, header::FENCE};

impl ControlClient {
    /// A request that is answered with nothing but success.
    pub(super) async fn command(
        &self,
        request: &str,
        whom: &str,
        subject: String,
        body: &impl Serialize,
    ) -> Result<(), ControlError> {
        self.request::<serde_json::Value>(request, whom, subject, body)
            .await
            .map(|_| ())
    }

    /// A request whose answer must be there.
    pub(super) async fn request_for<T: DeserializeOwned>(
        &self,
        request: &str,
        whom: &str,
        subject: String,
        body: &impl Serialize,
    ) -> Result<T, ControlError> {
        let reply: Reply<T> = self.request(request, whom, subject, body).await?;
        reply.response.ok_or_else(|| ControlError::Refused {
            request: format!("{request} ({whom})"),
            message: if reply.message.is_empty() {
                "empty answer".into()
            } else {
                reply.message
            },
        })
    }

    pub(super) async fn request<T: DeserializeOwned>(
        &self,
        request: &str,
        whom: &str,
        subject: String,
        body: &impl Serialize,
    ) -> Result<Reply<T>, ControlError> {
        let request = format!("{request} ({whom})");
        let payload = to_payload(&request, body)?;
        let answer = self
            .client
            .send_request(
                subject,
                async_nats::Request {
                    payload: Some(payload),
                    headers: self.headers(),
                    timeout: Some(Some(self.timeout)),
                    ..Default::default()
                },
            )
            .await
            .map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => ControlError::NoResponder {
                    what: whom.to_owned(),
                    lattice: self.subjects.lattice().to_string(),
                },
                RequestErrorKind::TimedOut => ControlError::TimedOut {
                    request: request.clone(),
                    timeout: self.timeout,
                },
                _ => ControlError::Nats {
                    request: request.clone(),
                    source: Box::new(error),
                },
            })?;
        let reply: Reply<T> =
            from_json("control reply", &answer.payload).map_err(|source| ControlError::Decode {
                request: request.clone(),
                source,
            })?;
        if reply.success {
            Ok(reply)
        } else {
            Err(ControlError::Refused {
                request,
                message: reply.message,
            })
        }
    }

    /// A request that every host answers: takes what comes until no host has answered for a while.
    pub(super) async fn request_all<T: DeserializeOwned>(
        &self,
        request: &str,
        subject: String,
        body: &impl Serialize,
    ) -> Result<Vec<T>, ControlError> {
        let nats = |source: Box<dyn std::error::Error + Send + Sync>| ControlError::Nats {
            request: request.to_owned(),
            source,
        };
        let payload = to_payload(request, body)?;
        let inbox = self.client.new_inbox();
        let mut answers = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| nats(Box::new(error)))?;
        let published = match self.headers() {
            Some(headers) => {
                let publish = self
                    .client
                    .publish_with_reply_and_headers(subject, inbox, headers, payload);
                publish.await
            }
            None => {
                self.client
                    .publish_with_reply(subject, inbox, payload)
                    .await
            }
        };
        published.map_err(|error| nats(Box::new(error)))?;
        let mut replies = Vec::new();
        let mut seen = BTreeSet::new();
        let deadline = tokio::time::Instant::now() + self.auction_timeout;
        while let Ok(Some(message)) = tokio::time::timeout_at(deadline, answers.next()).await {
            if message.status == Some(async_nats::StatusCode::NO_RESPONDERS) {
                break;
            }
            // One host's nonsense must not hide the others' answers.
            match from_json::<Reply<T>>("control reply", &message.payload) {
                Ok(Reply {
                    success: true,
                    response: Some(response),
                    ..
                }) => {
                    // A message that was sent twice over two paths is one answer.
                    if seen.insert(message.payload) {
                        replies.push(response);
                    }
                }
                Ok(reply) => tracing::debug!(request, message = reply.message, "a host declined"),
                Err(error) => tracing::warn!(request, %error, "a host's answer can't be read"),
            }
        }
        Ok(replies)
    }
}

impl ControlClient {
    /// The headers of every request, if there are any.
    fn headers(&self) -> Option<HeaderMap> {
        let fence = self.fence.clone()?;
        let mut headers = HeaderMap::new();
        headers.insert(FENCE, fence);
        Some(headers)
    }
}

/// A request's body: JSON, and nothing at all for `()`.
fn to_payload(request: &str, body: &impl Serialize) -> Result<Bytes, ControlError> {
    let payload = serde_json::to_vec(body).map_err(|error| ControlError::Nats {
        request: request.to_owned(),
        source: Box::new(error),
    })?;
    Ok(if payload == b"null" {
        Bytes::new()
    } else {
        payload.into()
    })
}
