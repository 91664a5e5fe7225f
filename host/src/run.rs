//! A host's life: joining the lattice, working, leaving it in order.

use std::{fs, os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc, time::Duration};

use async_nats::Client;
use tokio::{
    sync::{Semaphore, oneshot, watch},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trellis_lattice::{
    HostId, Place,
    claims::{Issuer, IssuerPolicy},
    client::{ControlClient, ControlError},
    subject::Subjects,
};
use trellis_registry::{Cache, Images};
use trellis_rpc::nats::{NatsOptions, NatsRpc, Whereabouts};

use crate::{
    HostConfig, HostError, alive,
    components::Components,
    control::Control,
    credentials::Credentials,
    events::Events,
    fence::Fence,
    host::Host,
    identity::Identity,
    lane::Lane,
    links::LinkTable,
    nearby::Nearby,
    order::Order,
    providers::{Providers, Spawner, Unpacking},
    resume::{self, Ledger},
    round_trip::round_trip,
    routes::HostRoutes,
    runtime::{LocalActors, Runtime, RuntimeConfig},
    secrets::Secrets,
    store::{self, Bucket, Store, StoreError, View},
};

/// How long reading the lattice's state may take when a host joins.
const FIRST_SYNC: Duration = Duration::from_secs(15);
/// How long another host of the same key may take to answer.
const ANYBODY: Duration = Duration::from_secs(1);
/// How many requests may be accepted and not done yet; more are refused, and may come again.
const MAX_ACCEPTED: usize = 4096;
/// How long the last messages may take to go out.
const FLUSH: Duration = Duration::from_secs(2);

/// Runs a host until `shutdown` is cancelled or the lattice asks it to stop. `ready` gets the host's id when it
/// answers requests. Dropping the future ends everything the host started, at once.
///
/// # Errors
/// [`HostError`]: why the host could not join the lattice.
pub async fn run(
    config: HostConfig,
    ready: oneshot::Sender<HostId>,
    shutdown: CancellationToken,
) -> Result<(), HostError> {
    let joined = shutdown.run_until_cancelled(join(config)).await;
    let Some(host) = joined.transpose()? else {
        return Ok(());
    };
    // Whatever becomes of this future: what it started ends with it.
    let _ended = host.abort.clone().drop_guard();
    work(&host, ready, &shutdown).await
}

/// Connects, and reads who we are and what we need.
async fn join(mut config: HostConfig) -> Result<Arc<Host>, HostError> {
    let identity = Identity::new(&config)?;
    let place = Place::of_labels(&config.labels)?;
    let policy = policy(&config)?;
    let credentials = Credentials::of_providers(&config)?;
    let name = format!("host {}", identity.id);
    let lane = Lane::start().map_err(HostError::Thread)?;
    let (settings, own) = (config.nats.clone(), name.clone());
    let (client, connections) = lane
        .run(async move { settings.connect_counted(own).await })
        .await
        .map_err(HostError::Thread)??;
    if config.host_key.is_some() {
        alone(&client, &config, &identity).await?;
    }
    // Of its own, so that large calls don't hold up heartbeats and control.
    let calls = config.nats.connect(format!("{name} calls")).await?;

    let subjects = Subjects::new(config.lattice.clone());
    let store = Store::new(
        client.clone(),
        config.js_domain.as_deref(),
        config.lattice.clone(),
        config.nats.servers(),
    );
    store.reach().await?;

    make_private(&config.data_dir)?;
    let runtime_config = RuntimeConfig {
        cache_dir: Some(config.cache_dir.clone()),
        ..config.runtime.clone()
    };
    let runtime = tokio::task::spawn_blocking(|| Runtime::new(runtime_config))
        .await
        .map_err(|error| HostError::Thread(error.into()))??;
    config.data_dir = fs::canonicalize(&config.data_dir).map_err(|source| HostError::Folder {
        path: config.data_dir.clone(),
        source,
    })?;

    let images = Images::new(
        config.registries.clone(),
        config.registry_allow_latest,
        Cache::open(&config.data_dir.join("images"), config.registry_cache_bytes)?,
    );
    let unpacked_to = config.data_dir.join("providers");
    let unpacking = Unpacking::within(&unpacked_to).map_err(|source| HostError::Folder {
        path: unpacked_to,
        source,
    })?;
    let whereabouts = Whereabouts {
        host: Some(identity.id.clone()),
        place,
    };
    let (lattice, options) = (config.lattice.clone(), NatsOptions::default());
    let rpc = NatsRpc::at(calls.clone(), lattice, options, whereabouts);
    let ledger = match &config.host_key {
        Some(_) => Ledger::in_folder(&config.data_dir),
        None => Ledger::default(),
    };
    let locals = Arc::new(LocalActors::default());
    let nearby = Arc::new(Nearby::listen(&config.data_dir));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Arc::new(Host {
        events: Events::new(client.clone(), subjects.clone(), identity.id.clone()),
        links: Arc::new(LinkTable::new(Arc::new(HostRoutes::new(
            locals.clone(),
            nearby.clone(),
            rpc.clone(),
        )))),
        locals,
        secrets: Secrets::new(client.clone(), config.secrets_topic.clone(), &identity)?,
        config: Arc::new(config),
        identity,
        policy: Arc::new(policy),
        credentials,
        client,
        calls,
        connections,
        subjects,
        rpc,
        nearby,
        store,
        lane,
        view: Arc::new(View::new()),
        runtime,
        images,
        unpacking,
        components: Components::default(),
        providers: Providers::default(),
        spawner: Spawner::new().map_err(HostError::Thread)?,
        fence: Fence::default(),
        ledger,
        ids: Order::default(),
        configs: Order::default(),
        loads: Semaphore::new(processors),
        accepting: Arc::new(Semaphore::new(MAX_ACCEPTED)),
        work: TaskTracker::new(),
        abort: CancellationToken::new(),
        stopping: CancellationToken::new(),
        stop_timeout: watch::Sender::new(None),
    }))
}

/// Makes sure that no other host has the same key. One that has just ended has no subscriptions any more, so the server
/// itself answers that nobody is there.
async fn alone(client: &Client, config: &HostConfig, identity: &Identity) -> Result<(), HostError> {
    let control = ControlClient::new(client.clone(), config.lattice.clone()).with_timeout(ANYBODY);
    let name = match control.inventory(&identity.id).await {
        Ok(other) => other.friendly_name,
        Err(ControlError::Refused { .. } | ControlError::Decode { .. }) => "without a name".into(),
        Err(ControlError::NoResponder { .. }) => return Ok(()),
        Err(error) => {
            tracing::warn!(host = %identity.id, %error, "another host with this key, if there is one, does not answer");
            return Ok(());
        }
    };
    Err(HostError::SameKey {
        id: identity.id.clone(),
        name,
        lattice: config.lattice.to_string(),
    })
}

fn policy(config: &HostConfig) -> Result<IssuerPolicy, HostError> {
    let trusted = config.issuers.iter().map(|text| {
        Issuer::new(text.trim()).map_err(|source| HostError::Issuer {
            text: text.clone(),
            source,
        })
    });
    let policy = IssuerPolicy {
        trusted: trusted.collect::<Result<_, _>>()?,
        allow_unsigned: config.allow_unsigned,
    };
    if policy.allow_unsigned {
        tracing::warn!(
            "UNSIGNED COMPONENTS AND PROVIDERS ARE RUN on this host (allow_unsigned): for development only"
        );
    } else if policy.trusted.is_empty() {
        tracing::warn!("this host trusts no issuer, so it will refuse every component and archive");
    }
    Ok(policy)
}

/// Makes the folder for this user alone.
fn make_private(path: &Path) -> Result<(), HostError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| HostError::Folder {
            path: path.to_owned(),
            source,
        })
}

async fn work(
    host: &Arc<Host>,
    ready: oneshot::Sender<HostId>,
    shutdown: &CancellationToken,
) -> Result<(), HostError> {
    // What follows the lattice's state goes on until everything else has ended.
    let mut followers = JoinSet::new();
    let followers_stop = CancellationToken::new();
    let _followers_end = followers_stop.clone().drop_guard();
    for synced in follow_state(host, &mut followers, &followers_stop) {
        wait_for_sync(synced).await?;
    }
    followers.spawn(follow_changes(host.clone()));

    let control = Control::subscribe(host).await?;
    // A request that someone sends from now on must find the subscriptions made.
    round_trip(&host.client).await?;
    let control_stop = CancellationToken::new();
    let mut answering = JoinSet::new();
    answering.spawn(control.run(host.clone(), control_stop.clone()));

    let mut beats = JoinSet::new();
    let subject = host.subjects.beat(&host.identity.id);
    beats.spawn_on(
        alive::beats(host.client.clone(), subject),
        host.lane.handle(),
    );
    alive::announce(host).await;
    tracing::info!(
        host = %host.identity.id,
        name = host.identity.friendly_name,
        lattice = %host.config.lattice,
        "host ready"
    );
    // Whoever waits for it may have gone.
    let _ = ready.send(host.identity.id.clone());
    let mut heartbeat = JoinSet::new();
    heartbeat.spawn(alive::heartbeats(host.clone()));
    let mut resuming = JoinSet::new();
    resuming.spawn(resume::run(host.clone()));

    let reason = tokio::select! {
        () = shutdown.cancelled() => "shutdown",
        () = host.stopping.cancelled() => "asked by the lattice",
        _ = answering.join_next() => "the connection to NATS was closed",
    };
    host.stopping.cancel();
    control_stop.cancel();
    heartbeat.shutdown().await;
    beats.shutdown().await;
    resuming.shutdown().await;
    host.ledger.close().await;
    leave(host, answering, reason).await;
    Ok(())
}

fn follow_state(
    host: &Arc<Host>,
    followers: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> [watch::Receiver<bool>; 2] {
    Bucket::ALL.map(|bucket| {
        let (synced, receiver) = watch::channel(false);
        followers.spawn(store::follow(
            host.store.clone(),
            bucket,
            host.view.clone(),
            host.connections(),
            synced,
            stop.clone(),
        ));
        receiver
    })
}

async fn wait_for_sync(mut synced: watch::Receiver<bool>) -> Result<(), HostError> {
    let first = synced.wait_for(|synced| *synced);
    match tokio::time::timeout(FIRST_SYNC, first).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(HostError::Store(StoreError::Unavailable {
            what: "reading the lattice's state",
            source: format!("not read within {} s", FIRST_SYNC.as_secs()).into(),
        })),
    }
}

/// Makes the components follow the lattice's links and configurations.
async fn follow_changes(host: Arc<Host>) {
    let mut changes = host.view.changes();
    while changes.changed().await.is_ok() {
        host.components.follow(&host);
    }
}

/// Leaves the lattice: tells so at once, as others may take over what runs here while it ends in order; then nothing
/// new comes in, then what runs ends, and what others wait for last.
async fn leave(host: &Arc<Host>, mut answering: JoinSet<()>, reason: &str) {
    tracing::info!(reason, "stopping");
    alive::take_leave(host, reason).await;
    let orderly = async {
        // Providers that call components, such as an HTTP server, take no more requests.
        host.providers
            .stop_all(|id| !host.view.links_from(id).is_empty())
            .await;
        host.components.stop_all(host).await;
        host.providers.stop_all(|_| true).await;
        while answering.join_next().await.is_some() {}
        host.work.close();
        host.work.wait().await;
    };
    let limit = *host.stop_timeout.borrow();
    let limit = limit.unwrap_or(host.config.drain_timeout + host.config.provider_stop_grace * 2);
    if tokio::time::timeout(limit, orderly).await.is_err() {
        tracing::warn!("stopping took too long; ending what still runs");
    }
    host.abort.cancel();
    if tokio::time::timeout(FLUSH, host.client.flush())
        .await
        .is_err()
    {
        tracing::warn!("NATS doesn't take the last messages");
    }
}
