//! Keeps one lattice as its applications' manifests say. Driven by what happens: events of hosts, changes of manifests,
//! answers to commands. Regular looks at everything are only the net below.

mod act;
mod look;
mod mend;
mod take;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{Client, Subscriber, jetstream::kv};
use futures::StreamExt as _;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use trellis_lattice::{HostId, LatticeName, app::AppStatus, client::ControlClient};

use crate::{
    attempts::{Attempts, Timing},
    command::Subject,
    desired::App,
    observed::Observed,
    store::{Catalog, Incarnation, Owned, Store, StoreError},
};
use take::Answer;

/// How many commands and questions are on their way at once.
const MAX_IN_FLIGHT: usize = 64;

/// The longest that planning is put off while more news comes in.
const MAX_DELAY: Duration = Duration::from_millis(50);

/// The pause before everything is begun anew.
const PAUSE: Duration = Duration::from_millis(200);

/// How the reconciler is timed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often hosts are asked whether they are there.
    pub ping_every: Duration,
    /// How long a host may be silent before its work goes elsewhere.
    pub host_grace: Duration,
    /// How long after NATS came back no host is given up: they reconnect one by one.
    pub reconnect_grace: Duration,
    /// How often everything is read anew.
    pub resync_every: Duration,
    /// How long a leading manager may be silent before another takes over.
    pub lease: Duration,
    /// How commands are tried again.
    pub retry: Timing,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(1),
            host_grace: Duration::from_secs(3),
            reconnect_grace: Duration::from_secs(8),
            resync_every: Duration::from_secs(30),
            lease: Duration::from_secs(3),
            retry: Timing::default(),
        }
    }
}

/// The reconciler of one lattice.
pub(crate) struct Reconciler {
    client: Client,
    control: ControlClient,
    store: Store,
    settings: Settings,
    catalog: Catalog,
    desired: BTreeMap<String, App>,
    /// The buckets that all this was read from.
    incarnation: Option<Incarnation>,
    /// Whether there are others now: everything has to be read anew.
    store_was_lost: bool,
    /// As noted in the store.
    owned: BTreeMap<String, Owned>,
    observed: Observed,
    attempts: Attempts,
    /// As noted in the store.
    statuses: BTreeMap<String, AppStatus>,
    /// What outcomes the lattice told of since the last plan.
    ended: Vec<Subject>,
    /// What is being asked.
    asking: BTreeSet<Question>,
    /// Hosts that don't answer, and since when.
    silent: BTreeMap<HostId, Instant>,
    /// No host is given up before then.
    patient_until: Instant,
    /// Whether every host was asked once what it runs. Before that nothing is commanded: it may run already.
    surveyed: bool,
    /// Since when there is news that no plan has seen.
    news_since: Option<Instant>,
    answers: JoinSet<Answer>,
    permits: Arc<Semaphore>,
}

/// Something to ask the lattice; never twice at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Question {
    /// Who is there?
    Hosts,
    /// What does this host run?
    Inventory(HostId),
    /// What links are there?
    Links,
    /// What does this configuration hold?
    Config(String),
    /// Are the store's buckets still the same?
    Store,
}

impl Reconciler {
    pub(crate) fn new(
        client: Client,
        store: Store,
        lattice: LatticeName,
        settings: Settings,
    ) -> Self {
        Self {
            control: ControlClient::new(client.clone(), lattice),
            client,
            store,
            settings,
            catalog: Catalog::default(),
            incarnation: None,
            store_was_lost: false,
            desired: BTreeMap::new(),
            owned: BTreeMap::new(),
            observed: Observed::default(),
            attempts: Attempts::new(settings.retry),
            statuses: BTreeMap::new(),
            ended: Vec::new(),
            asking: BTreeSet::new(),
            silent: BTreeMap::new(),
            patient_until: Instant::now() + settings.reconnect_grace,
            surveyed: false,
            news_since: None,
            answers: JoinSet::new(),
            permits: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
        }
    }

    /// Runs until told to stop. `connected` counts how often the connection came (back).
    pub(crate) async fn run(
        mut self,
        mut connected: watch::Receiver<u64>,
        stop: CancellationToken,
    ) {
        tracing::info!(lattice = %self.control.subjects().lattice(), "leading");
        while !stop.is_cancelled() {
            connected.mark_unchanged();
            let begun = tokio::select! {
                () = stop.cancelled() => break,
                begun = self.begin() => begun,
            };
            match begun {
                Ok((events, changes)) => {
                    self.follow(events, changes, &mut connected, &stop).await;
                }
                Err(error) => tracing::warn!(%error, "could not read the lattice's state"),
            }
            // Whatever ends the following at once, over and over, must not become a storm.
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        tracing::info!(lattice = %self.control.subjects().lattice(), "no longer leading");
    }

    /// Begins to listen, then reads everything: nothing that happens in between is missed.
    async fn begin(&mut self) -> Result<(Subscriber, kv::Watch), StoreError> {
        let events = self
            .client
            .subscribe(self.control.subjects().events())
            .await
            .map_err(|error| StoreError::Unavailable {
                what: "subscribing to events".into(),
                source: error.into(),
            })?;
        self.refill_notes().await?;
        let changes = self.store.apps.watch().await?;
        self.read_store().await?;
        self.restore_apps().await?;
        self.owned = self.store.notes.owned().await?;
        self.resync();
        Ok((events, changes))
    }

    /// Follows what happens until the connection came anew, the watch ended, the store was lost, or told to stop.
    async fn follow(
        &mut self,
        mut events: Subscriber,
        mut changes: kv::Watch,
        connected: &mut watch::Receiver<u64>,
        stop: &CancellationToken,
    ) {
        let mut ping = tokio::time::interval(self.settings.ping_every);
        let mut resync = tokio::time::interval(self.settings.resync_every);
        for interval in [&mut ping, &mut resync] {
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            // The first tick is at once, and everything was just asked.
            interval.reset();
        }
        loop {
            let retry = self.attempts.next().map(tokio::time::Instant::from_std);
            let must_plan = self
                .news_since
                .is_some_and(|since| since.elapsed() >= MAX_DELAY);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = std::future::ready(()), if must_plan => self.plan().await,
                changed = connected.changed() => {
                    if changed.is_err() {
                        // The connection is gone for good; whoever closed it stops us too.
                        return stop.cancelled().await;
                    }
                    // What happened meanwhile is lost: begin anew.
                    self.patient_until = Instant::now() + self.settings.reconnect_grace;
                    return;
                }
                event = events.next() => match event {
                    Some(message) => self.take_event(&message.payload),
                    None => return,
                },
                change = changes.next() => match change {
                    Some(Ok(entry)) => self.take_change(&entry),
                    ended => {
                        if let Some(Err(error)) = ended {
                            tracing::warn!(%error, "the watch of manifests ended");
                        }
                        return;
                    }
                },
                Some(answer) = self.answers.join_next() => match answer {
                    Ok(answer) => {
                        self.take_answer(answer);
                        if self.store_was_lost {
                            return;
                        }
                    }
                    Err(error) => tracing::error!(%error, "a command's task failed"),
                },
                _ = ping.tick() => {
                    self.ping();
                    if let Err(error) = self.restore_apps().await {
                        tracing::warn!(%error, "could not write the applications back");
                    }
                }
                _ = resync.tick() => {
                    self.resync();
                    if let Err(error) = self.read_store().await {
                        tracing::warn!(%error, "could not read the manifests anew");
                    }
                }
                () = sleep_until(retry), if retry.is_some() => self.news(),
                () = std::future::ready(()), if self.news_since.is_some() => self.plan().await,
            }
        }
    }

    /// Something is new: a plan has to be made.
    fn news(&mut self) {
        self.news_since.get_or_insert_with(Instant::now);
    }
}

async fn sleep_until(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
