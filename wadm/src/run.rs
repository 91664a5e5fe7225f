//! The application manager as a whole.

use async_nats::Client;
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use trellis_lattice::{
    LatticeName,
    connect::{ConnectError, NatsSettings},
};

use crate::{
    api::Api,
    lease::Lease,
    reconcile::{Settings, Shell},
    store::{Store, StoreError},
};

/// How to run an application manager.
#[derive(Clone, Debug)]
pub struct WadmConfig {
    /// The lattices it cares for.
    pub lattices: Vec<LatticeName>,
    /// Where NATS is.
    pub nats: NatsSettings,
    /// How it is timed.
    pub settings: Settings,
}

impl Default for WadmConfig {
    /// The default lattice on this machine.
    fn default() -> Self {
        Self {
            lattices: vec![LatticeName::default()],
            nats: NatsSettings::new("nats://127.0.0.1:4222"),
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
        let store = Store::open(&client, lattice).await?;
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
    async fn run(self, shutdown: CancellationToken) {
        let lease = Lease::new(
            self.store.notes.bucket().clone(),
            ulid::Ulid::new().to_string(),
            self.settings.lease,
        );
        loop {
            let mut held = tokio::select! {
                () = shutdown.cancelled() => return,
                held = lease.acquire() => held,
            };
            let shell = Shell::new(
                self.client.clone(),
                self.store.clone(),
                self.lattice.clone(),
                self.settings,
            );
            tokio::select! {
                () = shell.run(self.connected.clone(), shutdown.clone()) => {}
                // Dropped in the middle of what it does: what it began is finished by whoever leads next.
                () = lease.keep(&mut held) => {}
            }
            if shutdown.is_cancelled() {
                lease.release(held).await;
                return;
            }
        }
    }
}
