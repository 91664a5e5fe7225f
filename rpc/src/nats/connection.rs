//! One NATS connection and its one inbox: a single wildcard subscription for every call either way.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{
    Client, HeaderMap, Message, Subject, Subscriber, client::PublishErrorKind, connection::State,
};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use tokio::{
    sync::{OnceCell, mpsc},
    task::JoinSet,
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use trellis_lattice::{HostId, Place, subject::Subjects};

use super::{
    NatsOptions, Whereabouts,
    exchange::{Bounds, Exchange, Receives},
    headers,
    vicinity::Vicinity,
};
use crate::error::CallError;

/// How soon a lost connection fails the calls that were under way. The client has no notice to wait for.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// Messages that are sent from where nothing can wait; one too many is left out, since all of them only save work.
const MAX_NOTICES: usize = 4096;
/// How long serving waits for the server to have seen its subscriptions.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

/// What every route and server of a connection shares.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) subjects: Subjects,
    pub(super) options: NatsOptions,
    /// The host that this process is, or belongs to.
    pub(super) host: Option<HostId>,
    /// Where it is, and what is around it.
    pub(super) vicinity: Option<Vicinity>,
    table: Arc<Table>,
    inbox: OnceCell<Inbox>,
}

/// The tasks behind the inbox. They end with the last clone of the connection.
#[derive(Debug)]
struct Inbox {
    _tasks: JoinSet<()>,
}

/// A message nobody waits for.
#[derive(Debug)]
struct Notice {
    subject: Subject,
    headers: Option<HeaderMap>,
    payload: Bytes,
}

/// The calls under way, by the number in their inbox.
#[derive(Debug)]
struct Table {
    /// `_INBOX.….`, with the last dot.
    prefix: String,
    next: AtomicU64,
    exchanges: Mutex<HashMap<u64, Arc<Exchange>>>,
    closed: AtomicBool,
    /// What is sent from where nothing can wait; there once the inbox is.
    notices: OnceLock<mpsc::Sender<Notice>>,
}

/// The connection's state at a moment.
#[derive(Clone, Copy, Debug)]
struct Link {
    connected: bool,
    /// How often it had been made.
    connects: u64,
}

/// An exchange that is in the table for as long as this lives.
#[derive(Debug)]
pub(super) struct Opened {
    table: Arc<Table>,
    exchange: Arc<Exchange>,
}

impl Deref for Opened {
    type Target = Arc<Exchange>;

    fn deref(&self) -> &Self::Target {
        &self.exchange
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.table.lock().remove(&self.exchange.id);
    }
}

impl Connection {
    pub(super) fn new(
        client: Client,
        subjects: Subjects,
        options: NatsOptions,
        Whereabouts { host, place }: Whereabouts,
    ) -> Self {
        let vicinity = place.map(|place| Vicinity::start(client.clone(), &subjects, place));
        let table = Table {
            prefix: format!("{}.", client.new_inbox()),
            next: AtomicU64::new(1),
            exchanges: Mutex::default(),
            closed: AtomicBool::new(false),
            notices: OnceLock::new(),
        };
        Self {
            client,
            subjects,
            options,
            host,
            vicinity,
            table: Arc::new(table),
            inbox: OnceCell::new(),
        }
    }

    /// Opens an inbox for a call, with the connection's subscription under it.
    pub(super) async fn open(
        &self,
        receives: Receives,
        cancelled: Option<CancellationToken>,
    ) -> Result<Opened, CallError> {
        self.inbox.get_or_try_init(|| self.subscribe()).await?;
        if self.table.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        Ok(self.enter(receives, cancelled))
    }

    /// As [`Self::open`], where the subscription is known to be there: a server's.
    pub(super) fn enter(&self, receives: Receives, cancelled: Option<CancellationToken>) -> Opened {
        let bounds = Bounds {
            root: self.options.max_message_bytes,
            window: self.options.window_bytes,
            plain: self.options.plain_buffer_bytes,
        };
        let id = self.table.next.fetch_add(1, Ordering::Relaxed);
        let inbox = Subject::from(format!("{}{id}", self.table.prefix));
        let born = connects(&self.client);
        let exchange = Arc::new(Exchange::new(id, inbox, receives, bounds, born, cancelled));
        self.table.lock().insert(id, exchange.clone());
        Opened {
            table: self.table.clone(),
            exchange,
        }
    }

    /// Where this process is, if it is anywhere in particular.
    pub(super) fn place(&self) -> Option<&Place> {
        self.vicinity.as_ref().map(Vicinity::place)
    }

    /// An inbox that nobody reads: where a protocol wants an address and there is nothing to say.
    pub(super) fn nowhere(&self) -> Subject {
        Subject::from(format!("{}0", self.table.prefix))
    }

    /// Waits until the server has seen every subscription made on this connection so far. Without it, a call
    /// from another connection that follows at once would find nobody.
    pub(super) async fn confirm(&self) -> Result<(), CallError> {
        let opened = self.open(Receives::Results, None).await?;
        self.publish(opened.inbox.clone(), None, None, Bytes::new())
            .await?;
        match tokio::time::timeout(CONFIRM_TIMEOUT, opened.root.next()).await {
            Ok(answer) => answer.map(|_| ()),
            Err(_) => {
                tracing::warn!(
                    "the NATS server has not confirmed a subscription in 5 s; going on without"
                );
                Ok(())
            }
        }
    }

    /// Publishes, waiting only when the connection is behind.
    pub(super) async fn publish(
        &self,
        subject: Subject,
        reply: Option<Subject>,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<(), CallError> {
        let bytes = payload.len();
        let client = &self.client;
        let sent = match (reply, headers) {
            (None, None) => client.publish(subject, payload).await,
            (Some(reply), None) => client.publish_with_reply(subject, reply, payload).await,
            (None, Some(headers)) => client.publish_with_headers(subject, headers, payload).await,
            (Some(reply), Some(headers)) => {
                client
                    .publish_with_reply_and_headers(subject, reply, headers, payload)
                    .await
            }
        };
        sent.map_err(|error| match error.kind() {
            PublishErrorKind::InvalidSubject => CallError::Malformed(
                "the interface's or function's name cannot stand in a subject".to_owned(),
            ),
            PublishErrorKind::MaxPayloadExceeded => CallError::TooLarge {
                what: "a NATS message".into(),
                bytes,
                limit: self.client.max_payload(),
            },
            _ => CallError::Transport(error.to_string()),
        })
    }

    /// Publishes later, from where nothing can wait. Best effort.
    pub(super) fn notify(&self, subject: Subject, headers: Option<HeaderMap>, payload: Bytes) {
        self.table.notify(Notice {
            subject,
            headers,
            payload,
        });
    }

    async fn subscribe(&self) -> Result<Inbox, CallError> {
        let subject = format!("{}>", self.table.prefix);
        let subscriber = self
            .client
            .subscribe(subject)
            .await
            .map_err(|error| CallError::Transport(error.to_string()))?;
        let (notices, pending) = mpsc::channel(MAX_NOTICES);
        let mut tasks = JoinSet::new();
        tasks.spawn(receive(subscriber, self.table.clone(), self.client.clone()));
        tasks.spawn(send_notices(pending, self.client.clone()));
        _ = self.table.notices.set(notices);
        Ok(Inbox { _tasks: tasks })
    }
}

/// Hands every message to its call. Never waits for one of them.
async fn receive(mut subscriber: Subscriber, table: Arc<Table>, client: Client) {
    let mut check = tokio::time::interval(CHECK_INTERVAL);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut link = Link {
        connected: true,
        connects: connects(&client),
    };
    loop {
        tokio::select! {
            message = subscriber.next() => match message {
                Some(message) => table.deliver(message),
                None => break,
            },
            _ = check.tick() => {
                // What has arrived counts, whatever became of the connection since.
                while let Some(Some(message)) = subscriber.next().now_or_never() {
                    table.deliver(message);
                }
                link = table.check(link, &client);
            }
        }
    }
    table.closed.store(true, Ordering::Release);
    table.fail(u64::MAX, &closed());
}

async fn send_notices(mut pending: mpsc::Receiver<Notice>, client: Client) {
    while let Some(Notice {
        subject,
        headers,
        payload,
    }) = pending.recv().await
    {
        let sent = match headers {
            None => client.publish(subject, payload).await,
            Some(headers) => client.publish_with_headers(subject, headers, payload).await,
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a notice to a peer was not sent");
        }
    }
}

impl Table {
    fn deliver(&self, message: Message) {
        let subject = message.subject.clone();
        let Some(rest) = subject.strip_prefix(self.prefix.as_str()) else {
            return;
        };
        let (id, rest) = rest.split_once('.').unwrap_or((rest, ""));
        let Ok(id) = id.parse::<u64>() else { return };
        let exchange = self.lock().get(&id).cloned();
        match exchange {
            Some(exchange) => exchange.deliver(rest, message),
            None => self.answer_for_the_dead(rest, message),
        }
    }

    /// Whoever still waits for something from a call that has ended here is told so.
    fn answer_for_the_dead(&self, rest: &str, message: Message) {
        if let Some(reply) = message.reply
            && rest == "probe"
        {
            let ended = CallError::Transport("the call has ended on the other side".to_owned());
            let headers = Some(headers::of_error(&ended));
            self.notify(Notice {
                subject: reply,
                headers,
                payload: Bytes::from(ended.to_string()),
            });
        }
    }

    fn notify(&self, notice: Notice) {
        if let Some(notices) = self.notices.get()
            && notices.try_send(notice).is_err()
        {
            tracing::debug!("a notice to a peer was left out: too many at once");
        }
    }

    /// Fails what was under way when the connection was lost. Calls made while there is none are sent once there is
    /// one again, and so go on.
    fn check(&self, before: Link, client: &Client) -> Link {
        let now = Link {
            connected: client.connection_state() == State::Connected,
            connects: connects(client),
        };
        let lost =
            || CallError::Transport("the connection to NATS was lost during the call".to_owned());
        if before.connected && !now.connected {
            self.fail(u64::MAX, &lost());
        } else if before.connected && now.connects != before.connects {
            self.fail(now.connects, &lost());
        }
        now
    }

    /// Fails the exchanges that began before the connection was made for the `born`th time.
    fn fail(&self, born: u64, error: &CallError) {
        let failed: Vec<_> = self
            .lock()
            .values()
            .filter(|one| one.born < born)
            .cloned()
            .collect();
        for exchange in failed {
            exchange.fail(error.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Exchange>>> {
        // Nothing panics while holding it.
        self.exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn connects(client: &Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}

fn closed() -> CallError {
    CallError::Transport("the connection to NATS is closed".to_owned())
}
