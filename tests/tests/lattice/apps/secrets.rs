//! Secrets by reference: from a real backend to the provider, and nowhere else.

use anyhow::Result;
use futures::StreamExt as _;
use trellis_lattice::claims::{PublicKey, keys::Provider};
use trellis_tests::{
    http::Http, lattice::Lattice, manifest, port, redis::RedisServer, rollout::versioned,
    secrets::SecretsBackend, wait::until,
};

const PASSWORD: &str = "correct-horse-battery";
const ROTATED: &str = "staple-gun-violet-sky";
const NAME: &str = "SECRET_counter-password";

/// The counter, whose Redis wants a password that the backend `safe` keeps as `key`.
fn counter(actor: &str, at: &str, redis: &RedisServer, key: &str) -> String {
    let components = format!(
        "    - name: counter
      type: component
      properties:
        image: {actor}
      traits:
        - type: spreadscaler
          properties:
            instances: 8
        - type: link
          properties:
            target:
              name: kv
              config:
                - name: redis
                  properties:
                    url: {}
              secrets:
                - name: password
                  properties: {{policy: safe, key: {key}}}
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
    - name: kv
      type: capability
      properties:
        image: builtin:keyvalue-redis
{}",
        redis.url(),
        manifest::http_server("counter", at)
    );
    manifest::application("counter", &components).replacen(
        "spec:\n",
        "spec:
  policies:
    - name: safe
      type: policy.secret.wasmcloud.dev/v1alpha1
      properties:
        backend: safe
        folder: prod
",
        1,
    )
}

/// What claims about the built-in provider say.
fn redis_provider() -> String {
    PublicKey::<Provider>::of_builtin("keyvalue-redis").to_string()
}

/// Waits until the application's status says that.
async fn status_says(lattice: &Lattice, said: &[&str]) -> Result<String> {
    until("the status says so", || async {
        let status = lattice.succeed(&["app", "status", "counter"]).await?;
        let flat: String = status.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in said {
            anyhow::ensure!(flat.contains(word), "{word:?} is not in:\n{status}");
        }
        Ok(status)
    })
    .await
    .map_err(|error| error.context(lattice.logs()))
}

/// No process printed it, no bucket, inventory or event has it.
async fn nobody_tells(lattice: &Lattice, secret: &str) -> Result<()> {
    assert!(!lattice.printed().contains(secret), "{}", lattice.logs());
    let config = lattice.control.config(NAME).await?;
    assert!(!format!("{config:?}").contains(secret), "{config:?}");
    for host in lattice.control.hosts().await? {
        let inventory = serde_json::to_string(&lattice.control.inventory(&host.id).await?)?;
        assert!(!inventory.contains(secret), "{inventory}");
    }
    let links = format!("{:?}", lattice.control.links().await?);
    assert!(!links.contains(secret), "{links}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_comes_from_its_backend_is_explained_when_it_does_not_and_rotates() -> Result<()>
{
    let mut redis = RedisServer::with_password(PASSWORD).await?;
    let mut lattice = Lattice::without_hosts().await?;
    lattice.add_host_with(&["--secrets-refresh", "1s"]).await?;
    lattice.start_wadm().await?;
    // Everything that is said and stored in the lattice; not the backend's subjects, where nobody is to listen yet.
    let nats = lattice.nats.connect().await?;
    let mut all = Vec::new();
    for subject in ["wasmbus.>", "wadm.>", "default.>", "$KV.>", "_INBOX.>"] {
        all.push(nats.subscribe(subject).await?);
    }
    nats.flush().await?;

    let at = format!("127.0.0.1:{}", port::free()?);
    let actor = lattice.actor("http_counter")?;
    let first = counter(&actor, &at, &redis, "redis");
    lattice
        .begin_deploy(&versioned(&first, "counter", "v1"))
        .await?;

    // Nobody keeps secrets yet: the link waits, and it is told why.
    status_says(
        &lattice,
        &[
            "secret \"password\" (key \"redis\" of backend \"safe\")",
            "nobody listens there",
        ],
    )
    .await?;
    let mut backend = SecretsBackend::start(lattice.nats.connect().await?, "safe").await?;
    backend.put("redis", PASSWORD);
    status_says(
        &lattice,
        &["refused by the backend: whoever asks may not have it"],
    )
    .await?;

    // Granted, it comes by itself.
    backend.grant(&redis_provider(), "redis");
    let http = Http::new(at.parse()?);
    let first = http.get_until_good("/hits").await;
    assert_eq!(first.map_err(|error| error.context(lattice.logs()))?, "1\n");
    status_says(&lattice, &["deployed"]).await?;
    let asked = backend.asked();
    let last = asked.last().expect("it was asked");
    assert_eq!(
        (last.subject.as_str(), last.app.as_deref()),
        (redis_provider().as_str(), Some("counter"))
    );
    assert_eq!(
        last.policy,
        r#"{"type":"properties.secret.wasmcloud.dev/v1alpha1","properties":{"folder":"prod"}}"#
    );

    // The backend goes away: what is there stays in use.
    backend.pause().await;
    assert_eq!(http.get("/hits").await?.body, "2\n");

    // Rotated: Redis wants another password, the backend has it, the provider gets it.
    redis.change_password(ROTATED).await?;
    backend.put("redis", ROTATED);
    backend.resume().await?;
    assert_eq!(
        http.get_until_good("/hits")
            .await
            .map_err(|error| error.context(lattice.logs()))?,
        "3\n"
    );

    // A key that nobody keeps: explained, while the secret that there is stays in use.
    let second = counter(&actor, &at, &redis, "typo");
    backend.grant(&redis_provider(), "typo");
    lattice
        .begin_deploy(&versioned(&second, "counter", "v2"))
        .await?;
    status_says(
        &lattice,
        &[
            "key \"typo\" of backend \"safe\"",
            "there is no such secret",
        ],
    )
    .await?;
    assert_eq!(http.get("/hits").await?.body, "4\n");
    backend.put("typo", ROTATED);
    status_says(&lattice, &["deployed"]).await?;
    assert_eq!(http.get_until_good("/hits").await?, "5\n");

    for secret in [PASSWORD, ROTATED] {
        nobody_tells(&lattice, secret).await?;
    }
    lattice.succeed(&["app", "delete", "counter"]).await?;
    lattice
        .empty_until(&[NAME, "counter-redis", "counter-address"])
        .await?;

    // In all that was said there is no secret.
    nats.flush().await?;
    for said in &mut all {
        said.unsubscribe().await?;
    }
    let mut said = futures::stream::select_all(all);
    let mut messages = 0;
    while let Some(message) = said.next().await {
        messages += 1;
        for secret in [PASSWORD, ROTATED] {
            let found = message
                .payload
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "a secret was said on {}", message.subject);
        }
    }
    assert!(messages > 50, "{messages}");
    Ok(())
}

/// A provider's own secrets: it starts when they are there, with them.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_waits_for_its_own_secrets() -> Result<()> {
    let redis = RedisServer::with_password(PASSWORD).await?;
    let mut lattice = Lattice::start().await?;
    lattice.start_wadm().await?;
    let backend = SecretsBackend::start(lattice.nats.connect().await?, "safe").await?;
    backend.put("redis", PASSWORD);
    let at = format!("127.0.0.1:{}", port::free()?);
    let actor = lattice.actor("http_counter")?;
    // The link's secret becomes the provider's own.
    let text = counter(&actor, &at, &redis, "redis")
        .replace(
            "              secrets:
                - name: password
                  properties: {policy: safe, key: redis}
",
            "",
        )
        .replace(
            "        image: builtin:keyvalue-redis
",
            "        image: builtin:keyvalue-redis
        secrets:
          - name: password
            properties: {policy: safe, key: redis}
",
        );
    lattice.begin_deploy(&text).await?;
    status_says(
        &lattice,
        &["refused by the backend: whoever asks may not have it"],
    )
    .await?;
    backend.grant(&redis_provider(), "redis");
    let hits = Http::new(at.parse()?).get_until_good("/hits").await;
    assert_eq!(hits.map_err(|error| error.context(lattice.logs()))?, "1\n");
    status_says(&lattice, &["deployed"]).await?;
    nobody_tells(&lattice, PASSWORD).await?;
    lattice.succeed(&["app", "delete", "counter"]).await?;
    lattice.empty_until(&[NAME]).await
}
