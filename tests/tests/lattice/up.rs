//! `trellis up`: a whole lattice from one command, and nothing left of it afterwards.

use std::process::Command;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use trellis_tests::{
    actors,
    http::Http,
    nats, port,
    process::{Process, alive, children_of},
    wait::until,
};

/// A manifest of the hello actor behind HTTP, its image beside it.
fn manifest(port: u16) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: hello
spec:
  components:
    - name: hello
      type: component
      properties:
        image: file://./hello.wasm
      traits:
        - type: spreadscaler
          properties:
            instances: 4
    - name: http
      type: capability
      properties:
        image: builtin:http-server
      traits:
        - type: link
          properties:
            target: hello
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source:
              config:
                - name: address
                  properties:
                    address: 127.0.0.1:{port}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn up_runs_an_application_and_leaves_nothing_behind() -> Result<()> {
    let directory = TempDir::new()?;
    let at = port::free()?;
    std::fs::write(
        directory.path().join("hello.wasm"),
        actors::built("http_hello")?,
    )?;
    std::fs::write(directory.path().join("app.yaml"), manifest(at))?;
    let http = Http::new(([127, 0, 0, 1], at).into());
    for round in ["cold", "warm"] {
        let mut command = Command::new(actors::trellis()?);
        command
            .current_dir(directory.path())
            .args([
                "up",
                "--app",
                "app.yaml",
                "--nats-port",
                &port::free()?.to_string(),
            ])
            .arg("--nats-server")
            .arg(nats::program());
        let mut up = Process::start(round, directory.path(), command)?;
        let answer = until("the application answers", || async {
            let answer = http.get("/").await?;
            anyhow::ensure!(answer.status == 200, "{answer:?}");
            Ok(answer.body)
        });
        let answer = answer.await.with_context(|| up.output())?;
        assert_eq!(answer, "Hello from Trellis!\n");
        until("the URL is told", || async {
            let said = up.output();
            anyhow::ensure!(said.contains(&format!("http://127.0.0.1:{at}")), "{said}");
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
