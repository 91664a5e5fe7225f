//! From one image to the next, and back from a bad one.

use std::net::SocketAddr;

use anyhow::Result;
use trellis_tests::{
    http::{Http, Load},
    lattice::Lattice,
    manifest, port,
    wait::until,
};

const SAID: &str = "Hello from Trellis!";
const SAYS: &str = "Adieu from Trellis!";

/// Hello on three hosts behind one HTTP server.
fn version(image: &str, version: &str, at: SocketAddr) -> String {
    let hello = format!(
        "    - name: hello
      type: component
      properties:
        image: {image}
      traits:
        - type: spreadscaler
          properties:
            instances: 48
        - type: rollout
          properties:
            maxSurge: 16
            deadline: 30s
            health:
              errorRate: 0.1
"
    );
    let http = manifest::http_server("hello", &at.to_string());
    manifest::application("greet", &format!("{hello}{http}")).replacen(
        "  name: greet\n",
        &format!("  name: greet\n  annotations: {{version: {version}}}\n"),
        1,
    )
}

async fn three_hosts() -> Result<(Lattice, SocketAddr)> {
    let mut lattice = Lattice::start().await?;
    lattice.add_host().await?;
    lattice.add_host().await?;
    lattice.start_wadm().await?;
    let at = SocketAddr::from(([127, 0, 0, 1], port::free()?));
    let first = version(&lattice.actor("http_hello")?, "v1", at);
    lattice.deploy(&first).await?;
    Http::new(at)
        .get_until_good("/")
        .await
        .map_err(|error| error.context(lattice.logs()))?;
    Ok((lattice, at))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_under_load_fails_no_request() -> Result<()> {
    let (lattice, at) = three_hosts().await?;
    let next = lattice.actor_saying("http_hello", "adieu", (SAID, SAYS))?;
    let load = Load::start(at, "/", 4);
    load.goes_on(100).await?;
    lattice.deploy(&version(&next, "v2", at)).await?;
    load.goes_on(100).await?;
    let seen = load.stop().await;
    assert_eq!(seen.failed(), 0, "{seen:?}\n{}", lattice.logs());
    assert!(
        seen.answers.keys().any(|(_, body)| body.contains(SAID))
            && seen.answers.keys().any(|(_, body)| body.contains(SAYS)),
        "{seen:?}"
    );
    // When it says that it is deployed, no host has the old one any more.
    let load = Load::start(at, "/", 4);
    load.goes_on(100).await?;
    let seen = load.stop().await;
    assert!(
        seen.answers.keys().all(|(_, body)| body.contains(SAYS)),
        "{seen:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_image_rolls_back_by_itself() -> Result<()> {
    let (lattice, at) = three_hosts().await?;
    let bad = lattice.directory().join("bad.wasm");
    std::fs::write(&bad, b"\0asm\x0d\0\x01\0 and no component")?;
    let load = Load::start(at, "/", 2);
    lattice
        .begin_deploy(&version(&format!("file://{}", bad.display()), "v2", at))
        .await?;
    until("version v1 is deployed again", || async {
        let status = lattice
            .succeed(&["app", "rollout", "status", "greet", "--output", "json"])
            .await?;
        let versions = lattice
            .succeed(&["app", "versions", "greet", "--output", "json"])
            .await?;
        let versions: serde_json::Value = serde_json::from_str(&versions)?;
        let deployed = versions.as_array().is_some_and(|versions| {
            versions
                .iter()
                .any(|one| one["version"] == "v1" && one["deployed"] == true)
        });
        anyhow::ensure!(
            deployed && status.contains("bad.wasm"),
            "{status}\n{versions}"
        );
        Ok(())
    })
    .await
    .map_err(|error| error.context(lattice.logs()))?;
    load.goes_on(100).await?;
    let seen = load.stop().await;
    assert_eq!(seen.failed(), 0, "{seen:?}\n{}", lattice.logs());
    assert!(seen.answers.keys().all(|(_, body)| body.contains(SAID)));
    Ok(())
}
