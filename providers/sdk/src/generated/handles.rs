//! Resources that a provider has made for components. What travels is a handle: sixteen random bytes, so that only whoever
//! was given one can use it.
//!
//! A resource lives in the process that made it. Where several processes of one provider share the calls, a component
//! reaches its resources only while its calls go to the same one: a handle of another's is refused, with words that say so.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use trellis_rpc::CallError;

/// How many resources of one type one caller may hold.
const MAX_OF_CALLER: usize = 1_000;
/// How many resources of one type all callers may hold.
const MAX: usize = 10_000;
/// How long a resource is kept that nobody uses, when room is needed: a 1.x host never says that one is dropped.
const IDLE: Duration = Duration::from_secs(600);

type Handle = [u8; 16];

/// A provider's resources of one type, by their handles.
pub struct Handles<T> {
    /// The resource's name in WIT, for messages.
    name: &'static str,
    held: Mutex<Held<T>>,
}

struct Held<T> {
    resources: HashMap<Handle, Resource<T>>,
    by_caller: HashMap<Arc<str>, usize>,
}

struct Resource<T> {
    value: Arc<T>,
    caller: Arc<str>,
    used: Instant,
}

impl<T> Handles<T> {
    /// No resources yet, of a type of that name.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            held: Mutex::new(Held {
                resources: HashMap::new(),
                by_caller: HashMap::new(),
            }),
        }
    }

    /// Keeps a resource for a caller; its handle.
    ///
    /// # Errors
    /// [`CallError::Overloaded`]: too many are held, and none of them was idle for long.
    pub fn keep(&self, caller: Option<&Arc<str>>, value: T) -> Result<Bytes, CallError> {
        let caller = caller.cloned().unwrap_or_default();
        let mut held = self.held();
        if held.is_full(&caller) {
            held.forget_idle(Instant::now());
            if held.is_full(&caller) {
                return Err(CallError::Overloaded(format!(
                    "too many resources {} are held, by {caller:?} or by all ({MAX_OF_CALLER} and {MAX} at most); drop some",
                    self.name
                )));
            }
        }
        let handle: Handle = rand::random();
        *held.by_caller.entry(caller.clone()).or_default() += 1;
        held.resources.insert(
            handle,
            Resource {
                value: Arc::new(value),
                caller,
                used: Instant::now(),
            },
        );
        Ok(Bytes::copy_from_slice(&handle))
    }

    /// The resource that a handle stands for (`borrow`).
    ///
    /// # Errors
    /// [`CallError::Failed`]: there is none.
    pub fn get(&self, handle: &[u8]) -> Result<Arc<T>, CallError> {
        let mut held = self.held();
        let found = held.resources.get_mut(handle);
        found
            .map(|resource| {
                resource.used = Instant::now();
                resource.value.clone()
            })
            .ok_or_else(|| self.none())
    }

    /// Takes a resource back that a caller gives away (`own`).
    ///
    /// # Errors
    /// [`CallError::Failed`]: there is none.
    pub fn take(&self, handle: &[u8]) -> Result<Arc<T>, CallError> {
        self.held().remove(handle).ok_or_else(|| self.none())
    }

    /// A caller has dropped its handle. One that isn't there is no error.
    pub fn release(&self, handle: &[u8]) {
        drop(self.held().remove(handle));
    }

    fn none(&self) -> CallError {
        CallError::Failed(format!(
            "there is no such {} here: it was dropped, given away, not used for long, or made by another process of this provider",
            self.name
        ))
    }

    fn held(&self) -> MutexGuard<'_, Held<T>> {
        // Nothing panics while holding it.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Held<T> {
    fn is_full(&self, caller: &str) -> bool {
        self.resources.len() >= MAX
            || self
                .by_caller
                .get(caller)
                .is_some_and(|count| *count >= MAX_OF_CALLER)
    }

    fn forget_idle(&mut self, now: Instant) {
        let idle: Vec<Handle> = self
            .resources
            .iter()
            .filter(|(_, resource)| now.saturating_duration_since(resource.used) >= IDLE)
            .map(|(handle, _)| *handle)
            .collect();
        for handle in idle {
            self.remove(&handle);
        }
    }

    fn remove(&mut self, handle: &[u8]) -> Option<Arc<T>> {
        let resource = self.resources.remove(handle)?;
        if let Some(count) = self.by_caller.get_mut(&resource.caller) {
            *count -= 1;
            if *count == 0 {
                self.by_caller.remove(&resource.caller);
            }
        }
        Some(resource.value)
    }
}

impl<T> fmt::Debug for Handles<T> {
    /// Handles are not shown: who knows one may use it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handles")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_there_until_it_is_dropped_or_given_away() {
        let handles = Handles::new("quote");
        let caller: Arc<str> = "shop".into();
        let one = handles.keep(Some(&caller), 1).unwrap();
        let two = handles.keep(Some(&caller), 2).unwrap();
        assert_eq!(one.len(), 16);
        assert_eq!(*handles.get(&one).unwrap(), 1);
        assert_eq!(*handles.take(&two).unwrap(), 2);
        let gone = handles.get(&two).unwrap_err().to_string();
        assert!(gone.contains("no such quote"), "{gone}");
        handles.release(&one);
        handles.release(&one);
        assert!(handles.get(&one).is_err());
        assert!(handles.get(b"short").is_err());
        assert!(handles.held().by_caller.is_empty());
    }

    #[test]
    fn one_caller_cannot_take_all_the_room() {
        let handles = Handles::new("quote");
        let (greedy, other): (Arc<str>, Arc<str>) = ("greedy".into(), "other".into());
        for _ in 0..MAX_OF_CALLER {
            handles.keep(Some(&greedy), ()).unwrap();
        }
        let full = handles.keep(Some(&greedy), ());
        assert!(matches!(full, Err(CallError::Overloaded(_))));
        handles.keep(Some(&other), ()).unwrap();
        handles.held().forget_idle(Instant::now() + IDLE);
        assert!(handles.held().resources.is_empty());
        handles.keep(Some(&greedy), ()).unwrap();
    }
}
