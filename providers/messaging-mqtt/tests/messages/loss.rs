//! No acknowledged message is lost, whatever breaks.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use anyhow::{Result, ensure};
use trellis_provider_testkit::wait::until;
use trellis_tests::{dropping::Dropping, mosquitto::MosquittoServer};

use crate::kit::{Client, Stage, component_that, message, next, receives, sends, text};

const MESSAGES: usize = 600;

/// The bodies of the messages that a component has handled.
type Handled = Arc<Mutex<HashSet<String>>>;

async fn all_come(handled: &Handled) -> Result<()> {
    until("every message is handled", || async {
        let count = handled
            .lock()
            .map_err(|_| anyhow::anyhow!("a component panicked"))?
            .len();
        ensure!(count == MESSAGES, "{count} of {MESSAGES}");
        Ok(())
    })
    .await
}

/// Publishes as a component, one after the other: each returns once the broker has acknowledged it.
async fn publish_all(stage: &Stage, topic: &str) -> Result<()> {
    for number in 0..MESSAGES {
        stage
            .publish("both", &message(topic, &number.to_string(), None))
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn connections_break_in_mid_stream() -> Result<()> {
    let (broker, stage) = (MosquittoServer::start().await?, Stage::set().await?);
    // Both links' connections break again and again, at any place of any packet.
    let way = Dropping::before(([127, 0, 0, 1], broker.port()).into(), 1201, 10).await?;
    let url = format!("mqtt://{}", way.host());
    let handled = Handled::default();
    let seen = handled.clone();
    let _serving = component_that(&stage.host, "both", move |message| {
        seen.lock()
            .unwrap()
            .insert(String::from_utf8_lossy(&message.body).into_owned());
        Ok(Ok(()))
    })
    .await?;
    let links = vec![
        receives("both", &[("url", &url), ("subscriptions", "loop")]),
        sends("both", &[("url", &url), ("publish_timeout_ms", "60000")]),
    ];
    let running = stage.provider(links).await?;
    publish_all(&stage, "loop").await?;
    all_come(&handled).await?;
    ensure!(
        way.dropped() == 10,
        "only {} connections broke",
        way.dropped()
    );
    stage.host.until_healthy(crate::kit::PROVIDER, true).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_broker_restarts_in_mid_stream() -> Result<()> {
    let (mut broker, stage) = (MosquittoServer::start().await?, Stage::set().await?);
    let url = broker.url();
    let handled = Handled::default();
    let seen = handled.clone();
    let _serving = component_that(&stage.host, "both", move |message| {
        seen.lock()
            .unwrap()
            .insert(String::from_utf8_lossy(&message.body).into_owned());
        Ok(Ok(()))
    })
    .await?;
    let links = vec![
        receives("both", &[("url", &url), ("subscriptions", "loop")]),
        sends("both", &[("url", &url), ("publish_timeout_ms", "60000")]),
    ];
    let running = stage.provider(links).await?;
    let restarts = async {
        for part in 1..=3 {
            until("some are handled", || async {
                ensure!(handled.lock().unwrap().len() > part * MESSAGES / 5);
                Ok(())
            })
            .await?;
            broker.stop().await?;
            broker.resume().await?;
        }
        anyhow::Ok(())
    };
    let (published, restarted) = tokio::join!(publish_all(&stage, "loop"), restarts);
    restarted?;
    published?;
    all_come(&handled).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_broker_crashes_and_forgets_its_sessions() -> Result<()> {
    let (mut broker, stage) = (MosquittoServer::start().await?, Stage::set().await?);
    let url = broker.url();
    let links = vec![
        receives("both", &[("url", &url), ("subscriptions", "in")]),
        sends("both", &[("url", &url), ("publish_timeout_ms", "60000")]),
    ];
    let (_serving, mut messages) = crate::kit::component(&stage.host, "both").await?;
    let running = stage.provider(links).await?;
    let client = Client::connect(&broker).await?;
    client.publish("in", "before").await?;
    assert_eq!(next(&mut messages).await?.body, "before");
    drop(client);
    broker.crash().await?;
    // A publication waits for the broker; it is acknowledged by the one that comes.
    let told = stage
        .host
        .until_healthy(crate::kit::PROVIDER, false)
        .await?;
    ensure!(
        told.contains(&format!("MQTT at 127.0.0.1:{}: ", broker.port())),
        "{told}"
    );
    let publication = message("out", "during", None);
    let published = stage.publish("both", &publication);
    let back = async {
        broker.resume().await?;
        // Subscribed to before, or the broker would have nobody to give it to.
        let client = Client::connect(&broker).await?;
        client.subscribe("out").await?;
        anyhow::Ok(client)
    };
    let (published, client) = tokio::join!(published, back);
    published?;
    let mut client = client?;
    stage
        .publish("both", &message("out", "after", None))
        .await?;
    while text(&next(&mut client.messages).await?) != "after" {}
    // The session is gone, and its subscription made again.
    until("somebody has subscribed", || async {
        ensure!(client.publish("in", "after").await?);
        Ok(())
    })
    .await?;
    assert_eq!(next(&mut messages).await?.body, "after");
    stage.host.until_healthy(crate::kit::PROVIDER, true).await?;
    running.stop().await?;
    Ok(())
}
