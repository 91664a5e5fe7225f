//! An actor that loops, grows or traps: its call fails in bounded time, its neighbour's do not.

use std::time::{Duration, Instant};

use anyhow::Result;
use trellis_tests::{
    http::{Http, Load},
    lattice::Lattice,
    wait::until,
};

#[tokio::test(flavor = "multi_thread")]
async fn misbehaviour_stays_with_the_call_that_caused_it() -> Result<()> {
    let lattice = Lattice::start().await?;
    lattice.run_actor("bad", "misbehave", 8).await?;
    lattice.run_actor("good", "http_hello", 8).await?;
    let bad = Http::new(lattice.serve_http("http-bad", "bad").await?);
    let good = lattice.serve_http("http-good", "good").await?;
    until("both answer", || async {
        for answer in [bad.get("/ok").await?, Http::new(good).get("/").await?] {
            anyhow::ensure!(answer.status == 200, "{answer:?}");
        }
        Ok(())
    })
    .await
    .map_err(|error| error.context(lattice.logs()))?;

    let load = Load::start(good, "/", 2);
    for deed in ["/trap", "/grow", "/recurse", "/loop", "/sleep?ms=600000"] {
        let begun = Instant::now();
        let answer = bad.get(deed).await?;
        assert!(answer.status >= 500, "{deed}: {answer:?}");
        // The host's default deadline for a call, and room for a busy machine.
        assert!(
            begun.elapsed() < Duration::from_secs(50),
            "{deed} took {:?}",
            begun.elapsed()
        );
        assert_eq!(
            bad.get("/ok").await?.status,
            200,
            "the next call finds an actor as new after {deed}"
        );
        load.goes_on(20).await?;
    }

    // As many at once as may run, looping: the neighbour is still served.
    let loops: Vec<_> = (0..8)
        .map(|_| {
            let bad = bad.clone();
            tokio::spawn(async move { bad.get("/loop").await })
        })
        .collect();
    load.goes_on(100).await?;
    for each in loops {
        assert!(each.await??.status >= 500);
    }
    let seen = load.stop().await;
    assert_eq!(seen.failed(), 0, "{seen:?}");
    let log = lattice.printed();
    assert!(
        log.contains("bad"),
        "the log says which actor failed:\n{log}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_sees_nothing_of_its_host() -> Result<()> {
    let lattice = Lattice::start().await?;
    lattice.run_actor("inside", "misbehave", 1).await?;
    let http = Http::new(lattice.serve_http("http", "inside").await?);
    let answer = until("it answers", || async {
        let answer = http.get("/env").await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.body)
    });
    let seen = answer
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    assert!(
        !seen.contains("PATH") && !seen.contains("TRELLIS"),
        "{seen}"
    );
    Ok(())
}
