//! Links come, change and go while requests run.

use std::sync::Arc;

use anyhow::{Result, ensure};
use tokio::sync::Notify;
use trellis_provider::rpc::interface::http::ErrorCode;
use trellis_provider_testkit::{port, wait::until};

use crate::{
    kit::{CLIENT, COMPONENT, Lattice, get, link, whole},
    server::{Server, text},
};

#[tokio::test]
async fn the_provider_s_configuration_is_a_link_s_default() -> Result<()> {
    let server = Server::start(|_| async { text(200, "x") }).await?;
    let own = [("allow_private", "true")];
    let strict = link("strict", &[("allow_private", "false")]);
    let lattice = Lattice::with_links(&own, vec![link(COMPONENT, &[]), strict]).await?;
    ensure!(lattice.get(&server.url("/")).await?.0 == 200);
    let refused = lattice
        .ask_as("strict", get(&server.url("/"))?, None)
        .await?;
    ensure!(refused.err() == Some(ErrorCode::DestinationIpProhibited));
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_link_that_changes_lets_its_requests_finish() -> Result<()> {
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, may) = (arrived.clone(), go_on.clone());
    let server = Server::start(move |request| {
        let (told, may) = (told.clone(), may.clone());
        async move {
            if request.uri().path() == "/slow" {
                told.notify_one();
                may.notified().await;
            }
            text(200, "whole")
        }
    })
    .await?;
    let lattice = Lattice::open().await?;
    let slow = server.url("/slow");
    let running = async {
        let response = lattice.respond(get(&slow)?).await?;
        ensure!(whole(response).await? == "whole");
        Ok(())
    };
    let changing = async {
        arrived.notified().await;
        lattice.host.put(CLIENT, &link(COMPONENT, &[])).await?;
        until("the link is another one", || async {
            let code = lattice.refusal(get(&server.url("/"))?).await?;
            ensure!(code == ErrorCode::DestinationIpProhibited, "{code:?}");
            Ok(())
        })
        .await?;
        lattice.host.delete(CLIENT, &link(COMPONENT, &[])).await?;
        until("the link is gone", || async {
            let code = lattice.refusal(get(&server.url("/"))?).await?;
            ensure!(matches!(code, ErrorCode::InternalError(_)), "{code:?}");
            Ok(())
        })
        .await?;
        go_on.notify_one();
        anyhow::Ok(())
    };
    let (running, changing) = tokio::join!(running, changing);
    changing?;
    running?;
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_that_comes_late_or_again_is_found() -> Result<()> {
    let lattice = Lattice::open().await?;
    let nobody = format!("http://127.0.0.1:{}/", port::free()?);
    let code = lattice.refusal(get(&nobody)?).await?;
    ensure!(code == ErrorCode::ConnectionRefused, "{code:?}");
    // A connection that is kept for the next request and cut meanwhile fails nobody.
    let first = Server::start(|_| async { text(200, "first") }).await?;
    let address = first.address;
    ensure!(lattice.get(&first.url("/")).await?.1 == "first");
    drop(first);
    let second = until("the address is free again", || async {
        Server::at(address, |_| async { text(200, "second") }).await
    });
    let second = second.await?;
    until("the other server answers", || async {
        ensure!(lattice.get(&second.url("/")).await?.1 == "second");
        Ok(())
    })
    .await?;
    lattice.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn requests_that_run_finish_when_the_provider_ends() -> Result<()> {
    let (arrived, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, may) = (arrived.clone(), go_on.clone());
    let server = Server::start(move |_| {
        let (told, may) = (told.clone(), may.clone());
        async move {
            told.notify_one();
            may.notified().await;
            text(200, "whole")
        }
    })
    .await?;
    let lattice = Lattice::open().await?;
    let answer = lattice.respond(get(&server.url("/"))?);
    let ending = async {
        arrived.notified().await;
        lattice.host.shut_down(CLIENT).await?;
        go_on.notify_one();
        anyhow::Ok(())
    };
    let (answer, ending) = tokio::join!(answer, ending);
    ending?;
    ensure!(whole(answer?).await? == "whole");
    lattice.running.ended().await?;
    Ok(())
}
