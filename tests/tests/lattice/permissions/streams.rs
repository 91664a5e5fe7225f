//! What providers may do with streams: their own, and those of the lattice's buckets.

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::{self, consumer, kv};
use futures::{StreamExt as _, TryStreamExt as _};
use trellis_lattice::{
    LatticeName,
    claims::UserKey,
    connect::NatsSettings,
    topology::{Buckets, Data, HUB, Role},
};
use trellis_tests::{pops::Pops, wait::until};

use super::{Try::Publish, check};

#[tokio::test(flavor = "multi_thread")]
async fn providers_acknowledge_messages_of_their_own_streams() -> Result<()> {
    let data = Data::new(
        &LatticeName::default(),
        Buckets::Any,
        vec!["orders.>".into(), "dead.>".into()],
    )?;
    let pops = Pops::start_with(&[("fra", None)], data, None).await?;
    // At the hub, in the PoP, and in the PoP of what is at the hub: by each, streams of its own, made as messaging-nats does.
    for (place, domain) in [(HUB, HUB), ("fra", "fra"), ("fra", HUB)] {
        let context = format!("at {place}, of {domain}");
        let client = pops.connect(place, Role::Provider).await?;
        let js = match place == domain {
            true => jetstream::new(client.clone()),
            false => jetstream::with_domain(client.clone(), domain),
        };
        let name = format!("ORDERS-{place}-{domain}");
        let subject = format!("orders.{place}.{domain}");
        let stream = js
            .create_stream(jetstream::stream::Config {
                name: name.clone(),
                subjects: vec![subject.clone()],
                ..jetstream::stream::Config::default()
            })
            .await
            .context(context.clone())?;
        let config = consumer::pull::Config {
            durable_name: Some("c".into()),
            ack_policy: consumer::AckPolicy::Explicit,
            ..consumer::pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await?;
        let streams: Vec<String> = js.stream_names().try_collect().await?;
        ensure!(streams.contains(&name), "{context}: {streams:?}");
        for number in ["1", "2"] {
            // That the stream takes the subject has to be known where it is published.
            until("an order is taken", || async {
                Ok(js.publish(subject.clone(), number.into()).await?.await?)
            })
            .await?;
        }
        let mut messages = consumer.fetch().max_messages(2).messages().await?;
        let mut fetched = 0;
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| anyhow::anyhow!("{context}: {error}"))?;
            fetched += 1;
            // It says that it heard it.
            let confirmed = message.double_ack().await;
            confirmed.map_err(|error| anyhow::anyhow!("{context}: {error}"))?;
        }
        assert_eq!(fetched, 2, "{context}");
        let info = consumer.get_info().await?;
        assert_eq!(
            (info.num_ack_pending, info.ack_floor.stream_sequence),
            (0, 2),
            "{context}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_take_nothing_from_whoever_follows_the_lattice_s_buckets() -> Result<()> {
    let witness = UserKey::generate();
    let pops = Pops::start_with(&[("fra", None)], Data::default(), Some(&witness)).await?;
    let witness = NatsSettings {
        seed: Some(witness.seed()),
        ..NatsSettings::new(pops.hub.url())
    };
    let js = jetstream::new(witness.connect("witness").await?);
    let bucket = "LATTICEDATA_default";
    let config = kv::Config {
        bucket: bucket.into(),
        ..kv::Config::default()
    };
    let store = js.create_key_value(config).await?;
    store.put("COMPONENT_a", "1".into()).await?;
    let config = consumer::pull::Config {
        durable_name: Some("c".into()),
        ack_policy: consumer::AckPolicy::Explicit,
        ..consumer::pull::Config::default()
    };
    let consumer = store.stream.create_consumer(config).await?;
    let mut messages = consumer.fetch().max_messages(1).messages().await?;
    let message = messages.next().await.context("no message")?;
    let message = message.map_err(|error| anyhow::anyhow!("{error}"))?;
    let ack = message.reply.clone().context("no reply")?;
    for place in [HUB, "fra"] {
        let ack = [(Publish, ack.as_str())];
        check(&pops, place, Role::Provider, &[], &ack).await?;
    }
    let waiting = async || -> Result<usize> { Ok(consumer.get_info().await?.num_ack_pending) };
    assert_eq!(waiting().await?, 1, "somebody else acknowledged it");
    message
        .double_ack()
        .await
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    assert_eq!(waiting().await?, 0);
    Ok(())
}
