//! What looks after processes can ask whether one does its work, and is told by an exit code; and a host knows the health
//! of its own providers from that of others.

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use nix::sys::signal::Signal;
use trellis_lattice::{ComponentId, HostId, Link, claims::HostKey, header};
use trellis_tests::{http::Http, lattice::Lattice, port, wait::until};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_well_while_it_answers() -> Result<()> {
    let mut lattice = Lattice::without_hosts().await?;
    let file = lattice.directory().join("host.nk");
    let key = HostKey::generate();
    key.write_file(&file)?;
    let file = file.to_str().context("a path in UTF-8")?.to_owned();
    let ask = ["health", "host", "--host-key", &file, "--timeout", "2s"];

    let nobody = lattice.run(&ask).await?;
    assert_eq!(nobody.status.code(), Some(3), "{nobody:?}");

    // Whom it trusts is told by a file, too.
    let issuers = lattice.directory().join("issuers");
    std::fs::write(
        &issuers,
        format!("# ours\n\n{} # the only one\n", lattice.issuer.public()),
    )?;
    let issuers = issuers.to_str().context("a path in UTF-8")?.to_owned();
    lattice
        .add_host_with(&["--host-key", &file, "--issuers-file", &issuers])
        .await?;
    lattice.run_actor("hello", "http_hello", 1).await?;
    let said = lattice.succeed(&ask).await?;
    assert!(said.contains("1 components"), "{said}");
    assert!(said.contains(&key.public().to_string()), "{said}");

    // It is there, and does nothing: that is not well.
    let host = &lattice.hosts[0].process;
    host.signal(Signal::SIGSTOP)?;
    let frozen = lattice.run(&ask).await?;
    assert_eq!(frozen.status.code(), Some(4), "{frozen:?}");
    host.signal(Signal::SIGCONT)?;
    until("the host is well again", || lattice.succeed(&ask)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_is_well_while_it_answers() -> Result<()> {
    let mut lattice = Lattice::without_hosts().await?;
    let ask = ["health", "wadm", "--timeout", "2s"];
    let nobody = lattice.run(&ask).await?;
    assert_eq!(nobody.status.code(), Some(4), "{nobody:?}");
    lattice.start_wadm().await?;
    let said = lattice.succeed(&ask).await?;
    assert!(said.contains("lattice default answers"), "{said}");
    Ok(())
}

/// Another host's provider of the same id, in another PoP, hears the same question and answers faster than one that is
/// still starting. A host that took the answer for its own provider's told that one its links before it listened.
#[tokio::test(flavor = "multi_thread")]
async fn another_host_s_provider_is_not_taken_for_one_s_own() -> Result<()> {
    let lattice = Lattice::start().await?;
    let nats = lattice.nats.connect().await?;
    let provider = ComponentId::new("http")?;
    let asked = lattice.control.subjects().provider_health(&provider);
    let mut questions = nats.subscribe(asked).await?;
    nats.flush().await?;
    let elsewhere = HostId::new(HostKey::generate().public().as_str())?;
    let (seen, mut saw) = tokio::sync::watch::channel(0);
    let other = tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            let Some(reply) = question.reply else {
                continue;
            };
            let mut headers = async_nats::HeaderMap::new();
            headers.insert(header::HOST, elsewhere.as_str());
            let answer = r#"{"healthy":true}"#.into();
            if nats
                .publish_with_headers(reply, headers, answer)
                .await
                .is_err()
            {
                return;
            }
            seen.send_modify(|seen| *seen += 1);
        }
    });

    lattice.run_actor("hello", "http_hello", 4).await?;
    let address = format!("127.0.0.1:{}", port::free()?);
    lattice
        .config("http", &[("address", address.as_str())])
        .await?;
    lattice
        .run_provider("http", "builtin:http-server", &[])
        .await?;
    // It is asked, and the other one has answered; it is still starting.
    saw.wait_for(|seen| *seen > 0).await?;
    let link = Lattice::link("http", "hello", "wasi:http", &["incoming-handler"])?;
    lattice
        .control
        .put_link(&Link {
            source_config: vec!["http".into()],
            ..link
        })
        .await?;
    let http = Http::new(address.parse()?);
    until("it has its link", || async {
        let answer = http.get("/").await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await
    .map_err(|error| error.context(lattice.logs()))?;
    other.abort();
    Ok(())
}
