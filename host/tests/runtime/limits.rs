//! Actors that loop, grow, trap, wait or print: their call fails in bounded time, and nobody else notices.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;
use trellis_host::runtime::{Actor, ActorOptions, StartError};
use trellis_rpc::{
    CallContext, CallError, Channels, Handler as _, Incoming, IncomingCall, interface::http::handle,
};

use crate::kit::{Kit, SOON, ask, get, until};

async fn misbehave(kit: &Kit, change: impl FnOnce(&mut ActorOptions)) -> Arc<Actor> {
    kit.start_with("misbehave", change).await
}

/// On one thread: a loop that never gave way would stop everything.
#[tokio::test(flavor = "current_thread")]
async fn a_loop_ends_at_the_deadline_and_others_run_meanwhile() {
    let kit = Kit::new();
    let looping = misbehave(&kit, |options| {
        options.limits.call_deadline = Duration::from_millis(600);
    })
    .await;
    let hello = kit.start("http_hello").await;
    get(&hello, "/").await.unwrap();
    let started = Instant::now();
    let loops: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn({
                let looping = looping.clone();
                async move { get(&looping, "/loop").await }
            })
        })
        .collect();
    until("the loops run", || looping.in_flight() == 3).await;
    let mut answered = 0;
    while loops.iter().any(|task| !task.is_finished()) {
        assert_eq!(get(&hello, "/").await.unwrap().status, 200);
        answered += 1;
    }
    assert!(answered > 2, "{answered} calls in between");
    for task in loops {
        let error = task.await.unwrap().unwrap_err();
        assert!(
            matches!(error, CallError::DeadlineExceeded { .. }),
            "{error}"
        );
    }
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(looping.in_flight(), 0);
    assert_eq!(get(&looping, "/ok").await.unwrap().text(), "ok\n");
}

#[tokio::test]
async fn a_caller_s_earlier_deadline_counts() {
    let kit = Kit::new();
    let actor = misbehave(&kit, |_| {}).await;
    for path in ["/loop", "/sleep?ms=60000"] {
        let started = Instant::now();
        let error = ask("GET", path)
            .within(Duration::from_millis(200))
            .send(&actor)
            .await
            .unwrap_err();
        assert!(
            matches!(error, CallError::DeadlineExceeded { .. }),
            "{path}: {error}"
        );
        assert!(started.elapsed() < Duration::from_secs(10), "{path}");
        until("its instance is gone", || actor.in_flight() == 0).await;
    }
}

#[tokio::test]
async fn memory_is_bounded() {
    let kit = Kit::new();
    let actor = misbehave(&kit, |options| options.limits.memory_bytes = 16 << 20).await;
    let error = get(&actor, "/grow").await.unwrap_err().to_string();
    assert!(
        error.contains("\"misbehave\"") && error.contains("beyond its limit of 16777216 bytes"),
        "{error}"
    );
    assert_eq!(get(&actor, "/ok").await.unwrap().text(), "ok\n");
    assert_eq!(actor.counters().traps, 1);
}

#[tokio::test]
async fn the_stack_is_bounded() {
    let kit = Kit::new();
    let actor = misbehave(&kit, |_| {}).await;
    let error = get(&actor, "/recurse").await.unwrap_err().to_string();
    // Rust guests have most of their stack in their memory, at its beginning; others run out of the machine's.
    let ends = ["out of bounds memory access", "call stack exhausted"];
    assert!(
        error.contains("\"misbehave\"") && ends.iter().any(|end| error.contains(end)),
        "{error}"
    );
    assert_eq!(get(&actor, "/ok").await.unwrap().text(), "ok\n");
}

#[tokio::test]
async fn a_trap_names_the_actor_and_its_last_words() {
    let kit = Kit::new();
    let actor = misbehave(&kit, |_| {}).await;
    let error = get(&actor, "/trap").await.unwrap_err();
    assert!(matches!(error, CallError::Failed(_)));
    let error = error.to_string();
    for part in [
        "actor \"misbehave\"",
        "incoming-handler",
        "unreachable",
        "because it was asked to",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(get(&actor, "/ok").await.unwrap().text(), "ok\n");
}

#[tokio::test]
async fn calls_beyond_the_limit_wait_and_the_queue_is_bounded() {
    let kit = Kit::new();
    let actor = misbehave(&kit, |options| {
        options.max_instances = 1;
        options.limits.queue = 1;
    })
    .await;
    let slow = tokio::spawn({
        let actor = actor.clone();
        async move { get(&actor, "/sleep?ms=300").await }
    });
    until("the first runs", || actor.in_flight() == 1).await;
    let queued = tokio::spawn({
        let actor = actor.clone();
        async move { get(&actor, "/ok").await }
    });
    until("the second waits", || actor.counters().waiting == 1).await;
    let error = get(&actor, "/ok").await.unwrap_err();
    assert!(matches!(error, CallError::Overloaded(_)), "{error}");
    assert_eq!(slow.await.unwrap().unwrap().text(), "slept 300 ms\n");
    assert_eq!(queued.await.unwrap().unwrap().text(), "ok\n");
}

#[tokio::test]
async fn more_instances_let_waiting_calls_in() {
    let kit = Kit::new();
    let actor = misbehave(&kit, |options| options.max_instances = 1).await;
    let slow = tokio::spawn({
        let actor = actor.clone();
        async move { get(&actor, "/sleep?ms=60000").await }
    });
    until("the first runs", || actor.in_flight() == 1).await;
    let waiting = tokio::spawn({
        let actor = actor.clone();
        async move { get(&actor, "/ok").await }
    });
    until("the second waits", || actor.counters().waiting == 1).await;
    actor.set_max_instances(2);
    let answer = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(answer.unwrap().text(), "ok\n");
    slow.abort();
}

#[tokio::test]
async fn the_host_as_a_whole_is_bounded() {
    let kit = Kit::with(trellis_host::runtime::RuntimeConfig {
        max_calls: 2,
        ..Default::default()
    });
    let actor = misbehave(&kit, |_| {}).await;
    let calls = (0..8).map(|_| get(&actor, "/sleep?ms=50"));
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.unwrap().text(), "slept 50 ms\n");
    }
}

/// A caller that gives up takes the instance with it.
#[tokio::test]
async fn a_cancelled_call_ends() {
    let kit = Kit::new();
    let actor = misbehave(&kit, |_| {}).await;
    let cancelled = CancellationToken::new();
    let params = ask("GET", "/sleep?ms=60000").request.into_params();
    let call = IncomingCall {
        operation: handle().clone(),
        context: CallContext::default(),
        params: Incoming {
            root: params.root,
            channels: Channels::ready(params.channels),
        },
        cancelled: cancelled.clone(),
    };
    let running = tokio::spawn(actor.clone().handle(call));
    until("it runs", || actor.in_flight() == 1).await;
    cancelled.cancel();
    let error = tokio::time::timeout(SOON, running)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, CallError::Cancelled), "{error}");
    assert_eq!(actor.in_flight(), 0);
}

#[tokio::test]
async fn a_stopped_actor_answers_nobody() {
    let kit = Kit::new();
    let actor = misbehave(&kit, |_| {}).await;
    let running = tokio::spawn({
        let actor = actor.clone();
        async move { get(&actor, "/sleep?ms=60000").await }
    });
    until("it runs", || actor.in_flight() == 1).await;
    actor.stop(Duration::from_millis(50)).await;
    assert!(
        tokio::time::timeout(SOON, running)
            .await
            .unwrap()
            .unwrap()
            .is_err()
    );
    assert!(get(&actor, "/ok").await.is_err());
    assert_eq!(actor.in_flight(), 0);
}

#[tokio::test]
async fn an_actor_sees_nothing_of_the_machine() {
    let kit = Kit::new();
    let actor = misbehave(&kit, |_| {}).await;
    let answer = get(&actor, "/env").await.unwrap();
    let expected = "env 0\nargs 0\n/ hidden\n. hidden\n/etc/passwd hidden\n/proc/self/environ hidden\nwrite refused\n";
    assert_eq!(answer.text(), expected);
}

#[tokio::test]
async fn configuration_is_read_and_changes_while_the_actor_runs() {
    let kit = Kit::new();
    let actor = misbehave(&kit, |options| {
        options.config.insert("greeting".into(), "hello".into());
        options.config.insert("other".into(), "x".into());
    })
    .await;
    for by in ["store", "runtime", "rc"] {
        let one = get(&actor, &format!("/config?key=greeting&by={by}"))
            .await
            .unwrap();
        assert_eq!(one.text(), "hello\n");
        assert_eq!(
            get(&actor, &format!("/config?key=none&by={by}"))
                .await
                .unwrap()
                .status,
            404
        );
        let all = get(&actor, &format!("/config?by={by}")).await.unwrap();
        assert_eq!(all.text(), "greeting=hello\nother=x\n");
    }
    actor.set_config([("greeting".to_owned(), "good day".to_owned())].into());
    assert_eq!(
        get(&actor, "/config?by=rc").await.unwrap().text(),
        "greeting=good day\n"
    );
}

#[tokio::test]
async fn logging_is_offered() {
    let kit = Kit::new();
    let actor = misbehave(&kit, |_| {}).await;
    assert_eq!(
        get(&actor, "/log?message=hi").await.unwrap().text(),
        "6 lines\n"
    );
}

#[tokio::test]
async fn options_that_cannot_be_are_refused() {
    let kit = Kit::new();
    let module = kit.load("http_hello").await;
    let options = |max_instances, memory_bytes| ActorOptions {
        id: crate::kit::id("a"),
        max_instances,
        limits: trellis_host::runtime::Limits {
            memory_bytes,
            ..Default::default()
        },
        config: Default::default(),
        links: kit.links.clone(),
    };
    let error = Actor::start(&kit.runtime, &module, options(0, 1 << 20)).unwrap_err();
    assert!(matches!(error, StartError::NoInstances { .. }));
    let error = Actor::start(&kit.runtime, &module, options(1, 1 << 40))
        .unwrap_err()
        .to_string();
    assert!(error.contains("memory_bytes"), "{error}");
}
