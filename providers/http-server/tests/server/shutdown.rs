//! Requests that run are finished before the provider ends.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::stream;
use http::Request;
use http_body_util::BodyExt as _;
use tokio::{net::TcpStream, sync::watch};
use trellis_provider::rpc::interface::http::{Body, Response as WireResponse};
use trellis_provider_testkit::wait::until;

use crate::kit::{Lattice, SERVER, client, full, send, text};

#[tokio::test]
async fn what_runs_is_finished_and_nothing_new_begins() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let (go_on, goes_on) = watch::channel(false);
    let (arrive, mut arrived) = watch::channel(false);
    let _component = lattice
        .component("slow", move |request| {
            let (mut goes_on, arrive) = (goes_on.clone(), arrive.clone());
            async move {
                if request.path_with_query.as_deref() == Some("/head") {
                    arrive.send_replace(true);
                    let _ = goes_on.wait_for(|go| *go).await;
                    return Ok(text(200, "late head"));
                }
                let parts = stream::unfold(0, move |part| {
                    let mut goes_on = goes_on.clone();
                    async move {
                        if part == 1 {
                            let _ = goes_on.wait_for(|go| *go).await;
                        }
                        (part < 2).then(|| (Ok(Bytes::from_static(b"part ")), part + 1))
                    }
                });
                Ok(WireResponse {
                    body: Body::stream(Box::pin(parts)),
                    ..text(200, "")
                })
            }
        })
        .await?;
    lattice.put(&lattice.link("slow", &[])).await?;
    let (one, two) = (client(false), client(true));
    let get = |path| Request::builder().uri(lattice.url(path)).body(full(""));
    // One is in the middle of its body, one has no head yet, and a connection is idle.
    let mut body = one.request(get("/body")?).await?.into_body();
    body.frame().await.context("no body")??;
    let idle = TcpStream::connect(lattice.address).await?;
    let late = send(&two, get("/head")?);
    let ended = async {
        assert_eq!(lattice.host.shut_down(SERVER).await?, "shutting down");
        until("nobody is let in any more", || async {
            ensure!(TcpStream::connect(lattice.address).await.is_err());
            Ok(())
        })
        .await?;
        go_on.send_replace(true);
        anyhow::Ok(body.collect().await?.to_bytes())
    };
    let (late, rest) = tokio::join!(late, async {
        arrived.wait_for(|arrived| *arrived).await?;
        ended.await
    });
    assert_eq!(&late?.body()[..], b"late head");
    assert_eq!(&rest?[..], b"part ");
    let begun = Instant::now();
    lattice.running.ended().await?;
    ensure!(
        begun.elapsed() < Duration::from_secs(5),
        "an idle connection held it up"
    );
    drop(idle);
    Ok(())
}
