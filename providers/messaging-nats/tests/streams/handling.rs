//! What becomes of a message: acknowledged, tried again, put aside, held.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::watch;
use trellis_provider_testkit::wait::until;

use crate::kit::{CONSUMER, Handled, World, link};

#[tokio::test]
async fn a_message_is_acknowledged_once_it_is_handled() -> Result<()> {
    let world = World::start().await?;
    let (handled, (go, goes)) = (Handled::default(), watch::channel(false));
    let counting = handled.clone();
    let _serving = world
        .component(move |message| {
            let (counting, mut goes) = (counting.clone(), goes.clone());
            async move {
                assert_eq!(
                    (message.subject.as_str(), &message.reply_to),
                    ("orders.new", &None)
                );
                counting.count(&message);
                let _ = goes.wait_for(|go| *go).await;
                Ok(())
            }
        })
        .await?;
    // What was there before the link is given too.
    world.publish("orders.new", "early").await?;
    let running = world.provider(&[link(&[])]).await?;
    world.publish("orders.new", "late").await?;
    handled.until("early", 1).await?;
    handled.until("late", 1).await?;
    let info = world.consumer().await?.info().await?.clone();
    assert_eq!(
        (info.num_ack_pending, info.ack_floor.stream_sequence),
        (2, 0)
    );
    go.send_replace(true);
    world.until_all_is_handled().await?;
    let info = world.consumer().await?.info().await?.clone();
    assert_eq!(
        (info.ack_floor.stream_sequence, info.num_redelivered),
        (2, 0)
    );
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_failure_is_tried_again_and_in_the_end_a_dead_letter() -> Result<()> {
    let world = World::start().await?;
    world.stream("DEAD", "dead.>").await?;
    let handled = Handled::default();
    let counting = handled.clone();
    let _serving = world
        .component(move |message| {
            let times = counting.count(&message);
            let outcome = match &message.body[..] {
                b"never" => Err("no\nmoney".to_owned()),
                b"twice" if times < 3 => Err("not yet".to_owned()),
                _ => Ok(()),
            };
            async move { outcome }
        })
        .await?;
    let settings = [
        ("max_deliver", "3"),
        ("backoff", "10ms,50ms"),
        ("dead_letter_subject", "dead.orders"),
    ];
    let running = world.provider(&[link(&settings)]).await?;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", "one");
    headers.insert("Tenant", "a");
    let published = world
        .js
        .publish_with_headers("orders.new", headers, "never".into());
    published.await?.await?;
    world.publish("orders.new", "twice").await?;
    world.publish("orders.new", "once").await?;
    world.until_all_is_handled().await?;
    let times = ["never", "twice", "once"].map(|body| handled.of(body));
    assert_eq!(times, [3, 3, 1]);

    let dead = world.js.get_stream("DEAD").await?;
    assert_eq!(dead.cached_info().state.messages, 1);
    let letter = dead.get_raw_message(1).await?;
    assert_eq!(
        (letter.subject.as_str(), &letter.payload[..]),
        ("dead.orders", &b"never"[..])
    );
    for (name, value) in [
        ("Tenant", "a"),
        ("Nats-Msg-Id", "ORDERS.default-shop-default.1"),
        ("Trellis-Dead-Letter-Subject", "orders.new"),
        ("Trellis-Dead-Letter-Stream", "ORDERS"),
        ("Trellis-Dead-Letter-Sequence", "1"),
        ("Trellis-Dead-Letter-Consumer", CONSUMER),
        ("Trellis-Dead-Letter-Component", "shop"),
        ("Trellis-Dead-Letter-Deliveries", "3"),
        ("Trellis-Dead-Letter-Error", "no money"),
    ] {
        let has = letter.headers.get(name).map(|value| value.as_str());
        assert_eq!(has, Some(value), "{name}");
    }
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_that_nothing_takes_stays_a_message() -> Result<()> {
    let world = World::start().await?;
    world.stream("DEAD", "dead.>").await?;
    let handled = Handled::default();
    let counting = handled.clone();
    let _serving = world
        .component(move |message| {
            counting.count(&message);
            async { Err("never".to_owned()) }
        })
        .await?;
    let settings = [
        ("max_deliver", "1"),
        ("backoff", "10ms"),
        ("dead_letter_subject", "dead.orders"),
    ];
    let running = world.provider(&[link(&settings)]).await?;
    world.js.delete_stream("DEAD").await?;
    world.publish("orders.new", "x").await?;
    // It comes again and again, and only to be a dead letter: the component had its one try.
    until("it was given back", || async {
        let info = world.consumer().await?.get_info().await?;
        ensure!(info.delivered.consumer_sequence > 2, "{info:?}");
        Ok(())
    })
    .await?;
    world.stream("DEAD", "dead.>").await?;
    world.until_all_is_handled().await?;
    let dead = world.js.get_stream("DEAD").await?;
    assert_eq!((dead.cached_info().state.messages, handled.of("x")), (1, 1));
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_slow_component_is_not_given_the_message_again() -> Result<()> {
    let world = World::start().await?;
    let handled = Handled::default();
    let counting = handled.clone();
    let _serving = world
        .component(move |message| {
            counting.count(&message);
            // Three times as long as a message may be without a word.
            async {
                tokio::time::sleep(Duration::from_millis(3300)).await;
                Ok(())
            }
        })
        .await?;
    let running = world.provider(&[link(&[("ack_wait", "1s")])]).await?;
    world.publish("orders.new", "x").await?;
    handled.until("x", 1).await?;
    world.until_all_is_handled().await?;
    let info = world.consumer().await?.get_info().await?;
    assert_eq!((handled.of("x"), info.delivered.consumer_sequence), (1, 1));
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_message_waits_for_a_component_that_is_not_running() -> Result<()> {
    let world = World::start().await?;
    world.stream("DEAD", "dead.>").await?;
    let settings = [
        ("ack_wait", "1s"),
        ("max_deliver", "1"),
        ("dead_letter_subject", "dead.orders"),
    ];
    let running = world.provider(&[link(&settings)]).await?;
    world.publish("orders.new", "x").await?;
    until("it was delivered", || async {
        let info = world.consumer().await?.get_info().await?;
        ensure!(info.num_ack_pending == 1, "{info:?}");
        Ok(())
    })
    .await?;
    // Longer than its ack wait: it is held, not given again.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let handled = Handled::default();
    let counting = handled.clone();
    let _serving = world
        .component(move |message| {
            counting.count(&message);
            async { Ok(()) }
        })
        .await?;
    handled.until("x", 1).await?;
    world.until_all_is_handled().await?;
    let info = world.consumer().await?.get_info().await?;
    assert_eq!(info.delivered.consumer_sequence, 1);
    assert_eq!(
        world
            .js
            .get_stream("DEAD")
            .await?
            .cached_info()
            .state
            .messages,
        0
    );
    running.stop().await?;
    Ok(())
}
