//! Providers, servers, consumers and links that go and come.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::watch;
use trellis_provider_testkit::wait::until;

use crate::kit::{Handled, World, link};

#[tokio::test]
async fn a_provider_that_dies_leaves_its_messages_to_another() -> Result<()> {
    let world = World::start().await?;
    let (handled, (go, goes)) = (Handled::default(), watch::channel(false));
    let counting = handled.clone();
    let _serving = world
        .component(move |message| {
            let (times, mut goes) = (counting.count(&message), goes.clone());
            async move {
                if times == 1 {
                    let _ = goes.wait_for(|go| *go).await;
                }
                Ok(())
            }
        })
        .await?;
    let links = [link(&[("ack_wait", "1s")])];
    let first = world.provider(&links).await?;
    world.publish("orders.new", "x").await?;
    handled.until("x", 1).await?;
    // As a crash: nothing is told, nothing is given back.
    drop(first);
    let second = world.provider(&links).await?;
    handled.until("x", 2).await?;
    world.until_all_is_handled().await?;
    go.send_replace(true);
    assert_eq!(handled.of("x"), 2);
    second.stop().await?;
    Ok(())
}

#[tokio::test]
async fn nothing_is_lost_when_nats_starts_again() -> Result<()> {
    let mut world = World::start().await?;
    let handled = Handled::default();
    let counting = handled.clone();
    let _serving = world
        .component(move |message| {
            counting.count(&message);
            async { Ok(()) }
        })
        .await?;
    let running = world.provider(&[link(&[("ack_wait", "2s")])]).await?;
    let bodies: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    for body in &bodies[..200] {
        world.publish("orders.new", body).await?;
    }
    world.nats.crash().await?;
    world.nats.resume().await?;
    for body in &bodies[200..] {
        let published = until("the stream takes it", || world.publish("orders.new", body));
        published.await?;
    }
    for body in &bodies {
        handled.until(body, 1).await?;
    }
    world.until_all_is_handled().await?;
    world.host.until_healthy("msg", true).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn several_providers_share_the_messages() -> Result<()> {
    let world = World::start().await?;
    let handled = Handled::default();
    let counting = handled.clone();
    let (go, goes) = watch::channel(false);
    let _serving = world
        .component(move |message| {
            counting.count(&message);
            let mut goes = goes.clone();
            async move {
                let _ = goes.wait_for(|go| *go).await;
                Ok(())
            }
        })
        .await?;
    let links = [link(&[("max_in_flight", "4")])];
    let first = world.provider(&links).await?;
    let second = world.provider(&links).await?;
    for number in 0..200 {
        world.publish("orders.new", &number.to_string()).await?;
    }
    // Each has as many as it may have at once, and neither has more.
    until("both have their share", || async {
        let info = world.consumer().await?.get_info().await?;
        ensure!(info.num_ack_pending == 8, "{info:?}");
        Ok(())
    })
    .await?;
    go.send_replace(true);
    world.until_all_is_handled().await?;
    for number in 0..200 {
        assert_eq!(handled.of(&number.to_string()), 1, "{number}");
    }
    // One that ends in order gives back what it has not begun with, and the other goes on.
    first.stop().await?;
    world.publish("orders.new", "after").await?;
    handled.until("after", 1).await?;
    second.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_link_that_is_put_again_goes_on_where_it_was() -> Result<()> {
    let world = World::start().await?;
    let (handled, (go, goes)) = (Handled::default(), watch::channel(false));
    let counting = handled.clone();
    let _serving = world
        .component(move |message| {
            counting.count(&message);
            let mut goes = goes.clone();
            async move {
                let _ = goes.wait_for(|go| *go).await;
                Ok(())
            }
        })
        .await?;
    let running = world.provider(&[link(&[])]).await?;
    world.publish("orders.new", "1").await?;
    handled.until("1", 1).await?;
    // What the component has begun with comes to its end after the link.
    world.host.delete("msg", &link(&[])).await?;
    world.publish("orders.new", "2").await?;
    until("the pull has ended", || async {
        let info = world.consumer().await?.get_info().await?;
        ensure!(info.num_waiting == 0, "{info:?}");
        Ok(())
    })
    .await?;
    go.send_replace(true);
    until("the first is acknowledged", || async {
        let info = world.consumer().await?.get_info().await?;
        ensure!(info.ack_floor.stream_sequence >= 1, "{info:?}");
        Ok(())
    })
    .await?;
    // Put again, otherwise than before, twice: the consumer is changed and goes on.
    world.host.put("msg", &link(&[("ack_wait", "7s")])).await?;
    handled.until("2", 1).await?;
    let again = [
        ("max_ack_pending", "9"),
        ("filter_subjects", "orders.new,orders.old"),
    ];
    world.host.put("msg", &link(&again)).await?;
    until("the consumer is as the link says", || async {
        let config = world.consumer().await?.get_info().await?.config;
        ensure!(config.ack_wait == Duration::from_secs(7), "{config:?}");
        ensure!(config.max_ack_pending == 9 && config.filter_subjects.len() == 2);
        Ok(())
    })
    .await?;
    world.publish("orders.other", "not asked for").await?;
    world.publish("orders.old", "3").await?;
    handled.until("3", 1).await?;
    let times = ["1", "2", "3", "not asked for"].map(|body| handled.of(body));
    assert_eq!(times, [1, 1, 1, 0]);
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_consumer_that_is_gone_is_made_again() -> Result<()> {
    let world = World::start().await?;
    let handled = Handled::default();
    let counting = handled.clone();
    let _serving = world
        .component(move |message| {
            counting.count(&message);
            async { Ok(()) }
        })
        .await?;
    let running = world
        .provider(&[link(&[("deliver_policy", "new")])])
        .await?;
    world.publish("orders.new", "1").await?;
    handled.until("1", 1).await?;
    world.js.delete_stream("ORDERS").await?;
    let told = world.host.until_healthy("msg", false).await?;
    ensure!(told.contains("stream \"ORDERS\", consumer"), "{told}");
    until("it says that the stream is gone", || async {
        let told = world.host.health("msg").await?.message.unwrap_or_default();
        ensure!(
            told.contains("there is no stream \"ORDERS\": make it"),
            "{told}"
        );
        Ok(())
    })
    .await?;
    world.stream("ORDERS", "orders.>").await?;
    world.host.until_healthy("msg", true).await?;
    world.publish("orders.new", "2").await?;
    handled.until("2", 1).await?;
    running.stop().await?;
    Ok(())
}
