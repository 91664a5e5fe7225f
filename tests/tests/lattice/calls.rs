//! Actors call actors, and people call actors.

use anyhow::Result;
use trellis_tests::{http::Http, lattice::Lattice, wait::until};

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_calls_another_over_a_link() -> Result<()> {
    let mut lattice = Lattice::start().await?;
    let second = lattice.add_host().await?;
    lattice.run_actor("caller", "http_caller", 8).await?;
    // On the other host: the call crosses the lattice.
    lattice
        .run_actor_on(&second, "greeter", "greeter", 8, &[])
        .await?;
    let at = lattice.serve_http("http", "caller").await?;
    let http = Http::new(at);
    let unlinked = until("the caller answers", || async {
        let answer = http.get("/?name=Ada").await?;
        anyhow::ensure!(answer.status != 503, "{answer:?}");
        Ok(answer)
    });
    let unlinked = unlinked
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    assert!(unlinked.status >= 500, "without a link: {unlinked:?}");

    let link = Lattice::link("caller", "greeter", "trellis:example", &["greeter"])?;
    lattice.control.put_link(&link).await?;
    let greeting = until("the link is there", || async {
        let answer = http.get("/?name=Ada").await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.body)
    });
    assert_eq!(
        greeting
            .await
            .map_err(|error| error.context(lattice.logs()))?,
        "Hello, Ada!\n"
    );
    assert_eq!(
        http.get("/?name=").await?.status,
        400,
        "the greeter's own refusal comes through"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_call_actors() -> Result<()> {
    let lattice = Lattice::start().await?;
    lattice.run_actor("greeter", "greeter", 2).await?;
    let call = [
        "call",
        "greeter",
        "trellis:example/greeter@0.1.0.greet",
        "\"Ada\"",
    ];
    let printed = lattice.succeed(&call).await?;
    assert!(printed.contains("Hello, Ada!"), "{printed}");
    let json = lattice
        .succeed(&[&call[..], &["--output", "json"]].concat())
        .await?;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    assert!(json.to_string().contains("Hello, Ada!"), "{json}");

    let wrong = lattice
        .run(&[
            "call",
            "greeter",
            "trellis:example/greeter@0.1.0.greet",
            "7",
        ])
        .await?;
    assert!(!wrong.status.success(), "a number is no string");
    let unknown = lattice
        .run(&[
            "call",
            "greeter",
            "trellis:example/greeter@0.1.0.part",
            "\"Ada\"",
        ])
        .await?;
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && said.contains("part"), "{said}");
    let nobody = lattice
        .run(&[
            "call",
            "nobody",
            "trellis:example/greeter@0.1.0.greet",
            "\"Ada\"",
        ])
        .await?;
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(
        !nobody.status.success() && said.contains("nobody"),
        "{said}"
    );
    Ok(())
}
