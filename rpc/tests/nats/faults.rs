//! What only the NATS route meets: callers that say little, no server, garbage.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use trellis_rpc::{CallContext, CallError, Outgoing, ServeOptions};

use crate::kit::{Server, call, echo, handler, serve, soon, target, unary};

#[tokio::test]
async fn a_call_without_a_deadline_gets_the_callee_s() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.connect().await);
    let cancelled = Arc::new(Notify::new());
    let stuck = handler({
        let cancelled = cancelled.clone();
        move |call| {
            let cancelled = cancelled.clone();
            // The handler is dropped with the deadline; who else works on the call has the token.
            tokio::spawn(async move {
                call.cancelled.cancelled().await;
                cancelled.notify_one();
            });
            std::future::pending()
        }
    });
    let default_deadline = Duration::from_millis(200);
    let options = ServeOptions {
        default_deadline,
        ..ServeOptions::default()
    };
    let _serving = callee.serve(&target(), stuck, options).await.unwrap();
    // As somebody's caller that says nothing about deadlines, and asks for our answers.
    let mut headers = async_nats::HeaderMap::new();
    headers.insert(trellis_lattice::header::FLOW, "1000");
    let subject = "default.callee.wrpc.0.0.1.a:b/c.f";
    let answer = caller
        .request_with_headers(subject, headers, "".into())
        .await
        .unwrap();
    let kind = answer
        .headers
        .unwrap()
        .get(trellis_lattice::header::ERROR_KIND)
        .cloned()
        .unwrap();
    assert_eq!(kind.as_str(), "deadline-exceeded");
    soon("the token fires", cancelled.notified()).await;
}

#[tokio::test]
async fn without_a_server_a_call_ends_with_its_deadline() {
    let mut server = Server::start().await;
    let caller = server.rpc().await;
    let route = caller.route(&target());
    assert!(matches!(
        unary(&route, "x").await,
        Err(CallError::NoResponder { .. })
    ));
    server.kill();
    let started = Instant::now();
    let mut call = call(Outgoing::unary("x"));
    call.context = CallContext {
        deadline: Some(started + Duration::from_millis(700)),
        ..CallContext::default()
    };
    let error = route.call(call).await.unwrap_err();
    assert!(
        matches!(
            error,
            CallError::DeadlineExceeded { .. } | CallError::Transport(_)
        ),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn garbage_on_every_subject_does_no_harm() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let _serving = serve(&callee, echo()).await;
    let anybody = server.connect().await;
    let inbox = anybody.new_inbox();
    for end in ["x", "a:b/c@1.f", "a:b/c@1.0.0.f", "...", "a:b/c@1.0.0"] {
        let subject = format!("default.callee.wrpc.0.0.1.{end}");
        if !async_nats::Subject::from(subject.as_str()).is_valid() {
            continue;
        }
        for headers in [
            &[][..],
            &[("trellis-flow", "-5")],
            &[("trellis-flow", "9"), ("trellis-total", "x")],
        ] {
            let mut map = async_nats::HeaderMap::new();
            headers
                .iter()
                .for_each(|(name, value)| map.insert(*name, *value));
            let payload: bytes::Bytes = vec![0xff; 100].into();
            anybody
                .publish_with_headers(subject.clone(), map.clone(), payload.clone())
                .await
                .unwrap();
            anybody
                .publish_with_reply_and_headers(subject.clone(), inbox.clone(), map, payload)
                .await
                .unwrap();
        }
    }
    // Values that are announced to be far too large are refused before a byte of them is waited for.
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("trellis-flow", "9");
    headers.insert("trellis-total", u64::MAX.to_string());
    let subject = "default.callee.wrpc.0.0.1.a:b/c.f";
    let answer = soon(
        "the refusal",
        anybody.request_with_headers(subject, headers, "x".into()),
    )
    .await
    .unwrap();
    let kind = answer
        .headers
        .unwrap()
        .get("trellis-error-kind")
        .cloned()
        .unwrap();
    assert_eq!(kind.as_str(), "too-large");
    for wrong in ["default.callee.trellis.cancel"] {
        anybody
            .publish(wrong, vec![0xff, 0xfe].into())
            .await
            .unwrap();
        anybody
            .publish(wrong, "_INBOX.nobody.1".into())
            .await
            .unwrap();
    }
    assert_eq!(
        unary(&caller.route(&target()), "still well").await.unwrap(),
        "still well"
    );
}
