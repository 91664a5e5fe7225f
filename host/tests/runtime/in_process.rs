//! Actors call each other on one host, their values handed over as they are: the same is seen of it as over any other
//! route.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::task::JoinHandle;
use trellis_host::{
    links::{LinkTable, Routes},
    runtime::{Actor, Local, LocalActors, RuntimeConfig},
};
use trellis_lattice::ComponentId;
use trellis_rpc::{
    CallContext, CallError, Handler, IncomingCall, Operation, Outgoing, Route,
    codec::{Decode, Encode, from_bytes, to_bytes},
    trace::TraceContext,
};

use crate::kit::{Kit, id, invoke, until};
use crate::local::Elsewhere;

const RELAY: &str = "trellis:test/relay@0.1.0";

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

async fn forward(actor: &Arc<Actor>, what: &str, number: u64) -> Result<String, CallError> {
    call(actor, "forward", &(what, number)).await
}

/// A call that has its callee sleep for a minute.
fn sleeping(actor: &Arc<Actor>) -> JoinHandle<Result<String, CallError>> {
    let actor = actor.clone();
    tokio::spawn(async move { forward(&actor, "sleep", 60_000).await })
}

fn within(time: Duration) -> CallContext {
    CallContext {
        deadline: Some(Instant::now() + time),
        ..CallContext::default()
    }
}

/// A relay under that name, with as many instances.
async fn relay(kit: &Kit, name: &str, max_instances: u32) -> Arc<Actor> {
    kit.start_with("relay", |options| {
        options.id = id(name);
        options.max_instances = max_instances;
    })
    .await
}

/// Two relays, each linked to the other.
async fn pair(kit: &Kit) -> (Arc<Actor>, Arc<Actor>) {
    let pair = (relay(kit, "a", 64).await, relay(kit, "b", 64).await);
    kit.link("a", "default", "trellis:test/relay", "b");
    kit.link("b", "default", "trellis:test/relay", "a");
    pair
}

/// A host's routes: in process, or elsewhere, where calls are counted and fail.
struct HostLike {
    locals: Arc<LocalActors>,
    elsewhere: Arc<Elsewhere>,
}

impl Routes for HostLike {
    fn route(&self, target: &ComponentId) -> Arc<dyn Route> {
        self.locals.route(target, self.elsewhere.clone())
    }

    fn place(&self, target: &ComponentId) -> Option<Arc<Local>> {
        Some(self.locals.place(target))
    }
}

/// A caller, a callee with as many instances, the actors that others find here, and what counts the calls that left.
async fn hosted(
    kit: &Kit,
    max_instances: u32,
) -> (Arc<Actor>, Arc<Actor>, Arc<LocalActors>, Arc<Elsewhere>) {
    let (locals, elsewhere) = (Arc::<LocalActors>::default(), Arc::<Elsewhere>::default());
    let routes = Arc::new(HostLike {
        locals: locals.clone(),
        elsewhere: elsewhere.clone(),
    });
    let links = Arc::new(LinkTable::new(routes));
    let caller = kit
        .start_with("relay", |options| {
            options.id = id("a");
            options.links = links.clone();
        })
        .await;
    let callee = relay(kit, "b", max_instances).await;
    locals.add(&callee);
    links.set_links(
        &id("a"),
        &[crate::kit::link("a", "default", "trellis:test/relay", "b")],
    );
    (caller, callee, locals, elsewhere)
}

#[tokio::test]
async fn calls_stay_in_the_process_while_the_callee_has_room() {
    let kit = Kit::new();
    let (caller, callee, locals, elsewhere) = hosted(&kit, 1).await;
    for number in 0..10 {
        let said = forward(&caller, "answer", number).await.unwrap();
        assert_eq!(said, format!("it says: {number}"));
    }
    assert_eq!((callee.counters().calls, elsewhere.calls()), (10, 0));

    // Busy here: another host may have room.
    let busy = sleeping(&caller);
    until("the callee is busy", || callee.in_flight() == 1).await;
    forward(&caller, "answer", 1).await.unwrap_err();
    assert_eq!(elsewhere.calls(), 1);
    busy.abort();
    until("the callee has room", || callee.has_room()).await;
    forward(&caller, "answer", 1).await.unwrap();

    // Nor does one that went.
    locals.remove(&callee);
    forward(&caller, "answer", 1).await.unwrap_err();
    locals.add(&callee);
    forward(&caller, "answer", 1).await.unwrap();
    callee.stop(Duration::from_secs(1)).await;
    forward(&caller, "answer", 1).await.unwrap_err();
    drop(callee);
    forward(&caller, "answer", 1).await.unwrap_err();
    assert_eq!(elsewhere.calls(), 4);
}

#[tokio::test]
async fn a_record_goes_and_comes_back() {
    let kit = Kit::new();
    let (a, b) = pair(&kit).await;
    let took: Vec<u64> = call(&a, "time-raises", &50_u32).await.unwrap();
    assert_eq!(took.len(), 50);
    assert_eq!((a.counters().calls, b.counters().calls), (1, 50));
    assert_eq!((a.in_flight(), b.in_flight()), (0, 0));
}

/// Giving up the first call ends the work of all that it led to.
#[tokio::test]
async fn who_gives_up_ends_the_callee_s_work() {
    let kit = Kit::new();
    let (a, b) = pair(&kit).await;
    let given_up = sleeping(&a);
    until("both run", || (a.in_flight(), b.in_flight()) == (1, 1)).await;
    given_up.abort();
    until("both instances are gone", || {
        a.in_flight() + b.in_flight() == 0
    })
    .await;
    let told = b.stats().tell();
    assert_eq!((told.calls, told.errors), (1, 0), "given up, not failed");
}

#[tokio::test]
async fn the_deadline_holds_for_the_callee_too() {
    let kit = Kit::new();
    let (a, b) = pair(&kit).await;
    for what in ["sleep", "spin"] {
        let began = Instant::now();
        let context = within(Duration::from_millis(200));
        let error = call_in::<String>(&a, "forward", &(what, 60_000_u64), context)
            .await
            .unwrap_err();
        assert!(
            matches!(error, CallError::DeadlineExceeded { .. }),
            "{what}: {error}"
        );
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        until("nothing runs", || a.in_flight() + b.in_flight() == 0).await;
    }
    assert_eq!(b.stats().tell().errors, 2);

    // A callee's own is shorter than its caller's.
    let impatient = kit
        .start_with("relay", |options| {
            options.id = id("impatient");
            options.limits.call_deadline = Duration::from_millis(100);
        })
        .await;
    kit.link("a", "default", "trellis:test/relay", "impatient");
    let error = forward(&a, "sleep", 60_000).await.unwrap_err();
    assert!(
        matches!(error, CallError::DeadlineExceeded { .. }),
        "{error}"
    );
    assert_eq!(impatient.in_flight(), 0);
}

#[tokio::test]
async fn a_callee_s_trap_is_its_own() {
    let kit = Kit::new();
    let (a, b) = pair(&kit).await;
    let error = forward(&a, "trap", 0).await.unwrap_err();
    assert!(matches!(error, CallError::Failed(_)), "{error:?}");
    let said = error.to_string();
    for part in ["\"b\"", "trellis:test/relay@0.1.0.run", "told to trap"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(b.counters().traps, 1);
    assert_eq!((a.stats().tell().errors, b.stats().tell().errors), (1, 1));
    assert_eq!(forward(&a, "answer", 7).await.unwrap(), "it says: 7");
    let told = b.stats().tell();
    assert_eq!((told.calls, told.errors, told.in_flight), (2, 1, 0));
    assert_eq!(told.latency.iter().sum::<u64>(), 2);
}

#[tokio::test]
async fn each_has_its_own_limits() {
    let kit = Kit::new();
    let (a, _) = pair(&kit).await;
    let small = kit
        .start_with("relay", |options| {
            options.id = id("small");
            options.limits.memory_bytes = 8 << 20;
        })
        .await;
    kit.link("a", "default", "trellis:test/relay", "small");
    kit.link("small", "default", "trellis:test/relay", "a");
    let error = forward(&a, "grow", 32 << 20).await.unwrap_err().to_string();
    assert!(
        error.contains("\"small\"") && error.contains("beyond its limit"),
        "{error}"
    );
    // Its caller may.
    let said = forward(&small, "grow", 32 << 20).await.unwrap();
    assert_eq!(said, format!("it says: took {} bytes", 32 << 20));
}

/// Answers every call with a text, and remembers what came with it.
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

#[tokio::test]
async fn the_trace_and_the_deadline_go_all_the_way() {
    let kit = Kit::new();
    let (a, _b) = pair(&kit).await;
    let sink = Arc::new(Sink::default());
    kit.serve("sink", sink.clone());
    kit.link("b", "default", "trellis:test/relay", "sink");
    let trace = TraceContext::root();
    let mut context = within(Duration::from_secs(9));
    let deadline = context.deadline;
    context.trace = Some(trace);
    let far: u32 = call_in(&a, "descend", &2_u32, context).await.unwrap();
    assert_eq!(far, 5);
    let seen = sink.0.lock().unwrap().pop().unwrap();
    assert_eq!(seen.source_id.as_deref(), Some("b"));
    assert_eq!(seen.link_name.as_deref(), Some("default"));
    assert_eq!(seen.deadline, deadline);
    let seen = seen.trace.unwrap();
    assert_eq!(seen.trace_id(), trace.trace_id());
    assert_ne!(seen, trace);
}

#[tokio::test]
async fn calls_that_go_in_a_circle_end_with_an_error() {
    let kit = Kit::new();
    let (a, b) = pair(&kit).await;
    assert_eq!(call::<u32>(&a, "descend", &20_u32).await.unwrap(), 20);
    for _ in 0..3 {
        let error = call::<u32>(&a, "descend", &1000_u32).await.unwrap_err();
        assert!(matches!(error, CallError::Failed(_)), "{error:?}");
        let said = error.to_string();
        assert!(
            said.contains("32 deep") && said.contains("circle"),
            "{said}"
        );
        assert_eq!((a.in_flight(), b.in_flight()), (0, 0));
    }
    assert_eq!(call::<u32>(&b, "descend", &20_u32).await.unwrap(), 20);
}

/// Each waits for a place that the other holds: the deadline ends it.
#[tokio::test]
async fn a_circle_without_room_ends_at_the_deadline() {
    let kit = Kit::new();
    let (a, b) = (relay(&kit, "a", 1).await, relay(&kit, "b", 1).await);
    kit.link("a", "default", "trellis:test/relay", "b");
    kit.link("b", "default", "trellis:test/relay", "a");
    let context = within(Duration::from_millis(300));
    let error = call_in::<u32>(&a, "descend", &5_u32, context)
        .await
        .unwrap_err();
    assert!(
        matches!(error, CallError::DeadlineExceeded { .. }),
        "{error}"
    );
    until("nothing runs", || a.in_flight() + b.in_flight() == 0).await;
    assert_eq!(call::<u32>(&a, "descend", &1_u32).await.unwrap(), 1);
}

#[tokio::test]
async fn more_calls_than_the_host_has_room_for_end_with_an_error() {
    let kit = Kit::with(RuntimeConfig {
        max_calls: 4,
        ..RuntimeConfig::default()
    });
    let (a, b) = pair(&kit).await;
    assert_eq!(call::<u32>(&a, "descend", &3_u32).await.unwrap(), 3);
    let error = call::<u32>(&a, "descend", &20_u32).await.unwrap_err();
    // The first ones have run: nobody may take it that none has.
    assert!(!error.not_started(), "{error:?}");
    assert!(error.to_string().contains("max_calls"), "{error}");
    assert_eq!((a.in_flight(), b.in_flight()), (0, 0));
    assert_eq!(call::<u32>(&a, "descend", &3_u32).await.unwrap(), 3);
}

/// A component that exports functions of the relay's interface under that version, without a relay's types.
fn stranger(interface: &str, function: &str, params: &str, core: &str, result: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component
            (core module $m
                (func (export "f") (param {core}) (result i32) i32.const 1))
            (core instance $i (instantiate $m))
            (func $f {params} (result {result}) (canon lift (core func $i "f")))
            (instance $e (export "{function}" (func $f)))
            (export "{interface}" (instance $e)))"#
    ))
    .unwrap()
}

async fn start_stranger(kit: &Kit, wasm: Vec<u8>) -> Arc<Actor> {
    kit.start_bytes("stranger", wasm, |_| {}).await
}

#[tokio::test]
async fn other_types_are_refused_by_name() {
    let kit = Kit::new();
    let (a, _) = pair(&kit).await;
    kit.link("a", "default", "trellis:test/relay", "stranger");
    for (params, core, result, difference) in [
        (
            r#"(param "left" u64)"#,
            "i64",
            "u32",
            "parameter left is u32 to the caller and u64",
        ),
        (
            r#"(param "left" u32)"#,
            "i32",
            "s32",
            "the result is u32 to the caller and s32",
        ),
        (
            r#"(param "left" u32) (param "more" u32)"#,
            "i32 i32",
            "u32",
            "passes 1 parameters, it takes 2",
        ),
    ] {
        let wasm = stranger(RELAY, "descend", params, core, result);
        let stranger = start_stranger(&kit, wasm).await;
        for _ in 0..2 {
            let error = call::<u32>(&a, "descend", &5_u32).await.unwrap_err();
            assert!(matches!(error, CallError::TypesDiffer { .. }), "{error:?}");
            let said = error.to_string();
            for part in [
                "\"stranger\"",
                "trellis:test/relay@0.1.0.descend",
                difference,
            ] {
                assert!(said.contains(part), "{said}");
            }
        }
        assert_eq!(stranger.counters().calls, 0);
    }
    // The same types are the same, whatever the parameter is called, and whoever built it.
    let wasm = stranger(RELAY, "descend", r#"(param "rest" u32)"#, "i32", "u32");
    start_stranger(&kit, wasm).await;
    assert_eq!(call::<u32>(&a, "descend", &5_u32).await.unwrap(), 2);
}

#[tokio::test]
async fn what_the_callee_does_not_export_is_named() {
    let kit = Kit::new();
    let (a, _) = pair(&kit).await;
    kit.link("a", "default", "trellis:test/relay", "stranger");
    let descend = r#"(param "left" u32)"#;
    for (interface, function) in [(RELAY, "ascend"), ("trellis:test/relay@0.2.0", "descend")] {
        start_stranger(&kit, stranger(interface, function, descend, "i32", "u32")).await;
        let error = call::<u32>(&a, "descend", &5_u32).await.unwrap_err();
        assert!(
            matches!(error, CallError::UnknownFunction { .. }),
            "{error:?}"
        );
        let said = error.to_string();
        assert!(said.contains("trellis:test/relay@0.1.0.descend"), "{said}");
    }
}

/// A newer actor takes the older one's place while calls go on, links change, and all calls are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_the_callee_under_load_loses_no_call() {
    let kit = Arc::new(Kit::new());
    let (caller, first, locals, elsewhere) = hosted(&kit, 64).await;
    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (caller, done, answered) = (caller.clone(), done.clone(), answered.clone());
        callers.spawn(async move {
            while !done.load(SeqCst) {
                forward(&caller, "answer", 5).await.unwrap();
                answered.fetch_add(1, SeqCst);
            }
        });
    }
    let mut current = first;
    let mut calls = 0;
    for _ in 0..30 {
        let before = answered.load(SeqCst);
        until("calls go on", || answered.load(SeqCst) > before + 5).await;
        let next = relay(&kit, "b", 64).await;
        locals.add(&next);
        locals.remove(&current);
        current.stop(Duration::from_secs(10)).await;
        calls += current.counters().calls;
        current = next;
    }
    done.store(true, SeqCst);
    for ended in callers.join_all().await {
        let () = ended;
    }
    calls += current.counters().calls;
    assert_eq!(elsewhere.calls(), 0);
    assert_eq!(calls, answered.load(SeqCst) as u64);
}

#[tokio::test]
async fn a_link_that_changes_is_followed() {
    let kit = Kit::new();
    let (a, b) = pair(&kit).await;
    let c = relay(&kit, "c", 4).await;
    forward(&a, "answer", 1).await.unwrap();
    kit.link("a", "default", "trellis:test/relay", "c");
    forward(&a, "answer", 1).await.unwrap();
    kit.unlink_all("a");
    let error = forward(&a, "answer", 1).await.unwrap_err();
    assert!(matches!(error, CallError::MissingLink { .. }), "{error}");
    kit.link("a", "default", "trellis:test/relay", "b");
    forward(&a, "answer", 1).await.unwrap();
    assert_eq!((b.counters().calls, c.counters().calls), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_are_all_answered() {
    let kit = Kit::with(RuntimeConfig {
        max_calls: 200,
        ..RuntimeConfig::default()
    });
    let (a, b) = pair(&kit).await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..1000_u64 {
        let a = a.clone();
        calls.spawn(async move { (number, forward(&a, "answer", number).await.unwrap()) });
    }
    for (number, said) in calls.join_all().await {
        assert_eq!(said, format!("it says: {number}"));
    }
    let told = b.stats().tell();
    assert_eq!((told.calls, told.errors, told.in_flight), (1000, 0, 0));
    assert!(told.peak >= 1);
    assert_eq!((a.in_flight(), b.in_flight()), (0, 0));
}
