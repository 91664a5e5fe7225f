//! The instances of an actor that hold resources for others.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};
use tokio_util::task::AbortOnDropHandle;
use trellis_rpc::CallError;
use wasmtime::{Store, component::Instance};

use crate::runtime::state::CallState;

/// All of them. Clones share the table.
#[derive(Clone)]
pub(in crate::runtime) struct Owners {
    table: Arc<Mutex<HashMap<u64, Entry>>>,
    limit: usize,
    idle: Duration,
}

struct Entry {
    owner: Arc<Owner>,
    /// Who calls: another caller's resources are in another instance.
    source: Option<Arc<str>>,
    _sweeper: AbortOnDropHandle<()>,
}

/// One instance, or the place for it.
struct Owner {
    /// What its handles begin with. Never used again, so that an old handle cannot reach a newer instance.
    token: u64,
    used: Mutex<Instant>,
    /// No longer in the table: who waited for it must look again.
    ended: AtomicBool,
    living: Arc<tokio::sync::Mutex<Option<Living>>>,
}

/// An instance and what keeps it.
pub(super) struct Living {
    pub(super) store: Store<CallState>,
    pub(super) instance: Instance,
    /// Its place in the pool.
    _pooled: OwnedSemaphorePermit,
}

impl Living {
    pub(super) fn new(
        store: Store<CallState>,
        instance: Instance,
        pooled: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            store,
            instance,
            _pooled: pooled,
        }
    }
}

impl Owners {
    pub(in crate::runtime) fn new(limit: usize, idle: Duration) -> Self {
        Self {
            table: Arc::default(),
            limit,
            idle,
        }
    }

    /// How many instances there are.
    pub(in crate::runtime) fn len(&self) -> usize {
        self.table().len()
    }

    /// Ends all instances that no call is using, and the others when their call ends.
    pub(in crate::runtime) fn clear(&self) {
        let all = std::mem::take(&mut *self.table());
        for entry in all.values() {
            entry.owner.ended.store(true, Relaxed);
        }
    }

    /// Waits for the instance that handed out a token; `None` when it is no more.
    pub(super) async fn claim(&self, token: u64) -> Option<Claim> {
        let owner = self.table().get(&token)?.owner.clone();
        self.lock(owner).await
    }

    /// Waits for a caller's instance, or the place for one.
    pub(super) async fn claim_for(&self, source: Option<&Arc<str>>) -> Result<Claim, CallError> {
        loop {
            let owner = self.owner_for(source)?;
            // While we waited, the instance may have ended; the next one is another's.
            if let Some(claim) = self.lock(owner).await {
                return Ok(claim);
            }
        }
    }

    async fn lock(&self, owner: Arc<Owner>) -> Option<Claim> {
        let place = owner.living.clone().lock_owned().await;
        *owner.used() = Instant::now();
        let ended = owner.ended.load(Relaxed);
        (!ended).then(|| Claim {
            owners: self.clone(),
            owner,
            place,
            kept: false,
        })
    }

    fn owner_for(&self, source: Option<&Arc<str>>) -> Result<Arc<Owner>, CallError> {
        let mut table = self.table();
        if let Some(entry) = table.values().find(|entry| entry.source.as_ref() == source) {
            return Ok(entry.owner.clone());
        }
        if table.len() >= self.limit {
            return Err(CallError::Overloaded(format!(
                "{} callers hold resources of this actor already",
                table.len()
            )));
        }
        let owner = Arc::new(Owner {
            token: rand::random(),
            used: Mutex::new(Instant::now()),
            ended: AtomicBool::new(false),
            living: Arc::default(),
        });
        let sweeper = AbortOnDropHandle::new(tokio::spawn(self.clone().sweep(owner.clone())));
        let entry = Entry {
            owner: owner.clone(),
            source: source.cloned(),
            _sweeper: sweeper,
        };
        table.insert(owner.token, entry);
        Ok(owner)
    }

    /// Ends an instance that was not used for long.
    async fn sweep(self, owner: Arc<Owner>) {
        loop {
            let idle_at = *owner.used() + self.idle;
            tokio::time::sleep_until(idle_at.into()).await;
            // A call that runs all this time uses it.
            let Some(claim) = self.lock_idle(&owner).await else {
                continue;
            };
            drop(claim);
            return;
        }
    }

    async fn lock_idle(&self, owner: &Arc<Owner>) -> Option<Claim> {
        let place = owner.living.clone().lock_owned().await;
        let idle = owner.used().elapsed() >= self.idle;
        let owner = owner.clone();
        idle.then(|| Claim {
            owners: self.clone(),
            owner,
            place,
            kept: false,
        })
    }

    fn remove(&self, owner: &Owner) {
        owner.ended.store(true, Relaxed);
        // Dropped after the table's lock is given back.
        let removed = self.table().remove(&owner.token);
        drop(removed);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owner {
    fn used(&self) -> MutexGuard<'_, Instant> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call's hold of an instance. Unless it is kept, the instance ends with the call: a call that was cut off leaves it
/// in the middle of something.
pub(super) struct Claim {
    owners: Owners,
    owner: Arc<Owner>,
    place: OwnedMutexGuard<Option<Living>>,
    kept: bool,
}

impl Claim {
    /// What the instance's handles begin with.
    pub(super) fn token(&self) -> u64 {
        self.owner.token
    }

    /// The instance, if it was made already.
    pub(super) fn living(&mut self) -> Option<&mut Living> {
        self.place.as_mut()
    }

    /// Puts the instance in its place.
    pub(super) fn fill(&mut self, living: Living) -> &mut Living {
        self.place.insert(living)
    }

    /// Leaves the instance to later calls.
    pub(super) fn keep(mut self) {
        *self.owner.used() = Instant::now();
        self.kept = !self.owner.ended.load(Relaxed);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.kept {
            *self.place = None;
            self.owners.remove(&self.owner);
        }
    }
}
