//! Links that can't be taken say why.

use anyhow::{Result, ensure};
use trellis_provider_testkit::port;
use trellis_tests::mosquitto::{Access, MosquittoServer};

use crate::kit::{Client, PROVIDER, Stage, component, message, next, receives, sends};

#[tokio::test]
async fn wrong_settings_are_named() -> Result<()> {
    let (broker, stage) = (MosquittoServer::start().await?, Stage::set().await?);
    let running = stage.provider(Vec::new()).await?;
    let url = broker.url();
    for (name, value, told) in [
        (
            "subscription",
            "a",
            "there is no field `subscription`; did you mean `subscriptions`?",
        ),
        (
            "subscriptions",
            "a,b#",
            "field `subscriptions`: topic \"b#\" has a '+' or '#' beside other characters",
        ),
        (
            "max_in_flight",
            "0",
            "field `max_in_flight`: 0 is not from 1 to 1024",
        ),
        ("qos", "2", "field `qos`: 2 is not offered"),
        (
            "tls_ca_file",
            "/nowhere.pem",
            "field `tls_ca_file`: is for TLS",
        ),
    ] {
        let link = receives("x", &[("url", url.as_str()), (name, value)]);
        stage.host.put(PROVIDER, &link).await?;
        let message = stage.host.until_healthy(PROVIDER, false).await?;
        ensure!(
            message.contains(told) && message.contains("source_config"),
            "{message}"
        );
        stage.host.delete(PROVIDER, &link).await?;
        stage.host.until_healthy(PROVIDER, true).await?;
    }
    let link = sends("x", &[("url", url.as_str()), ("subscriptions", "a")]);
    stage.host.put(PROVIDER, &link).await?;
    let message = stage.host.until_healthy(PROVIDER, false).await?;
    ensure!(
        message.contains(
            "target_config: field `subscriptions`: is for a link from the provider to a component"
        ),
        "{message}"
    );
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so() -> Result<()> {
    let access = Access {
        user: Some(("shop", "hush")),
        ..Access::default()
    };
    let (broker, stage) = (MosquittoServer::with(access).await?, Stage::set().await?);
    let (_serving, mut messages) = component(&stage.host, "shop").await?;
    let url = broker.url();
    let running = stage.provider(Vec::new()).await?;
    let wrong = [
        ("url", url.as_str()),
        ("user", "shop"),
        ("password", "guessed"),
    ];
    for link in [receives("shop", &wrong), sends("shop", &wrong)] {
        stage.host.put(PROVIDER, &link).await?;
        let told = stage.host.until_healthy(PROVIDER, false).await?;
        ensure!(
            told.contains("it does not let us in: `user` or `password` is wrong"),
            "{told}"
        );
        ensure!(!told.contains("guessed"), "{told}");
        stage.host.delete(PROVIDER, &link).await?;
        stage.host.until_healthy(PROVIDER, true).await?;
    }
    let right = [
        ("url", url.as_str()),
        ("user", "shop"),
        ("password", "hush"),
    ];
    let subscribed = [&right[..], &[("subscriptions", "a")]].concat();
    stage
        .host
        .put(PROVIDER, &receives("shop", &subscribed))
        .await?;
    stage.host.put(PROVIDER, &sends("shop", &right)).await?;
    stage.publish("shop", &message("a", "in", None)).await?;
    assert_eq!(next(&mut messages).await?.body, "in");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_the_broker_forbids_is_an_error() -> Result<()> {
    let acl = tempfile_with("user shop\ntopic write out/#\ntopic read in/#\n")?;
    let lines = format!("acl_file {}\n", acl.display());
    let access = Access {
        user: Some(("shop", "hush")),
        lines: &lines,
        ..Access::default()
    };
    let (broker, stage) = (MosquittoServer::with(access).await?, Stage::set().await?);
    let url = broker.url();
    let right = [
        ("url", url.as_str()),
        ("user", "shop"),
        ("password", "hush"),
    ];
    let running = stage.provider(vec![sends("shop", &right)]).await?;
    stage.publish("shop", &message("out/1", "x", None)).await?;
    let refused = stage
        .publish("shop", &message("other", "x", None))
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the broker refuses the message on \"other\": not authorized"
    );
    std::fs::remove_file(acl)?;
    running.stop().await?;
    Ok(())
}

fn tempfile_with(text: &str) -> Result<std::path::PathBuf> {
    let path = std::env::temp_dir().join(format!("trellis-acl-{:x}", rand::random::<u64>()));
    std::fs::write(&path, text)?;
    Ok(path)
}

#[tokio::test]
async fn a_link_to_a_broker_that_is_not_there_works_once_it_is() -> Result<()> {
    let stage = Stage::set().await?;
    let (_serving, mut messages) = component(&stage.host, "echo").await?;
    let nowhere = format!("mqtt://127.0.0.1:{}", port::free()?);
    let link = receives("echo", &[("url", &nowhere), ("subscriptions", "a")]);
    let running = stage.provider(vec![link.clone()]).await?;
    let told = stage.host.until_healthy(PROVIDER, false).await?;
    ensure!(
        told.contains(&nowhere.replace("mqtt://", "MQTT at ")),
        "{told}"
    );
    stage.host.delete(PROVIDER, &link).await?;

    let mut broker = MosquittoServer::start().await?;
    broker.stop().await?;
    let url = broker.url();
    let links = [
        receives("echo", &[("url", &url), ("subscriptions", "a")]),
        sends("echo", &[("url", &url)]),
    ];
    for link in &links {
        stage.host.put(PROVIDER, link).await?;
    }
    stage.host.until_healthy(PROVIDER, false).await?;
    broker.resume().await?;
    stage.host.until_healthy(PROVIDER, true).await?;
    stage.publish("echo", &message("a", "there", None)).await?;
    assert_eq!(next(&mut messages).await?.body, "there");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn messages_have_a_length_that_ends_nothing() -> Result<()> {
    let access = Access {
        lines: "max_packet_size 20000\n",
        ..Access::default()
    };
    let (broker, stage) = (MosquittoServer::with(access).await?, Stage::set().await?);
    let (_serving, mut messages) = component(&stage.host, "echo").await?;
    let url = broker.url();
    let links = vec![
        receives("echo", &[("url", &url), ("subscriptions", "a")]),
        sends("echo", &[("url", &url)]),
    ];
    let running = stage.provider(links).await?;
    stage
        .publish("echo", &message("a", &"x".repeat(19_000), None))
        .await?;
    assert_eq!(next(&mut messages).await?.body.len(), 19_000);
    let refused = stage
        .publish("echo", &message("a", &"x".repeat(20_000), None))
        .await
        .unwrap_err();
    ensure!(
        refused.to_string().contains("and the broker takes 20000"),
        "{refused}"
    );
    stage
        .publish("echo", &message("a", "still there", None))
        .await?;
    assert_eq!(next(&mut messages).await?.body, "still there");
    let _client = Client::connect(&broker).await?;
    running.stop().await?;
    Ok(())
}
