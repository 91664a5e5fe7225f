//! The application manager as a whole.

use std::time::{Duration, Instant};

use async_nats::Client;
use futures::StreamExt as _;
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use trellis_lattice::{
    HostId, LatticeName,
    connect::{ConnectError, NatsSettings},
    subject::Subjects,
};

use crate::{
    api::Api,
    lease::Keeper,
    reconcile::{Heard, Leadership, Settings, Shell},
    store::{Store, StoreError},
};

/// Hosts that were heard of in that time are waited for when this manager begins to lead.
const RECENT: Duration = Duration::from_secs(15);

/// How to run an application manager.
#[derive(Clone, Debug)]
pub struct WadmConfig {
    /// The lattices it cares for.
    pub lattices: Vec<LatticeName>,
    /// Where NATS is.
    pub nats: NatsSettings,
    /// The JetStream domain that holds its buckets; none: the server's own. With it a manager at any server of the
    /// lattice works on the same state; while the domain can't be reached it does not lead.
    pub js_domain: Option<String>,
    /// How it is timed.
    pub settings: Settings,
}

impl Default for WadmConfig {
    /// The default lattice on this machine.
    fn default() -> Self {
        Self {
            lattices: vec![LatticeName::default()],
            nats: NatsSettings::new("nats://127.0.0.1:4222"),
            js_domain: None,
            settings: Settings::default(),
        }
    }
}

/// The application manager can't run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WadmError {
    /// NATS can't be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// JetStream can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// NATS refuses a subscription.
    #[error("NATS refuses the API's subscription: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
    /// Nothing to do.
    #[error("no lattice is named: give at least one")]
    NoLattice,
    /// A part of it ended, which none should.
    #[error("a part of the application manager failed: {0}")]
    Failed(String),
}

/// Runs an application manager until told to stop. `ready` is told when the API answers.
///
/// # Errors
/// At the start: NATS can't be reached, JetStream is off, no lattice is named. Later none: it goes on when they are
/// back.
pub async fn run(
    config: WadmConfig,
    ready: oneshot::Sender<()>,
    shutdown: CancellationToken,
) -> Result<(), WadmError> {
    if config.lattices.is_empty() {
        return Err(WadmError::NoLattice);
    }
    let (client, connected) = config.nats.connect_counted("trellis-wadm").await?;
    // Dropping it ends whatever still runs.
    let mut running = JoinSet::new();
    for lattice in &config.lattices {
        let store = Store::open(&client, config.js_domain.as_deref(), lattice).await?;
        let api = Api::new(store.clone(), lattice.clone());
        let requests = api.subscribe(&client).await?;
        // An answer to this comes after the server has the subscription.
        store.apps.names().await?;
        let (api_client, stop) = (client.clone(), shutdown.clone());
        running.spawn(async move { api.serve(&api_client, requests, stop).await });
        let worker = Worker {
            client: client.clone(),
            connected: connected.clone(),
            store,
            lattice: lattice.clone(),
            settings: config.settings,
        };
        let stop = shutdown.clone();
        running.spawn(async move { worker.run(stop).await });
    }
    tracing::info!(lattices = ?config.lattices, "the application manager is ready");
    // Nobody may be waiting for it.
    let _ = ready.send(());
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(()) if shutdown.is_cancelled() => {}
            Ok(()) => return Err(WadmError::Failed("it ended by itself".into())),
            Err(error) => return Err(WadmError::Failed(error.to_string())),
        }
    }
    // What was answered last has to leave before the connection closes.
    if let Err(error) = client.flush().await {
        tracing::debug!(%error, "could not flush");
    }
    Ok(())
}

/// Leads one lattice whenever it is its turn.
struct Worker {
    client: Client,
    connected: watch::Receiver<u64>,
    store: Store,
    lattice: LatticeName,
    settings: Settings,
}

impl Worker {
    async fn run(mut self, shutdown: CancellationToken) {
        let mut keeper = Keeper::new(
            self.store.notes.bucket().clone(),
            ulid::Ulid::new().to_string(),
            self.settings.lease,
        );
        let mut waiting = Waiting {
            heard: Heard::new(),
            connected_at: Instant::now(),
        };
        loop {
            let held = tokio::select! {
                () = shutdown.cancelled() => return,
                held = keeper.acquire() => held,
                () = waiting.listen(&self.client, &self.lattice, &mut self.connected) => continue,
            };
            let mut shell = Shell::new(Leadership {
                client: self.client.clone(),
                store: self.store.clone(),
                lattice: self.lattice.clone(),
                settings: self.settings,
                fence: held.fence(),
                until: held.until(),
                heard: waiting.recently_heard(),
                connected_at: waiting.connected_at,
            });
            // Kept by a task of its own: whatever keeps the shell busy, the lease is renewed.
            let give_back = CancellationToken::new();
            let mut keeping = JoinSet::new();
            keeping.spawn(keeper.clone().keep(held, give_back.clone()));
            let lost = tokio::select! {
                fence = shell.run(&mut self.connected, &shutdown) => fence,
                // Dropped in the middle of what it does: what it began is finished by whoever leads next.
                _ = keeping.join_next() => None,
            };
            (waiting.heard, waiting.connected_at) = shell.heard();
            drop(shell);
            keeper.outbid(lost.unwrap_or_default());
            give_back.cancel();
            if let Some(Ok(Some(held))) = keeping.join_next().await {
                keeper.release(held).await;
            }
            if shutdown.is_cancelled() {
                return;
            }
        }
    }
}

/// What one that waits for its turn listens to: it knows then whom to wait for.
struct Waiting {
    heard: Heard,
    connected_at: Instant,
}

impl Waiting {
    /// Listens to hosts' beats, until NATS refuses that.
    async fn listen(
        &mut self,
        client: &Client,
        lattice: &LatticeName,
        connected: &mut watch::Receiver<u64>,
    ) {
        let subjects = Subjects::new(lattice.clone());
        let mut beats = match client.subscribe(subjects.beats()).await {
            Ok(beats) => beats,
            Err(error) => {
                tracing::warn!(%error, "could not listen to hosts' beats");
                return tokio::time::sleep(RECENT).await;
            }
        };
        loop {
            tokio::select! {
                beat = beats.next() => {
                    let Some(beat) = beat else { return };
                    if let Some(Ok(host)) = subjects.beat_of(&beat.subject).map(HostId::new) {
                        let now = Instant::now();
                        let is_new = self.heard.insert(host, now).is_none();
                        if is_new {
                            self.heard.retain(|_, at| now.duration_since(*at) < RECENT);
                        }
                    }
                }
                Ok(()) = connected.changed() => self.connected_at = Instant::now(),
            }
        }
    }

    /// The hosts that were heard of a short while ago.
    fn recently_heard(&mut self) -> Heard {
        self.heard.retain(|_, at| at.elapsed() < RECENT);
        std::mem::take(&mut self.heard)
    }
}
