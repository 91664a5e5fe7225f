//! Telling components what changes in a store: `wasi:keyvalue/watcher`, over links from the provider to the component.
//!
//! Each process of a provider tells a change once, and those of one key in their order. What a component could not be told, because it was not there
//! for a while or failed, is logged and left: a change is news, and the store has the value.

use std::{
    collections::hash_map::RandomState, future::Future, hash::BuildHasher as _, sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trellis_rpc::{
    CallError,
    interface::keyvalue::{KeyParams, OnDelete, OnSet, SetParams},
};

use super::Keyvalue;
use crate::{
    backend::Backend,
    config::SettingsError,
    lattice::{CallOptions, Component},
};

/// How many changes are told at once. Those of one key are in one lane, one after the other.
const LANES: usize = 16;
/// How many changes wait in a lane, and how many bytes in all lanes, before the store is not read on.
const LANE: usize = 256;
const WAITING_BYTES: usize = 32 << 20;
/// What a change takes beside its value and key.
const OVERHEAD: usize = 256;
/// How often a change is told that no component took, for it is being started or is at its limit, and the first wait.
const ATTEMPTS: u32 = 8;
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The waits before a store is followed again.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// A store whose changes components can be told of; [`Watched`](super::Watched) makes a provider of it.
pub trait Watch: Backend + Keyvalue {
    /// What a component is told of.
    type Wanted: PartialEq + Send + Sync + 'static;
    /// How far a store was followed. It outlives breaks, so that what changed meanwhile can be told.
    type Place: Default + Send;

    /// What a link wants to hear of, if anything.
    ///
    /// # Errors
    /// Names the field that doesn't fit.
    fn wanted(link: &Self::Config) -> Result<Option<Self::Wanted>, SettingsError>;

    /// Why this store can't be followed, where it says so. Asked when a link is put; a link that is refused is tried again.
    fn unwatchable(
        &self,
        wanted: &Self::Wanted,
    ) -> impl Future<Output = Option<SettingsError>> + Send {
        let _ = wanted;
        async { None }
    }

    /// Hands over what changes from now on, or from the place on where it was left, and calls [`Changes::follows`] as soon
    /// as nothing is missed any more. It ends only when it can't go on, and says why; it is begun again then.
    fn follow(
        &self,
        wanted: &Self::Wanted,
        place: &mut Self::Place,
        changes: &Changes,
    ) -> impl Future<Output = String> + Send;
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The bucket, by the name that a component opens it by.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// Its new value; none when it was deleted, or has ended.
    pub value: Option<Bytes>,
}

/// Where changes are handed over.
#[derive(Debug)]
pub struct Changes {
    lanes: Vec<mpsc::Sender<(Changed, OwnedSemaphorePermit)>>,
    hasher: RandomState,
    bytes: Arc<Semaphore>,
    state: watch::Sender<State>,
}

/// How far a store is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Beginning,
    Following,
    Broken(String),
}

impl Changes {
    /// Nothing is missed from now on.
    pub fn follows(&self) {
        self.state.send_replace(State::Following);
    }

    /// Hands a change over. Waits while too many wait to be told.
    pub async fn tell(&self, changed: Changed) {
        let bytes = changed.key.len() + changed.value.as_ref().map_or(0, Bytes::len) + OVERHEAD;
        let bytes = u32::try_from(bytes.min(WAITING_BYTES)).unwrap_or(u32::MAX);
        let Ok(room) = self.bytes.clone().acquire_many_owned(bytes).await else {
            return;
        };
        let lane = self.hasher.hash_one((&changed.bucket, &changed.key)) % LANES as u64;
        // A lane ends with the others only.
        let _ = self.lanes[lane as usize].send((changed, room)).await;
    }
}

/// A component that is told of a store's changes. Dropping it ends that at once.
#[derive(Debug)]
pub(super) struct Watching {
    component: Arc<ArcSwap<Component>>,
    state: watch::Receiver<State>,
    leave: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Watching {
    /// Tells the component from now on.
    pub(super) fn start<B: Watch>(
        store: Arc<B>,
        wanted: Arc<B::Wanted>,
        component: Component,
    ) -> Self {
        let component = Arc::new(ArcSwap::from_pointee(component));
        let leave = CancellationToken::new();
        let (sender, state) = watch::channel(State::Beginning);
        let mut telling = JoinSet::new();
        let lanes = (0..LANES).map(|_| {
            let (sender, receiver) = mpsc::channel(LANE);
            telling.spawn(tell_in_turn(receiver, component.clone(), leave.clone()));
            sender
        });
        let changes = Changes {
            lanes: lanes.collect(),
            hasher: RandomState::new(),
            bytes: Arc::new(Semaphore::new(WAITING_BYTES)),
            state: sender,
        };
        let stop = leave.clone();
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let following = follow(&*store, &wanted, &changes);
            stop.run_until_cancelled(following).await;
            // What was handed over is still told.
            drop(changes);
            while telling.join_next().await.is_some() {}
        }));
        Self {
            component,
            state,
            leave,
            task,
        }
    }

    /// From the next change on, this component is told.
    pub(super) fn redirect(&self, component: Component) {
        self.component.store(Arc::new(component));
    }

    /// Waits until nothing is missed, or following has failed.
    pub(super) async fn begun(&self) {
        let mut state = self.state.clone();
        // The sender is the task's, which ends later than this.
        let _ = state.wait_for(|state| *state != State::Beginning).await;
    }

    /// Why the store is not followed now.
    pub(super) fn trouble(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Broken(why) => Some(why.clone()),
            State::Beginning | State::Following => None,
        }
    }

    /// Follows no more, and waits until what was handed over is told.
    pub(super) async fn drain(self) {
        self.leave.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "telling a store's changes ended with a panic");
        }
    }
}

/// Follows the store, again and again.
async fn follow<B: Watch>(store: &B, wanted: &B::Wanted, changes: &Changes) {
    let mut place = B::Place::default();
    let mut wait = FIRST_RETRY;
    loop {
        let why = store.follow(wanted, &mut place, changes).await;
        let earlier = changes.state.send_replace(State::Broken(why.clone()));
        if earlier == State::Following {
            wait = FIRST_RETRY;
        }
        tracing::warn!(store = store.shown(), why, again = ?wait, "the store's changes are not followed");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LAST_RETRY);
    }
}

async fn tell_in_turn(
    mut lane: mpsc::Receiver<(Changed, OwnedSemaphorePermit)>,
    component: Arc<ArcSwap<Component>>,
    leave: CancellationToken,
) {
    while let Some((changed, _room)) = lane.recv().await {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            // Each time anew: meanwhile the link may have another target.
            let component = component.load_full();
            let Err(error) = tell(&component, &changed).await else {
                break;
            };
            if !error.not_started() || attempt >= ATTEMPTS || leave.is_cancelled() {
                tracing::warn!(
                    component = %component.id(), bucket = changed.bucket, key = changed.key, attempts = attempt, %error,
                    "a component was not told of a change"
                );
                break;
            }
            leave.run_until_cancelled(tokio::time::sleep(wait)).await;
            wait *= 2;
        }
    }
}

async fn tell(component: &Component, changed: &Changed) -> Result<(), CallError> {
    let options = CallOptions::default();
    let (bucket, key) = (changed.bucket.clone(), changed.key.clone());
    match changed.value.clone() {
        Some(value) => {
            let params = SetParams { bucket, key, value };
            component.invoke::<OnSet>(&params, options).await
        }
        None => {
            let params = KeyParams { bucket, key };
            component.invoke::<OnDelete>(&params, options).await
        }
    }
}
