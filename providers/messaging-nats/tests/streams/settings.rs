//! What a link says, and what it is told when that can not be.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull, push},
    stream::{self},
};
use trellis_messaging_nats::MessagingNats;
use trellis_provider::contract::connect::NatsSettings;
use trellis_provider_testkit::{Host, NatsServer, Running, wait::until};

use crate::kit::{Guarded, World, link};

#[tokio::test]
async fn a_stream_is_made_where_the_link_says_so() -> Result<()> {
    let world = World::empty().await?;
    let running = world.provider(&[link(&[])]).await?;
    let told = world.host.until_healthy("msg", false).await?;
    ensure!(
        told.contains("there is no stream \"ORDERS\": make it (`nats stream add ORDERS`), or name its subjects in `stream_subjects`"),
        "{told}"
    );
    // It is tried again: the stream may come later.
    world.stream("ORDERS", "elsewhere").await?;
    world.host.until_healthy("msg", true).await?;
    world.js.delete_stream("ORDERS").await?;
    world
        .host
        .put("msg", &link(&[("stream_subjects", "orders.*, paid")]))
        .await?;
    until("the stream is made", || async {
        let stream = world.js.get_stream("ORDERS").await?;
        ensure!(stream.cached_info().config.subjects == ["orders.*", "paid"]);
        Ok(())
    })
    .await?;
    world.host.until_healthy("msg", true).await?;
    world
        .host
        .put("msg", &link(&[("stream_subjects", "other")]))
        .await?;
    let told = world.host.until_healthy("msg", false).await?;
    ensure!(
        told.contains(
            "field `stream_subjects`: stream \"ORDERS\" is there already, with the subjects"
        ),
        "{told}"
    );
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn settings_that_can_not_be_are_named() -> Result<()> {
    let world = World::start().await?;
    let pushed = push::Config {
        durable_name: Some("pushed".to_owned()),
        deliver_subject: "somewhere".to_owned(),
        ..Default::default()
    };
    world.js.create_consumer_on_stream(pushed, "ORDERS").await?;
    for (name, ack_policy, max_deliver) in [
        ("unacked", AckPolicy::None, 0),
        ("limited", AckPolicy::Explicit, 3),
    ] {
        let config = pull::Config {
            durable_name: Some(name.to_owned()),
            deliver_policy: DeliverPolicy::New,
            ack_policy,
            max_deliver,
            ..Default::default()
        };
        world.js.create_consumer_on_stream(config, "ORDERS").await?;
    }
    let running = world.provider(&[]).await?;
    for (config, told) in [
        (
            &[("dead_letter_subject", "orders.dead")][..],
            "field `dead_letter_subject`: \"orders.dead\" is among the subjects that the consumer takes (\"orders.>\")",
        ),
        (
            &[("dead_letter_subject", "nowhere")],
            "`dead_letter_subject`: no stream takes \"nowhere\", so nothing would keep what is sent there: make one",
        ),
        (
            &[("consumer", "pushed")],
            "field `consumer`: consumer \"pushed\" of stream \"ORDERS\" is a push consumer",
        ),
        (
            &[("consumer", "unacked")],
            "field `consumer`: consumer \"unacked\" of stream \"ORDERS\" does not have each message acknowledged",
        ),
        (
            &[("consumer", "limited"), ("deliver_policy", "all")],
            "field `deliver_policy`: consumer \"limited\" of stream \"ORDERS\" is there already and began otherwise",
        ),
        (
            &[("consumer", "limited"), ("create_consumer", "false")],
            "field `consumer`: consumer \"limited\" of stream \"ORDERS\" has a `max_deliver` or `backoff` of its own",
        ),
        (
            &[("consumer", "absent"), ("create_consumer", "false")],
            "stream \"ORDERS\" has no consumer \"absent\", and `create_consumer: false` says not to make it",
        ),
        (
            &[("js_domain", "mars")],
            "JetStream does not answer at \"$JS.mars.API.STREAM.INFO.ORDERS\"",
        ),
        (
            &[("stream", "KV_x"), ("stream_subjects", "$KV.x.>")],
            "field `stream`: subject \"$KV.x.>\" is the lattice's own",
        ),
        (&[("filter_subjects", "elsewhere")], ""),
    ] {
        let link = link(config);
        world.host.put("msg", &link).await?;
        if !told.is_empty() {
            let message = world.host.until_healthy("msg", false).await?;
            ensure!(message.contains(told), "{message}");
        }
        world.host.delete("msg", &link).await?;
        world.host.until_healthy("msg", true).await?;
    }
    // One that is there is used as it is.
    let own = pull::Config {
        durable_name: Some("own".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(3),
        ..Default::default()
    };
    world.js.create_consumer_on_stream(own, "ORDERS").await?;
    let used = link(&[("consumer", "own"), ("create_consumer", "false")]);
    world.host.put("msg", &used).await?;
    let consumer: PullConsumer = world.js.get_consumer_from_stream("own", "ORDERS").await?;
    until("it is asked", || async {
        let info = consumer.get_info().await?;
        ensure!(info.num_waiting > 0 && info.config.ack_wait == Duration::from_secs(3));
        Ok(())
    })
    .await
    .context("the consumer that is there")?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_subject_that_is_shut_is_named() -> Result<()> {
    let lattice = NatsServer::without_jetstream().await?;
    let host = Host::on(&lattice).await?;
    let running =
        Running::start::<MessagingNats>(&host, host.data("msg", &[], Vec::new())?).await?;
    for (denied, told) in [
        ("$JS.API.STREAM.INFO.>", "\"$JS.API.STREAM.INFO.ORDERS\""),
        (
            "$JS.API.CONSUMER.CREATE.>",
            "\"$JS.API.CONSUMER.CREATE.ORDERS.default-shop-default\"",
        ),
        (
            "$JS.API.CONSUMER.MSG.NEXT.>",
            "\"$JS.API.CONSUMER.MSG.NEXT.ORDERS.default-shop-default\"",
        ),
        ("$JS.ACK.>", "\"$JS.ACK.ORDERS.default-shop-default.>\""),
    ] {
        let guarded = Guarded::start(denied).await?;
        let settings = NatsSettings {
            seed: Some(guarded.all.seed()),
            ..NatsSettings::new(&*guarded.url)
        };
        let client = until("the server answers", || async {
            Ok(settings.connect("all").await?)
        });
        let config = stream::Config {
            name: "ORDERS".to_owned(),
            subjects: vec!["orders.>".to_owned()],
            ..Default::default()
        };
        jetstream::new(client.await?).create_stream(config).await?;
        let seed = guarded.few.seed();
        let link = link(&[("cluster_uris", &guarded.url), ("client_seed", &seed)]);
        host.put("msg", &link).await?;
        let message = host.until_healthy("msg", false).await?;
        ensure!(
            message.contains(told) && message.contains("may not publish to that subject"),
            "{denied} in {}: {message}",
            guarded.folder.path().display()
        );
        host.delete("msg", &link).await?;
        host.until_healthy("msg", true).await?;
    }
    running.stop().await?;
    Ok(())
}
