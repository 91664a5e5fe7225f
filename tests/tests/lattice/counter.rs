//! The counter over HTTP, on each of its key-value providers, from a manifest.

use anyhow::Result;
use trellis_tests::{
    counter, http::Http, lattice::Lattice, manifest, port, redis::RedisServer, wait::until,
};

/// The counter's application on a provider.
fn manifest(actor: &str, at: &str, provider: &str, property: &str) -> String {
    let counter = format!(
        "    - name: counter
      type: component
      properties:
        image: {actor}
      traits:
        - type: spreadscaler
          properties:
            instances: 16
        - type: link
          properties:
            target:
              name: kv
              config:
                - name: kv
                  properties:
                    {property}
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
    - name: kv
      type: capability
      properties:
        image: builtin:{provider}
"
    );
    let http = manifest::http_server("counter", at);
    manifest::application("counter", &format!("{counter}{http}"))
}

/// Deploys the counter, counts, and takes it away again.
async fn counts(provider: &str, property: &str) -> Result<()> {
    let mut lattice = Lattice::start().await?;
    lattice.start_wadm().await?;
    let at = format!("127.0.0.1:{}", port::free()?);
    let file = lattice.directory().join("app.yaml");
    std::fs::write(
        &file,
        manifest(&lattice.actor("http_counter")?, &at, provider, property),
    )?;
    let file = file.to_string_lossy();

    lattice.succeed(&["app", "deploy", &file]).await?;
    let http = Http::new(at.parse()?);
    let first = http.get_until_good("/hits").await;
    let first: u64 = first
        .map_err(|error| error.context(lattice.logs()))?
        .trim()
        .parse()?;
    for more in 1..=20 {
        let answer = http.get("/hits").await?;
        assert_eq!(
            (answer.status, answer.body),
            (200, format!("{}\n", first + more))
        );
    }
    assert_eq!(
        http.get("/other").await?.body,
        "1\n",
        "each path has its own count"
    );

    until("wadm says that it is deployed", || async {
        let status = lattice
            .succeed(&["app", "status", "counter", "--output", "json"])
            .await?;
        anyhow::ensure!(
            status.contains("deployed") && !status.contains("reconciling"),
            "{status}"
        );
        Ok(())
    })
    .await?;
    lattice.succeed(&["app", "undeploy", "counter"]).await?;
    let host = &lattice.host()?.id;
    lattice
        .inventory_until(host, "everything of it is gone", |inventory| {
            inventory.components.is_empty() && inventory.providers.is_empty()
        })
        .await?;
    assert!(
        lattice.control.links().await?.is_empty(),
        "its links are gone"
    );
    assert!(http.get("/hits").await.is_err(), "its port is closed");
    lattice.succeed(&["app", "delete", "counter"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counter_counts_in_nats() -> Result<()> {
    counts("keyvalue-nats", "bucket: counts").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counter_counts_in_redis() -> Result<()> {
    let redis = RedisServer::start().await?;
    counts("keyvalue-redis", &format!("url: {}", redis.url())).await?;
    assert_eq!(
        redis.command("GET other").await?,
        "$1\r\n1",
        "1.x's keys: the bucket \"default\" adds nothing to them"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn why_it_could_not_count_is_in_the_log_and_not_in_the_answer() -> Result<()> {
    let lattice = Lattice::start().await?;
    let nobody = format!("127.0.0.1:{}", port::free()?);
    let url = format!("redis://{nobody}");
    let settings = [("url", url.as_str()), ("connection_timeout_ms", "200")];
    counter::run_on_redis(&lattice, &settings, 4).await?;
    let http = Http::new(lattice.serve_http("http", "counter").await?);
    until("the log has the reason", || async {
        let answer = http.get("/hits").await?;
        anyhow::ensure!(
            (answer.status, answer.body.as_str()) == (500, "the request could not be counted\n"),
            "{answer:?}"
        );
        let reason = format!("counting \"hits\" in bucket \"default\": Redis at {nobody}");
        let printed = lattice.printed().replace('\\', "");
        anyhow::ensure!(printed.contains(&reason), "{printed}");
        Ok(())
    })
    .await
}
