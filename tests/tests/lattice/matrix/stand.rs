//! A lattice of a test's own with one provider in it, and what is asked of it.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use trellis_lattice::{
    ComponentId,
    control::{host::ProviderDescription, provider::StopProvider},
    provider::Health,
};
use trellis_tests::{
    http::Http,
    lattice::Lattice,
    port,
    provider::{health, process_of},
    wait::until,
};

use super::subject::{CALLER, FRONT, Outcome, PROVIDER, Place, Subject, Wanted};

/// How many calls an actor takes at once: more than any row makes.
pub const INSTANCES: u32 = 16;

/// The lattice, its host, and what is behind the provider.
pub struct Stand<S> {
    pub lattice: Lattice,
    pub subject: S,
    /// Where callers connect.
    pub at: SocketAddr,
    http: Http,
    next: AtomicU32,
}

impl<S: Subject> Stand<S> {
    /// A host without anything on it.
    pub async fn bare() -> Result<Self> {
        let subject = S::start().await?;
        let lattice = Lattice::start().await?;
        let at = match subject.address() {
            Some(at) => at,
            None => SocketAddr::from(([127, 0, 0, 1], port::free()?)),
        };
        Ok(Self {
            lattice,
            subject,
            at,
            http: Http::new(at),
            next: AtomicU32::new(0),
        })
    }

    /// With the actors, and the HTTP server before them.
    pub async fn with_actors() -> Result<Self> {
        let stand = Self::bare().await?;
        for (id, file) in S::ACTORS {
            stand.lattice.run_actor(id, file, INSTANCES).await?;
        }
        if let Some(front) = stand.front() {
            let reference = "builtin:http-server";
            stand.lattice.run_provider(FRONT, reference, &[]).await?;
            stand.put(&front, Place::Here).await?;
        }
        Ok(stand)
    }

    /// With all links, too: only the provider is not there.
    pub async fn without_provider(place: Place) -> Result<Self> {
        let stand = Self::with_actors().await?;
        stand.link(place).await?;
        Ok(stand)
    }

    /// With everything, and a first call that was done.
    pub async fn working(place: Place) -> Result<Self> {
        let stand = Self::without_provider(place).await?;
        stand.start_provider().await?;
        stand.works().await?;
        Ok(stand)
    }

    /// The link of the HTTP server before the actor.
    fn front(&self) -> Option<Wanted> {
        self.subject.address().is_none().then(|| Wanted {
            source: FRONT,
            target: CALLER,
            name: "default",
            package: "wasi:http",
            interfaces: &["incoming-handler"],
            settings: vec![("address", self.at.to_string())],
        })
    }

    /// Starts the provider, and waits until its host says that it runs.
    pub async fn start_provider(&self) -> Result<()> {
        let reference = format!("builtin:{}", S::NAME);
        self.lattice.run_provider(PROVIDER, &reference, &[]).await?;
        self.ready().await
    }

    /// Waits until its host says that it runs.
    pub async fn ready(&self) -> Result<()> {
        until("the provider is ready", || async {
            match self.listed().await?.context("it is not listed")?.not_ready {
                None => Ok(()),
                Some(why) => bail!(why),
            }
        })
        .await
        .with_context(|| self.lattice.logs())
    }

    /// Stops it, as an operator would. Its host may answer before it has ended.
    pub async fn stop_provider(&self) -> Result<()> {
        let request = StopProvider {
            provider_id: ComponentId::new(PROVIDER)?,
            host_id: self.lattice.host()?.id.clone(),
        };
        Ok(self.lattice.control.stop_provider(&request).await?)
    }

    /// Puts the links of a place, as they were not there before.
    pub async fn link(&self, place: Place) -> Result<()> {
        for wanted in self.subject.links(place) {
            self.put(&wanted, place).await?;
        }
        Ok(())
    }

    async fn put(&self, wanted: &Wanted, place: Place) -> Result<()> {
        let link = wanted.link(&self.lattice, place).await?;
        Ok(self.lattice.control.put_link(&link).await?)
    }

    /// Puts those of another place in their stead.
    pub async fn replace(&self, place: Place) -> Result<()> {
        for wanted in self.subject.links(place) {
            let link = wanted.link(&self.lattice, place).await?;
            self.lattice.control.replace_link(&link).await?;
        }
        Ok(())
    }

    /// A client of callers' address.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// One call, told from all others.
    pub async fn call(&self, http: &Http) -> Outcome {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.subject.call(http, number).await
    }

    /// Calls until one is done.
    pub async fn works(&self) -> Result<()> {
        until("a call is done", || async {
            let outcome = self.call(&self.http).await;
            ensure!(outcome.is_done(), "{outcome:?}");
            Ok(())
        })
        .await
        .with_context(|| self.lattice.logs())
    }

    /// The provider's process.
    pub async fn process(&self) -> Result<u32> {
        let line = format!("provider {}", S::NAME);
        let process = process_of(&self.lattice, &line).await;
        process.with_context(|| self.lattice.logs())
    }

    /// The provider's own word about itself.
    pub async fn health(&self) -> Result<Health> {
        health(&self.lattice, PROVIDER).await
    }

    /// Waits until the provider is unwell, and says so in a message with these words in it.
    pub async fn unwell(&self, words: &str) -> Result<()> {
        until("the provider says what is wrong", || async {
            let health = self.health().await?;
            let said = health.message.clone().unwrap_or_default();
            ensure!(!health.healthy && said.contains(words), "{health:?}");
            Ok(())
        })
        .await
        .with_context(|| self.lattice.logs())
    }

    /// Waits until the provider is well.
    pub async fn well(&self) -> Result<()> {
        until("the provider is well", || async {
            let health = self.health().await?;
            ensure!(health.healthy && health.message.is_none(), "{health:?}");
            Ok(())
        })
        .await
        .with_context(|| self.lattice.logs())
    }

    /// The provider in its host's inventory.
    pub async fn listed(&self) -> Result<Option<ProviderDescription>> {
        let host = &self.lattice.host()?.id;
        let inventory = self.lattice.control.inventory(host).await?;
        Ok(inventory.provider(&ComponentId::new(PROVIDER)?).cloned())
    }

    /// How many calls the caller's actor is at.
    pub async fn in_flight(&self) -> Result<u32> {
        let host = &self.lattice.host()?.id;
        let inventory = self.lattice.control.inventory(host).await?;
        let actor = inventory.component(&ComponentId::new(CALLER)?);
        let stats = actor.context("it does not run")?.stats.as_ref();
        Ok(stats.map_or(0, |stats| stats.in_flight))
    }

    /// The Unix sockets that lie in the lattice's folder.
    pub fn sockets(&self) -> Result<BTreeSet<PathBuf>> {
        let mut found = BTreeSet::new();
        find_sockets(self.lattice.directory(), &mut found)?;
        Ok(found)
    }

    /// The whole as an application, with these links of the provider.
    pub fn manifest(&self, links: Vec<Wanted>) -> Result<String> {
        let links: Vec<_> = links.into_iter().chain(self.front()).collect();
        let traits = |source: &str| -> Vec<Value> {
            let own = links.iter().filter(|link| link.source == source);
            own.map(link_trait).collect()
        };
        let mut components = Vec::new();
        for (id, file) in S::ACTORS {
            let spread = json!({"type": "spreadscaler", "properties": {"instances": INSTANCES}});
            let traits = [vec![spread], traits(id)].concat();
            components.push(json!({
                "name": id,
                "type": "component",
                "properties": {"id": id, "image": self.lattice.actor(file)?},
                "traits": traits,
            }));
        }
        let mut providers = vec![(PROVIDER, S::NAME)];
        providers.extend(self.front().map(|_| (FRONT, "http-server")));
        for (id, name) in providers {
            components.push(json!({
                "name": id,
                "type": "capability",
                "properties": {"id": id, "image": format!("builtin:{name}")},
                "traits": traits(id),
            }));
        }
        let application = json!({
            "apiVersion": "core.oam.dev/v1beta1",
            "kind": "Application",
            "metadata": {"name": APPLICATION},
            "spec": {"components": components},
        });
        Ok(serde_json::to_string_pretty(&application)?)
    }
}

/// The name of [`Stand::manifest`]'s application.
pub const APPLICATION: &str = "matrix";

fn link_trait(link: &Wanted) -> Value {
    let (namespace, package) = link.package.split_once(':').unwrap_or_default();
    let settings: serde_json::Map<_, _> = link
        .settings
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    let config = json!([{"name": link.config_name(Place::Here), "properties": settings}]);
    let (mut source, mut target) = (json!({}), json!({"name": link.target}));
    match link.provider_calls() {
        true => source["config"] = config,
        false => target["config"] = config,
    }
    json!({"type": "link", "properties": {
        "name": link.name, "namespace": namespace, "package": package, "interfaces": link.interfaces,
        "source": source, "target": target,
    }})
}

fn find_sockets(folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // What goes away while it is looked for is no socket that is left.
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            find_sockets(&entry.path(), found)?;
        } else if kind.is_socket() {
            found.insert(entry.path());
        }
    }
    Ok(())
}
