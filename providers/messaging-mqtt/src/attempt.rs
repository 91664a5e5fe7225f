//! One message and its component: attempt by attempt, until it is handled or given up.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rumqttc::{Publish, PublishProperties};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trellis_provider::{CallOptions, messaging::HandleMessage};

use crate::{
    config::Pace, connection::Connection, delivery::Recipient, live::Arrived,
    publication::Publication, sender::message,
};

/// How often a message of QoS 0 is tried that no component took, for it is being started or is at its limit.
const ATTEMPTS_AT_MOST_ONCE: u32 = 6;
/// The first and the longest wait for a component that is not there.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// The longest wait after a failure, whatever it has doubled to.
const LAST_RETRY: Duration = Duration::from_secs(5 * 60);
/// How long one attempt to publish a dead letter may take.
const DEAD_LETTER_LIMIT: Duration = Duration::from_secs(30);
/// How much is said of a failure in a dead letter.
const MAX_ERROR_BYTES: usize = 1024;

/// What deliveries of a link have in common.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    pub connection: Arc<Connection>,
    pub recipient: Arc<ArcSwap<Recipient>>,
    /// Cancelled when the link ends: nothing is begun any more.
    pub drain: CancellationToken,
}

/// How an attempt went.
enum Outcome {
    Handled,
    /// No component took it: it has not begun.
    NotTaken(String),
    Failed(String),
}

impl Attempts {
    /// Delivers a message. One that is not acknowledged comes again, from the broker, with the next connection.
    pub async fn deliver(self, arrived: Arrived) {
        let done = match arrived.ticket {
            Some(_) => self.at_least_once(&arrived).await,
            None => self.at_most_once(&arrived).await,
        };
        if let (true, Some(ticket)) = (done, arrived.ticket) {
            arrived.live.acknowledge(ticket);
        }
    }

    /// Whether it is to be acknowledged.
    async fn at_least_once(&self, arrived: &Arrived) -> bool {
        let (mut failures, mut wait) = (0, FIRST_WAIT);
        loop {
            let pause = match self.attempt(&arrived.publish).await {
                Outcome::Handled => return true,
                // That is not the message's fault: it waits, for as long as it takes.
                Outcome::NotTaken(why) => {
                    tracing::debug!(topic = %topic(arrived), why, "no component takes a message yet");
                    let pause = wait;
                    wait = (wait * 2).min(LAST_WAIT);
                    pause
                }
                Outcome::Failed(why) => {
                    failures += 1;
                    wait = FIRST_WAIT;
                    let pace = self.pace();
                    if failures >= pace.max_attempts {
                        return self.give_up(arrived, &pace, failures, &why).await;
                    }
                    tracing::warn!(topic = %topic(arrived), attempt = failures, why, "the component failed on a message");
                    let doubled = pace.retry_delay.saturating_mul(1 << (failures - 1).min(16));
                    doubled.min(LAST_RETRY.max(pace.retry_delay))
                }
            };
            if !self.pause(arrived, pause).await {
                return false;
            }
        }
    }

    async fn at_most_once(&self, arrived: &Arrived) -> bool {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            match self.attempt(&arrived.publish).await {
                Outcome::NotTaken(_) if attempt < ATTEMPTS_AT_MOST_ONCE => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Outcome::Handled => break,
                Outcome::Failed(why) | Outcome::NotTaken(why) => {
                    tracing::warn!(topic = %topic(arrived), why, "a message of QoS 0 is lost");
                    break;
                }
            }
        }
        true
    }

    async fn attempt(&self, publish: &Publish) -> Outcome {
        // Each time anew: meanwhile the link may have another target.
        let recipient = self.recipient.load_full();
        let properties = publish.properties.as_ref();
        let trace = properties.and_then(|properties| {
            let mut texts = properties.user_properties.iter();
            let (_, trace) = texts.find(|(name, _)| name == "traceparent")?;
            trace.parse().ok()
        });
        let options = CallOptions {
            timeout: Some(recipient.pace.timeout),
            trace,
        };
        let message = message(publish.clone());
        let handled = recipient
            .component
            .invoke::<HandleMessage>(&message, options);
        match handled.await {
            Ok(Ok(())) => Outcome::Handled,
            Ok(Err(error)) => Outcome::Failed(error),
            Err(error) if error.not_started() => Outcome::NotTaken(error.to_string()),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }

    fn pace(&self) -> Pace {
        self.recipient.load().pace.clone()
    }

    /// False: there is no further attempt here, for the broker gives the message again.
    async fn pause(&self, arrived: &Arrived, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => !self.drain.is_cancelled() && !arrived.live.has_ended(),
            () = arrived.live.ended() => false,
            () = self.drain.cancelled() => false,
        }
    }

    /// The component has failed on it for the last time.
    async fn give_up(&self, arrived: &Arrived, pace: &Pace, failures: u32, why: &str) -> bool {
        let Some(to) = &pace.dead_letter_topic else {
            tracing::error!(topic = %topic(arrived), attempts = failures, why, "the component failed on a message for the last time");
            return true;
        };
        tracing::warn!(topic = %topic(arrived), attempts = failures, why, dead_letter_topic = to, "a message is put aside");
        let letter = dead_letter(arrived, to, failures, why);
        loop {
            let deadline = Instant::now() + DEAD_LETTER_LIMIT;
            match letter.publish(&self.connection, deadline).await {
                Ok(_) => return true,
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "a message can't be put aside yet");
                    if !self.pause(arrived, LAST_WAIT).await {
                        return false;
                    }
                }
                Err(error) => {
                    tracing::error!(topic = %topic(arrived), %error, "a message can't be put aside, and is given up");
                    return true;
                }
            }
        }
    }
}

fn topic(arrived: &Arrived) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&arrived.publish.topic)
}

fn dead_letter(arrived: &Arrived, to: &str, failures: u32, why: &str) -> Publication {
    let properties = arrived.publish.properties.clone().unwrap_or_default();
    let mut end = why.len().min(MAX_ERROR_BYTES);
    while !why.is_char_boundary(end) {
        end -= 1;
    }
    // MQTT's texts have no such characters.
    let why = why
        .get(..end)
        .unwrap_or_default()
        .replace(char::is_control, " ");
    let mut user_properties = properties.user_properties;
    user_properties.extend([
        ("trellis-topic".to_owned(), topic(arrived).into_owned()),
        ("trellis-attempts".to_owned(), failures.to_string()),
        ("trellis-error".to_owned(), why),
    ]);
    Publication {
        topic: to.to_owned(),
        payload: arrived.publish.payload.clone(),
        properties: PublishProperties {
            payload_format_indicator: properties.payload_format_indicator,
            response_topic: properties.response_topic,
            correlation_data: properties.correlation_data,
            content_type: properties.content_type,
            user_properties,
            ..PublishProperties::default()
        },
        at_least_once: true,
    }
}
