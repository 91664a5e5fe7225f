//! What the host says to a provider while it runs: links, configuration, health, shutdown (`wasmcloud-v1.md`, Providers).

use std::{sync::Arc, time::Duration};

use async_nats::{Client, HeaderMap, Message, PublishError, Subscriber};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trellis_lattice::{
    HostId, LinkKey, ResolvedLink,
    config::Config,
    control::host::ComponentStats,
    from_json, header,
    provider::{Health, HealthAnswer, HostData, Shutdown},
    subject::Subjects,
};
use trellis_rpc::stats::Stats;

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
/// How long the first links may take before the provider goes on without them, and one link when it ends.
const LINKS_PATIENCE: Duration = Duration::from_secs(3);
/// How much of a health message is sent.
const MAX_HEALTH_MESSAGE: usize = 1024;

/// The provider's subjects, subscribed to.
pub(crate) struct Subscriptions {
    links: Subscriber,
    links_with_secrets: Option<Subscriber>,
    /// Every host's that runs a provider of this id, as in 1.x, and this one's own.
    health: [Subscriber; 2],
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
            // Links with secrets, and from a 1.x host all of them once more, are put to the provider's X key.
            Some(keys) => {
                Some(subscribe(subjects.provider_link_put(&keys.provider_public())).await?)
            }
            None => None,
        };
        let subscriptions = Self {
            links: subscribe(subjects.provider_links(id.as_str())).await?,
            links_with_secrets,
            health: [
                subscribe(subjects.provider_health(id)).await?,
                subscribe(subjects.provider_health_on(id, &data.host_id)).await?,
            ],
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
    links: AbortOnDropHandle<Ended>,
    no_more_links: CancellationToken,
    links_ready: oneshot::Receiver<()>,
    answer: Option<oneshot::Sender<()>>,
}

/// Why a task ended.
enum Ended {
    /// The host asked for it.
    Shutdown,
    /// NATS ended the subscription: the connection was closed for good.
    Subscription,
    /// The provider is ending.
    NoMoreLinks,
}

impl Control {
    /// Begins to listen, and takes the links that are there already.
    pub(crate) fn start<P: Provider>(
        lattice: &Lattice,
        provider: Arc<P>,
        links: Links<P>,
        first_links: Vec<ResolvedLink>,
        subscriptions: Subscriptions,
        own_secrets: Secrets,
        stats: Arc<Stats>,
    ) -> Self {
        let (ready, links_ready) = oneshot::channel();
        let no_more_links = CancellationToken::new();
        let failures = links.failures();
        let messages = match subscriptions.links_with_secrets {
            Some(more) => futures::stream::select(subscriptions.links, more).left_stream(),
            None => subscriptions.links.right_stream(),
        };
        let following = follow_links(links, first_links, ready, messages, no_more_links.clone());
        let links = AbortOnDropHandle::new(tokio::spawn(following));
        let mut tasks = JoinSet::new();
        let client = lattice.nats().clone();
        tasks.spawn(follow_config(
            provider.clone(),
            own_secrets,
            subscriptions.config,
        ));
        tasks.spawn(await_shutdown(
            client.clone(),
            lattice.host_id().clone(),
            subscriptions.shutdown,
        ));
        // Not before the provider is ready: a host takes the first answer as the sign that it works.
        let (answer, answers) = oneshot::channel();
        let lattice = lattice.clone();
        let [shared, own] = subscriptions.health;
        let requests = futures::stream::select(shared, own);
        tasks.spawn(async move {
            // An error means that it is ending before it was ready.
            let _ = answers.await;
            answer_health(&lattice, &stats, provider, failures, requests).await
        });
        Self {
            tasks,
            links,
            no_more_links,
            links_ready,
            answer: Some(answer),
        }
    }

    /// Waits until the first links were taken, or have had their time.
    ///
    /// # Errors
    /// As [`Control::ended`].
    pub(crate) async fn links_ready(&mut self) -> Result<(), Option<RunError>> {
        tokio::select! {
            ready = tokio::time::timeout(LINKS_PATIENCE, &mut self.links_ready) => {
                if ready.is_err() {
                    tracing::warn!("the first links take long, going on without them");
                }
                Ok(())
            }
            outcome = next_end(&mut self.tasks, &mut self.links) => Err(outcome.err()),
        }
    }

    /// Answers health requests from now on, those that have come meanwhile too.
    pub(crate) fn answer_health(&mut self) {
        // The task that waits for it ends with this value only.
        self.answer.take().map(|answer| answer.send(()).ok());
    }

    /// Waits until the host asks for the end (that is no error) or something fails.
    pub(crate) async fn ended(&mut self) -> Result<(), RunError> {
        next_end(&mut self.tasks, &mut self.links).await
    }

    /// Takes no more links. One that is being taken is finished, so that the provider knows what it has.
    pub(crate) async fn end_links(&mut self) {
        self.no_more_links.cancel();
        if !self.links.is_finished()
            && tokio::time::timeout(LINKS_PATIENCE, &mut self.links)
                .await
                .is_err()
        {
            self.links.abort();
        }
    }
}

async fn next_end(
    tasks: &mut JoinSet<Ended>,
    links: &mut AbortOnDropHandle<Ended>,
) -> Result<(), RunError> {
    let ended = tokio::select! {
        Some(ended) = tasks.join_next() => ended,
        ended = links => ended,
    };
    match ended {
        Ok(Ended::Shutdown) => Ok(()),
        Ok(Ended::Subscription | Ended::NoMoreLinks) => {
            Err(RunError::Nats("the connection was closed".to_owned()))
        }
        Err(error) => Err(RunError::Panicked(error.to_string())),
    }
}

async fn follow_links<P: Provider>(
    mut links: Links<P>,
    first_links: Vec<ResolvedLink>,
    ready: oneshot::Sender<()>,
    mut messages: impl Stream<Item = Message> + Unpin,
    no_more: CancellationToken,
) -> Ended {
    for link in first_links {
        links.put(link).await;
    }
    // Nobody waits any more when it took too long.
    let _ = ready.send(());
    loop {
        let retry = links.next_retry();
        tokio::select! {
            biased;
            () = no_more.cancelled() => return Ended::NoMoreLinks,
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
    lattice: &Lattice,
    stats: &Stats,
    provider: Arc<P>,
    failures: watch::Receiver<Vec<String>>,
    mut requests: impl Stream<Item = Message> + Unpin,
) -> Ended {
    while let Some(request) = requests.next().await {
        let Some(reply) = request.reply else { continue };
        let answer = HealthAnswer {
            health: health(&*provider, &failures).await,
            stats: Some(ComponentStats {
                made: lattice.calls_made(),
                ..stats.tell()
            }),
        };
        match serde_json::to_vec(&answer) {
            Ok(payload) => {
                // Another host that runs a provider of this id is not to take the answer for that one's.
                let mut headers = HeaderMap::new();
                headers.insert(header::HOST, lattice.host_id().as_str());
                let told = lattice
                    .nats()
                    .publish_with_headers(reply, headers, payload.into());
                refused(told.await);
            }
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
            let answer = Bytes::from_static(b"shutting down");
            refused(client.publish(reply, answer).await);
        }
        tracing::info!(why = "the host asks for it", "shutting down");
        return Ended::Shutdown;
    }
    Ended::Subscription
}

fn refused(told: Result<(), PublishError>) {
    if let Err(error) = told {
        tracing::warn!(%error, "NATS doesn't take an answer");
    }
}
