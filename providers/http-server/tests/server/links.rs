//! Links are put, replaced and deleted while requests run.

use std::net::TcpListener;

use anyhow::{Result, ensure};
use tokio::net::TcpStream;
use trellis_provider_testkit::{port, wait::until};
use trellis_tests::http::{Http, Load};

use crate::kit::{Lattice, SERVER, text};

#[tokio::test]
async fn a_link_is_replaced_without_a_failed_request() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let mut components = Vec::new();
    for id in ["one", "two"] {
        components.push(
            lattice
                .component(id, move |_| async move { Ok(text(200, id)) })
                .await?,
        );
    }
    let (one, two) = (
        lattice.link("one", &[]),
        lattice.link("two", &[("timeout_ms", "9000")]),
    );
    lattice.put(&one).await?;
    let load = Load::start(lattice.address, "/", 8);
    load.goes_on(100).await?;
    for round in 0..5 {
        // The same link with another target ...
        lattice
            .host
            .put(SERVER, if round % 2 == 0 { &two } else { &one })
            .await?;
        load.goes_on(50).await?;
        // ... and deleted and put.
        lattice.host.delete(SERVER, &two).await?;
        requests_wait(&load).await?;
        lattice
            .host
            .put(SERVER, if round % 2 == 0 { &one } else { &two })
            .await?;
        load.goes_on(50).await?;
    }
    // A link is also followed by one of another name.
    lattice.host.delete(SERVER, &one).await?;
    let mut other = lattice.link("two", &[]);
    other.name = "other".parse()?;
    lattice.host.put(SERVER, &other).await?;
    load.goes_on(50).await?;
    let seen = load.stop().await;
    ensure!(seen.failed() == 0, "{seen:?}");
    ensure!(
        seen.answers.len() == 2,
        "both components answered: {seen:?}"
    );
    Ok(())
}

/// Waits until the address has no link: until no request is answered between two looks.
async fn requests_wait(load: &Load) -> Result<()> {
    let mut before = 0;
    until("requests wait", || {
        let now = load.seen().total();
        let waits = now == before;
        before = now;
        async move {
            ensure!(waits, "{now} answers");
            Ok(())
        }
    })
    .await
}

#[tokio::test]
async fn a_deleted_link_is_first_unavailable_and_then_gone() -> Result<()> {
    let lattice = Lattice::start(&[("replace_grace_ms", "300")]).await?;
    let _component = lattice
        .component("one", |_| async { Ok(text(200, "one")) })
        .await?;
    let link = lattice.link("one", &[]);
    lattice.put(&link).await?;
    let http = Http::new(lattice.address);
    assert_eq!(http.get("/").await?.status, 200);
    lattice.host.delete(SERVER, &link).await?;
    until("the address is given up", || async {
        ensure!(TcpStream::connect(lattice.address).await.is_err());
        Ok(())
    })
    .await?;
    // And it can be had again.
    lattice.put(&link).await?;
    assert_eq!(http.get("/").await?.body, "one");
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_told_and_waited_for() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let _component = lattice
        .component("one", |_| async { Ok(text(200, "one")) })
        .await?;
    let occupied = TcpListener::bind(lattice.address)?;
    lattice.host.put(SERVER, &lattice.link("one", &[])).await?;
    let message = lattice.host.until_healthy(SERVER, false).await?;
    ensure!(
        message.contains(&format!(
            "can't listen at {}: Address already in use",
            lattice.address
        )) && message.contains("give the link another `address`"),
        "{message}"
    );
    drop(occupied);
    lattice.host.until_healthy(SERVER, true).await?;
    assert_eq!(Http::new(lattice.address).get("/").await?.body, "one");
    Ok(())
}

#[tokio::test]
async fn each_link_has_its_address_and_wrong_settings_are_named() -> Result<()> {
    let lattice = Lattice::start(&[]).await?;
    let mut components = Vec::new();
    for id in ["one", "two"] {
        components.push(
            lattice
                .component(id, move |_| async move { Ok(text(200, id)) })
                .await?,
        );
    }
    lattice.put(&lattice.link("one", &[])).await?;
    let mut second = lattice.link("two", &[]);
    second.name = "second".parse()?;
    lattice.host.put(SERVER, &second).await?;
    let message = lattice.host.until_healthy(SERVER, false).await?;
    ensure!(
        message.contains("is link http -(wasi:http)->'s: give this one an `address` of its own"),
        "{message}"
    );
    let other = format!("127.0.0.1:{}", port::free()?);
    second
        .source_config
        .insert("address".to_owned(), other.clone());
    lattice.host.put(SERVER, &second).await?;
    lattice.host.until_healthy(SERVER, true).await?;
    assert_eq!(Http::new(other.parse()?).get("/").await?.body, "two");
    assert_eq!(Http::new(lattice.address).get("/").await?.body, "one");

    for (field, value, problem) in [
        ("address", "somewhere", "field `address`: "),
        (
            "adress",
            "127.0.0.1:1",
            "source_config: there is no field `adress`; did you mean `address`?",
        ),
        (
            "max_header_bytes",
            "10",
            "field `max_header_bytes`: 10 is not from 8192 to 1048576",
        ),
        (
            "timeout_ms",
            "0",
            "field `timeout_ms`: 0 is not from 1 to 86400000",
        ),
    ] {
        let mut wrong = second.clone();
        wrong
            .source_config
            .insert(field.to_owned(), value.to_owned());
        lattice.host.put(SERVER, &wrong).await?;
        let message = lattice.host.until_healthy(SERVER, false).await?;
        ensure!(message.contains(problem), "{message}");
        // What was there goes on.
        assert_eq!(Http::new(other.parse()?).get("/").await?.body, "two");
        lattice.host.put(SERVER, &second).await?;
        lattice.host.until_healthy(SERVER, true).await?;
    }
    Ok(())
}
