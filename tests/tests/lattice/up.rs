//! `trellis up`: a whole lattice from one command, and nothing left of it afterwards.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use trellis_tests::{
    actors,
    http::Http,
    manifest, port,
    process::{alive, children_of},
    up,
    wait::until,
};

#[tokio::test(flavor = "multi_thread")]
async fn up_runs_an_application_and_leaves_nothing_behind() -> Result<()> {
    let directory = TempDir::new()?;
    let at = SocketAddr::from(([127, 0, 0, 1], port::free()?));
    std::fs::write(
        directory.path().join("hello.wasm"),
        actors::built("http_hello")?,
    )?;
    std::fs::write(
        directory.path().join("app.yaml"),
        manifest::hello("file://./hello.wasm", &at.to_string()),
    )?;
    let http = Http::new(at);
    for round in ["cold", "warm"] {
        let mut up = up::start(round, directory.path())?;
        let answer = http.get_until_good("/").await;
        let answer = answer.with_context(|| up.output())?;
        assert_eq!(answer, "Hello from Trellis!\n");
        until("the URL is told", || async {
            let said = up.output();
            anyhow::ensure!(said.contains(&format!("http://{at}")), "{said}");
            Ok(())
        })
        .await?;

        let children = children_of(up.id(), "")?;
        assert!(
            children.len() >= 2,
            "nats-server and a provider: {children:?}"
        );
        up.signal(Signal::SIGINT)?;
        let status = up.ended().await?;
        assert!(status.success(), "{round}: {status}\n{}", up.output());
        for child in children {
            assert!(
                !alive(child),
                "{round}: process {child} is left behind\n{}",
                up.output()
            );
        }
        assert!(!up.output().contains("panicked"), "{}", up.output());
    }
    Ok(())
}
