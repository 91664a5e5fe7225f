//! The stream and the consumer of a link, found or made.

use std::{collections::BTreeSet, time::Duration};

use async_nats::{
    Request, RequestErrorKind,
    jetstream::{
        AckKind, Context, ErrorCode,
        consumer::{self, AckPolicy, DeliverPolicy},
        context::ContextBuilder,
        response::Response,
        stream::{self, DiscardPolicy, StorageType},
    },
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use super::settings::ConsumerSettings;
use crate::{connection::Connection, subjects::overlap};

/// How long JetStream has for one answer. A link's whole setup takes a few of them.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Of a consumer that is made; NATS' own defaults.
const DEFAULT_ACK_WAIT: Duration = Duration::from_secs(30);
const DEFAULT_MAX_ACK_PENDING: i64 = 1000;
/// Of a stream that is made: whoever needs another one makes it.
const STREAM_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const STREAM_MAX_BYTES: i64 = 1 << 30;

/// Why a link has no consumer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// What the link says can't be.
    #[error("field `{field}`: {problem}")]
    Setting {
        /// The field.
        field: &'static str,
        /// Why.
        problem: String,
    },
    /// Something isn't there now, or doesn't answer.
    #[error("{0}")]
    Unavailable(String),
}

fn setting<T>(field: &'static str, problem: String) -> Result<T, SetupError> {
    Err(SetupError::Setting { field, problem })
}

/// A consumer that messages can be asked for.
#[derive(Clone, Debug)]
pub struct Ready {
    /// JetStream.
    pub js: Context,
    /// What its subjects begin with: `$JS.API`, or with a domain.
    pub api: String,
    /// After how long without a word from here a message is given to another.
    pub ack_wait: Duration,
}

/// Finds a link's stream and consumer, or makes them, as its settings say.
///
/// # Errors
/// See [`SetupError`]; each names the setting, or the subject that was asked at.
pub async fn ready(
    connection: &Connection,
    settings: &ConsumerSettings,
) -> Result<Ready, SetupError> {
    let builder = ContextBuilder::new().timeout(ANSWER_TIMEOUT);
    let client = connection.client.clone();
    let (js, api) = match &settings.domain {
        Some(domain) => (
            builder.domain(domain).build(client),
            format!("$JS.{domain}.API"),
        ),
        None => (builder.build(client), "$JS.API".to_owned()),
    };
    let jetstream = JetStream { js, api };
    let stream = jetstream.stream(settings).await?;
    check_subjects(connection, settings, &stream.config.subjects)?;
    if let Some(subject) = &settings.dead_letter {
        let checked = connection.check_publish(subject);
        checked.or_else(|error| setting("dead_letter_subject", error.to_string()))?;
        jetstream.check_dead_letter(subject).await?;
    }
    let ack_wait = jetstream.consumer(settings).await?;
    jetstream.check_settling(settings).await?;
    Ok(Ready {
        js: jetstream.js,
        api: jetstream.api,
        ack_wait,
    })
}

/// What comes to the component must be open to it, and must not be what could not be handled.
fn check_subjects(
    connection: &Connection,
    settings: &ConsumerSettings,
    stream: &[String],
) -> Result<(), SetupError> {
    let (field, subjects) = match settings.filters.is_empty() {
        true => ("stream", stream),
        false => ("filter_subjects", &*settings.filters),
    };
    for subject in subjects {
        let checked = connection.check_subscribe(subject);
        checked.or_else(|error| setting(field, error.to_string()))?;
        if let Some(dead_letter) = &settings.dead_letter
            && overlap(dead_letter, subject)
        {
            let problem = format!(
                "{dead_letter:?} is among the subjects that the consumer takes ({subject:?}): what could not be handled would come again. Take another subject, or leave it out with `filter_subjects`"
            );
            return setting("dead_letter_subject", problem);
        }
    }
    Ok(())
}

struct JetStream {
    js: Context,
    api: String,
}

impl JetStream {
    /// One answer of JetStream's interface. Not every question has words.
    async fn ask<T: DeserializeOwned>(
        &self,
        subject: String,
        question: Option<serde_json::Value>,
    ) -> Result<Response<T>, SetupError> {
        let at = format!("{}.{subject}", self.api);
        let question = question.map_or_else(String::new, |question| question.to_string());
        let request = Request::new()
            .payload(question.into())
            .timeout(Some(ANSWER_TIMEOUT));
        let answer = self.js.client().send_request(at.clone(), request).await;
        let answer = answer.map_err(|error| {
            SetupError::Unavailable(match error.kind() {
                RequestErrorKind::NoResponders => format!(
                    "JetStream does not answer at {at:?}: it is not enabled there, or `js_domain` names no domain"
                ),
                RequestErrorKind::TimedOut => format!(
                    "no answer from JetStream at {at:?} within {} s: NATS is away, or its user may not publish to that subject",
                    ANSWER_TIMEOUT.as_secs()
                ),
                _ => format!("{at:?}: {error}"),
            })
        })?;
        serde_json::from_slice(&answer.payload)
            .map_err(|error| SetupError::Unavailable(format!("the answer at {at:?}: {error}")))
    }

    async fn stream(&self, settings: &ConsumerSettings) -> Result<stream::Info, SetupError> {
        let name = &settings.stream;
        let info = self.ask(format!("STREAM.INFO.{name}"), None).await?;
        match info {
            Response::Ok(info) => {
                let info: stream::Info = info;
                check_same_subjects(settings, &info)?;
                Ok(info)
            }
            Response::Err { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                if settings.stream_subjects.is_empty() {
                    return Err(SetupError::Unavailable(format!(
                        "there is no stream {name:?}: make it (`nats stream add {name}`), or name its subjects in `stream_subjects` and the provider makes it"
                    )));
                }
                self.create_stream(settings).await
            }
            Response::Err { error } => {
                Err(SetupError::Unavailable(format!("stream {name:?}: {error}")))
            }
        }
    }

    async fn create_stream(&self, settings: &ConsumerSettings) -> Result<stream::Info, SetupError> {
        let name = &settings.stream;
        let config = stream::Config {
            name: name.clone(),
            subjects: settings.stream_subjects.clone(),
            storage: StorageType::File,
            discard: DiscardPolicy::Old,
            max_age: STREAM_MAX_AGE,
            max_bytes: STREAM_MAX_BYTES,
            max_consumers: -1,
            max_messages: -1,
            max_messages_per_subject: -1,
            max_message_size: -1,
            num_replicas: 1,
            description: Some("made by Trellis for a link's `stream_subjects`".to_owned()),
            ..Default::default()
        };
        let question = serde_json::to_value(&config);
        let question = question.map_err(|error| SetupError::Unavailable(error.to_string()))?;
        let subject = format!("STREAM.CREATE.{name}");
        match self.ask(subject, Some(question)).await? {
            Response::Ok(info) => {
                tracing::info!(stream = name, subjects = ?settings.stream_subjects, "stream made");
                Ok(info)
            }
            Response::Err { error } => setting("stream_subjects", error.to_string()),
        }
    }

    /// A stream must take what could not be handled, or it would be gone.
    async fn check_dead_letter(&self, subject: &str) -> Result<(), SetupError> {
        #[derive(Deserialize)]
        struct Names {
            streams: Option<Vec<String>>,
        }
        let question = json!({ "subject": subject });
        match self.ask("STREAM.NAMES".to_owned(), Some(question)).await? {
            Response::Ok(Names { streams }) if streams.as_ref().is_none_or(Vec::is_empty) => {
                Err(SetupError::Unavailable(format!(
                    "`dead_letter_subject`: no stream takes {subject:?}, so nothing would keep what is sent there: make one (`nats stream add DEAD --subjects {subject}`)"
                )))
            }
            Response::Ok(_) => Ok(()),
            Response::Err { error } => Err(SetupError::Unavailable(format!(
                "streams of {subject:?}: {error}"
            ))),
        }
    }

    /// Whether a message's end can be told at all: where it can't, each message would come again and again. Asked with what says
    /// nothing, about a message that there is not.
    async fn check_settling(&self, settings: &ConsumerSettings) -> Result<(), SetupError> {
        let ConsumerSettings {
            stream, consumer, ..
        } = settings;
        let at = format!("$JS.ACK.{stream}.{consumer}");
        let request = Request::new()
            .payload(AckKind::Progress.into())
            .timeout(Some(ANSWER_TIMEOUT));
        let (client, none) = (self.js.client(), i64::MAX);
        let answer = client.send_request(format!("{at}.1.{none}.{none}.0.0"), request);
        match answer.await {
            Err(error) if error.kind() == RequestErrorKind::TimedOut => {
                Err(SetupError::Unavailable(format!(
                    "no answer from JetStream at \"{at}.>\" within {} s: NATS is away, or its user may not publish to that subject, which is where messages are acknowledged",
                    ANSWER_TIMEOUT.as_secs()
                )))
            }
            _ => Ok(()),
        }
    }

    /// Makes the consumer what the link says; its ack wait.
    async fn consumer(&self, settings: &ConsumerSettings) -> Result<Duration, SetupError> {
        let ConsumerSettings {
            stream, consumer, ..
        } = settings;
        let info = self
            .ask(format!("CONSUMER.INFO.{stream}.{consumer}"), None)
            .await?;
        let existing = match info {
            Response::Ok(info) => {
                let info: consumer::Info = info;
                Some(info.config)
            }
            Response::Err { error } if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND => None,
            Response::Err { error } => {
                let problem = format!("consumer {consumer:?} of stream {stream:?}: {error}");
                return Err(SetupError::Unavailable(problem));
            }
        };
        let wanted = match &existing {
            Some(existing) => {
                check_kind(settings, existing)?;
                changed(settings, existing.clone())
            }
            None if !settings.create => {
                return Err(SetupError::Unavailable(format!(
                    "stream {stream:?} has no consumer {consumer:?}, and `create_consumer: false` says not to make it: make it (`nats consumer add {stream} {consumer} --pull --ack explicit`)"
                )));
            }
            None => made(settings),
        };
        if existing.as_ref() == Some(&wanted) {
            return Ok(wanted.ack_wait);
        }
        let question = json!({ "stream_name": stream, "config": wanted });
        let subject = format!("CONSUMER.CREATE.{stream}.{consumer}");
        match self.ask(subject, Some(question)).await? {
            Response::Ok(info) => {
                let info: consumer::Info = info;
                let is_new = existing.is_none();
                tracing::info!(stream, consumer, is_new, "consumer made as the link says");
                Ok(info.config.ack_wait)
            }
            Response::Err { error } => setting(
                "consumer",
                format!("stream {stream:?} does not take consumer {consumer:?}: {error}"),
            ),
        }
    }
}

fn check_same_subjects(
    settings: &ConsumerSettings,
    stream: &stream::Info,
) -> Result<(), SetupError> {
    let told: BTreeSet<_> = settings.stream_subjects.iter().collect();
    let has: BTreeSet<_> = stream.config.subjects.iter().collect();
    if told.is_empty() || told == has {
        return Ok(());
    }
    let problem = format!(
        "stream {:?} is there already, with the subjects {:?}: say the same here, or leave `stream_subjects` out",
        settings.stream, stream.config.subjects
    );
    setting("stream_subjects", problem)
}

/// A consumer that isn't there yet.
fn made(settings: &ConsumerSettings) -> consumer::Config {
    let config = consumer::Config {
        durable_name: Some(settings.consumer.clone()),
        description: Some("made by Trellis for a link".to_owned()),
        deliver_policy: settings.begin.map_or(DeliverPolicy::All, Into::into),
        ack_policy: AckPolicy::Explicit,
        ack_wait: DEFAULT_ACK_WAIT,
        max_ack_pending: DEFAULT_MAX_ACK_PENDING,
        ..Default::default()
    };
    changed(settings, config)
}

/// A consumer with what the link says in place of what it has.
///
/// How often a message is tried is for this provider to count: the server would stop after so many deliveries, also where the
/// last one was cut off, and the message would be neither handled nor a dead letter.
fn changed(settings: &ConsumerSettings, mut config: consumer::Config) -> consumer::Config {
    if !settings.create {
        return config;
    }
    config.max_deliver = -1;
    config.backoff = Vec::new();
    if let Some(ack_wait) = settings.ack_wait {
        config.ack_wait = ack_wait;
    }
    if let Some(most) = settings.max_ack_pending {
        config.max_ack_pending = most;
    }
    if let Some(threshold) = settings.inactive_threshold {
        config.inactive_threshold = threshold;
    }
    match &*settings.filters {
        [] => {}
        [only] => {
            config.filter_subject.clone_from(only);
            config.filter_subjects = Vec::new();
        }
        several => {
            config.filter_subject = String::new();
            config.filter_subjects = several.to_vec();
        }
    }
    config
}

/// Whether messages of this consumer can be handled here at all.
fn check_kind(settings: &ConsumerSettings, config: &consumer::Config) -> Result<(), SetupError> {
    let ConsumerSettings {
        stream, consumer, ..
    } = settings;
    let what = format!("consumer {consumer:?} of stream {stream:?}");
    if config.deliver_subject.is_some() {
        return setting(
            "consumer",
            format!("{what} is a push consumer: name another"),
        );
    }
    if config.ack_policy != AckPolicy::Explicit {
        let problem = format!(
            "{what} does not have each message acknowledged (ack policy {:?}): name another",
            config.ack_policy
        );
        return setting("consumer", problem);
    }
    if !settings.create && (config.max_deliver > 0 || !config.backoff.is_empty()) {
        let problem = format!(
            "{what} has a `max_deliver` or `backoff` of its own, after which the server would forget a message that was not handled: take them off (`nats consumer edit {stream} {consumer} --max-deliver=-1 --backoff=none`) and give them to the link"
        );
        return setting("consumer", problem);
    }
    if let Some(begin) = settings.begin
        && DeliverPolicy::from(begin) != config.deliver_policy
    {
        let problem = format!(
            "{what} is there already and began otherwise ({:?}): name another `consumer`, or remove that one (`nats consumer rm {stream} {consumer}`)",
            config.deliver_policy
        );
        return setting("deliver_policy", problem);
    }
    Ok(())
}
