//! Simple calls: what goes in comes out, and what fails says why.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::{Notify, Semaphore};
use trellis_lattice::ComponentId;
use trellis_rpc::{
    Call, CallContext, CallError, Operation, Outgoing, ServeOptions,
    interface::{
        Function as _,
        keyvalue::{self, Get, KeyParams},
    },
    trace::TraceContext,
};

use crate::{
    kit::{call_within, echo, handler, soon, target, unary, until_true},
    setting::{Bounds, Setting, start},
};

/// A call brings its values and its context.
pub async fn a_call_brings_its_values_and_its_context<S: Setting>() {
    let setting = start::<S>().await;
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
    let _serving = setting.serve(handler).await;
    let context = CallContext {
        trail: None,
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
    let mut results = setting.route().call(call).await.unwrap();
    assert_eq!(results.root, "hello!");
    assert!(results.channels.take(&[0]).is_none());
}

/// Values of any size arrive as they are.
pub async fn values_of_any_size_arrive_as_they_are<S: Setting>() {
    let setting = start::<S>().await;
    let _serving = setting.serve(echo()).await;
    let route = setting.route();
    for bytes in [
        0,
        1,
        4096,
        4097,
        (256 << 10) - 1,
        256 << 10,
        (256 << 10) + 1,
        (1 << 20) - 300,
        (1 << 20) - 100,
        1 << 20,
        (1 << 20) + 1,
        5 << 20,
        12 << 20,
    ] {
        let sent: Bytes = (0..bytes).map(|at| (at % 251) as u8).collect();
        let got = unary(&route, sent.clone()).await.unwrap();
        assert!(got == sent, "{bytes} bytes went, {} came", got.len());
    }
}

/// The callee's bound is the callee's to say.
pub async fn values_past_the_callee_s_bound_are_refused<S: Setting>() {
    let bounds = Bounds {
        callee_bytes: 2 << 20,
        ..Bounds::default()
    };
    let setting = S::start(bounds).await;
    let handler = handler(|call| async move {
        Ok(match &call.params.root[..] {
            b"much" => Outgoing::unary(vec![0; 3 << 20]),
            _ => Outgoing::unary(call.params.root),
        })
    });
    let _serving = setting.serve(handler).await;
    let route = setting.route();
    for params in [vec![0; 3 << 20], b"much".to_vec()] {
        let error = unary(&route, params).await.unwrap_err();
        assert!(error.to_string().contains("2097152"), "{error}");
    }
    assert_eq!(unary(&route, "fine").await.unwrap(), "fine");
}

/// A caller neither sends nor takes more than its own bound.
pub async fn values_past_the_caller_s_bound_are_refused<S: Setting>() {
    let bounds = Bounds {
        caller_bytes: 2 << 20,
        ..Bounds::default()
    };
    let setting = S::start(bounds).await;
    let handler = handler(|call| async move {
        Ok(match &call.params.root[..] {
            b"much" => Outgoing::unary(vec![0; 3 << 20]),
            _ => Outgoing::unary(call.params.root),
        })
    });
    let _serving = setting.serve(handler).await;
    let route = setting.route();
    for params in [vec![0; 3 << 20], b"much".to_vec()] {
        let error = unary(&route, params).await.unwrap_err();
        assert!(matches!(error, CallError::TooLarge { .. }), "{error}");
    }
    assert_eq!(unary(&route, "fine").await.unwrap(), "fine");
}

/// Nobody there is known at once.
pub async fn nobody_there_is_known_at_once<S: Setting>() {
    let setting = start::<S>().await;
    let started = Instant::now();
    let error = unary(&setting.route(), "x").await.unwrap_err();
    assert!(
        matches!(&error, CallError::NoResponder { target } if target == "callee"),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(1));
}

/// An error arrives with its kind and words.
pub async fn an_error_arrives_with_its_kind_and_words<S: Setting>() {
    let setting = start::<S>().await;
    let handler = handler(|call| async move {
        Err(match &call.params.root[..] {
            b"failed" => CallError::Failed("wasm trap: unreachable\nat line 7".to_owned()),
            b"malformed" => CallError::Malformed("no bool".to_owned()),
            b"overloaded" => CallError::Overloaded("16 instances run".to_owned()),
            _ => panic!("on purpose"),
        })
    });
    let _serving = setting.serve(handler).await;
    let route = setting.route();
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

/// A target at its limit refuses at once.
pub async fn a_target_at_its_limit_refuses_at_once<S: Setting>() {
    let setting = start::<S>().await;
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
    let _serving = setting.serve_target(target(), handler, options).await;
    let route = setting.route();
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

/// Calls in great number each get their own answer.
pub async fn calls_in_great_number_each_get_their_own_answer<S: Setting>() {
    let setting = start::<S>().await;
    let _serving = setting.serve(echo()).await;
    let route = setting.route();
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

/// More than any queue on the way holds, at once.
pub async fn large_values_in_great_number_all_arrive<S: Setting>() {
    let setting = start::<S>().await;
    let _serving = setting.serve(echo()).await;
    let route = setting.route();
    let calls = (0..160_u8).map(|number| {
        let route = route.clone();
        async move {
            let sent = vec![number; 400 << 10];
            let params = Outgoing::unary(sent.clone());
            let got = route
                .call(call_within(Duration::from_secs(30), params))
                .await;
            assert!(got.unwrap().root == sent);
        }
    });
    futures::future::join_all(calls).await;
}

/// Draining finishes what runs and takes no more.
pub async fn draining_finishes_what_runs_and_takes_no_more<S: Setting>() {
    let setting = start::<S>().await;
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
    let serving = setting.serve(handler).await;
    let route = setting.route();
    let running = tokio::spawn({
        let route = route.clone();
        // Longer than anything here is waited for, so that what is late says which it was.
        let call = call_within(Duration::from_secs(60), Outgoing::unary("running"));
        async move { route.call(call).await }
    });
    soon("the call runs", entered.notified()).await;
    let mut draining = tokio::spawn(serving.drain());
    soon("the target is gone", async {
        loop {
            let late = unary(&route, "late");
            match tokio::time::timeout(Duration::from_millis(100), late).await {
                Ok(Err(CallError::NoResponder { .. })) => break,
                // It came before the end of taking calls was known everywhere, and waits as the first does.
                _ => assert!(!running.is_finished()),
            }
        }
    })
    .await;
    gate.notify_one();
    let ran = soon("the running call", running).await.unwrap().unwrap();
    assert_eq!(ran.root, "running");
    soon("the drain", &mut draining).await.unwrap();
}

/// Dropping a serving ends it.
pub async fn dropping_a_serving_ends_it<S: Setting>() {
    let setting = start::<S>().await;
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
    let serving = setting.serve(handler).await;
    let route = setting.route();
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
    if !S::serves_several() {
        return;
    }
    // Another target on the same connection is not concerned.
    let other = ComponentId::new("other").unwrap();
    let _serving = setting
        .serve_target(other.clone(), echo(), ServeOptions::default())
        .await;
    assert_eq!(unary(&setting.route_to(&other), "y").await.unwrap(), "y");
}

/// Typed functions are called and answered.
pub async fn typed_functions_are_called_and_answered<S: Setting>() {
    let setting = start::<S>().await;
    let handler = handler(|call| async move {
        assert_eq!(call.operation, *Get::operation());
        let params = Get::decode_params(call.params)?;
        Ok(Get::answer(&match params.key.as_str() {
            "there" => Ok(Some(Bytes::from(params.bucket))),
            "not there" => Ok(None),
            _ => Err(keyvalue::Error::AccessDenied),
        }))
    });
    let _serving = setting.serve(handler).await;
    let route = setting.route();
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
