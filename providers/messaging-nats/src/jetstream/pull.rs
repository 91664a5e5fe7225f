//! Messages are asked for: never more at once than the component takes, so none waits here while its time runs.

use std::{sync::atomic::Ordering, time::Duration};

use async_nats::{Client, Message, StatusCode, Subject, Subscriber, jetstream::consumer::pull};
use futures::StreamExt as _;
use tokio::time::Instant;

use super::settle;

/// How long one request stands.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that it still stands while no message comes.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// After how long without a word a request is taken for lost.
const SILENCE: Duration = Duration::from_secs(8);
/// How long the server has to end the requests.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// What is asked, and where the messages come.
#[derive(Debug)]
pub(super) struct Pulls {
    client: Client,
    /// Where is asked.
    subject: Subject,
    inbox: Subject,
    subscriber: Subscriber,
    /// How many messages may still come.
    outstanding: usize,
    heard: Instant,
    /// The connection that was asked over: what is asked does not outlive it.
    connection: u64,
}

/// What the server said.
#[derive(Debug)]
pub(super) enum Heard {
    /// A message of the stream.
    Message(Message),
    /// That it is there.
    Alive,
    /// Nothing, and that is well.
    Nothing,
    /// It is to be asked anew.
    Lost,
    /// Nothing comes any more: why.
    Broken(String),
}

impl Pulls {
    /// Opens a new inbox. Nothing is asked yet.
    pub(super) async fn open(
        client: Client,
        api: &str,
        stream: &str,
        consumer: &str,
    ) -> Result<Self, String> {
        let inbox = Subject::from(client.new_inbox());
        let subscriber = client.subscribe(inbox.clone()).await;
        Ok(Self {
            subject: format!("{api}.CONSUMER.MSG.NEXT.{stream}.{consumer}").into(),
            subscriber: subscriber.map_err(|error| error.to_string())?,
            inbox,
            outstanding: 0,
            heard: Instant::now(),
            connection: connection(&client),
            client,
        })
    }

    /// How many messages may still come.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Asks for that many.
    pub(super) async fn ask(&mut self, count: usize) -> Result<(), String> {
        let request = pull::BatchConfig {
            batch: count,
            expires: Some(EXPIRES),
            idle_heartbeat: HEARTBEAT,
            ..Default::default()
        };
        let request = serde_json::to_vec(&request).map_err(|error| error.to_string())?;
        if self.outstanding == 0 {
            self.heard = Instant::now();
        }
        let (subject, inbox) = (self.subject.clone(), self.inbox.clone());
        let asked = self
            .client
            .publish_with_reply(subject, inbox, request.into());
        asked.await.map_err(|error| error.to_string())?;
        self.outstanding += count;
        Ok(())
    }

    /// The next word of the server. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Heard {
        let Some(message) = self.subscriber.next().await else {
            return Heard::Broken("the connection to NATS is closed".to_owned());
        };
        self.heard = Instant::now();
        match message.status {
            None | Some(StatusCode::OK) => {
                self.outstanding = self.outstanding.saturating_sub(1);
                Heard::Message(message)
            }
            Some(StatusCode::IDLE_HEARTBEAT) => Heard::Alive,
            Some(StatusCode::NO_RESPONDERS) => Heard::Broken(format!(
                "JetStream does not answer at {:?}: the consumer is gone, or JetStream is away",
                &*self.subject
            )),
            Some(status) => self.ended(status, &message),
        }
    }

    /// A request came to its end with less messages than it asked for.
    fn ended(&mut self, status: StatusCode, message: &Message) -> Heard {
        let why = message.description.as_deref().unwrap_or_default();
        if why.starts_with("Consumer Deleted")
            || why.starts_with("Consumer is push based")
            || why.starts_with("Exceeded Max")
        {
            return Heard::Broken(format!("{:?}: {status} {why}", &*self.subject));
        }
        let unused = message.headers.as_ref().and_then(|headers| {
            let unused = headers.get("Nats-Pending-Messages")?;
            unused.as_str().parse::<usize>().ok()
        });
        match unused {
            Some(unused) => {
                self.outstanding = self.outstanding.saturating_sub(unused);
                Heard::Alive
            }
            // Which request it was is not said: none of them is relied on.
            None => Heard::Lost,
        }
    }

    /// Whether what was asked can still be answered. To be called now and then.
    pub(super) fn check(&self) -> Heard {
        if connection(&self.client) != self.connection {
            return Heard::Lost;
        }
        if self.outstanding > 0 && self.heard.elapsed() > SILENCE {
            return Heard::Broken(format!(
                "nothing from JetStream after asking at {:?} for {} s: NATS is away, or its user may not publish to that subject",
                &*self.subject,
                SILENCE.as_secs()
            ));
        }
        Heard::Nothing
    }

    /// Asks for no more. What has come by then is given back, for others to handle at once.
    pub(super) async fn end(mut self) {
        let ending = async {
            if self.subscriber.drain().await.is_err() {
                return;
            }
            while let Some(message) = self.subscriber.next().await {
                if let (None, Some(ack)) = (message.status, message.reply) {
                    settle::give_back(&self.client, ack).await;
                }
            }
        };
        // What is not given back comes again by itself, only later.
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, ending).await;
    }
}

/// The number of the client's connection: each time it connects it is another one.
fn connection(client: &Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}
