//! What only the NATS route does: how many messages, which names, who of a group.

use bytes::Bytes;
use futures::StreamExt as _;
use trellis_rpc::{CallError, Operation, Outgoing, interface::http};

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

/// 1.9.2 takes 15, as captured.
#[tokio::test]
async fn an_http_request_with_a_body_each_way_is_seven_messages() {
    let server = Server::start().await;
    let (callee, caller) = (server.rpc().await, server.rpc().await);
    let handler = handler(|call| async move {
        let request = http::Request::from_params(call.params)?;
        let body = request.body.collect(100).await?;
        Ok(http::Response::into_result(Ok(http::Response {
            status: 200,
            headers: Vec::new(),
            body: body_of(body),
        })))
    });
    let _serving = serve(&callee, handler).await;
    let route = caller.route(&target());
    let request = async || {
        let request = http::Request {
            method: http::Method::Post,
            path_with_query: Some("/".to_owned()),
            scheme: None,
            authority: None,
            headers: Vec::new(),
            body: body_of(Bytes::from_static(b"body-bytes")),
        };
        let results = route.call(call(request.into_params())).await.unwrap();
        let response = http::Response::from_result(results).unwrap().unwrap();
        assert_eq!(response.body.collect(100).await.unwrap(), "body-bytes");
    };
    request().await;
    let listener = server.connect().await;
    let mut everything = listener.subscribe(">").await.unwrap();
    listener.publish("ready", Bytes::new()).await.unwrap();
    let mut next = async || soon("a message", everything.next()).await.unwrap().subject;
    while next().await.as_str() != "ready" {}

    request().await;
    // Whatever the two still have to say goes before what they say now.
    for rpc in [&caller, &callee] {
        rpc.client().flush().await.unwrap();
    }
    listener.publish("done", Bytes::new()).await.unwrap();
    let mut messages = Vec::new();
    loop {
        match next().await.as_str() {
            "done" => break,
            subject => messages.push(subject.to_owned()),
        }
    }
    assert_eq!(messages.len(), 7, "{messages:#?}");
}

fn body_of(content: Bytes) -> http::Body {
    let trailers: http::Trailers = Box::pin(async { Ok(None) });
    http::Body::Stream {
        content: Box::pin(futures::stream::iter([Ok(content)])),
        trailers: Some(trailers),
    }
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
