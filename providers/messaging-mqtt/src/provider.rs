//! Links in both directions: components that get messages, and components that send them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::future::join_all;
use tokio::task::JoinSet;
use trellis_provider::{
    Health, Lattice, LinkConfig, LinkError, LinkTable, Provider, Shared, StartError,
    config::SettingsError,
    contract::LinkKey,
    messaging::{self, BrokerMessage, Messaging},
    rpc::{CallContext, Handler},
};

use crate::{
    config::{MqttConfig, Names, Sending},
    delivery::Recipient,
    receiver::Receiver,
    sender::Sender,
};

/// How long a link that is changed waits for what its component has begun with, before another connection takes the
/// session over. What is not acknowledged by then comes again.
const CHANGE_LIMIT: Duration = Duration::from_secs(2);

/// The provider.
pub struct MessagingMqtt {
    own: MqttConfig,
    lattice: Lattice,
    /// Who sends, and over which connection.
    senders: LinkTable<Arc<Sender>>,
    connections: Shared<Sending, Sender>,
    /// Who gets what.
    receivers: Mutex<HashMap<LinkKey, Receiver>>,
    /// Links that have ended, while what their components began with is handled.
    ending: Mutex<JoinSet<()>>,
}

impl Provider for MessagingMqtt {
    const NAME: &'static str = crate::NAME;
    type Config = MqttConfig;
    type SourceConfig = MqttConfig;
    type TargetConfig = MqttConfig;

    async fn start(own: MqttConfig, lattice: Lattice) -> Result<Self, StartError> {
        // A wrong default is better told at once than with the first link.
        own.check_default()
            .map_err(|error| StartError(format!("the provider's configuration: {error}")))?;
        Ok(Self {
            own,
            lattice,
            senders: LinkTable::default(),
            connections: Shared::default(),
            receivers: Mutex::default(),
            ending: Mutex::default(),
        })
    }

    fn handler(self: &Arc<Self>) -> Option<Arc<dyn Handler>> {
        Some(messaging::handler(self.clone()))
    }

    async fn receive_link_config_as_source(
        &self,
        link: LinkConfig<MqttConfig>,
    ) -> Result<(), LinkError> {
        let wrong = |error: SettingsError| link.config_error(error.field, error.problem);
        let name = link.name.to_string();
        let settings = link
            .config
            .receiving(&self.own, self.names(), &name)
            .map_err(wrong)?;
        if settings.subscriptions.is_empty() {
            tracing::warn!(%link, "no `subscriptions`: the component gets no message over this link");
        }
        let recipient = Recipient {
            component: self.lattice.linked(&link),
            pace: settings.pace.clone(),
        };
        // Links come one after the other: nobody else looks for this one while it is out.
        let earlier = self.receivers().remove(&link.key());
        let receiver = match earlier {
            Some(receiver) if receiver.is_of(&settings.session) => {
                receiver.change(settings.subscriptions, recipient);
                receiver
            }
            earlier => {
                let mut known = Arc::default();
                if let Some(earlier) = earlier {
                    // Another session has other subscriptions.
                    if earlier.is_session(&settings.session) {
                        known = earlier.known();
                    }
                    let forget = !earlier.is_session(&settings.session);
                    self.end(earlier, forget);
                    self.ended(CHANGE_LIMIT).await;
                }
                Receiver::open(&settings, recipient, known).map_err(wrong)?
            }
        };
        let ready = receiver.ready().await;
        // It goes on connecting either way: what is told now is asked for again.
        self.receivers().insert(link.key(), receiver);
        ready.map_err(|why| LinkError::Unavailable(format!("{link}: {why}")))
    }

    async fn receive_link_config_as_target(
        &self,
        link: LinkConfig<MqttConfig>,
    ) -> Result<(), LinkError> {
        let wrong = |error: SettingsError| link.config_error(error.field, error.problem);
        let settings = link
            .config
            .sending(&self.own, self.names())
            .map_err(wrong)?;
        let sender = match self.connections.get(&settings) {
            Some(sender) => sender,
            None => {
                let sender = Sender::open(&settings).map_err(wrong)?;
                self.connections.put(settings, sender)
            }
        };
        // Calls find it either way, and wait for the broker as they do when it goes away later.
        self.senders.put(&link.key(), sender.clone());
        let tried = sender.connection().tried().await;
        tried.map_err(|why| LinkError::Unavailable(format!("{link}: {why}")))?;
        Ok(())
    }

    async fn delete_link_as_source(&self, link: &LinkKey) {
        let receiver = self.receivers().remove(link);
        if let Some(receiver) = receiver {
            self.end(receiver, true);
        }
    }

    async fn delete_link_as_target(&self, link: &LinkKey) {
        self.senders.remove(link);
    }

    async fn health(&self) -> Health {
        let senders = self.senders.values();
        let mut problems: Vec<String> = senders
            .iter()
            .filter_map(|sender| sender.connection().problem())
            .chain(self.receivers().values().filter_map(Receiver::problem))
            .collect();
        problems.sort();
        problems.dedup();
        Health {
            healthy: problems.is_empty(),
            message: (!problems.is_empty()).then(|| problems.join("; ")),
        }
    }

    async fn shutdown(&self) {
        let receivers = std::mem::take(&mut *self.receivers());
        join_all(
            receivers
                .into_values()
                .map(|receiver| receiver.drain(false)),
        )
        .await;
        let mut ending = std::mem::take(&mut *self.ending());
        while ending.join_next().await.is_some() {}
    }
}

impl MessagingMqtt {
    fn names(&self) -> Names<'_> {
        Names {
            lattice: self.lattice.name().as_str(),
            provider: self.lattice.provider_id().as_str(),
            host: self.lattice.host_id().as_str(),
        }
    }

    /// Lets a link end by itself.
    fn end(&self, receiver: Receiver, forget: bool) {
        let mut ending = self.ending();
        while ending.try_join_next().is_some() {}
        ending.spawn(receiver.drain(forget));
    }

    /// Waits until links that end have ended, for so long.
    async fn ended(&self, limit: Duration) {
        let mut ending = std::mem::take(&mut *self.ending());
        let all = async { while ending.join_next().await.is_some() {} };
        let late = tokio::time::timeout(limit, all).await.is_err();
        if late {
            *self.ending() = ending;
        }
    }

    fn receivers(&self) -> MutexGuard<'_, HashMap<LinkKey, Receiver>> {
        self.receivers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn ending(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sender(&self, context: &CallContext) -> Result<Arc<Sender>, String> {
        let sender = self.senders.get(context).await;
        let sender = sender.map_err(|error| error.to_string())?;
        Ok(Arc::clone(&*sender))
    }
}

impl Messaging for MessagingMqtt {
    async fn publish(&self, context: &CallContext, message: BrokerMessage) -> Result<(), String> {
        self.sender(context).await?.publish(context, message).await
    }

    async fn request(
        &self,
        context: &CallContext,
        subject: String,
        body: Bytes,
        timeout: Duration,
    ) -> Result<BrokerMessage, String> {
        let sender = self.sender(context).await?;
        sender.request(context, subject, body, timeout).await
    }
}
