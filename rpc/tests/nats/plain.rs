//! With a 1.x peer: the five messages and the channels as captured from 1.9.2, in both directions.

use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use trellis_lattice::LatticeName;
use trellis_rpc::{
    CallError, Outgoing,
    interface::{
        Function as _,
        http::{self, Body},
        keyvalue::{Increment, IncrementParams},
    },
    nats::{NatsOptions, NatsRpc},
};

use crate::kit::{Server, call, echo, handler, serve, soon, target, unary};

const SUBJECT: &str = "default.callee.wrpc.0.0.1.acme:test/things@1.2.3.do-it";

/// A 1.x caller: knows nothing of our headers.
struct OldCaller {
    client: Client,
    inbox: String,
    arriving: Subscriber,
}

impl OldCaller {
    async fn new(server: &Server) -> Self {
        let client = server.connect().await;
        let prefix = client.new_inbox();
        let arriving = client.subscribe(format!("{prefix}.>")).await.unwrap();
        Self {
            client,
            inbox: format!("{prefix}.call"),
            arriving,
        }
    }

    async fn call(&self, subject: &str, params: impl Into<Bytes>) {
        let mut headers = HeaderMap::new();
        headers.insert("source-id", "old");
        self.client
            .publish_with_reply_and_headers(
                subject.to_owned(),
                self.inbox.clone(),
                headers,
                params.into(),
            )
            .await
            .unwrap();
    }

    /// The next message, and where below the inbox it came.
    async fn next(&mut self) -> (String, Message) {
        let message = soon("a message for the 1.x caller", self.arriving.next())
            .await
            .unwrap();
        (
            message
                .subject
                .strip_prefix(&self.inbox)
                .unwrap()
                .to_owned(),
            message,
        )
    }

    async fn handshake(&mut self) -> String {
        let (below, message) = self.next().await;
        assert_eq!((below.as_str(), message.payload.len()), ("", 0));
        message
            .reply
            .expect("a handshake has the server's inbox")
            .to_string()
    }

    async fn send(&self, subject: String, payload: &'static [u8]) {
        self.client
            .publish(subject, Bytes::from_static(payload))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_1_x_caller_gets_the_five_messages() {
    let server = Server::start().await;
    let callee = server.rpc().await;
    let handler = handler(|call| async move {
        assert_eq!(call.context.source_id.as_deref(), Some("old"));
        let params = Increment::decode_params(call.params)?;
        assert_eq!(
            params,
            IncrementParams {
                bucket: "default".into(),
                key: "counter".into(),
                delta: 1
            }
        );
        Ok(Increment::answer(&Ok(7766)))
    });
    let _serving = serve(&callee, handler).await;
    let mut caller = OldCaller::new(&server).await;
    let subject = "default.callee.wrpc.0.0.1.wrpc:keyvalue/atomics@0.2.0-draft.increment";
    caller
        .call(subject, &b"\x07default\x07counter\x01"[..])
        .await;
    let inbox = caller.handshake().await;
    caller.send(format!("{inbox}.params"), b"").await;
    let (below, results) = caller.next().await;
    assert_eq!(
        (below.as_str(), &results.payload[..]),
        (".results", &[0x00, 0xd6, 0x3c][..])
    );
    assert!(results.reply.is_none() && results.headers.is_none());
    let (below, end) = caller.next().await;
    assert_eq!((below.as_str(), end.payload.len()), (".results", 0));
}

#[tokio::test]
async fn a_1_x_caller_sends_its_parameters_in_parts() {
    let server = Server::start().await;
    let callee = server.rpc().await;
    let _serving = serve(&callee, echo()).await;
    let mut caller = OldCaller::new(&server).await;
    caller.call(SUBJECT, "one ").await;
    let inbox = caller.handshake().await;
    caller.send(format!("{inbox}.params"), b"two ").await;
    caller.send(format!("{inbox}.params"), b"three").await;
    caller.send(format!("{inbox}.params"), b"").await;
    assert_eq!(caller.next().await.1.payload, "one two three");
}

#[tokio::test]
async fn a_1_x_caller_s_http_request_is_answered_as_captured() {
    let server = Server::start().await;
    let callee = server.rpc().await;
    let handler = handler(|call| async move {
        let request = http::Request::from_params(call.params)?;
        assert_eq!(request.path_with_query.as_deref(), Some("/"));
        let body = request.body.collect(100).await?;
        let content = futures::stream::iter([Ok(body)]);
        let trailers: http::Trailers = Box::pin(async { Ok(None) });
        let body = Body::Stream {
            content: Box::pin(content),
            trailers: Some(trailers),
        };
        Ok(http::Response::into_result(Ok(http::Response {
            status: 200,
            headers: Vec::new(),
            body,
        })))
    });
    let _serving = serve(&callee, handler).await;
    let mut caller = OldCaller::new(&server).await;
    let subject = "default.callee.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.handle";
    caller.call(subject, &b"\0\0\x02\x01\x01/\0\0\0"[..]).await;
    let inbox = caller.handshake().await;
    // In the order of the capture.
    for (path, payload) in [
        ("", &b""[..]),
        (".0.0", b"\x05he"),
        (".0.0", b"llo\0"),
        (".0.1", b"\0"),
        (".0.1", b""),
        (".0", b""),
        (".0.0", b""),
    ] {
        caller.send(format!("{inbox}.params{path}"), payload).await;
    }
    let mut body = Vec::new();
    let mut trailers = Vec::new();
    let mut ended = Vec::new();
    let mut root = Vec::new();
    while ended.len() < 3 {
        let (below, message) = caller.next().await;
        assert!(message.headers.is_none() && message.reply.is_none());
        if message.payload.is_empty() {
            ended.push(below);
            continue;
        }
        match below.as_str() {
            ".results" => root.extend_from_slice(&message.payload),
            ".results.0.0" => body.extend_from_slice(&message.payload),
            ".results.0.1" => trailers.extend_from_slice(&message.payload),
            other => panic!("a message at {other}"),
        }
    }
    assert_eq!(root, [0, 0, 0, 0xc8, 1, 0]);
    assert_eq!(body, b"\x05hello\0");
    assert_eq!(trailers, [0]);
    ended.sort();
    assert_eq!(ended, [".results", ".results.0.0", ".results.0.1"]);
}

#[tokio::test]
async fn a_1_x_caller_sees_a_failure_as_an_empty_result() {
    let server = Server::start().await;
    let callee = server.rpc().await;
    let handler = handler(|_| async { Err(CallError::Failed("the disk is full".to_owned())) });
    let _serving = serve(&callee, handler).await;
    let mut caller = OldCaller::new(&server).await;
    caller.call(SUBJECT, "").await;
    let inbox = caller.handshake().await;
    caller.send(format!("{inbox}.params"), b"").await;
    let (below, error) = caller.next().await;
    assert_eq!(
        (below.as_str(), &error.payload[..]),
        (".error", &b"the disk is full"[..])
    );
    let (below, end) = caller.next().await;
    assert_eq!((below.as_str(), end.payload.len()), (".results", 0));
}

#[tokio::test]
async fn a_1_x_caller_that_overruns_a_stream_fails_that_stream() {
    let server = Server::start().await;
    let options = NatsOptions {
        plain_buffer_bytes: 4096,
        ..NatsOptions::default()
    };
    let callee = server.rpc_with(options).await;
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = std::sync::Mutex::new(Some(tell));
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let handler = handler({
        let gate = gate.clone();
        move |mut call| {
            let (gate, tell) = (gate.clone(), tell.lock().unwrap().take());
            async move {
                let Some(tell) = tell else {
                    return Ok(Outgoing::unary(call.params.root));
                };
                let mut upload = call.params.channels.take(&[0]).unwrap();
                gate.acquire().await.unwrap().forget();
                let mut read = 0;
                let error = loop {
                    match upload.next().await.unwrap() {
                        Ok(chunk) => read += chunk.len(),
                        Err(error) => break error,
                    }
                };
                tell.send((read, error.clone())).unwrap();
                Err(error)
            }
        }
    });
    let _serving = serve(&callee, handler).await;
    let mut caller = OldCaller::new(&server).await;
    caller.call(SUBJECT, "\0").await;
    let inbox = caller.handshake().await;
    caller.send(format!("{inbox}.params"), b"").await;
    for _ in 0..100 {
        caller.send(format!("{inbox}.params.0"), &[7; 500]).await;
    }
    // Another call goes through meanwhile, and with its answer all of the above has arrived too.
    let route = NatsRpc::new(caller.client.clone(), LatticeName::default()).route(&target());
    assert_eq!(unary(&route, "other").await.unwrap(), "other");
    gate.add_permits(1);
    let (read, error) = soon("the stream's end", told).await.unwrap();
    assert!(read <= 4096, "{read}");
    assert!(matches!(error, CallError::TooLarge { .. }), "{error}");
}

/// A 1.x callee: handshakes, waits for the parameters' end, answers in parts.
struct OldCallee {
    client: Client,
    inbox: String,
    arriving: Subscriber,
    calls: Subscriber,
}

impl OldCallee {
    async fn new(server: &Server) -> Self {
        let client = server.connect().await;
        let inbox = client.new_inbox();
        let arriving = client.subscribe(format!("{inbox}.>")).await.unwrap();
        let calls = client
            .queue_subscribe(SUBJECT, "callee".to_owned())
            .await
            .unwrap();
        // The server has seen them once it answers something later.
        let mut echo = client.subscribe("echo").await.unwrap();
        client.publish("echo", Bytes::new()).await.unwrap();
        soon("the echo", echo.next()).await.unwrap();
        Self {
            client,
            inbox: format!("{inbox}.call"),
            arriving,
            calls,
        }
    }

    async fn accept(&mut self) -> Message {
        let call = soon("the call", self.calls.next()).await.unwrap();
        let reply = call.reply.clone().unwrap();
        self.client
            .publish_with_reply(reply, self.inbox.clone(), Bytes::new())
            .await
            .unwrap();
        call
    }

    async fn next(&mut self) -> (String, Bytes) {
        let message = soon("a message for the 1.x callee", self.arriving.next())
            .await
            .unwrap();
        assert!(message.headers.is_none(), "1.x has no headers there");
        (
            message
                .subject
                .strip_prefix(&self.inbox)
                .unwrap()
                .to_owned(),
            message.payload,
        )
    }

    async fn answer(&self, call: &Message, below: &str, payload: &'static [u8]) {
        let subject = format!("{}{below}", call.reply.as_ref().unwrap());
        self.client
            .publish(subject, Bytes::from_static(payload))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_1_x_callee_is_called_with_the_five_messages() {
    let server = Server::start().await;
    let mut callee = OldCallee::new(&server).await;
    let route = server.rpc().await.route(&target());
    let caller = tokio::spawn(async move { unary(&route, "params").await });
    let call = callee.accept().await;
    assert_eq!(call.payload, "params");
    assert_eq!(callee.next().await, (".params".to_owned(), Bytes::new()));
    callee.answer(&call, ".results", b"in ").await;
    callee.answer(&call, ".results", b"parts").await;
    callee.answer(&call, ".results", b"").await;
    assert_eq!(caller.await.unwrap().unwrap(), "in parts");
}

#[tokio::test]
async fn large_parameters_reach_a_1_x_callee() {
    let server = Server::start().await;
    let mut callee = OldCallee::new(&server).await;
    let route = server.rpc().await.route(&target());
    let sent: Bytes = (0..3 << 20).map(|at| (at % 251) as u8).collect();
    let caller = tokio::spawn({
        let sent = sent.clone();
        async move { unary(&route, sent).await }
    });
    let call = callee.accept().await;
    let mut got = call.payload.to_vec();
    loop {
        let (below, payload) = callee.next().await;
        assert_eq!(below, ".params");
        if payload.is_empty() {
            break;
        }
        got.extend_from_slice(&payload);
    }
    assert!(got == sent);
    callee.answer(&call, ".results", b"ok").await;
    callee.answer(&call, ".results", b"").await;
    assert_eq!(caller.await.unwrap().unwrap(), "ok");
}

#[tokio::test]
async fn streams_go_to_a_1_x_callee_and_come_from_it() {
    let server = Server::start().await;
    let mut callee = OldCallee::new(&server).await;
    let route = server.rpc().await.route(&target());
    let caller = tokio::spawn(async move {
        let content = futures::stream::iter([Ok(Bytes::from_static(b"body-bytes"))]);
        let request = http::Request {
            method: http::Method::Post,
            path_with_query: Some("/".to_owned()),
            scheme: None,
            authority: None,
            headers: Vec::new(),
            body: Body::stream(Box::pin(content)),
        };
        let results = route.call(call(request.into_params())).await.unwrap();
        let response = http::Response::from_result(results).unwrap().unwrap();
        (response.status, response.body.collect(100).await.unwrap())
    });
    let call = callee.accept().await;
    let mut arrived = Vec::new();
    while arrived
        .iter()
        .filter(|(_, payload): &&(String, Bytes)| payload.is_empty())
        .count()
        < 2
    {
        arrived.push(callee.next().await);
    }
    let body = Bytes::from_static(b"\x0abody-bytes\0");
    assert_eq!(arrived[0], (".params".to_owned(), Bytes::new()));
    assert_eq!(
        arrived[1..],
        [
            (".params.0.0".to_owned(), body),
            (".params.0.0".to_owned(), Bytes::new())
        ]
    );
    // In the order of the capture.
    for (below, payload) in [
        (".results", &b"\0\0\0\xc8\x01\0"[..]),
        (".results", b""),
        (".results.0.0", b"\x05hello\0"),
        (".results.0.1", b"\0"),
        (".results.0", b""),
        (".results.0.1", b""),
        (".results.0.0", b""),
    ] {
        callee.answer(&call, below, payload).await;
    }
    let (status, body) = soon("the response", caller).await.unwrap();
    assert_eq!((status, body), (200, Bytes::from_static(b"hello")));
}

#[tokio::test]
async fn a_failing_1_x_callee_is_an_error() {
    let server = Server::start().await;
    let mut callee = OldCallee::new(&server).await;
    let route = server.rpc().await.route(&target());
    let caller = tokio::spawn({
        let route = route.clone();
        async move { route.call(call(Outgoing::unary("x"))).await }
    });
    let failing = callee.accept().await;
    callee.answer(&failing, ".results", b"").await;
    // Which it is not for a function without a result, so it is the reader of the result who knows.
    let results = caller.await.unwrap().unwrap();
    assert!(matches!(
        Increment::decode_result(results),
        Err(CallError::Failed(_))
    ));

    let caller = tokio::spawn(async move { unary(&route, "x").await });
    let failing = callee.accept().await;
    callee.answer(&failing, ".error", b"it broke").await;
    let error = caller.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("it broke"), "{error}");
}
