//! Components are told what changes in a bucket.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use async_nats::jetstream::{self, kv};
use futures::{TryStreamExt as _, future::try_join_all};
use trellis_keyvalue_nats::KeyvalueNats;
use trellis_provider::contract::ResolvedLink;
use trellis_provider_testkit::{
    Host, NatsServer, Running, Side,
    keyvalue::Bucket,
    wait::until,
    watch::{Watcher, changes_are_told},
};

use super::side;

/// A link from the provider to a component, under a name of its own.
fn watch(target: &str, config: &[(&str, &str)], name: &str) -> Result<ResolvedLink> {
    let side = Side {
        source: "kv",
        target,
        interface: "wasi:keyvalue/watcher",
        config,
    };
    Ok(side.named(name.parse()?))
}

fn bucket<'a>(host: &'a Host, source: &'a str, name: &'a str) -> Bucket<'a> {
    Bucket {
        host,
        source,
        provider: "kv",
        name,
    }
}

#[tokio::test]
async fn a_component_is_told_of_the_keys_that_its_link_names() -> Result<()> {
    let nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let mut shop = Watcher::start(&host, "shop").await?;
    let mut audit = Watcher::start(&host, "audit").await?;
    let links = vec![
        side("shop", &[]).link(),
        // The component's own bucket, by the same default as over its own link.
        watch("shop", &[("watch", "key,count")], "default")?,
        watch(
            "audit",
            &[("bucket", "shop"), ("watch", "orders.*, *ey, k*")],
            "audit",
        )?,
    ];
    let running = Running::start::<KeyvalueNats>(&host, host.data("kv", &[], links)?).await?;
    let default = bucket(&host, "shop", "default");
    changes_are_told(default, &mut shop).await?;
    for value in [Some("one"), Some("two"), None] {
        // Once, though two patterns mean it.
        audit.hears("default", "key", value).await?;
    }
    default.set("order", "x").await?;
    default.set("orders.7", "x").await?;
    audit.hears("default", "orders.7", Some("x")).await?;
    default.set("key", "").await?;
    shop.hears("default", "key", Some("")).await?;
    audit.hears("default", "key", Some("")).await?;
    host.until_healthy("kv", true).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn buckets_and_keys_are_told_by_the_component_s_names() -> Result<()> {
    let nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let mut shop = Watcher::start(&host, "shop").await?;
    let named = [("watch", "*"), ("watch_bucket", "odd .*>=name")];
    let links = vec![
        side("shop", &[]).link(),
        watch("shop", &[("watch", "*")], "default")?,
        watch("shop", &named, "named")?,
    ];
    let running = Running::start::<KeyvalueNats>(&host, host.data("kv", &[], links)?).await?;
    for name in ["default", "odd .*>=name"] {
        let bucket = bucket(&host, "shop", name);
        for key in [
            "plain",
            "with space",
            "ключ",
            ".dot.",
            "a*b>c",
            "=enc=",
            "line\nbreak",
        ] {
            bucket.set(key, key).await?;
            shop.hears(name, key, Some(key)).await?;
            bucket.delete(key).await?;
            shop.hears(name, key, None).await?;
        }
    }
    bucket(&host, "shop", "another").set("x", "unheard").await?;
    bucket(&host, "shop", "default").set("x", "1").await?;
    shop.hears("default", "x", Some("1")).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_changes_while_nats_is_started_again_is_told_then() -> Result<()> {
    let mut nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let mut shop = Watcher::start(&host, "shop").await?;
    let links = vec![
        side("shop", &[]).link(),
        watch("shop", &[("watch", "*")], "default")?,
    ];
    let running = Running::start::<KeyvalueNats>(&host, host.data("kv", &[], links)?).await?;
    bucket(&host, "shop", "default")
        .set("key", "before")
        .await?;
    shop.hears("default", "key", Some("before")).await?;
    for round in ["first", "second"] {
        nats.crash().await?;
        nats.resume().await?;
        // By somebody who is quicker than the provider may be.
        let other = jetstream::new(nats.connect().await?);
        let store = until("the bucket is there", || async {
            Ok(other.get_key_value("shop").await?)
        })
        .await?;
        store.put("key", round.into()).await?;
        shop.hears("default", "key", Some(round)).await?;
        store.purge("key").await?;
        shop.hears("default", "key", None).await?;
    }
    // The consumer that asks is gone, and nobody says so: what it would have been sent is told nevertheless.
    let stream = jetstream::new(host.client().clone())
        .get_stream("KV_shop")
        .await?;
    for name in consumers(&stream).await? {
        stream.delete_consumer(&name).await?;
    }
    bucket(&host, "shop", "default").set("key", "after").await?;
    shop.hears("default", "key", Some("after")).await?;
    host.until_healthy("kv", true).await?;
    running.stop().await?;
    Ok(())
}

async fn consumers(stream: &jetstream::stream::Stream) -> Result<Vec<String>> {
    Ok(stream.consumer_names().try_collect().await?)
}

#[tokio::test]
async fn a_bucket_that_was_lost_and_made_anew_is_told_from_its_beginning() -> Result<()> {
    let nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let mut shop = Watcher::start(&host, "shop").await?;
    let links = vec![
        side("shop", &[]).link(),
        watch("shop", &[("watch", "*")], "default")?,
    ];
    let running = Running::start::<KeyvalueNats>(&host, host.data("kv", &[], links)?).await?;
    for value in ["1", "2", "3"] {
        bucket(&host, "shop", "default").set("key", value).await?;
        shop.hears("default", "key", Some(value)).await?;
    }
    let jetstream = jetstream::new(host.client().clone());
    jetstream.delete_key_value("shop").await?;
    // The provider may be quicker to make it.
    let config = kv::Config {
        bucket: "shop".to_owned(),
        history: 1,
        num_replicas: 1,
        ..kv::Config::default()
    };
    let store = jetstream.create_or_update_key_value(config).await?;
    store.put("key", "new".into()).await?;
    shop.hears("default", "key", Some("new")).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_link_tells_whom_it_leads_to_and_what_it_says_now() -> Result<()> {
    let nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let mut shop = Watcher::start(&host, "shop").await?;
    let mut audit = Watcher::start(&host, "audit").await?;
    let all = [("bucket", "shop"), ("watch", "*")];
    let some = [("bucket", "shop"), ("watch", "some.*")];
    let links = vec![side("shop", &[]).link(), watch("shop", &all, "default")?];
    let running = Running::start::<KeyvalueNats>(&host, host.data("kv", &[], links)?).await?;
    let default = bucket(&host, "shop", "default");
    default.set("key", "1").await?;
    shop.hears("default", "key", Some("1")).await?;

    // To another component.
    host.put("kv", &watch("audit", &all, "default")?).await?;
    settled(&host).await?;
    default.set("key", "2").await?;
    audit.hears("default", "key", Some("2")).await?;

    // Of other keys.
    host.put("kv", &watch("audit", &some, "default")?).await?;
    settled(&host).await?;
    default.set("key", "3").await?;
    default.set("some.key", "4").await?;
    audit.hears("default", "some.key", Some("4")).await?;

    // To nobody, while another link goes on.
    host.put("kv", &watch("shop", &some, "other")?).await?;
    host.delete("kv", &watch("audit", &some, "default")?)
        .await?;
    settled(&host).await?;
    default.set("some.key", "5").await?;
    shop.hears("default", "some.key", Some("5")).await?;
    host.put("kv", &watch("audit", &some, "default")?).await?;
    settled(&host).await?;
    default.set("some.key", "6").await?;
    // Neither what it heard of before, nor what changed while it had no link.
    audit.hears("default", "some.key", Some("6")).await?;
    running.stop().await?;
    Ok(())
}

/// Waits until the provider has done what it was told of its links: it does one thing after the other.
async fn settled(host: &Host) -> Result<()> {
    let link = side("settled", &[("bucket", "a.b")]).link();
    host.put("kv", &link).await?;
    host.until_healthy("kv", false).await?;
    host.delete("kv", &link).await?;
    host.until_healthy("kv", true).await?;
    Ok(())
}

#[tokio::test]
async fn a_link_that_can_not_be_is_refused_by_its_field() -> Result<()> {
    let nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let running = Running::start::<KeyvalueNats>(&host, host.data("kv", &[], vec![])?).await?;
    let calls = |config| side("shop", config).link();
    let told = |config| watch("shop", config, "default");
    for (link, expected) in [
        (
            calls(&[("watch", "*")]),
            "target_config: field `watch`: over this link the component calls the provider",
        ),
        (
            calls(&[("watch_bucket", "cart")]),
            "target_config: field `watch_bucket`: ",
        ),
        (told(&[])?, "source_config: field `watch`: is missing"),
        (
            told(&[("watch", "a,,b")])?,
            "source_config: field `watch`: it has an entry without a key",
        ),
        (
            told(&[("watch_bucket", "cart")])?,
            "source_config: field `watch_bucket`: says in which bucket",
        ),
        (
            told(&[("watch", "*"), ("bucket", "a.b")])?,
            "source_config: field `bucket`: \"a.b\"",
        ),
    ] {
        host.put("kv", &link).await?;
        until("the link is refused", || async {
            let message = host.health("kv").await?.message.unwrap_or_default();
            ensure!(
                message.contains(expected),
                "{expected:?} is not in {message:?}"
            );
            Ok(())
        })
        .await?;
        host.delete("kv", &link).await?;
        host.until_healthy("kv", true).await?;
    }
    // A bucket that isn't there yet is followed as soon as it is.
    let mut shop = Watcher::start(&host, "shop").await?;
    let never = [
        ("watch", "*"),
        ("bucket", "later"),
        ("create_bucket", "false"),
    ];
    host.put("kv", &told(&never)?).await?;
    let message = host.until_healthy("kv", false).await?;
    ensure!(
        message.contains("NATS bucket \"later\": it is not there"),
        "{message}"
    );
    let config = kv::Config {
        bucket: "later".to_owned(),
        ..kv::Config::default()
    };
    let store = jetstream::new(host.client().clone())
        .create_key_value(config)
        .await?;
    host.until_healthy("kv", true).await?;
    store.put("key", "1".into()).await?;
    shop.hears("default", "key", Some("1")).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn of_many_changes_at_once_each_is_told() -> Result<()> {
    let nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let mut shop = Watcher::start(&host, "shop").await?;
    let links = vec![
        side("shop", &[]).link(),
        watch("shop", &[("watch", "*")], "default")?,
    ];
    let running = Running::start::<KeyvalueNats>(&host, host.data("kv", &[], links)?).await?;
    let default = bucket(&host, "shop", "default");
    let stream = jetstream::new(host.client().clone())
        .get_stream("KV_shop")
        .await?;
    let before = consumers(&stream).await?;
    let keys = (0..3000).map(|number| format!("key-{number}"));
    let set = keys.map(|key| async move { default.set(&key, "x").await });
    try_join_all(set).await?;
    let mut told = HashSet::new();
    while told.len() < 3000 {
        let (key, _) = shop.next("default").await?;
        ensure!(told.insert(key.clone()), "{key} is told twice");
    }
    // By one and the same consumer: nothing was lost on its way.
    ensure!(before.len() == 1 && consumers(&stream).await? == before);
    running.stop().await?;
    Ok(())
}
