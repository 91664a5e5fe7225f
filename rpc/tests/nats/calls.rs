//! Simple calls: what goes in comes out, and what fails says why.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::{Notify, Semaphore};
use trellis_lattice::ComponentId;
use trellis_rpc::{
    Call, CallContext, CallError, Operation, Outgoing,
    interface::{
        Function as _,
        keyvalue::{self, Get, KeyParams},
    },
    nats::{NatsOptions, ServeOptions},
    trace::TraceContext,
};

use crate::kit::{Server, call, echo, handler, serve, soon, target, unary, until_true};

#[tokio::test]
async fn a_call_brings_its_values_and_its_context() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let trace = TraceContext::root();
    let handler = handler(move |call| async move {
        assert_eq!(
            call.operation,
            Operation::new("wasi:keyvalue/store@0.2.0-draft2", "bucket.get")
        );
        assert_eq!(call.context.source_id.as_deref(), Some("shop"));
        assert_eq!(call.context.target_id.as_deref(), Some("callee"));
        assert_eq!(call.context.link_name.as_deref(), Some("default"));
        assert_eq!(call.context.trace, Some(trace));
        let left = call.context.deadline.unwrap() - Instant::now();
        assert!(
            left > Duration::from_secs(2) && left < Duration::from_millis(3001),
            "{left:?}"
        );
        Ok(Outgoing::unary(
            [call.params.root, Bytes::from_static(b"!")].concat(),
        ))
    });
    let _serving = serve(&callee, handler).await;
    let context = CallContext {
        source_id: Some("shop".into()),
        target_id: Some("callee".into()),
        link_name: Some("default".into()),
        deadline: Some(Instant::now() + Duration::from_secs(3)),
        trace: Some(trace),
    };
    let call = Call {
        operation: Operation::new("wasi:keyvalue/store@0.2.0-draft2", "bucket.get"),
        context,
        params: Outgoing::unary("hello"),
    };
    let mut results = caller.route(&target()).call(call).await.unwrap();
    assert_eq!(results.root, "hello!");
    assert!(results.channels.take(&[0]).is_none());
}

#[tokio::test]
async fn a_simple_call_is_two_messages() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let _serving = serve(&callee, echo()).await;
    let route = caller.route(&target());
    unary(&route, "first").await.unwrap();
    let listener = server.connect().await;
    let mut everything = listener.subscribe(">").await.unwrap();
    // The listener listens once it hears itself.
    listener.publish("ready", Bytes::new()).await.unwrap();
    assert_eq!(
        soon("the listener", everything.next())
            .await
            .unwrap()
            .subject
            .as_str(),
        "ready"
    );

    unary(&route, "second").await.unwrap();
    let asked = soon("the call", everything.next()).await.unwrap();
    assert_eq!(
        asked.subject.as_str(),
        "default.callee.wrpc.0.0.1.acme:test/things@1.2.3.do-it"
    );
    let answered = soon("the answer", everything.next()).await.unwrap();
    assert_eq!(answered.payload, "second");
    listener.publish("done", Bytes::new()).await.unwrap();
    assert_eq!(
        soon("the end", everything.next())
            .await
            .unwrap()
            .subject
            .as_str(),
        "done"
    );
}

#[tokio::test]
async fn values_larger_than_a_message_travel_in_parts() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let _serving = serve(&callee, echo()).await;
    let route = caller.route(&target());
    for bytes in [
        0,
        1,
        (1 << 20) - 300,
        (1 << 20) - 100,
        1 << 20,
        (1 << 20) + 1,
        5 << 20,
    ] {
        let sent: Bytes = (0..bytes).map(|at| (at % 251) as u8).collect();
        let got = unary(&route, sent.clone()).await.unwrap();
        assert!(got == sent, "{bytes} bytes went, {} came", got.len());
    }
}

#[tokio::test]
async fn values_past_the_bound_are_refused_on_either_side() {
    let server = Server::start().await;
    let small = NatsOptions {
        max_message_bytes: 2 << 20,
        ..NatsOptions::default()
    };
    let (callee, caller) = (server.rpc_with(small.clone()).await, server.rpc().await);
    let _serving = serve(&callee, echo()).await;
    let route = caller.route(&target());
    let error = unary(&route, vec![0; 3 << 20]).await.unwrap_err();
    assert!(error.to_string().contains("2097152"), "{error}");
    let route = server.rpc_with(small).await.route(&target());
    let error = unary(&route, vec![0; 3 << 20]).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge { .. }), "{error}");
    assert_eq!(unary(&route, "fine").await.unwrap(), "fine");
}

#[tokio::test]
async fn nobody_there_is_known_at_once() {
    let server = Server::start().await;
    let caller = server.rpc().await;
    let started = Instant::now();
    let error = unary(&caller.route(&target()), "x").await.unwrap_err();
    assert!(
        matches!(&error, CallError::NoResponder { target } if target == "callee"),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn an_error_arrives_with_its_kind_and_words() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let handler = handler(|call| async move {
        Err(match &call.params.root[..] {
            b"failed" => CallError::Failed("wasm trap: unreachable\nat line 7".to_owned()),
            b"malformed" => CallError::Malformed("no bool".to_owned()),
            b"overloaded" => CallError::Overloaded("16 instances run".to_owned()),
            _ => panic!("on purpose"),
        })
    });
    let _serving = serve(&callee, handler).await;
    let route = caller.route(&target());
    let failed = unary(&route, "failed").await.unwrap_err();
    assert!(matches!(failed, CallError::Failed(why) if why == "wasm trap: unreachable\nat line 7"));
    let malformed = unary(&route, "malformed").await.unwrap_err();
    assert!(matches!(malformed, CallError::Malformed(why) if why == "no bool"));
    let overloaded = unary(&route, "overloaded").await.unwrap_err();
    assert!(matches!(overloaded, CallError::Overloaded(why) if why == "16 instances run"));
    // A panic fails its own call and no other.
    let panicked = unary(&route, "panic").await.unwrap_err();
    assert!(
        matches!(&panicked, CallError::Failed(why) if why.contains("panicked")),
        "{panicked}"
    );
    assert!(matches!(
        unary(&route, "failed").await,
        Err(CallError::Failed(_))
    ));
}

#[tokio::test]
async fn a_name_that_no_subject_can_hold_is_an_error() {
    let server = Server::start().await;
    let caller = server.rpc().await;
    let mut call = call(Outgoing::unary("x"));
    call.operation = Operation::new("a b\r\nPUB x 0", "f");
    let error = caller.route(&target()).call(call).await.unwrap_err();
    assert!(matches!(error, CallError::Malformed(_)), "{error}");
}

#[tokio::test]
async fn a_target_at_its_limit_refuses_at_once() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let (entered, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let handler = handler({
        let (entered, gate) = (entered.clone(), gate.clone());
        move |call| {
            let (entered, gate) = (entered.clone(), gate.clone());
            async move {
                entered.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                Ok(Outgoing::unary(call.params.root))
            }
        }
    });
    let options = ServeOptions {
        max_in_flight: 2,
        ..ServeOptions::default()
    };
    let _serving = callee.serve(&target(), handler, options).await.unwrap();
    let route = caller.route(&target());
    let running: Vec<_> = (0..2)
        .map(|_| {
            let route = route.clone();
            tokio::spawn(async move { unary(&route, "x").await })
        })
        .collect();
    until_true("both run", || entered.load(Ordering::SeqCst) == 2).await;
    let error = unary(&route, "one more").await.unwrap_err();
    assert!(
        matches!(error, CallError::Overloaded(_)) && error.not_started(),
        "{error}"
    );
    gate.add_permits(3);
    for call in running {
        call.await.unwrap().unwrap();
    }
    assert_eq!(unary(&route, "again").await.unwrap(), "again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_great_number_each_get_their_own_answer() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let _serving = serve(&callee, echo()).await;
    let route = caller.route(&target());
    let calls = (0..5000_u32).map(|number| {
        let route = route.clone();
        async move {
            (
                number,
                unary(&route, number.to_be_bytes().to_vec()).await.unwrap(),
            )
        }
    });
    let mut answers = futures::stream::iter(calls).buffer_unordered(256);
    let mut count = 0;
    while let Some((number, answer)) = answers.next().await {
        assert_eq!(answer[..], number.to_be_bytes());
        count += 1;
    }
    assert_eq!(count, 5000);
}

#[tokio::test]
async fn the_members_of_a_queue_group_share_the_calls() {
    let server = Server::start().await;
    let caller = server.rpc().await;
    let mut serving = Vec::new();
    for name in ["a", "b"] {
        let callee = server.rpc().await;
        let handler = handler(move |_| async move { Ok(Outgoing::unary(name)) });
        serving.push(serve(&callee, handler).await);
    }
    let route = caller.route(&target());
    let mut by_a = 0;
    for _ in 0..200 {
        by_a += usize::from(unary(&route, "x").await.unwrap() == "a");
    }
    assert!((20..180).contains(&by_a), "a answered {by_a} of 200");
}

#[tokio::test]
async fn draining_finishes_what_runs_and_takes_no_more() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let (entered, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = handler({
        let (entered, gate) = (entered.clone(), gate.clone());
        move |call| {
            let (entered, gate) = (entered.clone(), gate.clone());
            async move {
                entered.notify_one();
                gate.notified().await;
                Ok(Outgoing::unary(call.params.root))
            }
        }
    });
    let serving = serve(&callee, handler).await;
    let route = caller.route(&target());
    let running = tokio::spawn({
        let route = route.clone();
        async move { unary(&route, "running").await }
    });
    soon("the call runs", entered.notified()).await;
    let mut draining = tokio::spawn(serving.drain());
    soon("the target is gone", async {
        while !matches!(
            unary(&route, "late").now_or_never(),
            Some(Err(CallError::NoResponder { .. }))
        ) {
            match tokio::time::timeout(Duration::from_millis(100), unary(&route, "late")).await {
                Ok(Err(CallError::NoResponder { .. })) => break,
                _ => gate.notify_one(),
            }
        }
    })
    .await;
    gate.notify_one();
    assert_eq!(
        soon("the running call", running).await.unwrap().unwrap(),
        "running"
    );
    soon("the drain", &mut draining).await.unwrap();
}

#[tokio::test]
async fn dropping_a_serving_ends_it() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let entered = Arc::new(Notify::new());
    let handler = handler({
        let entered = entered.clone();
        move |call| {
            let entered = entered.clone();
            async move {
                if call.params.root == "stay" {
                    entered.notify_one();
                    return std::future::pending().await;
                }
                Ok(Outgoing::unary(call.params.root))
            }
        }
    });
    let serving = serve(&callee, handler).await;
    let route = caller.route(&target());
    assert_eq!(unary(&route, "x").await.unwrap(), "x");
    let running = tokio::spawn({
        let route = route.clone();
        async move { unary(&route, "stay").await }
    });
    soon("the call runs", entered.notified()).await;
    drop(serving);
    // The call that ran is not left waiting for its deadline.
    let started = Instant::now();
    let error = soon("the call that ran", running)
        .await
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(&error, CallError::Transport(why) if why.contains("stopped")),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(2));
    soon("the target is gone", async {
        while !matches!(unary(&route, "x").await, Err(CallError::NoResponder { .. })) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Another target on the same connection is not concerned.
    let other = ComponentId::new("other").unwrap();
    let _serving = callee
        .serve(&other, echo(), ServeOptions::default())
        .await
        .unwrap();
    assert_eq!(unary(&caller.route(&other), "y").await.unwrap(), "y");
}

#[tokio::test]
async fn typed_functions_are_called_and_answered() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let handler = handler(|call| async move {
        assert_eq!(call.operation, *Get::operation());
        let params = Get::decode_params(call.params)?;
        Ok(Get::answer(&match params.key.as_str() {
            "there" => Ok(Some(Bytes::from(params.bucket))),
            "not there" => Ok(None),
            _ => Err(keyvalue::Error::AccessDenied),
        }))
    });
    let _serving = serve(&callee, handler).await;
    let route = caller.route(&target());
    let get = async |key: &str| {
        let params = KeyParams {
            bucket: "things".to_owned(),
            key: key.to_owned(),
        };
        Get::call(&*route, CallContext::default(), &params)
            .await
            .unwrap()
    };
    assert_eq!(get("there").await, Ok(Some(Bytes::from_static(b"things"))));
    assert_eq!(get("not there").await, Ok(None));
    assert_eq!(get("secret").await, Err(keyvalue::Error::AccessDenied));
}
