//! Links are put, replaced and deleted while requests run.

use std::net::SocketAddr;

use anyhow::Result;
use trellis_lattice::Link;
use trellis_tests::{
    http::{Http, Load},
    lattice::Lattice,
    redis::RedisServer,
    wait::until,
};

/// A counter behind HTTP with two Redis servers to link it to; `kv-a`'s link is put.
struct Counter {
    lattice: Lattice,
    at: SocketAddr,
    a: RedisServer,
    b: RedisServer,
}

fn link_to(provider: &str) -> Result<Link> {
    let link = Lattice::link("counter", provider, "wasi:keyvalue", &["store", "atomics"])?;
    Ok(Link {
        target_config: vec![provider.to_owned()],
        ..link
    })
}

async fn counter() -> Result<Counter> {
    let lattice = Lattice::start().await?;
    let (a, b) = (RedisServer::start().await?, RedisServer::start().await?);
    lattice.config("kv-a", &[("url", &a.url())]).await?;
    lattice.config("kv-b", &[("url", &b.url())]).await?;
    lattice.run_actor("counter", "http_counter", 32).await?;
    lattice
        .run_provider("kv-a", "builtin:keyvalue-redis", &[])
        .await?;
    lattice
        .run_provider("kv-b", "builtin:keyvalue-redis", &[])
        .await?;
    let at = lattice.serve_http("http", "counter").await?;
    lattice.control.put_link(&link_to("kv-a")?).await?;
    answers(&lattice, at).await?;
    Ok(Counter { lattice, at, a, b })
}

/// Waits until the counter counts.
async fn answers(lattice: &Lattice, at: SocketAddr) -> Result<()> {
    let http = Http::new(at);
    until("the counter counts", || async {
        let answer = http.get("/hits").await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await
    .map_err(|error| error.context(lattice.logs()))
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_a_link_fails_no_request() -> Result<()> {
    let counter = counter().await?;
    let load = Load::start(counter.at, "/hits", 4);
    load.goes_on(100).await?;

    // 1.x's own refusal: another target needs to be asked for.
    let refused = counter
        .lattice
        .control
        .put_link(&link_to("kv-b")?)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("different target"), "{refused}");

    for round in 0..4 {
        let target = if round % 2 == 0 { "kv-b" } else { "kv-a" };
        counter
            .lattice
            .control
            .replace_link(&link_to(target)?)
            .await?;
        load.goes_on(200).await?;
    }
    let seen = load.stop().await;
    assert_eq!(seen.failed(), 0, "{seen:?}\n{}", counter.lattice.logs());
    for redis in [&counter.a, &counter.b] {
        let count = redis.command("GET hits").await?;
        assert!(
            count.starts_with('$') && !count.starts_with("$-1"),
            "it was counted there: {count}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_link_is_an_error_that_names_it() -> Result<()> {
    let counter = counter().await?;
    let load = Load::start(counter.at, "/hits", 4);
    load.goes_on(50).await?;
    let link = link_to("kv-a")?;
    counter.lattice.control.delete_link(&link.key()).await?;

    let http = Http::new(counter.at);
    // The actor is told which link is missing, and tells it to its log: who asks learns only that it failed.
    until("requests fail, and the log says why", || async {
        let answer = http.get("/hits").await?;
        anyhow::ensure!(answer.status >= 500, "{answer:?}");
        let printed = counter.lattice.printed();
        anyhow::ensure!(
            printed
                .lines()
                .any(|line| line.contains("no link") && line.contains("wasi:keyvalue")),
            "{printed}"
        );
        Ok(())
    })
    .await?;

    counter.lattice.control.put_link(&link).await?;
    answers(&counter.lattice, counter.at).await?;
    load.goes_on(50).await?;
    load.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_refuses_is_known_when_the_link_is_put() -> Result<()> {
    let Counter { lattice, b, .. } = counter().await?;
    let put = "link put counter kv-b wasi:keyvalue/store --name other --target-config other";
    let put: Vec<&str> = put.split(' ').collect();
    lattice.config("other", &[("url", "not a url")]).await?;
    // The second time the provider is unhealthy already, and for the same reason.
    for _ in 0..2 {
        let output = lattice.run(&put).await?;
        let told = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.code() == Some(1), "{told}");
        for word in ["provider kv-b", "refuses it", "`url`"] {
            anyhow::ensure!(told.contains(word), "{told}");
        }
    }
    let shown = lattice.succeed(&["get", "inventory"]).await?;
    anyhow::ensure!(
        shown.contains("kv-b does not work: link counter"),
        "{shown}"
    );
    lattice.config("other", &[("url", &b.url())]).await?;
    lattice.succeed(&put).await?;

    // Between components nobody is asked; and nobody has to be.
    lattice
        .succeed(&["link", "put", "counter", "nobody", "a:b/c"])
        .await?;
    lattice.config("other", &[("url", "not a url")]).await?;
    let unasked = [&put[..], &["--no-wait"]].concat();
    lattice.succeed(&unasked).await?;
    Ok(())
}
