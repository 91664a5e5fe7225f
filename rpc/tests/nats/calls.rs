//! What only the NATS route does: how many messages, which names, who of a group.

use bytes::Bytes;
use futures::StreamExt as _;
use trellis_rpc::{CallError, Operation, Outgoing};

use crate::kit::{Server, call, echo, handler, serve, soon, target, unary};

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
async fn a_name_that_no_subject_can_hold_is_an_error() {
    let server = Server::start().await;
    let caller = server.rpc().await;
    let mut call = call(Outgoing::unary("x"));
    call.operation = Operation::new("a b\r\nPUB x 0", "f");
    let error = caller.route(&target()).call(call).await.unwrap_err();
    assert!(matches!(error, CallError::Malformed(_)), "{error}");
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
