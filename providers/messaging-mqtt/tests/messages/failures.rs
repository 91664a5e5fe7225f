//! What becomes of a message that its component fails on.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::{sync::mpsc, time::Instant};
use trellis_provider::rpc::CallError;
use trellis_provider_testkit::wait::until;
use trellis_tests::mosquitto::MosquittoServer;

use crate::kit::{Client, Stage, component, component_that, message, next, receives, text};

#[tokio::test]
async fn a_message_is_given_again_until_the_component_handles_it() -> Result<()> {
    let (broker, stage) = (MosquittoServer::start().await?, Stage::set().await?);
    let (sender, mut tried) = mpsc::unbounded_channel();
    let attempts = AtomicU32::new(0);
    let _serving = component_that(&stage.host, "shaky", move |message| {
        sender.send((message.body, Instant::now())).ok();
        match attempts.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(Err("not today".to_owned())),
            1 => Err(CallError::Failed("it trapped".to_owned())),
            _ => Ok(Ok(())),
        }
    })
    .await?;
    let url = broker.url();
    let config = [
        ("url", url.as_str()),
        ("subscriptions", "work"),
        ("retry_delay_ms", "50"),
    ];
    let running = stage.provider(vec![receives("shaky", &config)]).await?;
    let client = Client::connect(&broker).await?;
    client.publish("work", "it").await?;
    let mut times = Vec::new();
    for _ in 0..3 {
        let (body, at) = next(&mut tried).await?;
        assert_eq!(body, "it");
        times.push(at);
    }
    // Each wait is twice the one before.
    ensure!(times[1] - times[0] >= Duration::from_millis(50));
    ensure!(times[2] - times[1] >= Duration::from_millis(100));
    client.publish("work", "the next").await?;
    assert_eq!(next(&mut tried).await?.0, "the next");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_last_failure_puts_a_message_aside() -> Result<()> {
    let (broker, stage) = (MosquittoServer::start().await?, Stage::set().await?);
    let handled = Arc::new(Mutex::new(Vec::new()));
    let seen = handled.clone();
    let _serving = component_that(&stage.host, "picky", move |message| {
        let body = String::from_utf8_lossy(&message.body).into_owned();
        if body == "poison" {
            return Ok(Err("it tastes\nbad".to_owned()));
        }
        seen.lock().unwrap().push(body);
        Ok(Ok(()))
    })
    .await?;
    let url = broker.url();
    let config = [
        ("url", url.as_str()),
        ("subscriptions", "work/#"),
        ("max_attempts", "3"),
        ("retry_delay_ms", "10"),
        ("dead_letter_topic", "aside/picky"),
    ];
    let running = stage.provider(vec![receives("picky", &config)]).await?;
    let mut client = Client::connect(&broker).await?;
    client.subscribe("aside/#").await?;
    for body in ["one", "poison", "two"] {
        client.publish("work/new", body).await?;
    }
    let letter = next(&mut client.messages).await?;
    assert_eq!(
        (&letter.topic[..], text(&letter).as_str()),
        (&b"aside/picky"[..], "poison")
    );
    let said = letter.properties.context("no properties")?.user_properties;
    let said: Vec<(&str, &str)> = said
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            ("trellis-topic", "work/new"),
            ("trellis-attempts", "3"),
            ("trellis-error", "it tastes bad")
        ]
    );
    until("the others are handled", || async {
        let handled = handled.lock().unwrap().clone();
        ensure!(handled == ["one", "two"], "{handled:?}");
        Ok(())
    })
    .await?;
    running.stop().await?;
    // It was acknowledged: the next process has nothing of it.
    let (_serving, mut messages) = component(&stage.host, "heir").await?;
    let running = stage.provider(vec![receives("heir", &config)]).await?;
    client.publish("work/new", "three").await?;
    assert_eq!(
        next(&mut messages).await?,
        message("work/new", "three", None)
    );
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn messages_wait_for_a_component_that_is_not_there_or_takes_no_more() -> Result<()> {
    let (broker, stage) = (MosquittoServer::start().await?, Stage::set().await?);
    let url = broker.url();
    // One attempt: neither is a failure of the component.
    let config = [
        ("url", url.as_str()),
        ("subscriptions", "work"),
        ("max_attempts", "1"),
    ];
    let running = stage.provider(vec![receives("late", &config)]).await?;
    let client = Client::connect(&broker).await?;
    for number in 0..100 {
        client.publish("work", &number.to_string()).await?;
    }
    // More refusals than a message of QoS 0 would stand.
    let (sender, mut handled) = mpsc::unbounded_channel();
    let refused = AtomicU32::new(0);
    let _serving = component_that(&stage.host, "late", move |message| {
        if message.body == "0" && refused.fetch_add(1, Ordering::SeqCst) < 7 {
            return Err(CallError::Overloaded("it is at its limit".to_owned()));
        }
        sender.send(message).ok();
        Ok(Ok(()))
    })
    .await?;
    let mut bodies = Vec::new();
    for _ in 0..100 {
        let body = next(&mut handled).await?.body;
        bodies.push(String::from_utf8(body.to_vec())?.parse::<u32>()?);
    }
    // Others went before it; those that the broker does not send before it is acknowledged came after it.
    assert_ne!(bodies.first(), Some(&0));
    bodies.sort_unstable();
    assert_eq!(bodies, (0..100).collect::<Vec<_>>());
    running.stop().await?;
    Ok(())
}
