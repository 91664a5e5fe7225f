//! In a PoP: who answers, and where is listened.

use std::net::SocketAddr;

use anyhow::Result;
use http::Request;
use trellis_http_server::HttpServer;
use trellis_provider::contract::Place;
use trellis_provider_testkit::{Host, NatsServer, Running, answer, port, wait::until};

use crate::kit::{Lattice, SERVER, client, full, send, text};
use trellis_provider::rpc::interface::http::Response as WireResponse;

async fn hello(host: &Host) -> Result<trellis_provider::rpc::nats::Serving> {
    answer(host, "hello", |_| async {
        Ok(WireResponse::into_result(Ok(text(200, "hello"))))
    })
    .await
}

async fn served_by(address: SocketAddr) -> Result<Option<String>> {
    let request = Request::get(format!("http://{address}/")).body(full(""))?;
    let response = send(&client(false), request).await?;
    anyhow::ensure!(response.status() == 200, "{response:?}");
    let header = response.headers().get("trellis-served-by");
    Ok(header
        .map(|value| value.to_str().map(str::to_owned))
        .transpose()?)
}

fn link(address: SocketAddr, config: &[(&str, &str)]) -> trellis_provider::contract::ResolvedLink {
    let address = address.to_string();
    let mut config = config.to_vec();
    config.push(("address", &address));
    trellis_provider_testkit::Side {
        source: SERVER,
        target: "hello",
        interface: "wasi:http/incoming-handler",
        config: &config,
    }
    .link()
}

#[tokio::test]
async fn the_host_that_answers_is_told_where_the_link_wants_it() -> Result<()> {
    let nats = NatsServer::without_jetstream().await?;
    let fra = Place::new("fra".parse()?, Some("eu".parse()?));
    let iad = Place::new("iad".parse()?, Some("us".parse()?));
    let here = Host::on(&nats).await?.placed(fra);
    let there = Host::on(&nats).await?.placed(iad);
    let _running = Running::start::<HttpServer>(&here, here.data(SERVER, &[], Vec::new())?).await?;
    let address = SocketAddr::from(([127, 0, 0, 1], port::free()?));
    let far = hello(&there).await?;
    here.put(SERVER, &link(address, &[("served_by", "true")]))
        .await?;
    let expect = |place: &'static str| {
        let expected = format!("{place}/{}", here.id());
        move || {
            let expected = expected.clone();
            async move {
                let who = served_by(address).await?;
                anyhow::ensure!(who.as_ref() == Some(&expected), "{who:?}");
                Ok(())
            }
        }
    };
    until("another PoP answers", expect("iad")).await?;
    let near = hello(&here).await?;
    until("its own PoP answers", expect("fra")).await?;
    drop((far, near));
    Ok(())
}

#[tokio::test]
async fn by_default_nobody_is_told_who_answers() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("hello", |_| async { Ok(text(200, "hello")) })
        .await?;
    lattice.put(&lattice.link("hello", &[])).await?;
    assert_eq!(served_by(lattice.address).await?, None);
    // A 1.x host does not say who it is.
    lattice
        .put(&lattice.link("hello", &[("served_by", "true")]))
        .await?;
    until("the link is the new one", || async {
        let who = served_by(lattice.address).await?;
        anyhow::ensure!(who.as_deref() == Some("-/-"), "{who:?}");
        Ok(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn an_unspecified_address_is_the_host_s_own() -> Result<()> {
    let nats = NatsServer::without_jetstream().await?;
    let host = Host::on(&nats).await?;
    let mut data = host.data(SERVER, &[], Vec::new())?;
    data.trellis_bind = Some("127.0.3.1".parse()?);
    let _running = Running::start::<HttpServer>(&host, data).await?;
    let _hello = hello(&host).await?;
    let port = port::free()?;
    host.put(SERVER, &link(SocketAddr::from(([0, 0, 0, 0], port)), &[]))
        .await?;
    until("it listens there", || async {
        served_by(SocketAddr::from(([127, 0, 3, 1], port))).await
    })
    .await?;
    let elsewhere = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
    anyhow::ensure!(elsewhere.is_err(), "it listens everywhere");
    Ok(())
}
