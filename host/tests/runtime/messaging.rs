//! `wasmcloud:messaging`, both ways.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use trellis_rpc::{
    CallContext, CallError, Handler, IncomingCall, Outgoing,
    codec::to_bytes,
    interface::{
        Function as _,
        messaging::{BrokerMessage, HandleMessage, Publish, Request},
    },
};

use crate::kit::{Kit, ask, invoke};

/// A broker's provider: keeps what is published, and answers requests with their body turned round.
#[derive(Default)]
struct Broker {
    published: Mutex<Vec<BrokerMessage>>,
}

impl Handler for Broker {
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        async move {
            if call.operation == *Publish::operation() {
                let message = Publish::decode_params(call.params)?;
                if message.subject == "refused" {
                    return Ok(Publish::answer(&Err("no such subject".into())));
                }
                self.published.lock().unwrap().push(message);
                return Ok(Publish::answer(&Ok(())));
            }
            let request = Request::decode_params(call.params)?;
            assert_eq!(request.timeout_ms, 700);
            let body = request.body.iter().rev().copied().collect();
            Ok(Request::answer(&Ok(BrokerMessage {
                subject: request.subject,
                body,
                reply_to: None,
            })))
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_message_is_handled() {
    let kit = Kit::new();
    let echo = kit.start("echo_messaging").await;
    let broker = Arc::new(Broker::default());
    kit.serve("nats", broker.clone());
    kit.link(
        "echo-messaging",
        "default",
        "wasmcloud:messaging/consumer",
        "nats",
    );
    let handle = async |reply_to: Option<&str>| {
        let message = BrokerMessage {
            subject: "in".into(),
            body: Bytes::from_static(b"hello"),
            reply_to: reply_to.map(str::to_owned),
        };
        let operation = HandleMessage::operation().clone();
        let params = Outgoing::unary(to_bytes(&message));
        let results = invoke(echo.clone(), operation, CallContext::default(), params)
            .await
            .unwrap();
        HandleMessage::decode_result(results).unwrap()
    };
    assert_eq!(handle(Some("out")).await, Ok(()));
    let published = broker.published.lock().unwrap().clone();
    assert_eq!(published.len(), 1);
    assert_eq!(
        (published[0].subject.as_str(), &published[0].body[..]),
        ("out", &b"hello"[..])
    );
    assert!(handle(None).await.unwrap_err().contains("no reply subject"));
}

#[tokio::test]
async fn an_actor_publishes_and_asks() {
    let kit = Kit::new();
    let messenger = kit.start("messenger").await;
    let broker = Arc::new(Broker::default());
    kit.serve("nats", broker.clone());
    kit.link(
        "messenger",
        "default",
        "wasmcloud:messaging/consumer",
        "nats",
    );
    let send = async |path: &'static str| {
        ask("POST", path)
            .body("abc")
            .send(&messenger)
            .await
            .unwrap()
    };
    assert_eq!(send("/publish?subject=s&reply-to=r").await.status, 200);
    let published = broker.published.lock().unwrap().clone();
    assert_eq!(published[0].reply_to.as_deref(), Some("r"));
    assert_eq!(
        send("/request?subject=s&timeout-ms=700").await.text(),
        "cba"
    );
    let refused = send("/publish?subject=refused").await;
    assert_eq!((refused.status, refused.text()), (502, "no such subject\n"));
    kit.unlink_all("messenger");
    assert!(send("/publish?subject=s").await.text().contains("no link"));
}

#[tokio::test]
async fn garbage_is_refused_before_an_instance_is_made() {
    let kit = Kit::new();
    let echo = kit.start("echo_messaging").await;
    let params = Outgoing::unary(Bytes::from_static(b"\xff\xff\xff\xff\x0f"));
    let operation = HandleMessage::operation().clone();
    let error = invoke(echo.clone(), operation, CallContext::default(), params)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Malformed(_)), "{error}");
    assert_eq!(echo.counters().failed, 1);
}
