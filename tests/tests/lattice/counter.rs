//! The counter over HTTP, on each of its key-value providers, from a manifest.

use anyhow::Result;
use trellis_tests::{http::Http, lattice::Lattice, port, redis::RedisServer, wait::until};

/// The counter's application on a provider.
fn manifest(actor: &str, at: &str, provider: &str, property: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: counter
spec:
  components:
    - name: counter
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
    - name: http
      type: capability
      properties:
        image: builtin:http-server
      traits:
        - type: link
          properties:
            target: counter
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source:
              config:
                - name: address
                  properties:
                    address: {at}
    - name: kv
      type: capability
      properties:
        image: builtin:{provider}
"
    )
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
    let first = until("the counter answers", || async {
        let answer = http.get("/hits").await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.body)
    });
    let first: u64 = first
        .await
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
