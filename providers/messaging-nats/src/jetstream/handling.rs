//! One message, from its arrival to its end.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_nats::{
    HeaderMap, Message, Subject,
    jetstream::{self, AckKind, Context},
};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use trellis_provider::{
    CallOptions,
    messaging::{BrokerMessage, HandleMessage},
};

use super::{
    dead_letter::DeadLetter,
    settings::ConsumerSettings,
    settle::{holding, settle},
    setup::Ready,
};
use crate::delivery::Recipient;

/// The waits while no component takes a message: it is being started, or is at its limit.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// How often a dead letter is published before the message is given back, and the first wait.
const DEAD_LETTER_ATTEMPTS: u32 = 4;
const DEAD_LETTER_WAIT: Duration = Duration::from_millis(250);

/// A message of a stream.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) subject: Subject,
    pub(super) body: Bytes,
    pub(super) headers: Option<HeaderMap>,
    /// Where its end is told.
    pub(super) ack: Subject,
    /// Its number in the stream.
    pub(super) sequence: u64,
    /// How often it has been delivered, this time included.
    pub(super) deliveries: u64,
}

impl Arrival {
    /// None for what is no message of a stream.
    pub(super) fn read(message: Message, js: &Context) -> Option<Self> {
        let message = jetstream::Message {
            message,
            context: js.clone(),
        };
        let info = message.info().ok()?;
        let (sequence, deliveries) = (info.stream_sequence, info.delivered);
        let message = message.message;
        Some(Self {
            subject: message.subject,
            body: message.payload,
            headers: message.headers,
            ack: message.reply?,
            sequence,
            deliveries: u64::try_from(deliveries).unwrap_or(1),
        })
    }
}

/// How messages of one consumer are handled.
#[derive(Debug)]
pub(super) struct Handling {
    pub(super) ready: Ready,
    pub(super) settings: ConsumerSettings,
    pub(super) recipient: Arc<ArcSwap<Recipient>>,
    /// Set when the consumer is left: what nobody has begun with is given back.
    pub(super) leave: CancellationToken,
}

/// Why a message was not handled.
enum Unhandled {
    /// The component could not.
    Failed(String),
    /// No component has begun with it, and none will from here.
    Left,
}

impl Handling {
    /// Handles a message, and tells JetStream of its end.
    pub(super) async fn handle(self: Arc<Self>, arrival: Arrival) {
        let client = self.ready.js.client();
        let deciding = self.end_of(&arrival);
        let end = holding(&client, &arrival.ack, self.ready.ack_wait, deciding).await;
        if let Err(error) = settle(&client, &arrival.ack, end).await {
            tracing::warn!(
                stream = self.settings.stream, sequence = arrival.sequence, ?end, %error,
                "the end of a message could not be told; it is delivered again"
            );
        }
    }

    async fn end_of(&self, arrival: &Arrival) -> AckKind {
        let (settings, deliveries) = (&self.settings, arrival.deliveries);
        // Whoever had it for the last time did not live to tell: it may be the message's doing.
        if settings.max_deliver.is_some_and(|most| deliveries > most) {
            let error = format!(
                "delivered {} times before, and the last of them was cut off or its end could not be told",
                deliveries - 1
            );
            return self.bury(arrival, &error).await;
        }
        match self.call(arrival).await {
            Ok(()) => AckKind::Ack,
            Err(Unhandled::Left) => AckKind::Nak(None),
            Err(Unhandled::Failed(error)) if settings.is_last(deliveries) => {
                self.bury(arrival, &error).await
            }
            Err(Unhandled::Failed(error)) => {
                let again = settings.wait_after(deliveries);
                tracing::warn!(
                    stream = settings.stream, sequence = arrival.sequence, subject = %arrival.subject,
                    deliveries, ?again, error, "a message was not handled"
                );
                AckKind::Nak(Some(again))
            }
        }
    }

    /// Calls the component. As long as none takes the message, it waits: an actor that is not running has not failed.
    async fn call(&self, arrival: &Arrival) -> Result<(), Unhandled> {
        let traceparent = arrival
            .headers
            .as_ref()
            .and_then(|headers| headers.get("traceparent"));
        let trace = traceparent.and_then(|value| value.as_str().parse().ok());
        let message = BrokerMessage {
            subject: arrival.subject.to_string(),
            body: arrival.body.clone(),
            // JetStream keeps no reply subject: the message's own is where its end is told.
            reply_to: None,
        };
        let mut wait = FIRST_WAIT;
        loop {
            // Each time anew: meanwhile the link may have another target.
            let recipient = self.recipient.load_full();
            let options = CallOptions {
                timeout: Some(recipient.pace.timeout),
                trace,
            };
            let called = recipient
                .component
                .invoke::<HandleMessage>(&message, options);
            match called.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => return Err(Unhandled::Failed(error)),
                Err(error) if error.not_started() => {
                    tracing::debug!(%error, sequence = arrival.sequence, "a message waits for its component");
                }
                Err(error) => return Err(Unhandled::Failed(error.to_string())),
            }
            tokio::select! {
                () = self.leave.cancelled() => return Err(Unhandled::Left),
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(LAST_WAIT),
            }
        }
    }

    /// Gives a message up. Only once a stream has it as a dead letter is it taken out of this one's hands.
    async fn bury(&self, arrival: &Arrival, error: &str) -> AckKind {
        let (settings, deliveries) = (&self.settings, arrival.deliveries);
        let Some(subject) = &settings.dead_letter else {
            tracing::error!(
                stream = settings.stream, sequence = arrival.sequence, subject = %arrival.subject, deliveries, error,
                "a message is given up; with `dead_letter_subject` it would be kept"
            );
            return AckKind::Term;
        };
        let component = self.recipient.load().component.id().to_string();
        let letter = DeadLetter {
            arrival,
            stream: &settings.stream,
            consumer: &settings.consumer,
            component: &component,
            error,
        };
        let mut wait = DEAD_LETTER_WAIT;
        for attempt in 1.. {
            match letter.publish(&self.ready.js, subject).await {
                Ok(()) => break,
                Err(why) if attempt >= DEAD_LETTER_ATTEMPTS || self.leave.is_cancelled() => {
                    let again = settings.wait_after(deliveries);
                    tracing::error!(
                        stream = settings.stream,
                        sequence = arrival.sequence,
                        ?again,
                        why,
                        "a dead letter is not taken; its message stays"
                    );
                    return AckKind::Nak(Some(again));
                }
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait *= 2;
        }
        tracing::warn!(
            stream = settings.stream, sequence = arrival.sequence, subject = %arrival.subject, deliveries, error,
            dead_letter = subject, "a message is given up"
        );
        AckKind::Term
    }
}
