//! Who is beside each other needs no NATS to call: a host, its providers, and the components it runs.

use anyhow::Result;
use trellis_tests::{
    counter,
    http::{Http, Load},
    lattice::Lattice,
    redis::RedisServer,
    wait::until,
};

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_served_while_nats_stands_still_or_is_gone() -> Result<()> {
    let redis = RedisServer::start().await?;
    let mut lattice = Lattice::start().await?;
    counter::run_on_redis(&lattice, &[("url", &redis.url())], 8).await?;
    let at = lattice.serve_http("http", "counter").await?;
    let http = Http::new(at);
    http.get_until_good("/hits").await?;

    // Both ways: the HTTP server's calls of the component, and its calls of the key-value provider.
    lattice.nats.freeze(true)?;
    let load = Load::start(at, "/hits", 4);
    load.goes_on(200)
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    let seen = load.stop().await;
    lattice.nats.freeze(false)?;
    assert_eq!(seen.failed(), 0, "{seen:?}\n{}", lattice.logs());

    let load = Load::start(at, "/hits", 4);
    lattice.nats.crash().await?;
    load.goes_on(200)
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    lattice.nats.resume().await?;
    load.goes_on(200).await?;
    let seen = load.stop().await;
    assert_eq!(seen.failed(), 0, "{seen:?}\n{}", lattice.logs());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_moves_away_and_back_loses_no_request() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let away = lattice.add_host().await?;
    let home = lattice.host()?.id.clone();
    for (host, name) in [(&home, "home"), (&away, "away")] {
        lattice.config(name, &[("whoami", name)]).await?;
        lattice
            .run_actor_on(host, "who", "misbehave", 8, &[name])
            .await?;
    }
    let at = lattice.serve_http("http", "who").await?;
    let http = Http::new(at);
    let answers = |name: &'static str| {
        let http = &http;
        async move {
            until(&format!("{name} answers"), || async {
                let answer = http.get("/config?key=whoami").await?;
                anyhow::ensure!(answer.status == 200, "{answer:?}");
                anyhow::ensure!(answer.body.contains(name), "{answer:?}");
                Ok(())
            })
            .await
        }
    };
    answers("home").await?;

    let load = Load::start(at, "/config?key=whoami", 4);
    let image = lattice.actor("misbehave")?;
    for _ in 0..3 {
        // Beside the HTTP server while it can be, elsewhere while it must.
        lattice.scale(&home, "who", &image, 0, &["home"]).await?;
        answers("away").await?;
        lattice
            .run_actor_on(&home, "who", "misbehave", 8, &["home"])
            .await?;
        answers("home").await?;
    }
    let seen = load.stop().await;
    assert_eq!(seen.failed(), 0, "{seen:?}\n{}", lattice.logs());
    Ok(())
}
