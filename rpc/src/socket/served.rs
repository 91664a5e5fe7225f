//! What is served here, to every peer.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tokio::sync::Notify;
use trellis_lattice::ComponentId;

use super::{connection::Connection, frame::Frame, outbox::Pace};
use crate::{
    call::Handler,
    error::CallError,
    serving::{self, ServeOptions},
};

/// The targets served here, and the connections that have to know of them.
#[derive(Debug, Default)]
pub(super) struct Registry {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seats: HashMap<ComponentId, Arc<Seat>>,
    connections: Vec<Arc<Connection>>,
}

/// A target's place; who sits in it answers.
#[derive(Debug)]
pub(super) struct Seat {
    current: ArcSwapOption<Served>,
}

/// What answers a target's calls, and how many run.
pub(super) struct Served {
    pub(super) target: ComponentId,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) options: ServeOptions,
    running: AtomicUsize,
    /// Nothing runs any more.
    idle: Notify,
    /// Nothing is taken any more.
    left: AtomicBool,
    /// The serving was dropped: what runs has to end.
    stopped: AtomicBool,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served")
            .field("target", &self.target)
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

/// A call's place among those that run.
#[derive(Debug)]
pub(super) struct Place(pub(super) Arc<Served>);

/// A target being served. Dropping it ends the serving and the calls that run.
#[derive(Debug)]
pub struct Serving {
    registry: Weak<Registry>,
    served: Arc<Served>,
    drained: bool,
}

impl Serving {
    /// Takes no more calls, lets those that run finish and their answers go out, and ends. Callers that hear of it too
    /// late have their calls given back and take the other way. Bound it with a timeout: a call may stream for as long
    /// as it likes.
    pub async fn drain(mut self) {
        let Some(registry) = self.registry.upgrade() else {
            return;
        };
        registry.leave(&self.served);
        self.served.idle().await;
        self.drained = true;
        let connections = registry.lock().connections.clone();
        for connection in connections {
            connection.outbox.flushed().await;
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.drained {
            return;
        }
        let Some(registry) = self.registry.upgrade() else {
            return;
        };
        registry.leave(&self.served);
        self.served.stopped.store(true, Ordering::SeqCst);
        let connections = registry.lock().connections.clone();
        for connection in connections {
            connection
                .taken()
                .iter()
                .for_each(|call| call.stop(&self.served));
        }
    }
}

impl Registry {
    /// Serves a target in place of whoever did before, and tells every peer.
    pub(super) fn serve(
        self: &Arc<Self>,
        target: &ComponentId,
        handler: Arc<dyn Handler>,
        options: ServeOptions,
    ) -> Serving {
        let served = Arc::new(Served {
            target: target.clone(),
            handler,
            options,
            running: AtomicUsize::new(0),
            idle: Notify::new(),
            left: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let mut state = self.lock();
        match state.seats.get(target) {
            Some(seat) => seat.current.store(Some(served.clone())),
            None => {
                let current = ArcSwapOption::from(Some(served.clone()));
                state
                    .seats
                    .insert(target.clone(), Arc::new(Seat { current }));
                state.tell(&Frame::Here, target);
            }
        }
        drop(state);
        Serving {
            registry: Arc::downgrade(self),
            served,
            drained: false,
        }
    }

    /// Tells a new peer what is served, and from now on what changes. `first` goes before it, [`Frame::Ready`] after.
    pub(super) fn join(&self, connection: &Arc<Connection>) {
        let mut state = self.lock();
        if let Ok(mut put) = connection.outbox.begin() {
            for target in state.seats.keys() {
                put.frame(&Frame::Here, &name(target));
            }
            put.frame(&Frame::Ready, &Bytes::new());
            put.send(Pace::Together);
        }
        state.connections.push(connection.clone());
    }

    /// A peer is gone.
    pub(super) fn part(&self, connection: &Arc<Connection>) {
        self.lock()
            .connections
            .retain(|one| !Arc::ptr_eq(one, connection));
    }

    /// The seat of a target, if anybody sits in it.
    pub(super) fn seat(&self, target: &str) -> Option<Arc<Seat>> {
        self.lock().seats.get(target).cloned()
    }

    fn leave(&self, served: &Arc<Served>) {
        served.left.store(true, Ordering::SeqCst);
        let mut state = self.lock();
        let Some(seat) = state.seats.get(&served.target) else {
            return;
        };
        let current = seat.current.load();
        if current.as_ref().is_some_and(|one| Arc::ptr_eq(one, served)) {
            seat.current.store(None);
            state.seats.remove(&served.target);
            state.tell(&Frame::Gone, &served.target);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&self, frame: &Frame, target: &ComponentId) {
        let name = name(target);
        for connection in &self.connections {
            connection.outbox.send(frame, &name, Pace::Now);
        }
    }
}

impl Seat {
    /// Who answers now.
    pub(super) fn served(&self) -> Option<Arc<Served>> {
        self.current.load_full()
    }
}

impl Served {
    /// A place for one more call.
    ///
    /// # Errors
    /// [`CallError::Overloaded`] when there is none, [`CallError::NoResponder`] when nothing is taken any more.
    pub(super) fn enter(self: Arc<Self>) -> Result<Place, CallError> {
        let limit = self.options.max_in_flight;
        let before = self.running.fetch_add(1, Ordering::SeqCst);
        let place = Place(self);
        let served = &place.0;
        // Looked at after the place was taken: who drains looks at the places after leaving.
        if served.left.load(Ordering::SeqCst) {
            let target = served.target.to_string();
            return Err(CallError::NoResponder { target });
        }
        match before < limit {
            true => Ok(place),
            false => Err(serving::overloaded(&served.target, limit)),
        }
    }

    /// Whether what runs has to end.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.running.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

fn name(target: &ComponentId) -> Bytes {
    Bytes::copy_from_slice(target.as_str().as_bytes())
}
