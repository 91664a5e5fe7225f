//! What a host sees of a provider, and a provider of its host, over a real NATS server.
#![expect(clippy::unwrap_used, reason = "a test that is wrong should fail")]

use std::{
    collections::HashMap,
    io::Write as _,
    process::{Command, Stdio},
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use trellis_provider::{
    Health, HostData, Lattice, LinkConfig, LinkError, Provider, RunError, StartError,
    config::NoConfig,
    contract::{LinkKey, LinkName, Place},
};
use trellis_provider_testkit::{Host, NatsServer, Running, Side};

/// What the provider under test was told, as text.
type Told = UnboundedSender<String>;
static LISTENERS: LazyLock<Mutex<HashMap<String, Told>>> = LazyLock::new(Mutex::default);

/// A provider that tells the test of everything, and fails as often as a link says.
struct Recorder {
    told: Told,
    failures_left: AtomicU32,
}

#[derive(serde::Deserialize)]
struct Settings {
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    refuse: bool,
    #[serde(default)]
    colour: String,
}

impl Recorder {
    fn tell(&self, what: impl Into<String>) {
        self.told.send(what.into()).unwrap();
    }
}

impl Provider for Recorder {
    const NAME: &'static str = "recorder";
    type Config = Settings;
    type SourceConfig = Settings;
    type TargetConfig = NoConfig;

    async fn start(config: Settings, lattice: Lattice) -> Result<Self, StartError> {
        if config.refuse {
            return Err(StartError("told to".into()));
        }
        let told = LISTENERS.lock().unwrap()[lattice.provider_id().as_str()].clone();
        if let Some(domain) = lattice.js_domain() {
            let [all, all_v6, one] = ["0.0.0.0:80", "[::]:80", "10.0.0.1:80"]
                .map(|address| lattice.listen_address(address.parse().unwrap()));
            told.send(format!("at {all} {all_v6} {one} {domain}"))
                .unwrap();
        }
        Ok(Self {
            told,
            failures_left: AtomicU32::new(u32::MAX),
        })
    }

    async fn receive_link_config_as_source(
        &self,
        link: LinkConfig<Settings>,
    ) -> Result<(), LinkError> {
        if self.failures_left.load(Ordering::SeqCst) == u32::MAX {
            self.failures_left
                .store(link.config.failures, Ordering::SeqCst);
        }
        if self.failures_left.load(Ordering::SeqCst) > 0 {
            self.failures_left.fetch_sub(1, Ordering::SeqCst);
            return Err(LinkError::Unavailable(format!("{link}: not now")));
        }
        self.tell(format!("put {} {}", link.target_id, link.config.colour));
        Ok(())
    }

    async fn receive_link_config_as_target(
        &self,
        link: LinkConfig<NoConfig>,
    ) -> Result<(), LinkError> {
        self.tell(format!("called by {}", link.source_id));
        Ok(())
    }

    async fn delete_link_as_source(&self, link: &LinkKey) {
        self.tell(format!("delete {}", link.name));
    }

    async fn update_config(&self, config: Settings) {
        self.tell(format!("config {}", config.colour));
    }

    async fn health(&self) -> Health {
        Health {
            healthy: true,
            message: Some("fine".into()),
        }
    }

    async fn shutdown(&self) {
        self.tell("shutdown");
    }
}

fn listen(provider: &str) -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    LISTENERS
        .lock()
        .unwrap()
        .insert(provider.to_owned(), sender);
    receiver
}

async fn next(told: &mut UnboundedReceiver<String>) -> Result<String> {
    let next = tokio::time::timeout(Duration::from_secs(20), told.recv());
    next.await
        .context("nothing was told")?
        .context("the provider is gone")
}

fn calls<'a>(provider: &'a str, target: &'a str, config: &'a [(&'a str, &'a str)]) -> Side<'a> {
    Side {
        source: provider,
        target,
        interface: "wasi:http/incoming-handler",
        config,
    }
}

#[tokio::test]
async fn a_link_that_is_kept_elsewhere_is_not_taken_and_nothing_is_wrong() -> Result<()> {
    let server = NatsServer::without_jetstream().await?;
    let iad = Place::new("iad".parse()?, Some("us".parse()?));
    let host = Host::on(&server).await?.placed(iad);
    let mut told = listen("kept");
    let link = |target: &str, within: Option<&str>| -> Result<_> {
        let mut link = calls("kept", target, &[]).link();
        link.name = LinkName::new(target)?;
        link.within = within.map(str::parse).transpose()?;
        Ok(link)
    };
    let first = link("elsewhere", Some("region=eu"))?;
    let running =
        Running::start::<Recorder>(&host, host.data("kept", &[], vec![first.clone()])?).await?;
    host.put("kept", &link("here", Some("region=us"))?).await?;
    assert_eq!(next(&mut told).await?, "put here ");
    host.until_healthy("kept", true).await?;
    // Kept here after all, and then elsewhere again.
    host.put("kept", &link("elsewhere", None)?).await?;
    assert_eq!(next(&mut told).await?, "put elsewhere ");
    host.put("kept", &first).await?;
    assert_eq!(next(&mut told).await?, "delete elsewhere");
    host.shut_down("kept").await?;
    running.ended().await?;
    Ok(())
}

#[tokio::test]
async fn who_is_told_to_listen_at_no_address_in_particular_listens_at_the_host_s() -> Result<()> {
    let server = NatsServer::without_jetstream().await?;
    let host = Host::on(&server).await?;
    let mut data = host.data("listens", &[], vec![])?;
    data.trellis_bind = Some("127.0.2.1".parse()?);
    data.trellis_js_domain = Some("hub".into());
    let data = HostData::from_line(&data.to_line()?)?;
    let mut told = listen("listens");
    let running = Running::start::<Recorder>(&host, data).await?;
    assert_eq!(
        next(&mut told).await?,
        "at 127.0.2.1:80 127.0.2.1:80 10.0.0.1:80 hub"
    );
    host.shut_down("listens").await?;
    running.ended().await?;
    Ok(())
}

#[tokio::test]
async fn links_come_once_and_again_when_they_change() -> Result<()> {
    let server = NatsServer::without_jetstream().await?;
    let host = Host::on(&server).await?;
    let mut told = listen("links");
    let early = calls("links", "early", &[("colour", "red")]).link();
    let running =
        Running::start::<Recorder>(&host, host.data("links", &[], vec![early.clone()])?).await?;
    assert_eq!(next(&mut told).await?, "put early red");

    // The same again is nothing new; a change is.
    host.put("links", &early).await?;
    host.put(
        "links",
        &calls("links", "early", &[("colour", "blue")]).link(),
    )
    .await?;
    assert_eq!(next(&mut told).await?, "put early blue");
    host.put(
        "links",
        &calls("links", "late", &[("colour", "blue")]).link(),
    )
    .await?;
    assert_eq!(next(&mut told).await?, "put late blue");

    // Deleting twice is deleting once, and what follows is new.
    host.delete("links", &early).await?;
    host.delete("links", &early).await?;
    host.put("links", &early).await?;
    assert_eq!(next(&mut told).await?, "delete default");
    assert_eq!(next(&mut told).await?, "put early red");

    let called = Side {
        source: "a",
        target: "links",
        interface: "wasi:keyvalue/store",
        config: &[],
    };
    host.put("links", &called.link()).await?;
    assert_eq!(next(&mut told).await?, "called by a");
    assert_eq!(
        host.health("links").await?,
        Health {
            healthy: true,
            message: Some("fine".into())
        }
    );

    running.stop().await?;
    assert_eq!(next(&mut told).await?, "shutdown");
    Ok(())
}

#[tokio::test]
async fn a_link_that_fails_makes_the_provider_unhealthy_until_it_works() -> Result<()> {
    let server = NatsServer::without_jetstream().await?;
    let host = Host::on(&server).await?;
    let mut told = listen("retry");
    let running = Running::start::<Recorder>(&host, host.data("retry", &[], Vec::new())?).await?;

    host.put(
        "retry",
        &calls("retry", "later", &[("failures", "2")]).link(),
    )
    .await?;
    let message = host.until_healthy("retry", false).await?;
    assert_eq!(message, "link retry -(wasi:http)-> later: not now");
    assert_eq!(next(&mut told).await?, "put later ");
    host.until_healthy("retry", true).await?;

    let wrong = calls("retry", "wrong", &[("failures", "many")]).link();
    host.put("retry", &wrong).await?;
    let message = host.until_healthy("retry", false).await?;
    assert_eq!(
        message,
        "link retry -(wasi:http)-> wrong, source_config: field `failures`: \"many\" is not a whole number from 0 on"
    );
    host.delete("retry", &wrong).await?;
    host.until_healthy("retry", true).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn garbage_is_ignored_and_only_the_own_host_ends_the_provider() -> Result<()> {
    let server = NatsServer::without_jetstream().await?;
    let host = Host::on(&server).await?;
    let mut told = listen("garbage");
    let running = Running::start::<Recorder>(&host, host.data("garbage", &[], Vec::new())?).await?;
    let foreign = br#"{"host_id":"NSOMEBODYELSE"}"#;
    for subject in [
        "linkdefs.put",
        "linkdefs.del",
        "config.update",
        "default.shutdown",
        "health",
    ] {
        for payload in [
            &b""[..],
            b"{",
            b"[]",
            b"\xff\xfe",
            br#"{"source_id":"a.b"}"#,
            foreign,
        ] {
            let subject = format!("wasmbus.rpc.default.garbage.{subject}");
            host.client()
                .publish(subject, payload.to_vec().into())
                .await?;
        }
    }
    host.configure("garbage", &[("failures", "x")]).await?;
    host.configure("garbage", &[("colour", "green")]).await?;
    // `{}` alone would be a configuration too; the foreign shutdown's JSON is one with an unknown field.
    assert_eq!(next(&mut told).await?, "config ");
    assert_eq!(next(&mut told).await?, "config ");
    assert_eq!(next(&mut told).await?, "config green");
    assert!(host.health("garbage").await?.healthy);

    assert_eq!(host.shut_down("garbage").await?, "shutting down");
    running.ended().await?;
    assert_eq!(next(&mut told).await?, "shutdown");
    Ok(())
}

#[tokio::test]
async fn a_link_with_secrets_comes_by_the_provider_s_own_key() -> Result<()> {
    let server = NatsServer::without_jetstream().await?;
    let host = Host::on(&server).await?;
    let mut told = listen("secrets");
    let (host_key, provider_key) = (nkeys::XKey::new(), nkeys::XKey::new());
    let mut data = host.data("secrets", &[], Vec::new())?;
    data.host_xkey_public_key = host_key.public_key();
    data.provider_xkey_private_key = provider_key.seed()?;
    let running = Running::start::<Recorder>(&host, data).await?;
    let mut link = calls("secrets", "safe", &[("colour", "white")]).link();
    let secrets = br#"{"colour":{"kind":"String","value":"a secret one"}}"#;
    link.source_secrets = Some(serde_json::json!(host_key.seal(secrets, &provider_key)?));
    host.put(&provider_key.public_key(), &link).await?;
    assert_eq!(next(&mut told).await?, "put safe a secret one");
    // Sealed by somebody else: refused, and what is wrong is told without the secret.
    link.source_secrets = Some(serde_json::json!(
        nkeys::XKey::new().seal(secrets, &provider_key)?
    ));
    host.put(&provider_key.public_key(), &link).await?;
    let message = host.until_healthy("secrets", false).await?;
    assert!(
        message.contains("can't be opened") && !message.contains("a secret one"),
        "{message}"
    );
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn links_are_still_taken_after_nats_was_restarted() -> Result<()> {
    let mut server = NatsServer::without_jetstream().await?;
    let host = Host::on(&server).await?;
    let mut told = listen("restart");
    let running = Running::start::<Recorder>(&host, host.data("restart", &[], Vec::new())?).await?;
    server.crash().await?;
    server.resume().await?;
    host.until_healthy("restart", true).await?;
    host.put(
        "restart",
        &calls("restart", "after", &[("colour", "red")]).link(),
    )
    .await?;
    assert_eq!(next(&mut told).await?, "put after red");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_keeps_a_provider_from_starting_is_told_with_its_exit_code() -> Result<()> {
    let server = NatsServer::without_jetstream().await?;
    let host = Host::on(&server).await?;
    let outcome = async |config: &[(&str, &str)]| -> Result<RunError> {
        let data = host.data("starts", config, Vec::new())?;
        let error = Running::start::<Recorder>(&host, data)
            .await
            .err()
            .context("it runs")?;
        error.downcast::<RunError>()
    };
    let error = outcome(&[("failures", "x")]).await?;
    assert_eq!(
        (error.to_string().as_str(), error.exit_code()),
        (
            "the provider's configuration: field `failures`: \"x\" is not a whole number from 0 on",
            2
        )
    );
    let error = outcome(&[("refuse", "true")]).await?;
    assert_eq!(
        (error.to_string().as_str(), error.exit_code()),
        ("the provider did not start: told to", 1)
    );
    let mut data = host.data("starts", &[], Vec::new())?;
    data.lattice_rpc_url = format!(
        "nats://127.0.0.1:{}",
        trellis_provider_testkit::port::free()?
    );
    let error = Running::start::<Recorder>(&host, data)
        .await
        .err()
        .context("it runs")?;
    assert_eq!(error.downcast::<RunError>()?.exit_code(), 4);
    Ok(())
}

/// Run again by [`a_process_ends_with_its_host`] as a provider's process.
#[test]
fn as_a_process() {
    if std::env::var_os("TRELLIS_TEST_PROVIDER").is_none() {
        return;
    }
    let _told = listen("process");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let outcome = runtime.block_on(trellis_provider::run::<Recorder>());
    std::process::exit(outcome.map_or_else(|error| error.exit_code().into(), |()| 0));
}

#[tokio::test]
async fn a_process_ends_with_its_host() -> Result<()> {
    let server = NatsServer::without_jetstream().await?;
    let host = Host::on(&server).await?;
    for (keep_stdin, line_is_good) in [(true, true), (false, true), (true, false)] {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", "as_a_process", "--nocapture"])
            .env("TRELLIS_TEST_PROVIDER", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut input = child.stdin.take().context("no standard input")?;
        let mut data = host.data("process", &[], Vec::new())?;
        data.keep_stdin = keep_stdin;
        if !line_is_good {
            input.write_all(b"this is not base64\n")?;
            assert_eq!(
                tokio::task::spawn_blocking(move || child.wait())
                    .await??
                    .code(),
                Some(2)
            );
            continue;
        }
        input.write_all(data.to_line()?.as_bytes())?;
        host.until_healthy("process", true).await?;
        // The host is gone, or has only finished its line.
        drop(input);
        if !keep_stdin {
            host.until_healthy("process", true).await?;
            assert_eq!(host.shut_down("process").await?, "shutting down");
        }
        assert_eq!(
            tokio::task::spawn_blocking(move || child.wait())
                .await??
                .code(),
            Some(0)
        );
    }
    Ok(())
}
