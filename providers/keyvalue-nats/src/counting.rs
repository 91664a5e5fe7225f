//! Adding to a number: read, add, and write if nobody wrote meanwhile.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use async_nats::jetstream::kv::{Store, UpdateErrorKind};
use rand::Rng as _;
use tokio::sync::Semaphore;
use trellis_provider::keyvalue::Error;

/// How often adding is tried while others write the same key.
const ATTEMPTS: u32 = 64;
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_millis(40);
/// How many keys this provider adds to at once.
const TURNS: usize = 64;

/// Who adds to which key now. Calls of this provider take turns at a key instead of failing each other's attempts; other
/// providers of the bucket are only met at the write.
pub(crate) struct Counting {
    turns: [Semaphore; TURNS],
}

impl Default for Counting {
    fn default() -> Self {
        Self {
            turns: std::array::from_fn(|_| Semaphore::new(1)),
        }
    }
}

impl Counting {
    /// Gives the sum, and the revision that has it.
    pub(crate) async fn add(
        &self,
        store: &Store,
        key: &str,
        delta: u64,
    ) -> Result<(u64, u64), Error> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let turn = &self.turns[(hasher.finish() % TURNS as u64) as usize];
        // Never closed.
        let _turn = turn
            .acquire()
            .await
            .map_err(|error| Error::Other(error.to_string()))?;
        for attempt in 0..ATTEMPTS {
            if let Some(sum) = attempt_to_add(store, key, delta).await? {
                return Ok(sum);
            }
            let most = Duration::from_millis(1 << attempt.min(6)).min(LONGEST_WAIT);
            let wait = most.mul_f64(rand::rng().random_range(0.0..1.0));
            tokio::time::sleep(wait).await;
        }
        Err(Error::Other(format!(
            "others changed the number at each of {ATTEMPTS} attempts to add to it; try again"
        )))
    }
}

/// One attempt; `None` when somebody else wrote meanwhile.
async fn attempt_to_add(store: &Store, key: &str, delta: u64) -> Result<Option<(u64, u64)>, Error> {
    let other = |problem: String| Error::Other(problem);
    let entry = store
        .entry(key)
        .await
        .map_err(|error| other(error.to_string()))?;
    // A deleted key has a revision too, and no value.
    let (value, revision) =
        entry.map_or_else(Default::default, |entry| (entry.value, entry.revision));
    let number = match std::str::from_utf8(&value) {
        Ok("") => Some(0),
        Ok(text) => text.parse::<u64>().ok(),
        Err(_) => None,
    };
    let number = number.ok_or_else(|| other("the value is not a number from 0 on".to_owned()))?;
    let sum = number
        .checked_add(delta)
        .ok_or_else(|| other(format!("{number} and {delta} are more than 64 bits hold")))?;
    match store.update(key, sum.to_string().into(), revision).await {
        Ok(revision) => Ok(Some((sum, revision))),
        Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
        Err(error) => Err(other(error.to_string())),
    }
}
