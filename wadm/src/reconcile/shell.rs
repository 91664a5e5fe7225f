//! A reconciler's hands and ears on NATS. It decides nothing.

mod answer;
mod mend;
mod perform;

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use async_nats::{Client, Subscriber, connection::State, jetstream::kv};
use futures::StreamExt as _;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use trellis_lattice::{HostId, LatticeName, client::ControlClient, event::CloudEvent};

use super::{Core, News, Settings};
use crate::{
    api::EXPLAIN,
    rollout::Moment,
    store::{Catalog, Incarnation, Store, StoreError},
};
use perform::Outcome;

/// The longest that news are gathered before something is done about them.
const MAX_DELAY: Duration = Duration::from_millis(50);

/// The pause before everything is begun anew.
const PAUSE: Duration = Duration::from_millis(200);

/// How often it is looked whether the store's buckets are still the same.
const STORE_EVERY: Duration = Duration::from_secs(2);

/// Runs a core.
pub(crate) struct Shell {
    client: Client,
    control: ControlClient,
    store: Store,
    settings: Settings,
    /// The number of this leadership.
    fence: u64,
    core: Core,
    catalog: Catalog,
    /// The buckets that all this was read from.
    incarnation: Option<Incarnation>,
    /// When to look at them again.
    look_at: Instant,
    /// Changes since a reading of all manifests began; `None` while none is on.
    changes: Option<Vec<kv::Entry>>,
    outcomes: JoinSet<Outcome>,
    /// What is to be told, for the task that tells it.
    events: Option<mpsc::Sender<(String, CloudEvent)>>,
    /// Until when this manager may act, unless its lease is renewed.
    may_act_until: watch::Receiver<Instant>,
    /// When the connection came (back).
    connected_at: Instant,
}

/// What leading needs.
pub(crate) struct Leadership {
    pub(crate) client: Client,
    pub(crate) store: Store,
    pub(crate) lattice: LatticeName,
    pub(crate) settings: Settings,
    /// Its number.
    pub(crate) fence: u64,
    /// Until when it lasts, as it is renewed.
    pub(crate) until: watch::Receiver<Instant>,
    /// The hosts that beat before it, and when they were last heard of.
    pub(crate) heard: Heard,
    /// When the connection came (back).
    pub(crate) connected_at: Instant,
}

/// Hosts, and when they were last heard of.
pub(crate) type Heard = BTreeMap<HostId, Instant>;

/// Where news come from.
struct Sources {
    events: Subscriber,
    beats: Subscriber,
    changes: kv::Watch,
    /// Requests that only who leads can answer.
    requests: Subscriber,
}

/// Why following ended.
#[derive(Clone, Copy, PartialEq)]
enum Ended {
    /// Something was missed: begin anew.
    Missed,
    /// Told to stop.
    Stop,
    /// Another manager leads, with this number; or this one's lease is over.
    Deposed(u64),
}

impl Shell {
    pub(crate) fn new(leadership: Leadership) -> Self {
        let Leadership {
            client,
            store,
            lattice,
            settings,
            fence,
            until,
            heard,
            connected_at,
        } = leadership;
        let mut core = Core::new(settings, Instant::now());
        core.expect(heard);
        Self {
            control: ControlClient::new(client.clone(), lattice).with_fence(fence),
            client,
            store,
            settings,
            fence,
            core,
            catalog: Catalog::default(),
            incarnation: None,
            look_at: Instant::now(),
            changes: None,
            outcomes: JoinSet::new(),
            events: None,
            may_act_until: until,
            connected_at,
        }
    }

    /// Runs until told to stop, or another manager leads: then the number of its leadership is given. `connected` counts
    /// how often the connection came (back).
    pub(crate) async fn run(
        &mut self,
        connected: &mut watch::Receiver<u64>,
        stop: &CancellationToken,
    ) -> Option<u64> {
        tracing::info!(lattice = %self.control.subjects().lattice(), "leading");
        let fence = loop {
            if connected.has_changed().unwrap_or_default() {
                connected.mark_unchanged();
                self.connected_at = Instant::now();
            }
            let ended = tokio::select! {
                () = stop.cancelled() => Ended::Stop,
                ended = self.lead(connected) => ended,
            };
            match ended {
                Ended::Missed => {}
                Ended::Stop => break None,
                Ended::Deposed(fence) => break Some(fence),
            }
            // Whatever ends the following at once, over and over, must not become a storm.
            tokio::select! {
                () = stop.cancelled() => break None,
                () = tokio::time::sleep(PAUSE) => {}
            }
        };
        tracing::info!(lattice = %self.control.subjects().lattice(), "no longer leading");
        fence
    }

    /// The hosts that beat, for whoever leads next, and when the connection came (back).
    pub(crate) fn heard(&self) -> (Heard, Instant) {
        let heard = self.core.heard().map(|(host, at)| (host.clone(), at));
        (heard.collect(), self.connected_at)
    }

    async fn lead(&mut self, connected: &mut watch::Receiver<u64>) -> Ended {
        match self.begin().await {
            Ok(sources) => self.follow(sources, connected).await,
            Err(error) => {
                tracing::warn!(%error, "could not read the lattice's state");
                Ended::Missed
            }
        }
    }

    /// Begins to listen, then reads everything: nothing that happens in between is missed.
    async fn begin(&mut self) -> Result<Sources, StoreError> {
        let events = self.subscribe(self.control.subjects().events()).await?;
        let beats = self.subscribe(self.control.subjects().beats()).await?;
        let explain = self.control.subjects().app_named(EXPLAIN, "*");
        let requests = self.subscribe(explain).await?;
        self.refill_notes().await?;
        self.look_at = Instant::now() + STORE_EVERY;
        let changes = self.store.apps.watch().await?;
        self.catalog = Catalog::load(&self.store.apps, &self.catalog).await?;
        if self.restore_apps().await? {
            // With the revisions that they have now.
            self.catalog = Catalog::load(&self.store.apps, &self.catalog).await?;
        }
        self.changes = None;
        let owned = self.store.notes.owned().await?;
        let begun = News::Begun {
            catalog: self.catalog.clone(),
            owned,
            rollouts: self.store.notes.rollouts().await?,
            hosts: self.store.notes.hosts().await?,
            at: Moment::now(),
            patient_until: self.connected_at + self.settings.reconnect_grace,
        };
        self.core.take(begun, Instant::now());
        Ok(Sources {
            events,
            beats,
            changes,
            requests,
        })
    }

    async fn subscribe(&self, subject: String) -> Result<Subscriber, StoreError> {
        let what = format!("subscribing to {subject}");
        self.client
            .subscribe(subject)
            .await
            .map_err(|error| StoreError::Unavailable {
                what,
                source: error.into(),
            })
    }

    /// Follows what happens until something may have been missed.
    async fn follow(
        &mut self,
        mut sources: Sources,
        connected: &mut watch::Receiver<u64>,
    ) -> Ended {
        loop {
            let effects = if self.core.must_plan() {
                // It may take a while, and beats and the lease must not wait for it.
                let mut core =
                    std::mem::replace(&mut self.core, Core::new(self.settings, Instant::now()));
                let planned = tokio::task::spawn_blocking(move || {
                    let effects = core.effects(Instant::now());
                    (core, effects)
                });
                match planned.await {
                    Ok((core, effects)) => {
                        self.core = core;
                        effects
                    }
                    Err(error) => {
                        tracing::error!(%error, "planning failed; beginning anew");
                        return Ended::Missed;
                    }
                }
            } else {
                self.core.effects(Instant::now())
            };
            if Instant::now() >= *self.may_act_until.borrow() {
                // This process was stopped for a while: another manager may lead by now.
                tracing::warn!("the lease is over; doing nothing more");
                return Ended::Deposed(0);
            }
            for effect in effects {
                if let ControlFlow::Break(fence) = self.perform(effect) {
                    return Ended::Deposed(fence);
                }
            }
            if let Some(ended) = self.gather(&mut sources, connected).await {
                return ended;
            }
        }
    }

    /// Waits for news or for when the core is to be called, and takes all news that there are.
    async fn gather(
        &mut self,
        sources: &mut Sources,
        connected: &mut watch::Receiver<u64>,
    ) -> Option<Ended> {
        let mut begun: Option<Instant> = None;
        let next = self.core.next();
        loop {
            if begun.is_some_and(|begun| begun.elapsed() >= MAX_DELAY) {
                return None;
            }
            tokio::select! {
                biased;
                changed = connected.changed() => {
                    if changed.is_err() {
                        // The connection is gone for good, and whoever closed it ends us too.
                        return std::future::pending().await;
                    }
                    self.connected_at = Instant::now();
                    self.core.take(News::Disconnected, self.connected_at);
                    return Some(Ended::Missed);
                }
                event = sources.events.next() => match event {
                    Some(message) => self.take_event(&message.payload),
                    None => return Some(Ended::Missed),
                },
                beat = sources.beats.next() => match beat {
                    Some(message) => self.take_beat(&message.subject),
                    None => return Some(Ended::Missed),
                },
                change = sources.changes.next() => match change {
                    Some(Ok(entry)) => self.take_change(entry),
                    Some(Err(error)) => {
                        tracing::warn!(%error, "the watch of manifests ended");
                        return Some(Ended::Missed);
                    }
                    None => return Some(Ended::Missed),
                },
                request = sources.requests.next() => match request {
                    Some(message) => self.answer(message),
                    None => return Some(Ended::Missed),
                },
                Some(outcome) = self.outcomes.join_next() => match outcome {
                    Ok(outcome) => {
                        if let Some(ended) = self.take_outcome(outcome) {
                            return Some(ended);
                        }
                    }
                    Err(error) => tracing::error!(%error, "a command's task failed"),
                },
                () = std::future::ready(()), if begun.is_some() => return None,
                () = tokio::time::sleep_until(self.look_at.into()) => {
                    self.look_at = Instant::now() + STORE_EVERY;
                    self.look_at_store();
                    return None;
                }
                () = sleep_until(next) => {
                    if self.client.connection_state() != State::Connected {
                        // Nobody is heard of now. What follows is told when the connection is back.
                        self.core.take(News::Disconnected, Instant::now());
                    }
                    return None;
                }
            }
            begun.get_or_insert_with(Instant::now);
        }
    }

    fn take_event(&mut self, payload: &[u8]) {
        let read = CloudEvent::read(payload)
            .and_then(|envelope| Ok((HostId::new(&envelope.source), envelope.event()?)));
        match read {
            Ok((Ok(source), event)) => {
                let event = News::Event(source, Box::new(event));
                self.core.take(event, Instant::now());
            }
            Ok((Err(error), _)) => tracing::debug!(%error, "an event from nobody"),
            Err(error) => tracing::warn!(%error, "an event that can't be read"),
        }
    }

    fn take_beat(&mut self, subject: &str) {
        let host = self.control.subjects().beat_of(subject).map(HostId::new);
        match host {
            Some(Ok(host)) => self.core.take(News::Beat(host), Instant::now()),
            _ => tracing::debug!(subject, "a beat of nobody"),
        }
    }

    fn take_change(&mut self, entry: kv::Entry) {
        match self.catalog.apply(&self.store.apps, &entry) {
            Ok(true) => self
                .core
                .take(News::Catalog(self.catalog.clone()), Instant::now()),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "a manifest that can't be read"),
        }
        if let Some(changes) = &mut self.changes {
            changes.push(entry);
        }
    }

    fn take_outcome(&mut self, outcome: Outcome) -> Option<Ended> {
        match outcome {
            Outcome::News(news) => self.core.take(news, Instant::now()),
            Outcome::Told => {}
            Outcome::Loaded(Ok(catalog)) => {
                let is_known = self.catalog.is_as(&catalog);
                self.catalog = catalog;
                // It may be older than what was heard meanwhile.
                let changes = self.changes.take().unwrap_or_default();
                for entry in &changes {
                    if let Err(error) = self.catalog.apply(&self.store.apps, entry) {
                        tracing::warn!(%error, "a manifest that can't be read");
                    }
                }
                if !is_known || !changes.is_empty() {
                    self.core
                        .take(News::Catalog(self.catalog.clone()), Instant::now());
                }
            }
            Outcome::Loaded(Err(error)) => {
                self.changes = None;
                tracing::warn!(%error, "could not read the manifests anew");
            }
            Outcome::Store(Ok(incarnation)) if self.incarnation != Some(incarnation) => {
                return Some(Ended::Missed);
            }
            Outcome::Store(Ok(_)) if self.catalog.vanished().next().is_some() => {
                // They are written back when everything is begun anew.
                return Some(Ended::Missed);
            }
            Outcome::Store(Ok(_)) => {}
            Outcome::Store(Err(error)) => tracing::debug!(%error, "could not look at the store"),
        }
        None
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
