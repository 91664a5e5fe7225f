//! The control interface (`wasmcloud-v1.md`, Control interface): takes requests, answers each, and keeps the order
//! of those about one thing. One room a noun, as in `trellis_lattice::control`.

mod claims;
mod component;
mod config;
mod host;
mod label;
mod link;
mod provider;

use std::{fmt::Display, future::Future, pin::Pin, sync::Arc};

use async_nats::{Message, SubscribeError, Subscriber};
use futures::{StreamExt as _, stream::SelectAll};
use serde::{Serialize, de::DeserializeOwned};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use trellis_lattice::{HostId, control::Reply, from_json};

use crate::host::Host;

pub(crate) use component::{answer_describe, resume, wake};

/// How many requests may be worked on at once. More are refused, and may come again.
const MAX_REQUESTS: usize = 4096;

/// An answer, ready to be sent.
pub(crate) type Answer = Reply<serde_json::Value>;

/// What a request leads to.
enum Outcome {
    /// Answered on the spot; an auction that the host does not bid in has no answer.
    Now(Option<Answer>),
    /// Answered when it is done.
    Later(Pin<Box<dyn Future<Output = Answer> + Send>>),
}

impl Outcome {
    fn later(work: impl Future<Output = Answer> + Send + 'static) -> Self {
        Self::Later(Box::pin(work))
    }
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self::Now(Some(answer))
    }
}

/// Requests that are refused before any work begins.
type Refused = Answer;

/// The host's side of the control interface.
pub(crate) struct Control {
    requests: SelectAll<Subscriber>,
}

impl Control {
    /// Subscribes to everything that a host answers.
    pub(crate) async fn subscribe(host: &Host) -> Result<Self, SubscribeError> {
        let subjects = &host.subjects;
        let mut requests = SelectAll::new();
        for subject in [
            subjects.host_ping(),
            subjects.component_auction(),
            subjects.provider_auction(),
            // One subscription for all requests to this host: they come in the order they were sent.
            subjects.control_of_host(&host.identity.id),
        ] {
            requests.push(host.client.subscribe(subject).await?);
        }
        for noun in ["link", "config", "claims"] {
            let (subject, group) = subjects.control_of_any_host(noun);
            requests.push(host.client.queue_subscribe(subject, group).await?);
        }
        Ok(Self { requests })
    }

    /// Answers requests until `stop` is cancelled; those that were begun are answered still.
    pub(crate) async fn run(mut self, host: Arc<Host>, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                request = self.requests.next() => match request {
                    Some(request) => take(&host, request, &mut tasks).await,
                    // The connection was closed for good.
                    None => break,
                },
                Some(_) = tasks.join_next() => {}
            }
        }
        drop(self.requests);
        while tasks.join_next().await.is_some() {}
    }
}

/// Decides on the spot what a request leads to, so that requests about one thing keep their order, and leaves the
/// work to a task of its own.
async fn take(host: &Arc<Host>, request: Message, tasks: &mut JoinSet<()>) {
    let outcome = if tasks.len() >= MAX_REQUESTS {
        failed(format!(
            "the host works on {MAX_REQUESTS} requests already: try again later"
        ))
        .into()
    } else {
        outcome(host, &request)
    };
    match outcome {
        Outcome::Now(answer) => reply(host, request, answer).await,
        Outcome::Later(work) => {
            let host = host.clone();
            tasks.spawn(async move {
                let answer = work.await;
                reply(&host, request, Some(answer)).await;
            });
        }
    }
}

fn outcome(host: &Arc<Host>, request: &Message) -> Outcome {
    let Some(suffix) = host.subjects.control_suffix(&request.subject) else {
        return Outcome::Now(None);
    };
    tracing::debug!(
        request = suffix,
        bytes = request.payload.len(),
        "control request"
    );
    let body = &request.payload[..];
    let mut tokens = suffix.splitn(3, '.');
    let what = (
        tokens.next().unwrap_or_default(),
        tokens.next().unwrap_or_default(),
        tokens.next(),
    );
    if let Err(fenced) = host.fence.pass(request.headers.as_ref())
        && commands(what.0, what.1)
    {
        tracing::warn!(request = suffix, why = %fenced, "refused a control request");
        return failed(fenced).into();
    }
    let outcome = match what {
        ("host", "ping", None) => Ok(done_with(&host.report()).into()),
        ("host", "get", Some(_)) => Ok(done_with(&host.inventory()).into()),
        ("host", "stop", Some(_)) => host::stop(host, body),
        ("component", "auction", None) => component::auction(host, body),
        ("component", "scale", Some(_)) => component::scale(host, body),
        ("component", "update", Some(_)) => component::update(host, body),
        // A component may have the id of a host; its own subscription answers.
        ("component", "describe", Some(_)) => Ok(Outcome::Now(None)),
        ("provider", "auction", None) => provider::auction(host, body),
        ("provider", "start", Some(_)) => provider::start(host, body),
        ("provider", "stop", Some(_)) => provider::stop(host, body),
        ("label", "put", Some(_)) => label::put(host, body),
        ("label", "del", Some(_)) => label::delete(host, body),
        ("link", "put", None) => link::put(host, body),
        ("link", "del", None) => link::delete(host, body),
        ("link", "get", None) => Ok(done_with(&host.view.links()).into()),
        ("config", "put", Some(name)) => config::put(host, name, body),
        ("config", "get", Some(name)) => config::get(host, name),
        ("config", "del", Some(name)) => config::delete(host, name),
        ("claims", "get", None) => Ok(claims::get(host).into()),
        _ => Err(failed(format!(
            "there is no request {suffix:?} in the control interface"
        ))),
    };
    outcome.unwrap_or_else(|refused| {
        tracing::warn!(
            request = suffix,
            why = refused.message,
            "refused a control request"
        );
        refused.into()
    })
}

/// Whether a request changes anything: those that only ask are answered to whomever.
fn commands(noun: &str, verb: &str) -> bool {
    match noun {
        "link" | "config" | "label" => matches!(verb, "put" | "del"),
        "host" => verb == "stop",
        "component" => matches!(verb, "scale" | "update"),
        "provider" => matches!(verb, "start" | "stop"),
        _ => false,
    }
}

async fn reply(host: &Host, request: Message, answer: Option<Answer>) {
    let (Some(subject), Some(answer)) = (request.reply, answer) else {
        return;
    };
    let limit = host.client.max_payload();
    let answer = match serde_json::to_vec(&answer) {
        // Better than to leave whoever asked without any.
        Ok(bytes) if bytes.len() > limit => failed(format!(
            "the answer has {} bytes, and the NATS server takes {limit} at once: raise its max_payload",
            bytes.len()
        )),
        _ => answer,
    };
    host.publish_json(subject.to_string(), &answer).await;
}

/// Reads a request's body.
fn read<T: DeserializeOwned>(request: &'static str, body: &[u8]) -> Result<T, Refused> {
    from_json(request, body).map_err(failed)
}

/// A request says itself which host it is for; it must be the one it was sent to.
fn check_host(host: &Host, asked: &HostId) -> Result<(), Refused> {
    if asked == &host.identity.id {
        return Ok(());
    }
    Err(failed(format!(
        "field `host_id` is {asked}, but this is host {}",
        host.identity.id
    )))
}

fn done(message: impl Into<String>) -> Answer {
    Reply::done(message)
}

fn failed(message: impl Display) -> Answer {
    Reply::failed(message)
}

fn done_with(response: &impl Serialize) -> Answer {
    match serde_json::to_value(response) {
        Ok(response) => Reply::with(response),
        Err(error) => failed(error),
    }
}
