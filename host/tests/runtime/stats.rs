//! How an actor's calls went, as inventories tell it.

use std::{sync::Arc, time::Duration};

use trellis_host::runtime::{Actor, LocalActors};
use trellis_lattice::control::host::ComponentStats;
use trellis_rpc::{Call, CallContext, CallError, interface::http::handle};

use crate::kit::{Kit, ask, get, id, until};

async fn ended(actor: &Arc<Actor>, calls: u64) -> ComponentStats {
    let mut told = actor.stats().tell();
    until("the calls have ended", || {
        told = actor.stats().tell();
        told.calls == calls && told.in_flight == 0
    })
    .await;
    told
}

#[tokio::test]
async fn calls_failures_and_times_are_counted() {
    let kit = Kit::new();
    let actor = kit.start("misbehave").await;
    assert_eq!(actor.stats().tell(), ComponentStats::default());

    for _ in 0..5 {
        get(&actor, "/ok").await.unwrap();
    }
    // What the component itself refuses is no failure of the call.
    assert_eq!(get(&actor, "/status?code=499").await.unwrap().status, 499);
    let told = ended(&actor, 6).await;
    assert_eq!((told.calls, told.errors), (6, 0));
    assert_eq!(told.latency.iter().sum::<u64>(), 6);

    assert_eq!(get(&actor, "/status?code=500").await.unwrap().status, 500);
    get(&actor, "/trap").await.unwrap_err();
    let late = ask("GET", "/loop").within(Duration::from_millis(50));
    late.send(&actor).await.unwrap_err();
    let told = ended(&actor, 9).await;
    assert_eq!(told.errors, 3);

    // A body that ends in a trap fails once, however it was answered for.
    get(&actor, "/half").await.unwrap_err();
    until("the failure is counted", || {
        actor.stats().tell().errors == 4
    })
    .await;
    ended(&actor, 10).await;

    get(&actor, "/sleep?ms=150").await.unwrap();
    let told = ended(&actor, 11).await;
    // 150 ms is between 2^17 and 2^18 us; a busy machine may take longer.
    assert!(told.latency.len() > 18, "{told:?}");
    assert!(
        told.latency[18..].iter().any(|count| *count > 0),
        "{told:?}"
    );
}

#[tokio::test]
async fn the_peak_counts_calls_that_wait_and_refused_ones_failed() {
    let kit = Kit::new();
    let actor = kit
        .start_with("misbehave", |options| {
            options.max_instances = 1;
            options.limits.queue = 2;
        })
        .await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let actor = actor.clone();
        calls.spawn(async move { get(&actor, "/sleep?ms=300").await.map(drop) });
    }
    until("one runs and two wait", || actor.counters().waiting == 2).await;
    assert!(matches!(
        get(&actor, "/ok").await,
        Err(CallError::Overloaded(_))
    ));
    let told = actor.stats().tell();
    assert_eq!((told.calls, told.errors, told.in_flight), (1, 1, 1));
    assert!(told.peak >= 3, "{told:?}");
    for done in calls.join_all().await {
        done.unwrap();
    }
    let told = ended(&actor, 4).await;
    assert_eq!(told.errors, 1);
    until("the peak is long ago", || actor.stats().tell().peak == 0).await;
}

#[tokio::test]
async fn calls_in_process_are_counted_and_so_are_those_given_up() {
    let kit = Kit::new();
    let locals = Arc::new(LocalActors::default());
    let actor = kit.start("misbehave").await;
    locals.add(&actor);
    let call = |path| Call {
        operation: handle().clone(),
        context: CallContext::default(),
        params: ask("GET", path).request.into_params(),
    };
    let elsewhere = Arc::new(crate::local::Elsewhere::default());
    let route = locals.route(&id("misbehave"), elsewhere);
    route.call(call("/ok")).await.unwrap();
    route.call(call("/trap")).await.unwrap_err();
    let told = ended(&actor, 2).await;
    assert_eq!(told.errors, 1);

    // Who gives up has not been failed, but it has waited.
    let given_up = route.call(call("/sleep?ms=60000"));
    let _ = tokio::time::timeout(Duration::from_millis(50), given_up).await;
    let told = ended(&actor, 3).await;
    assert_eq!(told.errors, 1);
    assert!(told.latency.len() > 15, "{told:?}");
}
