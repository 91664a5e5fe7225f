//! Calls between actors of one host: they need not leave the process.
//!
//! A [`Local`] is the place of one target: a link holds it from when it is put, and finds the actor in it without a
//! look-up. Actors whose functions are called by their types get their callers' values as they are (`dynamic::import`);
//! everything else, HTTP bodies among it, goes the way of [`Route`], without a copy.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use arc_swap::ArcSwapWeak;
use dashmap::DashMap;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use trellis_lattice::ComponentId;
use trellis_rpc::{
    Call, CallCounts, CallError, Channels, Incoming, IncomingCall, Route, RouteKind,
};

use super::{Actor, Entered};

/// How many places there are before those that nobody needs are looked for.
const FEW_PLACES: usize = 1024;

/// The actors that run on this host now, by id.
#[derive(Debug, Default)]
pub struct LocalActors {
    places: DashMap<ComponentId, Arc<Local>>,
    /// When there are this many places, some may be of no use any more.
    crowded: AtomicUsize,
}

/// The place of one target: the actor with that id, while one runs here.
pub struct Local {
    target: ComponentId,
    /// Weak: an actor that is dropped without a word is not called.
    actor: ArcSwapWeak<Actor>,
}

impl LocalActors {
    /// Lets calls to an actor come here, in place of an older one of that id.
    pub fn add(&self, actor: &Arc<Actor>) {
        self.place(actor.id()).actor.store(Arc::downgrade(actor));
    }

    /// Sends calls elsewhere again, unless a newer actor has taken that one's place.
    pub fn remove(&self, actor: &Arc<Actor>) {
        if let Some(place) = self.places.get(actor.id()) {
            place.remove(actor);
        }
    }

    /// The place of a target, whether an actor is in it or not.
    pub fn place(&self, target: &ComponentId) -> Arc<Local> {
        if let Some(place) = self.places.get(target) {
            return place.clone();
        }
        self.tidy();
        let place = self.places.entry(target.clone()).or_insert_with(|| {
            Arc::new(Local {
                target: target.clone(),
                actor: ArcSwapWeak::new(Weak::new()),
            })
        });
        place.clone()
    }

    /// The way to a target: in process while it runs here and has room, else the other way.
    pub fn route(
        self: &Arc<Self>,
        target: &ComponentId,
        elsewhere: Arc<dyn Route>,
    ) -> Arc<dyn Route> {
        self.route_counted(target, elsewhere, None)
    }

    /// The same, with calls in process counted there.
    pub fn route_counted(
        self: &Arc<Self>,
        target: &ComponentId,
        elsewhere: Arc<dyn Route>,
        counts: Option<Arc<CallCounts>>,
    ) -> Arc<dyn Route> {
        let local = self.place(target);
        Arc::new(LocalFirst {
            local,
            elsewhere,
            counts,
        })
    }

    /// Forgets places that no link leads to and no actor is in. Each time that it looks, as many may come before the next.
    fn tidy(&self) {
        let crowded = self.crowded.load(Relaxed).max(FEW_PLACES);
        if self.places.len() < crowded {
            return;
        }
        self.places
            .retain(|_, place| Arc::strong_count(place) > 1 || place.actor().is_some());
        self.crowded
            .store(self.places.len().saturating_mul(2), Relaxed);
    }
}

impl Local {
    /// The target's id.
    pub fn target(&self) -> &ComponentId {
        &self.target
    }

    fn actor(&self) -> Option<Arc<Actor>> {
        self.actor.load().upgrade()
    }

    fn remove(&self, actor: &Arc<Actor>) {
        let older = Arc::downgrade(actor);
        self.actor.compare_and_swap(&older, Weak::new());
    }

    /// The actor, if it runs here and would take a call at once. One that is busy may be less so on another host.
    fn ready(&self) -> Option<Arc<Actor>> {
        self.actor().filter(|actor| actor.has_room())
    }

    /// Has such an actor take a call.
    pub(super) fn enter(&self) -> Option<Entered> {
        self.ready()?.take_in()
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("target", &self.target)
            .field("here", &self.actor().is_some())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct LocalFirst {
    local: Arc<Local>,
    elsewhere: Arc<dyn Route>,
    counts: Option<Arc<CallCounts>>,
}

impl Route for LocalFirst {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Incoming, CallError>> {
        match self.local.enter() {
            Some(actor) => {
                if let Some(counts) = &self.counts {
                    counts.in_process();
                }
                Box::pin(in_process(actor, call))
            }
            None => self.elsewhere.call(call),
        }
    }

    fn kind(&self) -> RouteKind {
        match self.local.ready() {
            Some(_) => RouteKind::InProcess,
            None => self.elsewhere.kind(),
        }
    }
}

/// The values and streams of one side are those of the other, without a copy. Who drops the call drops the callee's work
/// with it.
pub(super) async fn in_process(actor: Entered, call: Call) -> Result<Incoming, CallError> {
    let Call {
        operation,
        context,
        params,
    } = call;
    let params = Incoming {
        root: params.root,
        channels: Channels::ready(params.channels),
    };
    let call = IncomingCall {
        operation,
        context,
        params,
        cancelled: CancellationToken::new(),
    };
    let results = actor.handle(call, Instant::now()).await?;
    Ok(Incoming {
        root: results.root,
        channels: Channels::ready(results.channels),
    })
}
