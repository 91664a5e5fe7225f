//! Calls between actors of one host stay in the process, for as long as both run and the callee has room.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures::{FutureExt as _, future::BoxFuture};
use trellis_host::runtime::LocalActors;
use trellis_rpc::{
    Call, CallContext, CallError, Incoming, Outgoing, Route, RouteKind,
    interface::http::{Response, handle},
};

use crate::kit::{Kit, ask, get, id, until};

/// Another way, which counts.
#[derive(Default)]
pub struct Elsewhere(AtomicUsize);

impl Elsewhere {
    /// How many calls went there.
    pub fn calls(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("elsewhere")
    }
}

impl Route for Elsewhere {
    fn call(&self, _: Call) -> BoxFuture<'_, Result<Incoming, CallError>> {
        self.0.fetch_add(1, SeqCst);
        async { Err(CallError::Transport("elsewhere".into())) }.boxed()
    }

    fn kind(&self) -> RouteKind {
        RouteKind::Nats
    }
}

fn request(path: &str) -> Call {
    let params: Outgoing = ask("GET", path).request.into_params();
    Call {
        operation: handle().clone(),
        context: CallContext::default(),
        params,
    }
}

#[tokio::test]
async fn calls_stay_here_while_the_callee_runs_here_and_has_room() {
    let kit = Kit::new();
    let locals = Arc::new(LocalActors::default());
    let elsewhere = Arc::new(Elsewhere::default());
    let route = locals.route(&id("misbehave"), elsewhere.clone());
    assert_eq!(route.kind(), RouteKind::Nats);
    route.call(request("/ok")).await.unwrap_err();

    let actor = kit
        .start_with("misbehave", |options| options.max_instances = 1)
        .await;
    locals.add(&actor);
    assert_eq!(route.kind(), RouteKind::InProcess);
    let answer = Response::from_result(route.call(request("/big?bytes=3000000")).await.unwrap());
    let body = answer.unwrap().unwrap().body.collect(4 << 20).await;
    assert_eq!(body.unwrap().len(), 3_000_000);
    until("the call has ended", || actor.in_flight() == 0).await;

    // Busy here: another host may have room.
    let busy = tokio::spawn({
        let actor = actor.clone();
        async move { get(&actor, "/sleep?ms=60000").await }
    });
    until("the actor is busy", || actor.in_flight() == 1).await;
    route.call(request("/ok")).await.unwrap_err();
    busy.abort();
    until("the actor has room", || actor.has_room()).await;
    route.call(request("/ok")).await.unwrap();
    assert_eq!(elsewhere.calls(), 2);

    locals.remove(&actor);
    route.call(request("/ok")).await.unwrap_err();
    assert_eq!(elsewhere.calls(), 3);
}

#[tokio::test]
async fn a_newer_actor_takes_over() {
    let kit = Kit::new();
    let locals = Arc::new(LocalActors::default());
    let route = locals.route(&id("misbehave"), Arc::new(Elsewhere::default()));
    let older = kit.start("misbehave").await;
    locals.add(&older);
    let newer = kit.start("misbehave").await;
    locals.add(&newer);
    locals.remove(&older);
    route.call(request("/ok")).await.unwrap();
    assert_eq!((older.counters().calls, newer.counters().calls), (0, 1));
    // One that is dropped without a word is not called.
    drop(older);
    locals.remove(&newer);
    assert_eq!(route.kind(), RouteKind::Nats);
}

/// Giving up a call in process ends the callee's work.
#[tokio::test]
async fn a_call_that_is_given_up_ends() {
    let kit = Kit::new();
    let locals = Arc::new(LocalActors::default());
    let route = locals.route(&id("misbehave"), Arc::new(Elsewhere::default()));
    let actor = kit.start("misbehave").await;
    locals.add(&actor);
    let mut call = route.call(request("/sleep?ms=60000"));
    assert!((&mut call).now_or_never().is_none());
    assert_eq!(actor.in_flight(), 1);
    drop(call);
    until("the instance is gone", || actor.in_flight() == 0).await;
}
