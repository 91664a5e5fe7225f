//! A link's subscriptions: the session that the broker keeps for it, and their messages.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{mpsc, watch},
    time::{Duration, Instant},
};
use tokio_util::task::AbortOnDropHandle;
use trellis_provider::config::SettingsError;

use crate::{
    config::{Receiving, ReceivingSession},
    connection::{Connection, Plan, Session, State},
    delivery::{Delivery, Recipient},
    live::Live,
    subscription::Subscription,
};

/// How many messages wait to be looked at.
const QUEUE: usize = 64;
/// After a refused subscription, when the broker is asked again.
const REFUSED_WAIT: Duration = Duration::from_secs(10);
/// How long a link that is put waits for the broker, beside the time that connecting has.
const READY_LIMIT: Duration = Duration::from_millis(1500);

/// What is to be subscribed to.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Counts the changes.
    version: u64,
    /// What the broker knows the link by.
    pub client_id: String,
    subscriptions: Vec<Subscription>,
}

impl Wanted {
    /// Whether a message on that topic is of one of the subscriptions.
    pub fn matches(&self, topic: &str) -> bool {
        self.subscriptions
            .iter()
            .any(|subscription| subscription.matches(topic))
    }
}

/// How far the broker has got with what is wanted.
#[derive(Clone, Debug)]
enum Subscribed {
    Not,
    /// That version.
    Done(u64),
    Failed(String),
}

/// The subscriptions that the broker's session may have, of this process's asking.
pub type Known = Mutex<BTreeSet<String>>;

/// A link that gets messages. Dropping it ends it at once.
pub struct Receiver {
    session: ReceivingSession,
    connection: Arc<Connection>,
    wanted: watch::Sender<Wanted>,
    subscribed: watch::Receiver<Subscribed>,
    known: Arc<Known>,
    delivery: Delivery,
    _subscriber: AbortOnDropHandle<()>,
}

impl Receiver {
    /// Begins to connect, subscribe and deliver. The session may have subscriptions of an earlier receiver's, which are ended
    /// where they are not wanted any more.
    ///
    /// # Errors
    /// Names the field of the settings that can't be used.
    pub fn open(
        settings: &Receiving,
        recipient: Recipient,
        known: Arc<Known>,
    ) -> Result<Self, SettingsError> {
        let session = settings.session.clone();
        let plan = Plan {
            server: session.server.clone(),
            client_id: session.client_id.clone(),
            session: Session::Kept {
                expiry_s: session.expiry_s,
                max_in_flight: session.max_in_flight,
            },
        };
        let (incoming, arriving) = mpsc::channel(QUEUE);
        let connection = Arc::new(Connection::open(plan, incoming)?);
        let (wanted, wants) = watch::channel(Wanted {
            version: 0,
            client_id: session.client_id.clone(),
            subscriptions: settings.subscriptions.clone(),
        });
        let (told, subscribed) = watch::channel(Subscribed::Not);
        let subscriber = Subscriber {
            connection: connection.clone(),
            wanted: wants.clone(),
            subscribed: told,
            at_least_once: session.at_least_once,
            known: known.clone(),
        };
        Ok(Self {
            delivery: Delivery::start(connection.clone(), arriving, wants, recipient),
            session,
            connection,
            wanted,
            subscribed,
            known,
            _subscriber: AbortOnDropHandle::new(tokio::spawn(subscriber.run())),
        })
    }

    /// What its session may have.
    pub fn known(&self) -> Arc<Known> {
        self.known.clone()
    }

    /// Whether other settings leave the connection as it is.
    pub fn is_of(&self, session: &ReceivingSession) -> bool {
        self.session == *session
    }

    /// Whether the broker has the same session for other settings.
    pub fn is_session(&self, of: &ReceivingSession) -> bool {
        let (own, of) = (
            (&self.session.server, &self.session.client_id),
            (&of.server, &of.client_id),
        );
        own.1 == of.1 && (&own.0.host, own.0.port) == (&of.0.host, of.0.port)
    }

    /// From now on these are the subscriptions, and who gets their messages.
    pub fn change(&self, subscriptions: Vec<Subscription>, recipient: Recipient) {
        self.delivery.redirect(recipient);
        self.wanted.send_if_modified(|wanted| {
            let changed = wanted.subscriptions != subscriptions;
            if changed {
                wanted.version += 1;
                wanted.subscriptions = subscriptions;
            }
            changed
        });
    }

    /// Waits until the broker has what is wanted, if it is there at all.
    ///
    /// # Errors
    /// It is not there, or does not want it.
    pub async fn ready(&self) -> Result<(), String> {
        let version = self.wanted.borrow().version;
        let deadline = Instant::now() + self.session.server.connect_timeout + READY_LIMIT;
        let ready = async {
            self.connection.tried().await?;
            let (mut subscribed, mut state) = (self.subscribed.clone(), self.connection.state());
            let there = subscribed.wait_for(|subscribed| match subscribed {
                Subscribed::Done(done) => *done >= version,
                Subscribed::Failed(_) => true,
                Subscribed::Not => false,
            });
            let ended = async {
                let ended = state.wait_for(|state| !matches!(state, State::Up(_))).await;
                ended.map(drop)
            };
            tokio::select! {
                there = there => match there.as_deref() {
                    Ok(Subscribed::Failed(why)) => Err(self.told(why)),
                    Ok(_) => Ok(()),
                    Err(_) => Err(self.told("the link is ended")),
                },
                _ = ended => {
                    Err(self.connection.problem().unwrap_or_else(|| self.told("the connection ended")))
                }
            }
        };
        match tokio::time::timeout_at(deadline, ready).await {
            Ok(ready) => ready,
            Err(_) => Err(self.told("the broker did not answer in time")),
        }
    }

    fn told(&self, why: &str) -> String {
        format!("MQTT at {}: {why}", self.connection.place())
    }

    /// What is wrong with it now, if anything.
    pub fn problem(&self) -> Option<String> {
        let refused = || match &*self.subscribed.borrow() {
            Subscribed::Failed(why) => Some(self.told(why)),
            Subscribed::Not | Subscribed::Done(_) => None,
        };
        self.connection.problem().or_else(refused)
    }

    /// Ends it: what the component has begun with is handled and acknowledged, then the broker keeps the session for the
    /// next connection, or forgets it with all its messages.
    pub async fn drain(self, forget: bool) {
        self.delivery.drain().await;
        self.connection.close(forget).await;
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Keeps the broker's subscriptions as they are wanted.
struct Subscriber {
    connection: Arc<Connection>,
    wanted: watch::Receiver<Wanted>,
    subscribed: watch::Sender<Subscribed>,
    at_least_once: bool,
    known: Arc<Known>,
}

impl Subscriber {
    async fn run(mut self) {
        let mut state = self.connection.state();
        loop {
            let live = match &*state.borrow_and_update() {
                State::Up(live) if !live.has_ended() => Some(live.clone()),
                State::Closing | State::Closed => return,
                // What has ended is about to be told.
                State::Connecting | State::Up(_) | State::Down(_) => None,
            };
            let Some(live) = live else {
                if state.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let wanted = self.wanted.borrow_and_update().clone();
            let mut again = None;
            match self.subscribe(&live, &wanted).await {
                Ok(()) => {
                    tracing::info!(client_id = wanted.client_id, subscriptions = ?wanted.subscriptions, "subscribed");
                    self.subscribed
                        .send_replace(Subscribed::Done(wanted.version));
                }
                Err(_) if live.has_ended() => {}
                Err(why) => {
                    tracing::error!(client_id = wanted.client_id, why, "not subscribed");
                    self.subscribed.send_replace(Subscribed::Failed(why));
                    again = Some(REFUSED_WAIT);
                }
            }
            let again = async {
                match again {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = live.ended() => {}
                changed = self.wanted.changed() => if changed.is_err() { return },
                () = again => {}
            }
        }
    }

    async fn subscribe(&self, live: &Arc<Live>, wanted: &Wanted) -> Result<(), String> {
        let now: BTreeSet<String> = wanted
            .subscriptions
            .iter()
            .map(ToString::to_string)
            .collect();
        let filters: Vec<&str> = now.iter().map(String::as_str).collect();
        lock(&self.known).extend(now.iter().cloned());
        // The new ones begin before the old ones end: no message falls between them.
        live.subscribe(&filters, self.at_least_once)
            .await
            .map_err(|error| error.to_string())?;
        let old: Vec<String> = lock(&self.known).difference(&now).cloned().collect();
        let filters: Vec<&str> = old.iter().map(String::as_str).collect();
        live.unsubscribe(&filters)
            .await
            .map_err(|error| error.to_string())?;
        *lock(&self.known) = now;
        Ok(())
    }
}

fn lock(known: &Known) -> MutexGuard<'_, BTreeSet<String>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
