//! Which writes the PoP's copy does not have yet.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The most keys that are kept apart; beyond them, all keys count as behind until the copy has caught up.
const MAX_KEYS: usize = 1024;

/// Writes that were acknowledged and that the copy has not, by key.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: HashMap<String, u64>,
    /// The last revision of all that found no place.
    all: u64,
}

impl Ahead {
    /// A key was written and the copy has not got it.
    pub(super) fn note(&self, key: &str, revision: u64) {
        let mut state = self.state();
        if let Some(known) = state.keys.get_mut(key) {
            *known = revision.max(*known);
        } else if state.keys.len() < MAX_KEYS {
            state.keys.insert(key.to_owned(), revision);
        } else {
            state.all = state.all.max(revision);
        }
    }

    /// The revision of a key that the copy must have to be believed; 0 where any will do.
    pub(super) fn least(&self, key: &str) -> u64 {
        let state = self.state();
        let own = state.keys.get(key).copied().unwrap_or_default();
        own.max(state.all)
    }

    /// Whether the copy lacks nothing.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state();
        state.keys.is_empty() && state.all == 0
    }

    /// The copy has come so far.
    pub(super) fn reached(&self, revision: u64) {
        let mut state = self.state();
        state.keys.retain(|_, ahead| *ahead > revision);
        if state.all <= revision {
            state.all = 0;
        }
    }

    /// The bucket was lost: its revisions begin again.
    pub(super) fn forget(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_ahead_until_the_copy_has_it() {
        let ahead = Ahead::default();
        ahead.note("a", 7);
        ahead.note("a", 5);
        ahead.note("b", 9);
        assert_eq!((ahead.least("a"), ahead.least("c")), (7, 0));
        ahead.reached(8);
        assert_eq!((ahead.least("a"), ahead.least("b")), (0, 9));
        ahead.reached(9);
        assert!(ahead.is_empty());
    }

    #[test]
    fn more_keys_than_are_kept_count_for_all() {
        let ahead = Ahead::default();
        for number in 0..=MAX_KEYS as u64 {
            ahead.note(&number.to_string(), number + 1);
        }
        let last = MAX_KEYS as u64 + 1;
        assert_eq!(ahead.state().keys.len(), MAX_KEYS);
        assert_eq!(ahead.least("anything"), last);
        ahead.reached(last - 1);
        assert_eq!(ahead.least("anything"), last);
        ahead.reached(last);
        assert!(ahead.is_empty());
    }
}
