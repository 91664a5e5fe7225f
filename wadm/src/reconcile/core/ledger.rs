//! Notes of one kind, by application: what is noted, what is to be, and what is being written.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::super::Id;

/// How many notes of a kind are written at once.
const MAX_WRITING: usize = 64;

/// How long until a note is tried again that could not be written.
const AGAIN: Duration = Duration::from_secs(1);

/// The notes. Of one application one is written at a time, and the latest wins.
#[derive(Debug)]
pub(super) struct Ledger<V> {
    noted: BTreeMap<String, V>,
    pending: BTreeMap<String, V>,
    writing: BTreeMap<String, (Id, V)>,
    by_id: BTreeMap<Id, String>,
    /// Those whose last write failed, so that either may stand there.
    unsure: BTreeSet<String>,
    /// Those of them that wait.
    held: BTreeSet<String>,
    again_at: Option<Instant>,
}

impl<V> Default for Ledger<V> {
    fn default() -> Self {
        Self {
            noted: BTreeMap::new(),
            pending: BTreeMap::new(),
            writing: BTreeMap::new(),
            by_id: BTreeMap::new(),
            unsure: BTreeSet::new(),
            held: BTreeSet::new(),
            again_at: None,
        }
    }
}

impl<V: Clone + PartialEq> Ledger<V> {
    /// What is noted was read (anew). What is being written now counts as not written.
    pub(super) fn begin(&mut self, noted: BTreeMap<String, V>) {
        *self = Self {
            noted,
            ..Self::default()
        };
    }

    /// What is noted.
    pub(super) fn noted(&self) -> &BTreeMap<String, V> {
        &self.noted
    }

    /// Wants something noted; whether it is.
    pub(super) fn want(&mut self, app: &str, value: &V) -> bool {
        let is_noted = match self.writing.get(app) {
            Some((_, written)) => {
                if written == value {
                    self.pending.remove(app);
                    return false;
                }
                false
            }
            None => !self.unsure.contains(app) && self.noted.get(app) == Some(value),
        };
        if is_noted {
            self.pending.remove(app);
        } else if self.pending.get(app) != Some(value) {
            self.pending.insert(app.to_owned(), value.clone());
        }
        is_noted
    }

    /// Forgets applications that are no more.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.noted.retain(|app, _| is_there(app));
        self.pending.retain(|app, _| is_there(app));
        self.unsure.retain(|app| is_there(app));
        self.held.retain(|app| is_there(app));
    }

    /// The next note to write, if there is room. `id` names it.
    pub(super) fn send(&mut self, id: Id) -> Option<(String, V)> {
        if self.writing.len() >= MAX_WRITING {
            return None;
        }
        let app = self
            .pending
            .keys()
            .find(|app| !self.writing.contains_key(*app) && !self.held.contains(*app))?
            .clone();
        let value = self.pending.remove(&app)?;
        self.writing.insert(app.clone(), (id, value.clone()));
        self.by_id.insert(id, app.clone());
        Some((app, value))
    }

    /// A write ended; gives the application, if it was one of ours.
    pub(super) fn written(&mut self, id: Id, is_done: bool, now: Instant) -> Option<String> {
        let app = self.by_id.remove(&id)?;
        let (_, value) = self.writing.remove(&app)?;
        if is_done {
            self.noted.insert(app.clone(), value);
            self.unsure.remove(&app);
        } else {
            self.unsure.insert(app.clone());
            self.pending.entry(app.clone()).or_insert(value);
            self.held.insert(app.clone());
            self.again_at.get_or_insert(now + AGAIN);
        }
        Some(app)
    }

    /// Lets those go whose last write failed, when it is time.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            self.held.clear();
        }
    }

    /// When a write is tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.again_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_wins_and_one_is_written_at_a_time() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        assert!(!ledger.want("a", &1));
        assert_eq!(ledger.send(1), Some(("a".into(), 1)));
        assert!(!ledger.want("a", &2));
        assert!(!ledger.want("a", &3));
        assert_eq!(ledger.send(2), None);
        assert_eq!(ledger.written(1, true, now), Some("a".into()));
        assert_eq!(ledger.written(1, true, now), None);
        assert_eq!(ledger.send(3), Some(("a".into(), 3)));
        // Back to what is noted, but not any more once the write is done.
        assert!(!ledger.want("a", &1));
        ledger.written(3, true, now);
        assert_eq!(ledger.send(4), Some(("a".into(), 1)));
        ledger.written(4, true, now);
        assert!(ledger.want("a", &1));
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.want("a", &1);
        ledger.send(1);
        ledger.written(1, false, now);
        assert_eq!(ledger.send(2), None);
        ledger.wake(ledger.next().unwrap());
        // It may have been written all the same.
        assert!(!ledger.want("a", &1));
        assert_eq!(ledger.send(3), Some(("a".into(), 1)));
    }
}
