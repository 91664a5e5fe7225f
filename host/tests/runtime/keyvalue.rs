//! `wasi:keyvalue` over links: what the provider is asked, and what the actor gets.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::BoxFuture};
use trellis_rpc::{
    CallContext, CallError, Handler, IncomingCall, Outgoing,
    codec::to_bytes,
    interface::{Function, keyvalue as wire},
    trace::TraceContext,
};

use crate::kit::{Kit, ask, get, invoke};

/// A store as a provider has it, in memory, and the contexts of the calls to it.
#[derive(Default)]
struct Store {
    buckets: Mutex<BTreeMap<(String, String), bytes::Bytes>>,
    contexts: Mutex<Vec<CallContext>>,
}

impl Store {
    fn answer(&self, call: IncomingCall) -> Result<Outgoing, CallError> {
        let mut data = self.buckets.lock().unwrap();
        self.contexts.lock().unwrap().push(call.context);
        let operation = call.operation;
        let params = call.params;
        let full = operation.to_string();
        let is = |known: &trellis_rpc::Operation| *known == operation;
        if is(wire::Get::operation()) {
            let key = wire::Get::decode_params(params)?;
            return Ok(wire::Get::answer(&Ok(data
                .get(&(key.bucket, key.key))
                .cloned())));
        }
        if is(wire::Set::operation()) {
            let set = wire::Set::decode_params(params)?;
            if set.bucket == "closed" {
                return Ok(wire::Set::answer(&Err(wire::Error::AccessDenied)));
            }
            data.insert((set.bucket, set.key), set.value);
            return Ok(wire::Set::answer(&Ok(())));
        }
        if is(wire::Delete::operation()) {
            let key = wire::Delete::decode_params(params)?;
            data.remove(&(key.bucket, key.key));
            return Ok(wire::Delete::answer(&Ok(())));
        }
        if is(wire::Exists::operation()) {
            let key = wire::Exists::decode_params(params)?;
            return Ok(wire::Exists::answer(&Ok(
                data.contains_key(&(key.bucket, key.key))
            )));
        }
        if is(wire::ListKeys::operation()) {
            let list = wire::ListKeys::decode_params(params)?;
            let all = data.keys().filter(|(bucket, _)| *bucket == list.bucket);
            let from = list.cursor.unwrap_or(0);
            let keys: Vec<_> = all
                .map(|(_, key)| key.clone())
                .skip(from as usize)
                .take(2)
                .collect();
            let cursor = (keys.len() == 2).then_some(from + 2);
            return Ok(wire::ListKeys::answer(&Ok(wire::KeyResponse {
                keys,
                cursor,
            })));
        }
        if is(wire::Increment::operation()) {
            let add = wire::Increment::decode_params(params)?;
            let value = data.entry((add.bucket, add.key)).or_default();
            let sum = std::str::from_utf8(value).unwrap().parse().unwrap_or(0_u64) + add.delta;
            *value = sum.to_string().into();
            return Ok(wire::Increment::answer(&Ok(sum)));
        }
        if is(wire::GetMany::operation()) {
            let many = wire::GetMany::decode_params(params)?;
            let values = many.keys.into_iter().map(|key| {
                let value = data.get(&(many.bucket.clone(), key.clone())).cloned();
                value.map(|value| (key, value))
            });
            return Ok(wire::GetMany::answer(&Ok(values.collect())));
        }
        if is(wire::SetMany::operation()) {
            let many = wire::SetMany::decode_params(params)?;
            for (key, value) in many.key_values {
                data.insert((many.bucket.clone(), key), value);
            }
            return Ok(wire::SetMany::answer(&Ok(())));
        }
        if is(wire::DeleteMany::operation()) {
            let many = wire::DeleteMany::decode_params(params)?;
            for key in many.keys {
                data.remove(&(many.bucket.clone(), key));
            }
            return Ok(wire::DeleteMany::answer(&Ok(())));
        }
        Err(CallError::UnknownFunction {
            target: "kv".into(),
            operation: full,
        })
    }
}

impl Handler for Store {
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        async move { self.answer(call) }.boxed()
    }
}

async fn linked(kit: &Kit) -> (Arc<trellis_host::runtime::Actor>, Arc<Store>) {
    let actor = kit.start("keyvalue").await;
    let store = Arc::new(Store::default());
    kit.serve("kv", store.clone());
    kit.link(
        "keyvalue",
        "default",
        "wasi:keyvalue/store,atomics,batch",
        "kv",
    );
    (actor, store)
}

#[tokio::test]
async fn every_function_reaches_the_store() {
    let kit = Kit::new();
    let (actor, store) = linked(&kit).await;
    let text = async |path: &str| get(&actor, path).await.unwrap().text().to_owned();

    assert_eq!(get(&actor, "/get?key=a").await.unwrap().status, 404);
    let set = ask("POST", "/set?key=a")
        .body("one")
        .send(&actor)
        .await
        .unwrap();
    assert_eq!(set.status, 200);
    assert_eq!(text("/get?key=a").await, "one");
    assert_eq!(text("/exists?key=a").await, "true\n");
    assert_eq!(text("/exists?key=b").await, "false\n");
    assert_eq!(text("/increment?key=n").await, "1\n");
    assert_eq!(text("/increment?key=n&by=41").await, "42\n");
    assert_eq!(text("/set-many?pairs=x:1,y:2").await, "set\n");
    assert_eq!(text("/get-many?keys=x,none,y").await, "x=1\nnone\ny=2\n");
    let page = get(&actor, "/list-keys").await.unwrap();
    assert_eq!(page.text(), "a\nn\n");
    assert!(
        page.headers
            .iter()
            .any(|(name, values)| name == "x-cursor" && values[0] == "2")
    );
    assert_eq!(text("/list-keys?cursor=2").await, "x\ny\n");
    text("/delete?key=a").await;
    text("/delete-many?keys=x,y").await;
    assert_eq!(text("/list-keys").await, "n\n");
    let other = ask("POST", "/set?key=a&bucket=other")
        .body("apart")
        .send(&actor)
        .await
        .unwrap();
    assert_eq!(other.status, 200);
    assert_eq!(get(&actor, "/get?key=a").await.unwrap().status, 404);
    assert_eq!(store.buckets.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn the_store_s_errors_are_the_actor_s() {
    let kit = Kit::new();
    let (actor, _) = linked(&kit).await;
    let answer = ask("POST", "/set?key=a&bucket=closed")
        .body("x")
        .send(&actor)
        .await
        .unwrap();
    assert_eq!((answer.status, answer.text()), (500, "access-denied\n"));
}

/// The actor is told, in the store's own error, which link should be put.
#[tokio::test]
async fn a_missing_link_is_an_error_that_names_it() {
    let kit = Kit::new();
    let actor = kit.start("keyvalue").await;
    let answer = get(&actor, "/get?key=a").await.unwrap();
    assert_eq!(answer.status, 500);
    for part in ["keyvalue", "default", "wasi:keyvalue/store"] {
        assert!(answer.text().contains(part), "{}", answer.text());
    }
}

/// Who calls, over which link, until when, in which trace: the provider sees it.
#[tokio::test]
async fn calls_carry_their_context() {
    let kit = Kit::new();
    let (actor, store) = linked(&kit).await;
    let trace = TraceContext::root();
    let mut request = ask("GET", "/exists?key=a").within(Duration::from_secs(7));
    request.context.trace = Some(trace);
    request.send(&actor).await.unwrap();
    let contexts = store.contexts.lock().unwrap();
    let context = &contexts[0];
    assert_eq!(context.source_id.as_deref(), Some("keyvalue"));
    assert_eq!(context.link_name.as_deref(), Some("default"));
    let left = context.deadline.unwrap() - Instant::now();
    assert!(
        left <= Duration::from_secs(7) && left > Duration::from_secs(1),
        "{left:?}"
    );
    let child = context.trace.unwrap();
    assert_eq!(child.trace_id(), trace.trace_id());
    assert_ne!(child, trace);
}

/// Links are put, replaced and deleted while the actor runs; each call goes where the link leads then.
#[tokio::test]
async fn a_link_can_be_replaced_while_the_actor_runs() {
    let kit = Kit::new();
    let (actor, first) = linked(&kit).await;
    let second = Arc::new(Store::default());
    kit.serve("kv-two", second.clone());
    get(&actor, "/increment?key=n").await.unwrap();
    kit.link(
        "keyvalue",
        "default",
        "wasi:keyvalue/store,atomics,batch",
        "kv-two",
    );
    assert_eq!(
        get(&actor, "/increment?key=n&by=5").await.unwrap().text(),
        "5\n"
    );
    assert_eq!(first.contexts.lock().unwrap().len(), 1);
    kit.unlink_all("keyvalue");
    let answer = get(&actor, "/increment?key=n").await.unwrap();
    assert!(answer.text().contains("no link"), "{}", answer.text());
}

/// A store's provider tells what changes, by a bucket's name; the actor gets a bucket that it can use over its own link.
#[tokio::test]
async fn an_actor_is_told_what_changes() {
    let kit = Kit::new();
    let actor = kit.start("restock").await;
    let store = Arc::new(Store::default());
    kit.serve("kv", store.clone());
    kit.link("restock", "default", "wasi:keyvalue/store", "kv");
    let order = || {
        let buckets = store.buckets.lock().unwrap();
        let order = buckets.get(&("shop".to_owned(), "order.pears".to_owned()));
        order.map(|order| String::from_utf8(order.to_vec()).unwrap())
    };
    let set = async |key: &str, value: &str| {
        let params = wire::SetParams {
            bucket: "shop".to_owned(),
            key: key.to_owned(),
            value: value.to_owned().into(),
        };
        let params = Outgoing::unary(to_bytes(&params));
        let operation = wire::OnSet::operation().clone();
        let told = invoke(actor.clone(), operation, CallContext::default(), params).await;
        wire::OnSet::decode_result(told.unwrap()).unwrap();
    };
    set("elsewhere", "0").await;
    assert_eq!(order(), None);
    set("stock.pears", "4").await;
    assert_eq!(order().as_deref(), Some("20"));
    set("stock.pears", "5").await;
    assert_eq!(order(), None);
    set("stock.pears", "0").await;
    assert_eq!(order().as_deref(), Some("20"));

    let params = wire::KeyParams {
        bucket: "shop".to_owned(),
        key: "stock.pears".to_owned(),
    };
    let params = Outgoing::unary(to_bytes(&params));
    let operation = wire::OnDelete::operation().clone();
    let told = invoke(actor.clone(), operation, CallContext::default(), params).await;
    wire::OnDelete::decode_result(told.unwrap()).unwrap();
    assert_eq!(order(), None);
    assert_eq!(actor.counters().failed, 0);

    let broken = Outgoing::unary(bytes::Bytes::from_static(b"\x07def"));
    let operation = wire::OnSet::operation().clone();
    let refused = invoke(actor.clone(), operation, CallContext::default(), broken).await;
    assert!(matches!(refused, Err(CallError::Malformed(_))));
    // Who exports no watcher can't be told.
    let other = kit.start("keyvalue").await;
    let operation = wire::OnSet::operation().clone();
    let params = Outgoing::unary(bytes::Bytes::new());
    let refused = invoke(other, operation, CallContext::default(), params).await;
    assert!(matches!(refused, Err(CallError::UnknownFunction { .. })));
}
