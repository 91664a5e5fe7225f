//! Requests that actors make: over a link to the client, to where the link allows, and nowhere else.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};
use trellis_lattice::Link;
use trellis_tests::{http::Http, lattice::Lattice, wait::until};

/// A server somewhere: it answers a request's body, or its path where there is none.
struct Elsewhere {
    at: SocketAddr,
    _serving: JoinSet<()>,
}

impl Elsewhere {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo)),
                );
            }
        });
        Ok(Self {
            at,
            _serving: serving,
        })
    }
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = Bytes::from(request.uri().to_string());
    let body = request.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let answer = if body.is_empty() { path } else { body };
    Ok(Response::new(Full::new(answer)))
}

/// A lattice where an actor behind HTTP is linked to the client.
async fn linked(actor: &str, settings: &[(&str, &str)]) -> Result<(Lattice, Http)> {
    let lattice = Lattice::start().await?;
    lattice.config("outgoing", settings).await?;
    lattice.run_actor("asker", actor, 8).await?;
    lattice
        .run_provider("client", "builtin:http-client", &[])
        .await?;
    let link = Lattice::link("asker", "client", "wasi:http", &["outgoing-handler"])?;
    lattice
        .control
        .put_link(&Link {
            target_config: vec!["outgoing".into()],
            ..link
        })
        .await?;
    let http = Http::new(lattice.serve_http("http", "asker").await?);
    Ok((lattice, http))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_asks_another_server() -> Result<()> {
    let elsewhere = Elsewhere::start().await?;
    let (lattice, http) = linked("outbound", &[("allow_private", "true")]).await?;
    let path = format!("/fetch?authority={}&path=/a%3Fb", elsewhere.at);
    let first = until("the actor has its answer", || async {
        let answer = http.get(&path).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.body)
    });
    let first = first.await.map_err(|error| error.context(lattice.logs()))?;
    assert_eq!(first, "/a?b");
    let body = "0123456789".repeat(100_000);
    let answer = http.post(&path, body.clone()).await?;
    assert_eq!(answer.status, 200);
    assert!(answer.body == body, "{} bytes", answer.body.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_asks_only_whom_its_link_allows() -> Result<()> {
    let elsewhere = Elsewhere::start().await?;
    let (lattice, http) = linked("http_fetch", &[("allowed_hosts", "127.0.0.1:*")]).await?;
    let url = format!("/?url=http://{}/page", elsewhere.at);
    // The link is there when it says no.
    let refused = until("the client refuses", || async {
        let answer = http.get(&url).await?;
        ensure!(answer.status == 403, "{answer:?}");
        Ok(())
    });
    refused
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    let port = elsewhere.at.port();
    let path = format!("/?url=http://localhost:{port}/page");
    assert_eq!(http.get(&path).await?.status, 403, "another host");

    // The same configuration with a word more.
    lattice
        .config(
            "outgoing",
            &[
                ("allowed_hosts", "127.0.0.1:*"),
                ("allow_private", "127.0.0.1"),
            ],
        )
        .await?;
    let allowed = until("the client lets it through", || async {
        let answer = http.get(&url).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.body)
    });
    let allowed = allowed
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    assert_eq!(allowed, "/page");
    let path = format!("/?url=http://localhost:{port}/page");
    assert_eq!(http.get(&path).await?.status, 403, "still another host");
    Ok(())
}
