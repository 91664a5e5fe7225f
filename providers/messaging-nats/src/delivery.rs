//! Messages on their way from a subscription to a component.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trellis_provider::{
    CallOptions, Component,
    messaging::{BrokerMessage, HandleMessage},
};

use crate::{config::Pace, connection::Connection, subscription::Subscription};

/// What waits for the component at most. Beyond it messages are dropped, as NATS itself does for who is too slow.
const MAX_WAITING: usize = 4096;
const MAX_WAITING_BYTES: usize = 32 << 20;
/// How often a message is tried that no component took, for it is being started or is at its limit, and the first wait.
const ATTEMPTS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Who gets the messages, and how.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The component.
    pub component: Component,
    /// How many at once, for how long.
    pub pace: Pace,
}

/// A subscription whose messages are delivered. Dropping it ends it at once.
#[derive(Debug)]
pub struct Delivery {
    recipient: Arc<ArcSwap<Recipient>>,
    drain: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Delivery {
    /// Subscribes, and delivers from then on.
    ///
    /// # Errors
    /// NATS doesn't take the subscription.
    pub async fn start(
        connection: &Arc<Connection>,
        subscription: &Subscription,
        recipient: Recipient,
    ) -> Result<Self, async_nats::SubscribeError> {
        let subject = subscription.subject.clone();
        let subscriber = match &subscription.queue {
            Some(queue) => {
                connection
                    .client
                    .queue_subscribe(subject, queue.clone())
                    .await?
            }
            None => connection.client.subscribe(subject).await?,
        };
        let (recipient, drain) = (
            Arc::new(ArcSwap::from_pointee(recipient)),
            CancellationToken::new(),
        );
        let running = Running {
            connection: connection.clone(),
            name: subscription.to_string(),
            recipient: recipient.clone(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            dropped: 0,
            handled: JoinSet::new(),
        };
        let task = AbortOnDropHandle::new(tokio::spawn(running.run(subscriber, drain.clone())));
        Ok(Self {
            recipient,
            drain,
            task,
        })
    }

    /// From the next message on, this is who gets them.
    pub fn redirect(&self, recipient: Recipient) {
        self.recipient.store(Arc::new(recipient));
    }

    /// Ends the subscription, and waits until what has come is handled.
    pub async fn drain(self) {
        self.drain.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a subscription ended with a panic");
        }
    }
}

struct Running {
    /// Held, so that the connection lives as long as its subscriptions.
    connection: Arc<Connection>,
    name: String,
    recipient: Arc<ArcSwap<Recipient>>,
    waiting: VecDeque<Message>,
    waiting_bytes: usize,
    dropped: u64,
    handled: JoinSet<()>,
}

impl Running {
    async fn run(mut self, mut subscriber: Subscriber, drain: CancellationToken) {
        loop {
            tokio::select! {
                message = subscriber.next() => match message {
                    Some(message) => self.arrived(message),
                    None => break,
                },
                Some(_) = self.handled.join_next() => {}
                () = drain.cancelled() => {
                    // What the server has sent by then still comes out of the subscriber, and then its end.
                    if let Err(error) = subscriber.drain().await {
                        tracing::debug!(%error, subscription = self.name, "not drained");
                        break;
                    }
                    while let Some(message) = subscriber.next().await {
                        self.arrived(message);
                        self.begin();
                    }
                    break;
                }
            }
            self.begin();
        }
        while !self.waiting.is_empty() || !self.handled.is_empty() {
            self.begin();
            self.handled.join_next().await;
        }
        drop(self.connection);
    }

    fn arrived(&mut self, message: Message) {
        let bytes = message.length;
        if self.waiting.len() >= MAX_WAITING || self.waiting_bytes + bytes > MAX_WAITING_BYTES {
            self.dropped += 1;
            // At the first, the tenth, the hundredth …: a line for each would be a second load.
            if self.dropped.is_power_of_two() {
                tracing::warn!(
                    subscription = self.name,
                    dropped = self.dropped,
                    "the component is too slow, messages are dropped"
                );
            }
            return;
        }
        self.waiting_bytes += bytes;
        self.waiting.push_back(message);
    }

    /// Hands over as many as the component takes at once.
    fn begin(&mut self) {
        let recipient = self.recipient.load_full();
        while self.handled.len() < recipient.pace.max_in_flight {
            let Some(message) = self.waiting.pop_front() else {
                return;
            };
            self.waiting_bytes -= message.length;
            self.handled.spawn(deliver(self.recipient.clone(), message));
        }
    }
}

/// Delivers one message. Nobody waits for the outcome: a failure is for the log.
async fn deliver(recipient: Arc<ArcSwap<Recipient>>, message: Message) {
    let traceparent = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get("traceparent"));
    let trace = traceparent.and_then(|value| value.as_str().parse().ok());
    let subject = message.subject.clone();
    let message = BrokerMessage {
        subject: message.subject.into_string(),
        body: message.payload,
        reply_to: message.reply.map(async_nats::Subject::into_string),
    };
    let mut wait = FIRST_WAIT;
    for attempt in 1.. {
        // Each time anew: meanwhile the link may have another target.
        let recipient = recipient.load_full();
        let options = CallOptions {
            timeout: Some(recipient.pace.timeout),
            trace,
        };
        let component = recipient.component.id();
        match recipient
            .component
            .invoke::<HandleMessage>(&message, options)
            .await
        {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                tracing::warn!(%component, %subject, error, "the component could not handle a message");
                return;
            }
            Err(error) if error.not_started() && attempt < ATTEMPTS => {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            Err(error) => {
                tracing::warn!(%component, %subject, %error, "a message is lost");
                return;
            }
        }
    }
}
