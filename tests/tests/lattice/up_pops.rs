//! `trellis up --pops`: a lattice in many points of presence from one command, each PoP serving its own, and nothing left of
//! it afterwards.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use trellis_lattice::{LatticeName, client::ControlClient, connect::NatsSettings};
use trellis_tests::{
    actors, manifest, nats, port,
    process::{Process, alive, children_of, signal_to},
    wait::{until, until_within},
};

/// Compiling in each host at once, on a machine that does much else.
const UP: Duration = Duration::from_secs(180);

fn up(name: &str, directory: &Path, arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(actors::trellis()?);
    command
        .current_dir(directory)
        .args(["up", "--pops", "fra,iad", "--region", "fra=eu"])
        .args(["--app", "app.yaml"])
        .arg("--nats-server")
        .arg(nats::program())
        .args(arguments);
    Process::start(name, directory, command)
}

/// Who answers there, as `POP/` and the host's id.
async fn served_by(at: SocketAddr) -> Result<String> {
    let ask = async {
        let mut stream = TcpStream::connect(at).await?;
        let request = format!("GET / HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let lower = answer.to_lowercase();
        let header = lower
            .lines()
            .find_map(|line| line.strip_prefix("trellis-served-by: "))
            .with_context(|| answer.clone())?;
        Ok(header.trim().to_owned())
    };
    tokio::time::timeout(Duration::from_secs(30), ask).await?
}

/// All that a process started, and what that started.
fn family(of: u32) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    for child in children_of(of, "")? {
        all.extend(family(child)?);
        all.push(child);
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pop_serves_its_own_and_nothing_is_left_behind() -> Result<()> {
    let directory = TempDir::new()?;
    let port = port::free()?;
    std::fs::write(
        directory.path().join("hello.wasm"),
        actors::built("http_hello")?,
    )?;
    std::fs::write(
        directory.path().join("app.yaml"),
        manifest::hello_everywhere("file://./hello.wasm", port),
    )?;
    let hosts = [("fra", "127.0.1.1"), ("iad", "127.0.2.1")];
    let mut ids = Vec::new();
    // The second time it is warm, and far away.
    for (round, arguments) in [("cold", &[][..]), ("warm", &["--latency", "fra-iad=200ms"])] {
        let mut up = up(round, directory.path(), arguments)?;
        until_within("the table is shown", UP, || async {
            let said = up.output();
            ensure!(said.contains("Ctrl-C ends it"), "{said}");
            Ok(())
        })
        .await?;
        let said = up.output();
        for (pop, address) in hosts {
            let at: SocketAddr = format!("{address}:{port}").parse()?;
            let line = format!("http://{at}/");
            let row = said
                .lines()
                .find(|row| row.starts_with(pop) && row.contains(&line))
                .with_context(|| format!("no row of {pop}:\n{said}"))?;
            ensure!(row.ends_with(&format!("{pop}/{pop}-1")), "{row}");
            for _ in 0..20 {
                let who = served_by(at).await?;
                ensure!(who.starts_with(&format!("{pop}/")), "{pop}: {who}");
            }
        }

        // Other commands find it, and may ask.
        let mut get = Command::new(actors::trellis()?);
        get.current_dir(directory.path())
            .args(["get", "hosts", "--output", "json"]);
        let got = tokio::process::Command::from(get).output().await?;
        ensure!(got.status.success(), "{got:?}");
        let got: serde_json::Value = serde_json::from_slice(&got.stdout)?;
        let mut found: Vec<String> = got
            .as_array()
            .context("an array")?
            .iter()
            .map(|host| format!("{} {}", host["friendly_name"], host["id"]))
            .collect();
        found.sort();
        ensure!(found.len() == 2, "{found:?}");
        if ids.is_empty() {
            ids = found;
        } else {
            assert_eq!(ids, found, "the same hosts as before");
            let took = time_to_fra(directory.path()).await?;
            ensure!(took >= Duration::from_millis(95), "{took:?}");
        }

        let up_id = up.id();
        let host = children_of(up_id, "--friendly-name iad-1")?;
        signal_to(*host.first().context("the host of iad")?, Signal::SIGKILL)?;
        until_within("a killed host is started again and serves", UP, || async {
            let again = children_of(up_id, "--friendly-name iad-1")?;
            ensure!(!again.is_empty() && again != host, "{again:?}");
            let at = format!("127.0.2.1:{port}").parse()?;
            let who = served_by(at).await?;
            ensure!(who.starts_with("iad/"), "{who}");
            Ok(())
        })
        .await
        .with_context(|| up.output())?;

        let family = family(up_id)?;
        ensure!(
            family.len() >= 7,
            "three servers, two hosts, their providers: {family:?}"
        );
        up.signal(Signal::SIGINT)?;
        let status = up.ended().await?;
        ensure!(status.success(), "{round}: {status}\n{}", up.output());
        until("nobody is left behind", || async {
            let left: Vec<_> = family.iter().filter(|process| alive(**process)).collect();
            ensure!(left.is_empty(), "{round}: {left:?}\n{}", up.output());
            Ok(())
        })
        .await?;
        ensure!(!up.output().contains("panicked"), "{}", up.output());
    }
    Ok(())
}

/// How long the host of fra takes to answer at the hub.
async fn time_to_fra(directory: &Path) -> Result<Duration> {
    let note = std::fs::read(directory.join(".trellis/up.json"))?;
    let note: serde_json::Value = serde_json::from_slice(&note)?;
    let text = |key: &str| note[key].as_str().context("a text");
    let settings = NatsSettings {
        seed_file: Some(text("seed_file")?.into()),
        ..NatsSettings::new(text("nats_url")?)
    };
    let control = ControlClient::new(settings.connect("test").await?, LatticeName::default());
    let hosts = control.hosts().await?;
    let fra = hosts
        .iter()
        .find(|host| host.friendly_name == "fra-1")
        .context("the host of fra")?;
    let begun = Instant::now();
    control.inventory(&fra.id).await?;
    Ok(begun.elapsed())
}
