//! What components do over their links.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::join_all;
use trellis_keyvalue_redis::KeyvalueRedis;
use trellis_provider_testkit::{
    Host, NatsServer, RedisServer, Running, Side,
    keyvalue::{Bucket, batches_work, numbers_are_counted, values_are_kept, values_end},
    wait::until,
};

const INTERFACE: &str = "wasi:keyvalue/store";

#[tokio::test]
async fn a_component_s_values_are_in_redis() -> Result<()> {
    let (nats, redis) = (
        NatsServer::without_jetstream().await?,
        RedisServer::start().await?,
    );
    let host = Host::on(&nats).await?;
    let url = redis.url();
    let link = Side {
        source: "shop",
        target: "kv",
        interface: INTERFACE,
        config: &[("url", &url)],
    };
    let data = host.data("kv", &[], vec![link.link()])?;
    let running = Running::start::<KeyvalueRedis>(&host, data).await?;
    for name in ["default", "cart", "odd:*[name]%"] {
        let bucket = Bucket {
            host: &host,
            source: "shop",
            provider: "kv",
            name,
        };
        values_are_kept(bucket).await?;
        batches_work(bucket).await?;
        numbers_are_counted(bucket).await?;
    }
    // Buckets are apart, and the default one has 1.x's layout.
    let default = Bucket {
        host: &host,
        source: "shop",
        provider: "kv",
        name: "default",
    };
    let cart = Bucket {
        name: "cart",
        ..default
    };
    default.increment("counter", 7).await?;
    cart.increment("counter", 1).await?;
    ensure!(redis.command("GET counter").await? == "$1\r\n7");
    ensure!(default.list().await? == ["counter"] && cart.list().await? == ["counter"]);
    let intrusion = default.get("trellis:bucket:cart:counter").await;
    ensure!(intrusion.is_err_and(|error| error.to_string() == "access denied"));
    host.until_healthy("kv", true).await?;
    let stats = host.stats("kv").await?;
    ensure!(stats.calls > 60 && stats.errors == 0, "{stats:?}");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn values_last_as_long_as_the_link_says() -> Result<()> {
    let (nats, redis) = (
        NatsServer::without_jetstream().await?,
        RedisServer::start().await?,
    );
    let host = Host::on(&nats).await?;
    let url = redis.url();
    let link = |source, config| Side {
        source,
        target: "kv",
        interface: INTERFACE,
        config,
    };
    let (short, long) = (
        [("url", &*url), ("ttl", "1s")],
        [("url", &*url), ("ttl", "1h")],
    );
    let links = vec![link("shop", &short).link(), link("long", &long).link()];
    let running = Running::start::<KeyvalueRedis>(&host, host.data("kv", &[], links)?).await?;
    let bucket = Bucket {
        host: &host,
        source: "shop",
        provider: "kv",
        name: "cart",
    };
    values_end(bucket, Duration::from_secs(1)).await?;
    // A number's time begins when it does, and a sum does not begin it again.
    let long = Bucket {
        source: "long",
        name: "default",
        ..bucket
    };
    long.increment("number", 1).await?;
    ensure!(redis.command("PEXPIRE number 60000").await? == ":1");
    ensure!(long.increment("number", 1).await? == 2);
    let left = redis.command("TTL number").await?;
    let left: u64 = left.trim_start_matches(':').parse()?;
    ensure!((1..=60).contains(&left), "{left} s are left");
    long.set("text", "x").await?;
    let left = redis.command("TTL text").await?;
    let left: u64 = left.trim_start_matches(':').parse()?;
    ensure!((3500..=3600).contains(&left), "{left} s are left");
    // A number alone says nothing.
    let wrong = link("shop", &[("ttl", "30")]).link();
    host.put("kv", &wrong).await?;
    let told = host.until_healthy("kv", false).await?;
    ensure!(
        told.contains("field `ttl`: \"30\" is not a length of time"),
        "{told}"
    );
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn many_keys_are_listed_in_pages() -> Result<()> {
    let (nats, redis) = (
        NatsServer::without_jetstream().await?,
        RedisServer::start().await?,
    );
    let host = Host::on(&nats).await?;
    let url = redis.url();
    let link = Side {
        source: "shop",
        target: "kv",
        interface: INTERFACE,
        config: &[("URL", &url)],
    };
    let data = host.data("kv", &[], vec![link.link()])?;
    let running = Running::start::<KeyvalueRedis>(&host, data).await?;
    let bucket = Bucket {
        host: &host,
        source: "shop",
        provider: "kv",
        name: "default",
    };
    for hundred in 0..30 {
        let set =
            (0..100).map(|one| async move { bucket.set(&format!("{hundred}-{one}"), "x").await });
        for outcome in join_all(set).await {
            outcome?;
        }
    }
    let listed = bucket.list().await?;
    ensure!(listed.len() == 3000, "{} keys", listed.len());
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn links_decide_which_redis_and_who_has_access() -> Result<()> {
    let (nats, one, two) = (
        NatsServer::without_jetstream().await?,
        RedisServer::start().await?,
        RedisServer::start().await?,
    );
    one.command("CONFIG SET requirepass hush").await?;
    let host = Host::on(&nats).await?;
    let (url_one, url_two) = (one.url(), two.url());
    let with_password = url_one.replace("redis://", "redis://:hush@");
    let link = |source: &str, config: &[(&str, &str)]| {
        Side {
            source,
            target: "kv",
            interface: INTERFACE,
            config,
        }
        .link()
    };
    // The provider's own configuration is what a link has that says nothing.
    let data = host.data("kv", &[("url", &with_password)], vec![link("own", &[])])?;
    let running = Running::start::<KeyvalueRedis>(&host, data).await?;
    let bucket = |source| Bucket {
        host: &host,
        source,
        provider: "kv",
        name: "default",
    };
    bucket("own").set("where", "one").await?;

    let no_link = bucket("stranger")
        .get("where")
        .await
        .unwrap_err()
        .to_string();
    ensure!(
        no_link.contains("\"stranger\" has no link named \"default\""),
        "{no_link}"
    );

    host.put("kv", &link("locked-out", &[("url", &url_one)]))
        .await?;
    let denied = bucket("locked-out")
        .get("where")
        .await
        .unwrap_err()
        .to_string();
    ensure!(denied == "access denied", "{denied}");

    // Put again with another Redis: the same component now finds other values.
    host.put("kv", &link("locked-out", &[("url", &url_two)]))
        .await?;
    until("the link's new Redis", || async {
        ensure!(bucket("locked-out").get("where").await?.is_none());
        Ok(())
    })
    .await?;
    ensure!(bucket("own").get("where").await?.as_deref() == Some("one"));
    host.delete("kv", &link("own", &[])).await?;
    until("the link is gone", || async {
        ensure!(bucket("own").get("where").await.is_err());
        Ok(())
    })
    .await?;

    host.put("kv", &link("wrong", &[("url", "ftp://:hush@h")]))
        .await?;
    let message = host.until_healthy("kv", false).await?;
    ensure!(
        message.contains("target_config: field `url`: not a Redis URL")
            && !message.contains("hush"),
        "{message}"
    );
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_redis_that_comes_late_or_again_is_found() -> Result<()> {
    let nats = NatsServer::without_jetstream().await?;
    let host = Host::on(&nats).await?;
    let mut redis = RedisServer::start().await?;
    redis.crash().await?;
    let url = redis.url();
    let link = Side {
        source: "shop",
        target: "kv",
        interface: INTERFACE,
        config: &[("url", &url), ("connection_timeout_ms", "500")],
    };
    let data = host.data("kv", &[], vec![link.link()])?;
    let running = Running::start::<KeyvalueRedis>(&host, data).await?;
    let bucket = Bucket {
        host: &host,
        source: "shop",
        provider: "kv",
        name: "default",
    };

    let started = std::time::Instant::now();
    let error = bucket.get("x").await.unwrap_err().to_string();
    ensure!(
        started.elapsed() < Duration::from_secs(5),
        "it failed after {:?}",
        started.elapsed()
    );
    ensure!(error.contains("Redis at 127.0.0.1:"), "{error}");
    host.until_healthy("kv", false).await?;

    redis.resume().await?;
    until("Redis is found", || bucket.set("x", "1")).await?;
    host.until_healthy("kv", true).await?;

    redis.crash().await?;
    ensure!(
        bucket.get("x").await.is_err(),
        "a Redis that is gone can't answer"
    );
    redis.resume().await?;
    until("Redis is found again", || bucket.set("x", "2")).await?;
    running.stop().await?;
    Ok(())
}
