//! What has to be so on every way.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use tokio::{task::JoinHandle, time::timeout};
use trellis_host::runtime::Actor;
use trellis_rpc::{
    Call, CallContext, CallError, Handler, IncomingCall, Operation, Outgoing, Route,
    codec::{Decode, Encode, from_bytes, to_bytes},
    interface::http::{Body, Response, handle},
    trace::TraceContext,
};

use super::Pair;
use crate::kit::{Ask, SOON, ask, invoke, until};

const RELAY: &str = "trellis:test/relay@0.1.0";
/// What links between relays are for.
pub const RELAYS: &str = "trellis:test/relay";

/// Calls an actor as its own caller, from elsewhere.
async fn call_in<R: Decode>(
    actor: &Arc<Actor>,
    function: &str,
    params: &impl Encode,
    context: CallContext,
) -> Result<R, CallError> {
    let operation = Operation::new(RELAY, function);
    let params = Outgoing::unary(to_bytes(params));
    let results = invoke(actor.clone(), operation, context, params).await?;
    Ok(from_bytes(results.root).unwrap())
}

async fn call<R: Decode>(
    actor: &Arc<Actor>,
    function: &str,
    params: &impl Encode,
) -> Result<R, CallError> {
    call_in(actor, function, params, CallContext::default()).await
}

/// Has an actor call the one that it is linked to.
async fn forward(actor: &Arc<Actor>, what: &str, number: u64) -> Result<String, CallError> {
    call(actor, "forward", &(what, number)).await
}

fn within(time: Duration) -> CallContext {
    CallContext {
        deadline: Some(Instant::now() + time),
        ..CallContext::default()
    }
}

/// What the linked actor refused is told in the same words, and the caller's own caller must not take it that nothing was
/// done: the caller ran.
fn ended_for_good(error: &CallError, words: &[&str]) {
    assert!(!error.not_started(), "{error:?}");
    let said = error.to_string();
    for word in words {
        assert!(said.contains(word), "{said}");
    }
}

/// Nothing runs any more, on either side.
async fn quiet(pair: &Pair) {
    until("nothing runs", || {
        pair.a.in_flight() + pair.b.in_flight() == 0
    })
    .await;
}

pub async fn calls_take_this_way(pair: Pair) {
    assert_eq!(forward(&pair.a, "answer", 7).await.unwrap(), "it says: 7");
    assert_eq!(pair.kit.route("b").kind(), pair.kind);
}

pub async fn records_go_and_come_back(pair: Pair) {
    let took: Vec<u64> = call(&pair.a, "time-raises", &50_u32).await.unwrap();
    assert_eq!(took.len(), 50);
    assert_eq!((pair.a.counters().calls, pair.b.counters().calls), (1, 50));
    quiet(&pair).await;
}

/// Giving up the first call ends the work of all that it led to.
pub async fn who_gives_up_ends_the_callee_s_work(pair: Pair) {
    let given_up: JoinHandle<_> = tokio::spawn({
        let a = pair.a.clone();
        async move { forward(&a, "sleep", 60_000).await }
    });
    until("both run", || {
        (pair.a.in_flight(), pair.b.in_flight()) == (1, 1)
    })
    .await;
    given_up.abort();
    quiet(&pair).await;
    let told = pair.b.stats().tell();
    assert_eq!((told.calls, told.errors), (1, 0), "given up, not failed");
}

pub async fn the_deadline_holds_for_the_callee_too(pair: Pair) {
    for what in ["sleep", "spin"] {
        let began = Instant::now();
        let context = within(Duration::from_millis(200));
        let error = call_in::<String>(&pair.a, "forward", &(what, 60_000_u64), context)
            .await
            .unwrap_err();
        assert!(
            matches!(error, CallError::DeadlineExceeded { .. }),
            "{what}: {error}"
        );
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        quiet(&pair).await;
    }
    assert_eq!(pair.b.stats().tell().calls, 2);
}

pub async fn the_callee_s_own_deadline_may_be_shorter(pair: Pair) {
    let impatient = pair.callee("impatient", |options| {
        options.limits.call_deadline = Duration::from_millis(100);
    });
    let impatient = impatient.await;
    let error = forward(&pair.a, "sleep", 60_000).await.unwrap_err();
    assert!(
        matches!(error, CallError::DeadlineExceeded { .. }),
        "{error}"
    );
    until("it has ended", || impatient.in_flight() == 0).await;
}

pub async fn a_callee_s_trap_is_its_own(pair: Pair) {
    let error = forward(&pair.a, "trap", 0).await.unwrap_err();
    assert!(matches!(error, CallError::Failed(_)), "{error:?}");
    let said = error.to_string();
    for part in ["\"b\"", "trellis:test/relay@0.1.0.run", "told to trap"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(pair.b.counters().traps, 1);
    let errors = (pair.a.stats().tell().errors, pair.b.stats().tell().errors);
    assert_eq!(errors, (1, 1));
    assert_eq!(forward(&pair.a, "answer", 7).await.unwrap(), "it says: 7");
    quiet(&pair).await;
    let told = pair.b.stats().tell();
    assert_eq!((told.calls, told.errors, told.in_flight), (2, 1, 0));
    assert_eq!(told.latency.iter().sum::<u64>(), 2);
}

pub async fn each_has_its_own_limits(pair: Pair) {
    let small = pair.callee("small", |options| options.limits.memory_bytes = 8 << 20);
    let small = small.await;
    pair.kit.link("small", "default", RELAYS, "a");
    let error = forward(&pair.a, "grow", 32 << 20)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("\"small\"") && error.contains("beyond its limit"),
        "{error}"
    );
    // Its caller may.
    let said = forward(&small, "grow", 32 << 20).await.unwrap();
    assert_eq!(said, format!("it says: took {} bytes", 32 << 20));
}

/// Answers every call with a number, and remembers what came with it.
#[derive(Default)]
struct Sink(Mutex<Vec<CallContext>>);

impl Handler for Sink {
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        self.0.lock().unwrap().push(call.context);
        async { Ok(Outgoing::unary(to_bytes(&3_u32))) }.boxed()
    }
}

pub async fn the_trace_and_the_deadline_go_all_the_way(pair: Pair) {
    let sink = Arc::new(Sink::default());
    pair.kit.reach("sink", sink.clone()).await;
    pair.kit.link("b", "default", RELAYS, "sink");
    let trace = TraceContext::root();
    let mut context = within(Duration::from_secs(9));
    let deadline = context.deadline.unwrap();
    context.trace = Some(trace);
    let far: u32 = call_in(&pair.a, "descend", &2_u32, context).await.unwrap();
    assert_eq!(far, 5);
    let seen = sink.0.lock().unwrap().pop().unwrap();
    assert_eq!(seen.source_id.as_deref(), Some("b"));
    assert_eq!(seen.link_name.as_deref(), Some("default"));
    let theirs = seen.deadline.unwrap();
    let apart = deadline.max(theirs) - deadline.min(theirs);
    assert!(apart < Duration::from_secs(2), "{apart:?}");
    let seen = seen.trace.unwrap();
    assert_eq!(seen.trace_id(), trace.trace_id());
    assert_ne!(seen, trace);
}

/// Each waits for a place that the other holds: the deadline ends it.
pub async fn a_circle_without_room_ends_at_the_deadline(pair: Pair) {
    let narrow =
        |name: &'static str| super::relay(&pair.kit, name, |options| options.max_instances = 1);
    let (c, d) = (narrow("c").await, narrow("d").await);
    pair.kit.link("c", "default", RELAYS, "d");
    pair.kit.link("d", "default", RELAYS, "c");
    let context = within(Duration::from_millis(300));
    let error = call_in::<u32>(&c, "descend", &5_u32, context)
        .await
        .unwrap_err();
    assert!(
        matches!(error, CallError::DeadlineExceeded { .. }),
        "{error}"
    );
    until("nothing runs", || c.in_flight() + d.in_flight() == 0).await;
    assert_eq!(call::<u32>(&c, "descend", &1_u32).await.unwrap(), 1);
}

pub async fn what_the_callee_does_not_export_is_named(pair: Pair) {
    let hello = pair.kit.start("http_hello").await;
    pair.kit.link("a", "default", RELAYS, hello.id().as_str());
    let error = forward(&pair.a, "answer", 1).await.unwrap_err();
    ended_for_good(&error, &["\"http-hello\"", "trellis:test/relay@0.1.0.run"]);
}

pub async fn nobody_there_is_named(pair: Pair) {
    pair.kit.link("a", "default", RELAYS, "nobody");
    let error = forward(&pair.a, "answer", 1).await.unwrap_err();
    ended_for_good(&error, &["nobody in the lattice", "\"nobody\""]);
}

/// One instance, and as many waiting as it lets wait: the rest is refused, and nobody is left without an answer.
pub async fn a_callee_without_room_refuses(pair: Pair) {
    let narrow = pair.callee("narrow", |options| {
        options.max_instances = 1;
        options.limits.queue = 4;
    });
    let narrow = narrow.await;
    let calls = (0..50).map(|_| {
        let a = pair.a.clone();
        tokio::spawn(async move { forward(&a, "sleep", 20).await })
    });
    let mut refused = 0;
    for ended in futures::future::join_all(calls).await {
        match ended.unwrap() {
            Ok(said) => assert_eq!(said, "it says: slept 20 ms"),
            Err(error) => {
                ended_for_good(&error, &["overloaded", "\"narrow\""]);
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "50 at once");
    assert!(narrow.counters().calls > 0);
    until("nothing runs", || narrow.in_flight() == 0).await;
    forward(&pair.a, "answer", 1).await.unwrap();
}

pub async fn a_link_that_changes_is_followed(pair: Pair) {
    let c = super::relay(&pair.kit, "c", |_| {}).await;
    forward(&pair.a, "answer", 1).await.unwrap();
    pair.kit.link("a", "default", RELAYS, "c");
    forward(&pair.a, "answer", 1).await.unwrap();
    pair.kit.unlink_all("a");
    let error = forward(&pair.a, "answer", 1).await.unwrap_err();
    assert!(matches!(error, CallError::MissingLink { .. }), "{error}");
    pair.kit.link("a", "default", RELAYS, "b");
    forward(&pair.a, "answer", 1).await.unwrap();
    assert_eq!((pair.b.counters().calls, c.counters().calls), (2, 1));
}

pub async fn a_thousand_callers_are_all_answered(pair: Pair) {
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..1000_u64 {
        let a = pair.a.clone();
        calls.spawn(async move { (number, forward(&a, "answer", number).await.unwrap()) });
    }
    for (number, said) in calls.join_all().await {
        assert_eq!(said, format!("it says: {number}"));
    }
    quiet(&pair).await;
    let told = pair.b.stats().tell();
    assert_eq!((told.calls, told.errors, told.in_flight), (1000, 0, 0));
}

/// Asks an actor over the way.
async fn ask_it(route: &Arc<dyn Route>, ask: Ask) -> Result<Response, CallError> {
    let call = Call {
        operation: handle().clone(),
        context: ask.context,
        params: ask.request.into_params(),
    };
    let results = timeout(SOON, route.call(call)).await.unwrap()?;
    Ok(Response::from_result(results)?.unwrap())
}

/// Its answer, with the body unread.
async fn begin(route: &Arc<dyn Route>, ask: Ask) -> Response {
    ask_it(route, ask).await.unwrap()
}

/// The actor reads one chunk and writes it back before the next is there: neither side waits for a whole body.
pub async fn bodies_stream_both_ways_at_once(pair: Pair) {
    let actor = pair.kit.start("misbehave").await;
    let route = pair.kit.route("misbehave");
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let chunks = stream::unfold(receiver, |mut receiver| async {
        Some((Ok(receiver.recv().await?), receiver))
    });
    sender.send(Bytes::from_static(b"first ")).await.unwrap();
    let request = ask("POST", "/echo").body(Body::stream(Box::pin(chunks)));
    let response = begin(&route, request).await;
    let Body::Stream { mut content, .. } = response.body else {
        panic!("the body is whole before its end was sent")
    };
    let mut got = Vec::new();
    while got.len() < b"first ".len() {
        let chunk = timeout(SOON, content.next()).await.unwrap();
        got.extend_from_slice(&chunk.unwrap().unwrap());
    }
    assert_eq!(got, b"first ");
    sender.send(Bytes::from_static(b"second")).await.unwrap();
    drop(sender);
    while let Some(chunk) = timeout(SOON, content.next()).await.unwrap() {
        got.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(got, b"first second");
    until("the call ends with its body", || actor.in_flight() == 0).await;
}

pub async fn a_large_body_arrives_whole(pair: Pair) {
    const BYTES: usize = 8 << 20;
    let _actor = pair.kit.start("misbehave").await;
    let route = pair.kit.route("misbehave");
    let response = begin(&route, ask("GET", &format!("/big?bytes={BYTES}"))).await;
    let body = response.body.collect(64 << 20).await.unwrap();
    assert_eq!(body.len(), BYTES);
    let right = |(at, byte): (usize, &u8)| usize::from(*byte) == at % 251;
    assert!(body.iter().enumerate().all(right));
    let counted = begin(&route, ask("POST", "/count").body(body)).await;
    let counted = counted.body.collect(1024).await.unwrap();
    assert_eq!(counted, format!("{BYTES}\n"));
}

pub async fn who_reads_no_further_ends_the_callee_s_work(pair: Pair) {
    let actor = pair.kit.start("misbehave").await;
    let route = pair.kit.route("misbehave");
    let response = begin(&route, ask("GET", "/big?bytes=1000000000")).await;
    let Body::Stream { mut content, .. } = response.body else {
        panic!("a gigabyte came whole")
    };
    timeout(SOON, content.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(actor.in_flight(), 1);
    drop(content);
    until("the instance is gone", || actor.in_flight() == 0).await;
}

/// The actor fails after half its body: that it is not the whole one is told, if not before then at its end.
pub async fn a_body_that_breaks_off_is_known_to_be_cut(pair: Pair) {
    let actor = pair.kit.start("misbehave").await;
    let route = pair.kit.route("misbehave");
    let whole = async {
        ask_it(&route, ask("GET", "/half"))
            .await?
            .body
            .collect(1024)
            .await
    };
    let error = whole.await.unwrap_err();
    assert!(matches!(error, CallError::Failed(_)), "{error:?}");
    until("the instance is gone", || actor.in_flight() == 0).await;
}
