//! What the host says to a provider while it runs: links, configuration, health, shutdown (`wasmcloud-v1.md`, Providers).

use std::{sync::Arc, time::Duration};

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
};
use trellis_lattice::{
    HostId, LinkKey, ResolvedLink,
    config::Config,
    from_json,
    provider::{Health, HostData, Shutdown},
    subject::Subjects,
};

use crate::{
    config::from_config,
    error::RunError,
    lattice::Lattice,
    links::Links,
    provider::Provider,
    secrets::{self, SecretKeys, Secrets},
};

/// How long the provider may think about its health. The host's own patience is a little longer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of a health message is sent.
const MAX_HEALTH_MESSAGE: usize = 1024;

/// The provider's subjects, subscribed to.
pub(crate) struct Subscriptions {
    links: Subscriber,
    links_with_secrets: Option<Subscriber>,
    health: Subscriber,
    config: Subscriber,
    shutdown: Subscriber,
}

impl Subscriptions {
    /// Subscribes, and waits until the server knows.
    pub(crate) async fn new(
        client: &Client,
        data: &HostData,
        keys: Option<&SecretKeys>,
    ) -> Result<Self, RunError> {
        let subjects = Subjects::new(data.lattice_rpc_prefix.clone());
        let id = &data.provider_key;
        let subscribe = async |subject: String| {
            client
                .subscribe(subject)
                .await
                .map_err(|error| RunError::Nats(error.to_string()))
        };
        let links_with_secrets = match keys {
            // A 1.x host puts each link a second time, with its secrets, to the provider's X key.
            Some(keys) => {
                Some(subscribe(subjects.provider_link_put(&keys.provider_public())).await?)
            }
            None => None,
        };
        let subscriptions = Self {
            links: subscribe(subjects.provider_links(id.as_str())).await?,
            links_with_secrets,
            health: subscribe(subjects.provider_health(id)).await?,
            config: subscribe(subjects.provider_config_update(id)).await?,
            shutdown: subscribe(subjects.provider_shutdown(id)).await?,
        };
        client
            .flush()
            .await
            .map_err(|error| RunError::Nats(error.to_string()))?;
        Ok(subscriptions)
    }
}

/// The tasks that listen to the host. Dropping it ends them.
pub(crate) struct Control {
    tasks: JoinSet<Ended>,
    links: AbortHandle,
}

/// Why a task ended.
enum Ended {
    /// The host asked for it.
    Shutdown,
    /// NATS ended the subscription: the connection was closed for good.
    Subscription,
}

impl Control {
    pub(crate) fn start<P: Provider>(
        lattice: &Lattice,
        provider: Arc<P>,
        links: Links<P>,
        subscriptions: Subscriptions,
        own_secrets: Secrets,
    ) -> Self {
        let mut tasks = JoinSet::new();
        let client = lattice.nats().clone();
        let failures = links.failures();
        tasks.spawn(answer_health(
            client.clone(),
            provider.clone(),
            failures,
            subscriptions.health,
        ));
        tasks.spawn(follow_config(provider, own_secrets, subscriptions.config));
        tasks.spawn(await_shutdown(
            client,
            lattice.host_id().clone(),
            subscriptions.shutdown,
        ));
        let messages = match subscriptions.links_with_secrets {
            Some(more) => futures::stream::select(subscriptions.links, more).left_stream(),
            None => subscriptions.links.right_stream(),
        };
        let links = tasks.spawn(follow_links(links, messages));
        Self { tasks, links }
    }

    /// Waits until the host asks for the end (that is no error) or something fails.
    pub(crate) async fn ended(&mut self) -> Result<(), RunError> {
        match self.tasks.join_next().await {
            Some(Ok(Ended::Shutdown)) => Ok(()),
            Some(Ok(Ended::Subscription)) | None => {
                Err(RunError::Nats("the connection was closed".to_owned()))
            }
            Some(Err(error)) => Err(RunError::Panicked(error.to_string())),
        }
    }

    /// Takes no more links.
    pub(crate) fn stop_links(&self) {
        self.links.abort();
    }
}

async fn follow_links<P: Provider>(
    mut links: Links<P>,
    mut messages: impl Stream<Item = Message> + Unpin,
) -> Ended {
    loop {
        let retry = links.next_retry();
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => follow_link(&mut links, &message).await,
                None => return Ended::Subscription,
            },
            () = sleep_until(retry) => links.retry().await,
        }
    }
}

async fn sleep_until(when: Option<tokio::time::Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

async fn follow_link<P: Provider>(links: &mut Links<P>, message: &Message) {
    let failed = if message.subject.ends_with(".del") {
        match from_json::<LinkKey>("linkdefs.del message", &message.payload) {
            Ok(key) => return links.delete(&key).await,
            Err(error) => error,
        }
    } else {
        match from_json::<ResolvedLink>("linkdefs.put message", &message.payload) {
            Ok(link) => return links.put(link).await,
            Err(error) => error,
        }
    };
    tracing::error!(error = %failed, subject = %message.subject, "the host's message is ignored");
}

async fn answer_health<P: Provider>(
    client: Client,
    provider: Arc<P>,
    failures: watch::Receiver<Vec<String>>,
    mut requests: Subscriber,
) -> Ended {
    while let Some(request) = requests.next().await {
        let Some(reply) = request.reply else { continue };
        let health = health(&*provider, &failures).await;
        match serde_json::to_vec(&health) {
            Ok(payload) => publish(&client, reply, payload.into()).await,
            Err(error) => tracing::error!(%error, "the health can't be told"),
        }
    }
    Ended::Subscription
}

/// The provider's own health, and the links it could not take.
async fn health<P: Provider>(provider: &P, failures: &watch::Receiver<Vec<String>>) -> Health {
    let own = tokio::time::timeout(HEALTH_TIMEOUT, provider.health()).await;
    let own = own.unwrap_or_else(|_| Health {
        healthy: false,
        message: Some(format!(
            "no answer about its health within {} s",
            HEALTH_TIMEOUT.as_secs()
        )),
    });
    let mut problems = failures.borrow().clone();
    if problems.is_empty() {
        return own;
    }
    if !own.healthy {
        problems.insert(0, own.message.unwrap_or_else(|| "unhealthy".to_owned()));
    }
    let message: String = problems
        .join("; ")
        .chars()
        .take(MAX_HEALTH_MESSAGE)
        .collect();
    Health {
        healthy: false,
        message: Some(message),
    }
}

async fn follow_config<P: Provider>(
    provider: Arc<P>,
    own_secrets: Secrets,
    mut updates: Subscriber,
) -> Ended {
    while let Some(update) = updates.next().await {
        let config = match from_json::<Config>("config.update message", &update.payload) {
            Ok(config) => secrets::merge(&config, &own_secrets),
            Err(error) => {
                tracing::error!(%error, "the new configuration is ignored");
                continue;
            }
        };
        match from_config("the provider's configuration", &config) {
            Ok(config) => provider.update_config(config).await,
            Err(error) => tracing::error!(%error, "the new configuration is ignored"),
        }
    }
    Ended::Subscription
}

async fn await_shutdown(client: Client, host_id: HostId, mut requests: Subscriber) -> Ended {
    while let Some(request) = requests.next().await {
        match from_json::<Shutdown>("shutdown message", &request.payload) {
            // Two hosts may run a provider of one id; each ends its own.
            Ok(shutdown) if shutdown.host_id != host_id => continue,
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "ignored");
                continue;
            }
        }
        if let Some(reply) = request.reply {
            publish(&client, reply, Bytes::from_static(b"shutting down")).await;
        }
        tracing::info!(why = "the host asks for it", "shutting down");
        return Ended::Shutdown;
    }
    Ended::Subscription
}

async fn publish(client: &Client, subject: async_nats::Subject, payload: Bytes) {
    if let Err(error) = client.publish(subject, payload).await {
        tracing::warn!(%error, "NATS doesn't take an answer");
    }
}
