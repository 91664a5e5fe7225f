//! A whole lattice for a provider's tests: a real nats-server, a real host, the provider's own executable, and actors.

use std::path::{Path, absolute};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use trellis_provider::contract::{ComponentId, Link, LinkName};
use trellis_tests::{actors, lattice::Lattice, wait::until};

/// A lattice of a test's own; everything in it ends with this value.
///
/// It needs two programs: `trellis` (`TRELLIS_BIN`, or the one that Trellis's source has in `target/release`, or the one on
/// PATH) and `nats-server` (`TRELLIS_NATS_SERVER`, or the one on PATH).
///
/// ```no_run
/// # async fn example() -> anyhow::Result<()> {
/// use trellis_provider_testkit::LatticeHarness;
/// # macro_rules! env { ($name:literal) => { "provider" } }
///
/// let mut lattice = LatticeHarness::start().await?;
/// lattice.provider("currency", env!("CARGO_BIN_EXE_currency-provider"), &[("base", "EUR")]).await?;
/// lattice.actor("shop", "target/actors/currency.wasm").await?;
/// lattice.link("shop", "currency", "acme:currency/converter", &[("rounding", "half-even")]).await?;
/// let parts = lattice.call("shop", "checkout.split", &["{amount: \"10\", currency: \"EUR\"}", "3"]).await?;
/// assert_eq!(parts["ok"][0]["amount"], "3.34");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LatticeHarness {
    lattice: Lattice,
    providers: Vec<ComponentId>,
    configs: usize,
}

impl LatticeHarness {
    /// Starts nats-server with JetStream on a free port, and a host, which takes unsigned ones too: an executable has no place
    /// for a signature.
    ///
    /// # Errors
    /// A program isn't there, or doesn't start or answer.
    pub async fn start() -> Result<Self> {
        let starting = async {
            let mut lattice = Lattice::without_hosts().await?;
            lattice.add_host_with(&["--allow-unsigned"]).await?;
            Ok::<_, anyhow::Error>(lattice)
        };
        let lattice = starting.await.context(
            "starting a lattice; it takes `trellis` (TRELLIS_BIN or PATH) and `nats-server` (TRELLIS_NATS_SERVER or PATH)",
        )?;
        Ok(Self {
            lattice,
            providers: Vec::new(),
            configs: 0,
        })
    }

    /// The lattice itself, for all that has no words of its own here.
    pub fn lattice(&self) -> &Lattice {
        &self.lattice
    }

    /// Runs a provider by its executable, with its configuration, and waits until it is ready.
    ///
    /// # Errors
    /// There is no such file, or it doesn't become ready.
    pub async fn provider(
        &mut self,
        id: &str,
        executable: impl AsRef<Path>,
        config: &[(&str, &str)],
    ) -> Result<()> {
        let executable = executable.as_ref();
        ensure!(executable.is_file(), "there is no {}", executable.display());
        let reference = format!("file://{}", absolute(executable)?.display());
        let config = self.config(id, config).await?;
        let names: Vec<&str> = config.iter().map(String::as_str).collect();
        let running = self.lattice.run_provider(id, &reference, &names).await;
        running.with_context(|| format!("provider {id}\n{}", self.lattice.logs()))?;
        let id: ComponentId = id.parse()?;
        self.providers.push(id.clone());
        until("the provider answers", || self.health(&id)).await?;
        Ok(())
    }

    /// Signs a component and runs it.
    ///
    /// # Errors
    /// There is no such file, or the host refuses it.
    pub async fn actor(&mut self, id: &str, wasm: impl AsRef<Path>) -> Result<()> {
        let (lattice, file) = (&self.lattice, wasm.as_ref());
        let image = actors::signed_file(file, id, &lattice.issuer, lattice.directory())?;
        let host = &lattice.host()?.id;
        let scaled = lattice.scale(host, id, &image, 10, &[]).await;
        scaled.with_context(|| format!("actor {id}\n{}", lattice.logs()))?;
        let id: ComponentId = id.parse()?;
        lattice
            .inventory_until(host, &format!("actor {id} runs"), |inventory| {
                inventory.component(&id).is_some()
            })
            .await
    }

    /// Links whoever calls to whom it calls, by `namespace:package/interface`. The configuration is that of the provider's
    /// side.
    ///
    /// # Errors
    /// The host doesn't take the link. A provider may refuse it later: [`Self::refused`] waits for that, and a failed
    /// [`Self::call`] tells it.
    pub async fn link(
        &mut self,
        source: &str,
        target: &str,
        interface: &str,
        config: &[(&str, &str)],
    ) -> Result<()> {
        let (package, interface) = interface
            .split_once('/')
            .context("an interface is namespace:package/name")?;
        let config = self.config(&format!("{source}-{target}"), config).await?;
        let link = Lattice::link(source, target, package, &[interface])?;
        let (source_config, target_config) = match self.providers.contains(&link.source_id) {
            true => (config, Vec::new()),
            false => (Vec::new(), config),
        };
        let link = Link {
            name: LinkName::default(),
            source_config,
            target_config,
            ..link
        };
        Ok(self.lattice.control.put_link(&link).await?)
    }

    /// Waits until a provider says that something is wrong with its links, and gives what it says.
    ///
    /// # Errors
    /// It says nothing of the kind.
    pub async fn refused(&self, provider: &str) -> Result<String> {
        let id: ComponentId = provider.parse()?;
        until("the provider refuses a link", || async {
            match self.health(&id).await? {
                (false, message) => Ok(message),
                (true, _) => bail!("it is healthy"),
            }
        })
        .await
    }

    /// Calls a function that an actor exports, with arguments in WAVE (`7`, `"text"`, `{amount: "10"}`, `some(7)`); its result as
    /// JSON, `{"ok": …}` or `{"err": …}` for a `result`. A call that finds a link not there yet is made again.
    ///
    /// # Errors
    /// There is no such function, the arguments don't fit, or the call failed; with what the providers and the host say.
    pub async fn call(&self, actor: &str, function: &str, arguments: &[&str]) -> Result<Value> {
        let command = [
            &["call", "--output", "json", actor, function][..],
            arguments,
        ]
        .concat();
        let answer = until("the link is there", || async {
            let output = self.lattice.run(&command).await?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let answer: Option<Value> = serde_json::from_slice(&output.stdout).ok();
            if answer.is_none() && said.contains("no link: ") {
                bail!("{said}");
            }
            Ok(answer.map(|mut answer| answer["result"].take()).ok_or(said))
        });
        let said = match answer.await {
            Ok(Ok(result)) => return Ok(result),
            Ok(Err(said)) => said,
            Err(error) => format!("{error:#}"),
        };
        let mut healths = String::new();
        for id in &self.providers {
            let health = self.health(id).await.map_or_else(
                |error| error.to_string(),
                |(healthy, message)| format!("healthy: {healthy} {message}"),
            );
            healths.push_str(&format!("\nprovider {id}: {health}"));
        }
        bail!(
            "calling {function} of {actor}: {said}{healths}\n{}",
            self.lattice.logs()
        )
    }

    /// A provider's health, and what it says about it.
    async fn health(&self, provider: &ComponentId) -> Result<(bool, String)> {
        let control = &self.lattice.control;
        let subject = control.subjects().provider_health(provider);
        let request = control.nats().request(subject, Default::default());
        let health: trellis_provider::Health = serde_json::from_slice(&request.await?.payload)?;
        Ok((health.healthy, health.message.unwrap_or_default()))
    }

    /// Puts a configuration under a name of its own, unless it is empty.
    async fn config(&mut self, of: &str, config: &[(&str, &str)]) -> Result<Vec<String>> {
        if config.is_empty() {
            return Ok(Vec::new());
        }
        self.configs += 1;
        let name = format!("{of}-{}", self.configs);
        self.lattice.config(&name, config).await?;
        Ok(vec![name])
    }
}
