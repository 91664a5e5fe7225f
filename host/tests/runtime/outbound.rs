//! HTTP requests that actors make, and links that they choose by name.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use trellis_rpc::{
    CallError, Handler, IncomingCall, Outgoing,
    interface::http::{Body, ErrorCode, Request, Response, outgoing_handle},
};

use crate::kit::{Kit, ask, get};

/// An HTTP client's provider: answers each request with what it was asked.
#[derive(Default)]
struct Client {
    asked: Mutex<Vec<String>>,
}

impl Handler for Client {
    fn handle(
        self: Arc<Self>,
        call: IncomingCall,
    ) -> BoxFuture<'static, Result<Outgoing, CallError>> {
        async move {
            assert_eq!(call.operation, *outgoing_handle());
            let (request, _) = Request::from_outgoing_params(call.params)?;
            let path = request.path_with_query.clone().unwrap_or_default();
            let line = format!(
                "{} {}{path}",
                request.method.as_str(),
                request.authority.unwrap()
            );
            self.asked.lock().unwrap().push(line);
            assert!(request.headers.iter().any(|(name, _)| name == "x-from"));
            if path == "/refused" {
                return Ok(Response::into_result(Err(ErrorCode::ConnectionRefused)));
            }
            // The actor reads no answer before it has sent all of its request.
            let body = request.body.collect(1 << 20).await?;
            let chunks: Vec<_> = body
                .chunks(10_000)
                .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
                .collect();
            Ok(Response::into_result(Ok(Response {
                status: 203,
                headers: vec![],
                body: Body::stream(Box::pin(futures::stream::iter(chunks))),
            })))
        }
        .boxed()
    }
}

#[tokio::test]
async fn requests_go_over_a_link_to_a_client() {
    let kit = Kit::new();
    let actor = kit.start("outbound").await;
    let client = Arc::new(Client::default());
    kit.serve("http-client", client.clone());
    kit.link(
        "outbound",
        "default",
        "wasi:http/outgoing-handler",
        "http-client",
    );
    let body: Bytes = (0..=255_u8).cycle().take(300_000).collect();
    let answer = ask("POST", "/fetch?authority=example.test:81&path=/a%3Fb")
        .body(body.clone())
        .send(&actor)
        .await
        .unwrap();
    assert_eq!(answer.status, 203);
    assert!(answer.body == body, "{} bytes", answer.body.len());
    let asked = client.asked.lock().unwrap().clone();
    assert!(asked[0].starts_with("POST example.test:81/"), "{asked:?}");

    let refused = get(&actor, "/fetch?authority=example.test&path=/refused").await;
    let refused = refused.unwrap();
    assert_eq!(refused.status, 502);
    assert!(
        refused.text().contains("ConnectionRefused"),
        "{}",
        refused.text()
    );
}

/// There is no way out but a link, and the actor is told which.
#[tokio::test]
async fn without_a_client_there_is_no_way_out() {
    let kit = Kit::new();
    let actor = kit.start("outbound").await;
    let answer = get(&actor, "/fetch?authority=127.0.0.1&path=/")
        .await
        .unwrap();
    assert_eq!(answer.status, 502);
    assert!(
        answer.text().contains("wasi:http/outgoing-handler"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn an_actor_chooses_a_link_by_its_name() {
    let kit = Kit::new();
    let actor = kit.start("outbound").await;
    kit.start("greeter").await;
    kit.link("outbound", "second", "trellis:example/greeter", "greeter");
    assert!(matches!(
        get(&actor, "/greet").await.unwrap_err(),
        CallError::MissingLink { .. }
    ));
    let answer = get(&actor, "/greet?link=second").await.unwrap();
    assert!(answer.text().contains("Ada"), "{}", answer.text());
    let error = get(&actor, "/greet?link=third").await.unwrap_err();
    assert!(error.to_string().contains("\"third\""), "{error}");
    // The choice was that call's alone.
    assert!(get(&actor, "/greet").await.is_err());
    let error = get(&actor, "/greet?link=no.name").await.unwrap_err();
    assert!(error.to_string().contains("link name"), "{error}");
}
