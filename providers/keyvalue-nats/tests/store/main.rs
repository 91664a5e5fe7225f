//! The provider against a real JetStream, over a real NATS server.

mod watching;

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::join_all;
use trellis_keyvalue_nats::KeyvalueNats;
use trellis_provider::contract::LinkName;
use trellis_provider_testkit::{
    Host, NatsServer, Running, Side,
    keyvalue::{Bucket, batches_work, numbers_are_counted, values_are_kept, values_end},
    wait::until,
};

const INTERFACE: &str = "wasi:keyvalue/store";

fn side<'a>(source: &'a str, config: &'a [(&'a str, &'a str)]) -> Side<'a> {
    Side {
        source,
        target: "kv",
        interface: INTERFACE,
        config,
    }
}

#[tokio::test]
async fn a_component_s_values_are_in_its_nats_bucket() -> Result<()> {
    let nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let links = vec![
        side("shop", &[("bucket", "shop-data")]).link(),
        side("other", &[]).link(),
    ];
    let running = Running::start::<KeyvalueNats>(&host, host.data("kv", &[], links)?).await?;
    for (source, name) in [
        ("shop", "default"),
        ("shop", "cart"),
        ("shop", "odd .*>=name"),
        ("other", ""),
    ] {
        let bucket = Bucket {
            host: &host,
            source,
            provider: "kv",
            name,
        };
        values_are_kept(bucket).await?;
        batches_work(bucket).await?;
        numbers_are_counted(bucket).await?;
    }
    // Buckets and components are apart, and a plain key is one in NATS too.
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
    let other = Bucket {
        source: "other",
        ..default
    };
    default.set("counter", "7").await?;
    cart.set("counter", "1").await?;
    ensure!(default.list().await? == ["counter"] && cart.list().await? == ["counter"]);
    ensure!(other.get("counter").await?.is_none());
    let jetstream = async_nats::jetstream::new(host.client().clone());
    let store = jetstream.get_key_value("shop-data").await?;
    ensure!(
        store
            .get("counter")
            .await?
            .is_some_and(|value| value == "7")
    );
    jetstream.get_key_value("other").await?;
    host.until_healthy("kv", true).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn values_last_as_long_as_the_link_says() -> Result<()> {
    let nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let links = vec![side("shop", &[("bucket", "carts"), ("ttl", "1s")]).link()];
    let running = Running::start::<KeyvalueNats>(&host, host.data("kv", &[], links)?).await?;
    let bucket = Bucket {
        host: &host,
        source: "shop",
        provider: "kv",
        name: "default",
    };
    values_end(bucket, Duration::from_secs(1)).await?;
    values_end(
        Bucket {
            name: "cart",
            ..bucket
        },
        Duration::from_secs(1),
    )
    .await?;

    // The bucket says how long: a link that says otherwise is told so, and one that says nothing takes it as it is.
    host.put(
        "kv",
        &side("shop", &[("bucket", "carts"), ("ttl", "2m")]).link(),
    )
    .await?;
    host.put("kv", &side("other", &[("bucket", "carts")]).link())
        .await?;
    let told = host.until_healthy("kv", false).await?;
    let expected = "NATS bucket \"carts\": its values last 1s, and the link's `ttl` says 2m";
    ensure!(told.contains(expected), "{told}");
    let refused = bucket.get("x").await;
    ensure!(refused.is_err_and(|error| error.to_string().contains(expected)));
    let other = Bucket {
        source: "other",
        ..bucket
    };
    other.set("x", "1").await?;

    let copied = side("shop", &[("ttl", "2m"), ("placement", "replicated")]);
    host.put("kv", &copied.link()).await?;
    until("the link is refused", || async {
        let told = host.health("kv").await?.message.unwrap_or_default();
        ensure!(
            told.contains("field `ttl`: a copy of a bucket does not hear"),
            "{told}"
        );
        Ok(())
    })
    .await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn many_keys_are_listed_in_pages_whatever_the_history() -> Result<()> {
    let nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let jetstream = async_nats::jetstream::new(host.client().clone());
    let config = async_nats::jetstream::kv::Config {
        bucket: "old".to_owned(),
        history: 5,
        ..Default::default()
    };
    jetstream.create_key_value(config).await?;
    let links = vec![
        side("new", &[]).link(),
        side("old", &[("bucket", "old")]).link(),
    ];
    let running = Running::start::<KeyvalueNats>(&host, host.data("kv", &[], links)?).await?;
    for source in ["new", "old"] {
        let bucket = Bucket {
            host: &host,
            source,
            provider: "kv",
            name: "default",
        };
        for _twice in 0..2 {
            for hundred in 0..25 {
                let key = |one| format!("{hundred}-{one}");
                let set = (0..100).map(|one| async move { bucket.set(&key(one), "x").await });
                for outcome in join_all(set).await {
                    outcome?;
                }
            }
        }
        let listed = bucket.list().await?;
        ensure!(listed.len() == 2500, "{source}: {} keys", listed.len());
    }
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn two_providers_count_the_same_number() -> Result<()> {
    let nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let mut all = Vec::new();
    for provider in ["kv-a", "kv-b"] {
        let link = Side {
            target: provider,
            ..side("shop", &[("bucket", "shared")])
        }
        .link();
        all.push(
            Running::start::<KeyvalueNats>(&host, host.data(provider, &[], vec![link])?).await?,
        );
    }
    let added = (0..100).map(|index| {
        let provider = if index % 2 == 0 { "kv-a" } else { "kv-b" };
        let bucket = Bucket {
            host: &host,
            source: "shop",
            provider,
            name: "default",
        };
        async move { bucket.increment("n", 1).await }
    });
    let mut sums: Vec<u64> = join_all(added).await.into_iter().collect::<Result<_>>()?;
    sums.sort_unstable();
    ensure!(sums == (1..=100).collect::<Vec<u64>>(), "{sums:?}");
    for running in all {
        running.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_missing_is_told() -> Result<()> {
    let nats = NatsServer::start().await?;
    let host = Host::on(&nats).await?;
    let never = [
        ("bucket", "not-there"),
        ("enable_bucket_auto_create", "false"),
    ];
    let links = vec![side("never", &never).link()];
    let running = Running::start::<KeyvalueNats>(&host, host.data("kv", &[], links)?).await?;
    let bucket = |source| Bucket {
        host: &host,
        source,
        provider: "kv",
        name: "default",
    };
    let error = bucket("never").get("x").await.unwrap_err().to_string();
    ensure!(error == "no such store", "{error}");
    let error = bucket("stranger").get("x").await.unwrap_err().to_string();
    ensure!(
        error.contains("\"stranger\" has no link named \"default\""),
        "{error}"
    );
    let long = bucket("never")
        .set(&"x".repeat(5000), "v")
        .await
        .unwrap_err()
        .to_string();
    ensure!(
        long == "no such store" || long.contains("the key is too long"),
        "{long}"
    );
    host.put("kv", &side("wrong", &[("bucket", "a.b")]).link())
        .await?;
    let message = host.until_healthy("kv", false).await?;
    ensure!(
        message.contains("target_config: field `bucket`: \"a.b\""),
        "{message}"
    );
    // It was made after all: found without a restart.
    let jetstream = async_nats::jetstream::new(host.client().clone());
    let config = async_nats::jetstream::kv::Config {
        bucket: "not-there".to_owned(),
        ..Default::default()
    };
    jetstream.create_key_value(config).await?;
    bucket("never").set("x", "1").await?;
    let long = bucket("never")
        .set(&"x".repeat(5000), "v")
        .await
        .unwrap_err()
        .to_string();
    ensure!(long.contains("the key is too long"), "{long}");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn values_survive_a_restart_of_nats_and_no_jetstream_is_told() -> Result<()> {
    let (mut nats, plain) = (
        NatsServer::start().await?,
        NatsServer::without_jetstream().await?,
    );
    let host = Host::on(&nats).await?;
    let plain_url = plain.url();
    let without = [("cluster_uri", plain_url.as_str())];
    let links = vec![side("shop", &[]).link(), side("without", &without).link()];
    let running = Running::start::<KeyvalueNats>(&host, host.data("kv", &[], links)?).await?;
    let bucket = Bucket {
        host: &host,
        source: "shop",
        provider: "kv",
        name: "default",
    };
    bucket.set("kept", "yes").await?;
    let error = Bucket {
        source: "without",
        ..bucket
    }
    .get("x")
    .await
    .unwrap_err()
    .to_string();
    ensure!(error.starts_with("NATS bucket \"without\": "), "{error}");
    host.until_healthy("kv", false).await?;
    nats.crash().await?;
    nats.resume().await?;
    until("the value is read again", || async {
        ensure!(bucket.get("kept").await?.as_deref() == Some("yes"));
        Ok(())
    })
    .await?;
    let named = Host::call_over::<trellis_provider::rpc::interface::keyvalue::Get>(
        &host,
        &"other-link".parse::<LinkName>()?,
        "shop",
        "kv",
        &trellis_provider::rpc::interface::keyvalue::KeyParams {
            bucket: "default".into(),
            key: "kept".into(),
        },
    )
    .await?;
    ensure!(named.is_err(), "a link of another name is another link");
    running.stop().await?;
    Ok(())
}
