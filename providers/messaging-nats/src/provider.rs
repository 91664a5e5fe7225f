//! Links in both directions: components that get messages, and components that send them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::client::RequestErrorKind;
use bytes::Bytes;
use futures::future::join_all;
use tokio::task::JoinSet;
use trellis_provider::{
    Health, Lattice, LinkConfig, LinkError, LinkTable, Provider, StartError,
    config::SettingsError,
    contract::LinkKey,
    messaging::{self, BrokerMessage, Messaging},
    rpc::{CallContext, Handler},
};

use crate::{
    config::MessagingConfig,
    connection::{Connection, Connections},
    delivery::{Delivery, Recipient},
    jetstream::{
        settings::{ConsumerSettings, Owner},
        setup::{self, SetupError},
        work::Work,
    },
    subscription::Subscription,
};

/// The longest that an answer is waited for.
const MAX_REQUEST_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// The provider.
pub struct MessagingNats {
    own: MessagingConfig,
    lattice: Lattice,
    connections: Connections,
    /// Who sends, and over which connection.
    senders: LinkTable<Arc<Connection>>,
    /// Who gets what.
    receivers: Mutex<HashMap<LinkKey, Receiver>>,
    /// Subscriptions and consumers that have ended, while what has come is handled.
    ending: Mutex<JoinSet<()>>,
}

/// A link's subscriptions, and its consumer.
struct Receiver {
    connection: Arc<Connection>,
    deliveries: HashMap<Subscription, Delivery>,
    work: Option<Work>,
}

impl Receiver {
    /// Ends all of it, once what has come is handled.
    async fn drain(self) {
        let deliveries = join_all(self.deliveries.into_values().map(Delivery::drain));
        let work = async {
            if let Some(work) = self.work {
                work.drain().await;
            }
        };
        futures::future::join(deliveries, work).await;
    }
}

impl Provider for MessagingNats {
    const NAME: &'static str = crate::NAME;
    type Config = MessagingConfig;
    type SourceConfig = MessagingConfig;
    type TargetConfig = MessagingConfig;

    async fn start(own: MessagingConfig, lattice: Lattice) -> Result<Self, StartError> {
        let none = MessagingConfig::default();
        // A wrong default is better told at once than with the first link.
        let checked = own
            .server(&none)
            .map(drop)
            .and_then(|()| own.pace(&none).map(drop));
        checked.map_err(|error| StartError(format!("the provider's configuration: {error}")))?;
        Ok(Self {
            own,
            connections: Connections::new(&lattice),
            lattice,
            senders: LinkTable::default(),
            receivers: Mutex::default(),
            ending: Mutex::default(),
        })
    }

    fn handler(self: &Arc<Self>) -> Option<Arc<dyn Handler>> {
        Some(messaging::handler(self.clone()))
    }

    async fn receive_link_config_as_source(
        &self,
        link: LinkConfig<MessagingConfig>,
    ) -> Result<(), LinkError> {
        let wrong = |error: SettingsError| link.config_error(error.field, error.problem);
        let subscriptions = link.config.subscriptions(&self.own).map_err(wrong)?;
        let pace = link.config.pace(&self.own).map_err(wrong)?;
        let connection = self.connection(&link).await?;
        for subscription in &subscriptions {
            let checked = connection.check_subscribe(&subscription.subject);
            checked.map_err(|error| link.config_error("subscriptions", error.to_string()))?;
        }
        let owner = Owner {
            lattice: self.lattice.name(),
            component: &link.target_id,
            link: &link.name,
        };
        let consumer = link.config.consumer(&self.own, owner).map_err(wrong)?;
        if subscriptions.is_empty() && consumer.is_none() {
            tracing::warn!(%link, "neither `subscriptions` nor a `stream`: the component gets no message over this link");
        }
        let recipient = Recipient {
            component: self.lattice.linked(&link),
            pace,
        };
        let earlier = self.take_work(&link.key(), &connection);
        let subscribed =
            self.subscribe(&link, connection.clone(), subscriptions, recipient.clone());
        let subscribed = subscribed.await;
        let consumed = self.consume(&link, connection, consumer, recipient, earlier);
        let consumed = consumed.await;
        subscribed.and(consumed)
    }

    async fn receive_link_config_as_target(
        &self,
        link: LinkConfig<MessagingConfig>,
    ) -> Result<(), LinkError> {
        let connection = self.connection(&link).await?;
        self.senders.put(&link.key(), connection);
        Ok(())
    }

    async fn delete_link_as_source(&self, link: &LinkKey) {
        let receiver = self.receivers().remove(link);
        self.end(receiver.into_iter().map(Receiver::drain));
    }

    async fn delete_link_as_target(&self, link: &LinkKey) {
        self.senders.remove(link);
    }

    async fn health(&self) -> Health {
        let receivers = self.receivers();
        let works = receivers
            .values()
            .filter_map(|receiver| receiver.work.as_ref());
        let troubles: Vec<String> = works.filter_map(Work::trouble).collect();
        Health {
            healthy: troubles.is_empty(),
            message: (!troubles.is_empty()).then(|| troubles.join("; ")),
        }
    }

    async fn shutdown(&self) {
        let receivers = std::mem::take(&mut *self.receivers());
        join_all(receivers.into_values().map(Receiver::drain)).await;
        let mut ending = std::mem::take(&mut *self.ending());
        while ending.join_next().await.is_some() {}
    }

    async fn ended(&self) {
        let sent = self.senders.values();
        let mut connections: Vec<&Arc<Connection>> = sent.iter().map(|sender| &**sender).collect();
        connections.sort_by_key(|connection| Arc::as_ptr(connection));
        connections.dedup_by_key(|connection| Arc::as_ptr(connection));
        let flushed = connections
            .iter()
            .map(|connection| connection.client.flush());
        // What was published last is still on its way to a server of its own.
        for error in join_all(flushed).await.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "a NATS server doesn't take the last messages");
        }
    }
}

impl MessagingNats {
    async fn connection(
        &self,
        link: &LinkConfig<MessagingConfig>,
    ) -> Result<Arc<Connection>, LinkError> {
        let server = link.config.server(&self.own);
        let server = server.map_err(|error| link.config_error(error.field, error.problem))?;
        let connection = self.connections.get(server.as_ref()).await;
        connection.map_err(|error| LinkError::Unavailable(format!("{link}: {error}")))
    }

    /// Makes a link's subscriptions what they should be. One that is there goes on, with the new recipient; a new one
    /// begins before an old one ends, so no message falls between them.
    async fn subscribe(
        &self,
        link: &LinkConfig<MessagingConfig>,
        connection: Arc<Connection>,
        subscriptions: Vec<Subscription>,
        recipient: Recipient,
    ) -> Result<(), LinkError> {
        // Links come one after the other: nobody else looks for this one while it is out.
        let earlier = self.receivers().remove(&link.key());
        let (mut kept, mut ended) = match earlier {
            Some(receiver) if Arc::ptr_eq(&receiver.connection, &connection) => {
                (receiver.deliveries, HashMap::new())
            }
            Some(receiver) => (HashMap::new(), receiver.deliveries),
            None => (HashMap::new(), HashMap::new()),
        };
        ended.extend(kept.extract_if(|subscription, _| !subscriptions.contains(subscription)));
        let mut outcome = Ok(());
        for subscription in subscriptions {
            if let Some(delivery) = kept.get(&subscription) {
                delivery.redirect(recipient.clone());
                continue;
            }
            match Delivery::start(&connection, &subscription, recipient.clone()).await {
                Ok(delivery) => drop(kept.insert(subscription, delivery)),
                Err(error) => {
                    outcome = Err(LinkError::Unavailable(format!(
                        "{link}: {subscription}: {error}"
                    )));
                }
            }
        }
        // The server has to know the new ones before it is told of the old ones' end.
        if let Err(error) = connection.client.flush().await {
            outcome = Err(LinkError::Unavailable(format!("{link}: {error}")));
        }
        self.receivers().insert(
            link.key(),
            Receiver {
                connection,
                deliveries: kept,
                work: None,
            },
        );
        self.end(ended.into_values().map(Delivery::drain));
        outcome
    }

    /// Takes a link's consumer out, and tells whether it goes over that connection.
    fn take_work(&self, link: &LinkKey, connection: &Arc<Connection>) -> Option<(Work, bool)> {
        let mut receivers = self.receivers();
        let receiver = receivers.get_mut(link)?;
        let same = Arc::ptr_eq(&receiver.connection, connection);
        receiver.work.take().map(|work| (work, same))
    }

    /// Makes a link's consumer what it should be. One of equal settings goes on, with the new recipient.
    async fn consume(
        &self,
        link: &LinkConfig<MessagingConfig>,
        connection: Arc<Connection>,
        settings: Option<ConsumerSettings>,
        recipient: Recipient,
        earlier: Option<(Work, bool)>,
    ) -> Result<(), LinkError> {
        let work = match (settings, earlier) {
            (Some(settings), Some((work, true))) if *work.settings() == settings => {
                work.redirect(recipient);
                Some(work)
            }
            (settings, earlier) => {
                self.end(earlier.into_iter().map(|(work, _)| work.drain()));
                match settings {
                    Some(settings) => Some(start(link, connection, settings, recipient).await?),
                    None => None,
                }
            }
        };
        if let Some(receiver) = self.receivers().get_mut(&link.key()) {
            receiver.work = work;
        }
        Ok(())
    }

    /// Lets what has ended come to its end by itself.
    fn end(&self, drains: impl Iterator<Item = impl Future<Output = ()> + Send + 'static>) {
        let mut ending = self.ending();
        while ending.try_join_next().is_some() {}
        for drain in drains {
            ending.spawn(drain);
        }
    }

    fn receivers(&self) -> std::sync::MutexGuard<'_, HashMap<LinkKey, Receiver>> {
        self.receivers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn ending(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sender(&self, context: &CallContext) -> Result<Arc<Connection>, String> {
        let connection = self
            .senders
            .get(context)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Arc::clone(&*connection))
    }
}

/// Starts a link's consumer.
async fn start(
    link: &LinkConfig<MessagingConfig>,
    connection: Arc<Connection>,
    settings: ConsumerSettings,
    recipient: Recipient,
) -> Result<Work, LinkError> {
    let ready = setup::ready(&connection, &settings).await;
    let ready = ready.map_err(|error| match error {
        SetupError::Setting { field, problem } => link.config_error(field, problem),
        SetupError::Unavailable(why) => LinkError::Unavailable(format!("{link}: {why}")),
    })?;
    Ok(Work::start(connection, settings, ready, recipient))
}

impl Messaging for MessagingNats {
    async fn publish(&self, context: &CallContext, message: BrokerMessage) -> Result<(), String> {
        let connection = self.sender(context).await?;
        let BrokerMessage {
            subject,
            body,
            reply_to,
        } = message;
        connection
            .check_publish(&subject)
            .map_err(|error| error.to_string())?;
        if let Some(reply_to) = &reply_to {
            // Else an answer could be led to where the component itself may not publish.
            let checked = connection.check_publish(reply_to);
            checked.map_err(|error| format!("reply-to: {error}"))?;
        }
        let client = &connection.client;
        let published = match reply_to {
            Some(reply_to) => client.publish_with_reply(subject, reply_to, body).await,
            None => client.publish(subject, body).await,
        };
        published.map_err(|error| error.to_string())
    }

    async fn request(
        &self,
        context: &CallContext,
        subject: String,
        body: Bytes,
        timeout: Duration,
    ) -> Result<BrokerMessage, String> {
        let connection = self.sender(context).await?;
        connection
            .check_request(&subject)
            .map_err(|error| error.to_string())?;
        let request = async_nats::Request::new()
            .payload(body)
            .timeout(Some(timeout.min(MAX_REQUEST_TIMEOUT)));
        let answer = connection
            .client
            .send_request(subject.clone(), request)
            .await;
        let answer = answer.map_err(|error| match error.kind() {
            RequestErrorKind::TimedOut => {
                format!(
                    "no answer from {subject:?} within {} ms",
                    timeout.as_millis()
                )
            }
            RequestErrorKind::NoResponders => format!("nobody answers at {subject:?}"),
            _ => error.to_string(),
        })?;
        Ok(BrokerMessage {
            subject: answer.subject.into_string(),
            body: answer.payload,
            reply_to: answer.reply.map(async_nats::Subject::into_string),
        })
    }
}
