//! What components send: messages, and requests with their answers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use rumqttc::{Publish, PublishProperties};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;
use trellis_provider::{config::SettingsError, messaging::BrokerMessage, rpc::CallContext};
use uuid::Uuid;

use crate::{
    config::{Sending, filled},
    connection::{Connection, Plan, Session},
    live::{Arrived, Live},
    publication::{Publication, PublishError, Readers},
    reply::ReplyTo,
    topics::check_topic,
};

/// How many requests wait for their answers at once.
const MAX_REQUESTS: usize = 4096;
/// How many answers wait to be looked at.
const QUEUE: usize = 64;
/// The longest that an answer is waited for.
const MAX_REQUEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);

type Waiting = Mutex<HashMap<Bytes, oneshot::Sender<BrokerMessage>>>;

/// A connection that components send over.
#[derive(Debug)]
pub struct Sender {
    connection: Connection,
    at_least_once: bool,
    publish_timeout: Duration,
    /// Where answers come, and nobody else's.
    answers: String,
    waiting: Arc<Waiting>,
    _reader: AbortOnDropHandle<()>,
}

impl Sender {
    /// Begins to connect.
    ///
    /// # Errors
    /// Names the field of the settings that can't be used.
    pub fn open(settings: &Sending) -> Result<Self, SettingsError> {
        let plan = Plan {
            server: settings.server.clone(),
            client_id: filled(&settings.client_id, "")?,
            session: Session::Clean,
        };
        let (incoming, arriving) = mpsc::channel(QUEUE);
        let waiting = Arc::<Waiting>::default();
        Ok(Self {
            connection: Connection::open(plan, incoming)?,
            at_least_once: settings.at_least_once,
            publish_timeout: settings.publish_timeout,
            answers: format!("{}/{}", settings.response_topic, Uuid::new_v4().simple()),
            _reader: AbortOnDropHandle::new(tokio::spawn(read(arriving, waiting.clone()))),
            waiting,
        })
    }

    /// Its connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Publishes a message for a component.
    ///
    /// # Errors
    /// In words.
    pub async fn publish(&self, by: &CallContext, message: BrokerMessage) -> Result<(), String> {
        let BrokerMessage {
            subject,
            body,
            reply_to,
        } = message;
        let to = ReplyTo::parse(&subject).map_err(|error| error.to_string())?;
        let back = reply_to.as_deref().map(ReplyTo::parse).transpose();
        let back = back.map_err(|error| format!("reply-to: {error}"))?;
        // An answer carries what its asker knows the question by. That of a question of one's own goes before it: there
        // is only one place for it.
        let own = back.as_ref().and_then(|back| back.correlation.clone());
        let properties = PublishProperties {
            response_topic: back.map(|back| back.topic),
            correlation_data: own.or(to.correlation),
            user_properties: trace(by),
            ..PublishProperties::default()
        };
        let publication = Publication {
            topic: to.topic,
            payload: body,
            properties,
            at_least_once: self.at_least_once,
        };
        let deadline = Instant::now() + self.publish_timeout;
        let deadline = by.deadline.map_or(deadline, |by| deadline.min(by.into()));
        let published = publication.publish(&self.connection, deadline).await;
        published.map(drop).map_err(|error| error.to_string())
    }

    /// Publishes a question for a component, and waits for one answer.
    ///
    /// # Errors
    /// In words.
    pub async fn request(
        &self,
        by: &CallContext,
        topic: String,
        body: Bytes,
        timeout: Duration,
    ) -> Result<BrokerMessage, String> {
        check_topic(&topic).map_err(|error| error.to_string())?;
        let deadline = Instant::now() + timeout.min(MAX_REQUEST_TIMEOUT);
        let late = || format!("no answer from {topic:?} within {} ms", timeout.as_millis());
        let (question, mut answer) = self.expect_answer()?;
        let publication = Publication {
            topic: topic.clone(),
            payload: body,
            properties: PublishProperties {
                response_topic: Some(self.answers.clone()),
                correlation_data: Some(question.id.clone()),
                user_properties: trace(by),
                ..PublishProperties::default()
            },
            at_least_once: self.at_least_once,
        };
        let mut live = self.listening(deadline).await?;
        let published = publication.publish(&self.connection, deadline).await;
        match published {
            Ok(Readers::Maybe) => {}
            Ok(Readers::None) => return Err(format!("nobody answers at {topic:?}")),
            Err(PublishError::Unacknowledged(_)) => return Err(late()),
            Err(error) => return Err(error.to_string()),
        }
        loop {
            tokio::select! {
                answer = &mut answer => return answer.map_err(|_| late()),
                // The question has gone out: its answer is waited for on the next connection.
                () = live.ended() => live = self.listening(deadline).await?,
                () = tokio::time::sleep_until(deadline) => return Err(late()),
            }
        }
    }

    /// A connection on which answers are subscribed to.
    async fn listening(&self, deadline: Instant) -> Result<Arc<Live>, String> {
        loop {
            let live = self.connection.up(deadline).await?;
            let subscribe = async {
                let filters = [self.answers.as_str()];
                live.subscribe(&filters, self.at_least_once).await
            };
            let subscribed = live.answers.get_or_try_init(|| subscribe).await.map(drop);
            match subscribed {
                Ok(()) => return Ok(live),
                Err(error) if !live.has_ended() => {
                    return Err(format!("answers can't be had (`response_topic`): {error}"));
                }
                // It ended meanwhile: once more on the next.
                Err(_) => {}
            }
        }
    }

    fn expect_answer(&self) -> Result<(Question, oneshot::Receiver<BrokerMessage>), String> {
        let id = Bytes::copy_from_slice(Uuid::new_v4().as_bytes());
        let (sender, answer) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= MAX_REQUESTS {
            return Err(format!(
                "more than {MAX_REQUESTS} requests wait for their answers"
            ));
        }
        waiting.insert(id.clone(), sender);
        let question = Question {
            id,
            waiting: self.waiting.clone(),
        };
        Ok((question, answer))
    }
}

/// A question that waits for its answer until it is dropped.
struct Question {
    id: Bytes,
    waiting: Arc<Waiting>,
}

impl Drop for Question {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.id);
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<Bytes, oneshot::Sender<BrokerMessage>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives answers to whom they are for.
async fn read(mut arriving: mpsc::Receiver<Arrived>, waiting: Arc<Waiting>) {
    while let Some(arrived) = arriving.recv().await {
        let properties = arrived.publish.properties.as_ref();
        let id = properties.and_then(|properties| properties.correlation_data.as_ref());
        let asker = id.and_then(|id| lock(&waiting).remove(id));
        match asker {
            // It may have given up this moment.
            Some(asker) => drop(asker.send(message(arrived.publish))),
            None => tracing::debug!("an answer that nobody waits for"),
        }
    }
}

/// A message as a component gets it.
pub(crate) fn message(publish: Publish) -> BrokerMessage {
    let properties = publish.properties.unwrap_or_default();
    let reply_to = properties
        .response_topic
        .map(|topic| ReplyTo::text(&topic, properties.correlation_data.as_ref()));
    BrokerMessage {
        subject: String::from_utf8_lossy(&publish.topic).into_owned(),
        body: publish.payload,
        reply_to,
    }
}

/// The trace that a message belongs to, in the words of W3C's draft for MQTT.
fn trace(by: &CallContext) -> Vec<(String, String)> {
    let trace = by
        .trace
        .map(|trace| ("traceparent".to_owned(), trace.to_string()));
    trace.into_iter().collect()
}
