//! Two hosts share one actor's load, and one of them may leave.

use anyhow::Result;
use nix::sys::signal::Signal;
use trellis_tests::{
    http::{Http, Load},
    lattice::Lattice,
    wait::until,
};

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_share_an_actor_s_load() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    // Beside the HTTP server there is none: it would serve alone while it can.
    let first = lattice.add_host().await?;
    let second = lattice.add_host().await?;
    for (host, name) in [(&first, "first"), (&second, "second")] {
        lattice.config(name, &[("whoami", name)]).await?;
        lattice
            .run_actor_on(host, "who", "misbehave", 8, &[name])
            .await?;
    }
    let at = lattice.serve_http("http", "who").await?;
    let http = Http::new(at);
    until("it answers", || async {
        let answer = http.get("/ok").await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await
    .map_err(|error| error.context(lattice.logs()))?;

    let load = Load::start(at, "/config?key=whoami", 4);
    load.goes_on(200).await?;
    let seen = load.stop().await;
    assert_eq!(seen.failed(), 0, "{seen:?}");
    for name in ["first", "second"] {
        let served: usize = seen
            .answers
            .iter()
            .filter(|((_, body), _)| body.contains(name))
            .map(|(_, count)| count)
            .sum();
        assert!(
            served * 5 > seen.total(),
            "the {name} host served {served} of {}: {seen:?}",
            seen.total()
        );
    }

    // One of them leaves as it should: nobody notices.
    let load = Load::start(at, "/config?key=whoami", 4);
    load.goes_on(50).await?;
    let leaving = &mut lattice.hosts[2].process;
    leaving.signal(Signal::SIGTERM)?;
    leaving.ended().await?;
    load.goes_on(100).await?;
    let seen = load.stop().await;
    assert_eq!(seen.failed(), 0, "{seen:?}\n{}", lattice.logs());
    Ok(())
}
