//! The task of one link's consumer.

use std::{future::pending, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_nats::Message;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    handling::{Arrival, Handling},
    pull::{Heard, Pulls},
    settings::ConsumerSettings,
    setup::{self, Ready},
};
use crate::{connection::Connection, delivery::Recipient};

/// How often it is looked whether what was asked still stands.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The waits before a consumer that is gone is looked for again.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LAST_WAIT: Duration = Duration::from_secs(10);

/// A consumer whose messages are handled. Dropping it ends that at once: what was not acknowledged comes again.
#[derive(Debug)]
pub struct Work {
    settings: ConsumerSettings,
    recipient: Arc<ArcSwap<Recipient>>,
    leave: CancellationToken,
    trouble: watch::Receiver<Option<String>>,
    task: AbortOnDropHandle<()>,
}

impl Work {
    /// Begins to ask for messages.
    pub fn start(
        connection: Arc<Connection>,
        settings: ConsumerSettings,
        ready: Ready,
        recipient: Recipient,
    ) -> Self {
        let recipient = Arc::new(ArcSwap::from_pointee(recipient));
        let (leave, (trouble, troubled)) = (CancellationToken::new(), watch::channel(None));
        let running = Running {
            connection,
            settings: settings.clone(),
            recipient: recipient.clone(),
            leave: leave.clone(),
            trouble,
            handling: Arc::new(Handling {
                ready,
                settings: settings.clone(),
                recipient: recipient.clone(),
                leave: leave.clone(),
            }),
            pulls: None,
            again: Instant::now(),
            failures: 0,
            handled: JoinSet::new(),
            leaving: JoinSet::new(),
        };
        Self {
            settings,
            recipient,
            leave,
            trouble: troubled,
            task: AbortOnDropHandle::new(tokio::spawn(running.run())),
        }
    }

    /// What it was started with.
    pub fn settings(&self) -> &ConsumerSettings {
        &self.settings
    }

    /// From the next message on, this is who gets them.
    pub fn redirect(&self, recipient: Recipient) {
        self.recipient.store(Arc::new(recipient));
    }

    /// Why no messages come now, if that is so.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Asks for no more messages, and waits until those that a component has begun with are handled.
    pub async fn drain(self) {
        self.leave.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a consumer ended with a panic");
        }
    }
}

struct Running {
    connection: Arc<Connection>,
    settings: ConsumerSettings,
    recipient: Arc<ArcSwap<Recipient>>,
    leave: CancellationToken,
    trouble: watch::Sender<Option<String>>,
    handling: Arc<Handling>,
    /// None while the consumer is gone.
    pulls: Option<Pulls>,
    /// When it is looked for again.
    again: Instant,
    failures: u32,
    handled: JoinSet<()>,
    /// Inboxes that are not asked for any more.
    leaving: JoinSet<()>,
}

impl Running {
    async fn run(mut self) {
        let leave = self.leave.clone();
        tokio::select! {
            biased;
            () = leave.cancelled() => {}
            () = self.work() => {}
        }
        self.leave_inbox();
        while self.leaving.join_next().await.is_some() {}
        while let Some(ended) = self.handled.join_next().await {
            check_ended(ended);
        }
    }

    async fn work(&mut self) {
        if let Err(why) = self.open().await {
            self.broken(why);
        }
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.ask().await;
            let heard = tokio::select! {
                heard = next(&mut self.pulls) => heard,
                Some(ended) = self.handled.join_next() => {
                    check_ended(ended);
                    Heard::Nothing
                }
                _ = look.tick() => match &self.pulls {
                    Some(pulls) => pulls.check(),
                    None if Instant::now() >= self.again => {
                        self.find_again().await;
                        Heard::Nothing
                    }
                    None => Heard::Nothing,
                },
            };
            match heard {
                Heard::Nothing => {}
                Heard::Alive => self.well(),
                Heard::Message(message) => {
                    self.well();
                    self.begin(message);
                }
                Heard::Lost => {
                    if let Err(why) = self.open().await {
                        self.broken(why);
                    }
                }
                Heard::Broken(why) => self.broken(why),
            }
        }
    }

    /// Asks for as many messages as the component can take beside those it has, some at a time.
    async fn ask(&mut self) {
        let most = self.recipient.load().pace.max_in_flight;
        let Some(pulls) = &mut self.pulls else {
            return;
        };
        let taken = self.handled.len() + pulls.outstanding();
        let room = most.saturating_sub(taken);
        if room >= (most / 4).max(1)
            && let Err(why) = pulls.ask(room).await
        {
            self.broken(why);
        }
    }

    fn begin(&mut self, message: Message) {
        match Arrival::read(message, &self.handling.ready.js) {
            Some(arrival) => {
                self.handled.spawn(self.handling.clone().handle(arrival));
            }
            None => tracing::warn!(
                stream = self.settings.stream,
                "not a message of a stream, left alone"
            ),
        }
    }

    async fn open(&mut self) -> Result<(), String> {
        self.leave_inbox();
        let ConsumerSettings {
            stream, consumer, ..
        } = &self.settings;
        let client = self.connection.client.clone();
        self.pulls = Some(Pulls::open(client, &self.handling.ready.api, stream, consumer).await?);
        Ok(())
    }

    /// What has come to the inbox and was not looked at yet is given back.
    fn leave_inbox(&mut self) {
        while self.leaving.try_join_next().is_some() {}
        if let Some(pulls) = self.pulls.take() {
            self.leaving.spawn(pulls.end());
        }
    }

    /// Finds the stream and the consumer again, or makes them again as the link says.
    async fn find_again(&mut self) {
        let found = setup::ready(&self.connection, &self.settings).await;
        let opened = match found {
            Ok(ready) => {
                self.handling = Arc::new(Handling {
                    ready,
                    settings: self.settings.clone(),
                    recipient: self.recipient.clone(),
                    leave: self.leave.clone(),
                });
                self.open().await
            }
            Err(error) => Err(error.to_string()),
        };
        // Whether messages come again is known once the server says anything.
        if let Err(why) = opened {
            self.broken(why);
        }
    }

    fn well(&mut self) {
        if self.failures > 0 {
            tracing::info!(
                stream = self.settings.stream,
                consumer = self.settings.consumer,
                "messages come again"
            );
            self.failures = 0;
            self.trouble.send_replace(None);
        }
    }

    fn broken(&mut self, why: String) {
        let ConsumerSettings {
            stream, consumer, ..
        } = &self.settings;
        if self.failures == 0 {
            tracing::warn!(stream, consumer, why, "no messages come; tried again");
        }
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(10));
        self.again = Instant::now() + wait.min(LAST_WAIT);
        self.failures = self.failures.saturating_add(1);
        let told = format!("stream {stream:?}, consumer {consumer:?}: {why}");
        self.trouble.send_replace(Some(told));
        self.leave_inbox();
    }
}

async fn next(pulls: &mut Option<Pulls>) -> Heard {
    match pulls {
        Some(pulls) => pulls.next().await,
        None => pending().await,
    }
}

fn check_ended(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "handling a message ended with a panic; it comes again");
    }
}
