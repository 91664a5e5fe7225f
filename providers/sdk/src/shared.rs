//! What links of equal settings have in common: a connection, an open bucket.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// Values by settings, each for as long as somebody holds it.
pub struct Shared<K, V> {
    values: Mutex<HashMap<K, Weak<V>>>,
}

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self {
            values: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash, V> Shared<K, V> {
    /// The value of those settings, if somebody holds it.
    pub fn get(&self, settings: &K) -> Option<Arc<V>> {
        self.values().get(settings).and_then(Weak::upgrade)
    }

    /// Keeps a new value in sight, and forgets those that nobody holds any more. The value is given back.
    pub fn put(&self, settings: K, value: V) -> Arc<V> {
        let value = Arc::new(value);
        let mut values = self.values();
        values.retain(|_, value| value.strong_count() > 0);
        values.insert(settings, Arc::downgrade(&value));
        value
    }

    fn values(&self) -> MutexGuard<'_, HashMap<K, Weak<V>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> fmt::Debug for Shared<K, V> {
    /// Settings may hold passwords: they are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shared_while_it_is_held() {
        let shared = Shared::default();
        let one = shared.put("a", 1);
        assert_eq!(shared.get(&"a"), Some(one.clone()));
        assert_eq!(shared.get(&"b"), None);
        drop(one);
        assert_eq!(shared.get(&"a"), None);
        let _two = shared.put("b", 2);
        assert_eq!(shared.values().len(), 1, "what nobody holds is forgotten");
    }
}
