//! Calls between actors of one host: they need not leave the process.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Instant,
};

use dashmap::DashMap;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use trellis_lattice::ComponentId;
use trellis_rpc::{Call, CallError, Channels, Incoming, IncomingCall, Route, RouteKind};

use super::{Actor, Entered};

/// The actors that run on this host now, by id.
#[derive(Debug, Default)]
pub struct LocalActors {
    actors: DashMap<ComponentId, Weak<Actor>>,
}

impl LocalActors {
    /// Lets calls to an actor come here, in place of an older one of that id.
    pub fn add(&self, actor: &Arc<Actor>) {
        self.actors
            .insert(actor.id().clone(), Arc::downgrade(actor));
    }

    /// Sends calls elsewhere again, unless a newer actor has taken that one's place.
    pub fn remove(&self, actor: &Arc<Actor>) {
        self.actors
            .remove_if(actor.id(), |_, known| known.as_ptr() == Arc::as_ptr(actor));
    }

    /// The way to a target: in process while it runs here and has room, else the other way.
    pub fn route(
        self: &Arc<Self>,
        target: &ComponentId,
        elsewhere: Arc<dyn Route>,
    ) -> Arc<dyn Route> {
        Arc::new(LocalFirst {
            target: target.clone(),
            actors: self.clone(),
            elsewhere,
        })
    }

    /// The actor, if it runs here and would take a call at once. One that is busy may be less so on another host.
    fn ready(&self, target: &ComponentId) -> Option<Arc<Actor>> {
        let actor = self.actors.get(target)?.upgrade()?;
        actor.has_room().then_some(actor)
    }

    /// Has such an actor take a call.
    fn enter(&self, target: &ComponentId) -> Option<Entered> {
        self.ready(target)?.enter()
    }
}

struct LocalFirst {
    target: ComponentId,
    actors: Arc<LocalActors>,
    elsewhere: Arc<dyn Route>,
}

impl Route for LocalFirst {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Incoming, CallError>> {
        match self.actors.enter(&self.target) {
            Some(actor) => Box::pin(in_process(actor, call)),
            None => self.elsewhere.call(call),
        }
    }

    fn kind(&self) -> RouteKind {
        match self.actors.ready(&self.target) {
            Some(_) => RouteKind::InProcess,
            None => self.elsewhere.kind(),
        }
    }
}

impl fmt::Debug for LocalFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            target, elsewhere, ..
        } = self;
        f.debug_struct("LocalFirst")
            .field("target", target)
            .field("elsewhere", elsewhere)
            .finish_non_exhaustive()
    }
}

/// The values and streams of one side are those of the other, without a copy. Who drops the call drops the callee's work
/// with it.
async fn in_process(actor: Entered, call: Call) -> Result<Incoming, CallError> {
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
