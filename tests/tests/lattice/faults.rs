//! Three PoPs under load while links are cut, slowed and flapping, servers die and a host stands still. Whoever has nothing
//! to do with a fault must not notice it, no acknowledged write may be lost, and afterwards everything is as declared.
//!
//! `TRELLIS_FAULT_SECONDS` is how long each fault lasts; each test prints its row of the fault table.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use trellis_lattice::ComponentId;
use trellis_tests::{
    http::{Http, Load, Seen},
    pops::Pops,
    port,
    wait::until_within,
};
use trellis_wire::{Flow, Way, Weather};

/// The PoPs, and their regions.
const POPS: [(&str, Option<&str>); 3] = [
    ("fra", Some("eu")),
    ("iad", Some("us")),
    ("sin", Some("ap")),
];
/// After a fault everything is as declared within this.
const CONVERGES: Duration = Duration::from_secs(30);
/// How many requests of a kind are under way in each PoP.
const CONNECTIONS: usize = 2;
/// And how long each waits before its next.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a fault lasts: longer than any sign of life may be missing.
fn lasting() -> Duration {
    let seconds = std::env::var("TRELLIS_FAULT_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(6.0))
}

/// A hello and a counter on every host, behind an HTTP server on every host. The counts are kept at the hub.
fn manifest(hello: &str, counter: &str, hello_port: u16, counter_port: u16) -> String {
    let http = |name: &str, target: &str, port: u16| {
        format!(
            "
    - name: {name}
      type: capability
      properties: {{image: builtin:http-server}}
      traits:
        - {{type: daemonscaler, properties: {{instances: 1}}}}
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target: {{name: {target}}}
            source:
              config: [{{name: {name}, properties: {{address: '0.0.0.0:{port}'}}}}]"
        )
    };
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: faults}}
spec:
  components:
    - name: hello
      type: component
      properties: {{image: '{hello}'}}
      traits:
        - {{type: daemonscaler, properties: {{instances: 20}}}}
        - {{type: placement, properties: {{onPartition: keep}}}}
    - name: counter
      type: component
      properties: {{image: '{counter}'}}
      traits:
        - {{type: daemonscaler, properties: {{instances: 20}}}}
        - {{type: placement, properties: {{onPartition: keep}}}}
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
            target: {{name: kv}}
    - name: kv
      type: capability
      properties: {{image: 'builtin:keyvalue-nats'}}
      traits:
        - {{type: daemonscaler, properties: {{instances: 1}}}}{}{}
",
        http("http-hello", "hello", hello_port),
        http("http-counter", "counter", counter_port),
    )
}

/// The lattice, and the load on it.
struct Trial {
    pops: Pops,
    name: &'static str,
    hello_port: u16,
    counter_port: u16,
    hello: BTreeMap<String, Load>,
    counter: BTreeMap<String, Load>,
    /// When the fault was over.
    healed: Option<Instant>,
}

/// What was seen from first to last.
struct Outcome {
    name: &'static str,
    hello: BTreeMap<String, Seen>,
    counter: BTreeMap<String, Seen>,
    /// By host: acknowledged, and counted in the end.
    writes: BTreeMap<String, (usize, usize)>,
    converged: Duration,
}

impl Trial {
    /// Hosts in each PoP, the application on all of them, and a load in each.
    async fn start(name: &'static str, hosts: &[(&str, u8)]) -> Result<Self> {
        let mut pops = Pops::start(&POPS).await?;
        pops.start_wadm().await?;
        for (pop, number) in hosts {
            for _ in 0..*number {
                pops.add_host(pop).await?;
            }
        }
        let (hello_port, counter_port) = (port::free()?, port::free()?);
        let (hello, counter) = (pops.actor("http_hello")?, pops.actor("http_counter")?);
        pops.deploy(&manifest(&hello, &counter, hello_port, counter_port))
            .await?;
        let mut trial = Self {
            pops,
            name,
            hello_port,
            counter_port,
            hello: BTreeMap::new(),
            counter: BTreeMap::new(),
            healed: None,
        };
        trial.serves().await?;
        for host in &trial.pops.hosts {
            let hello = Load::paced(host.at(hello_port), "/", CONNECTIONS, PAUSE);
            let path = format!("/{}", host.name);
            let counter = Load::paced(host.at(counter_port), &path, CONNECTIONS, PAUSE);
            trial.hello.insert(host.name.clone(), hello);
            trial.counter.insert(host.name.clone(), counter);
        }
        for load in trial.hello.values().chain(trial.counter.values()) {
            load.goes_on(20).await?;
        }
        Ok(trial)
    }

    /// Everybody answers both kinds.
    async fn serves(&mut self) -> Result<()> {
        let ports = [self.hello_port, self.counter_port];
        let servers: Vec<SocketAddr> = self
            .pops
            .hosts
            .iter()
            .flat_map(|host| ports.map(|port| host.at(port)))
            .collect();
        for at in servers {
            until_within("it serves", CONVERGES, || async {
                let http = Http::new(at);
                let ask = tokio::time::timeout(Duration::from_secs(2), http.get("/probe"));
                let answer = ask.await.context("no answer")??;
                ensure!(answer.status == 200, "{at}: {answer:?}");
                Ok(())
            })
            .await
            .with_context(|| self.pops.logs())?;
        }
        Ok(())
    }

    /// All hosts are seen at the hub, each with exactly what was declared, and the manager says so too.
    async fn as_declared(&self) -> Result<()> {
        let seen = self.pops.control.hosts().await?;
        ensure!(seen.len() == self.pops.hosts.len(), "{} hosts", seen.len());
        for host in &self.pops.hosts {
            let inventory = self.pops.inventory(&host.id).await?;
            let (components, providers) = (&inventory.components, &inventory.providers);
            ensure!(
                components.len() == 2 && providers.len() == 3,
                "{}: {inventory:?}",
                host.name
            );
            for id in ["faults-hello", "faults-counter"] {
                let component = inventory.component(&ComponentId::new(id)?);
                let count = component.map_or(0, |component| component.max_instances);
                ensure!(count == 20, "{}: {count} of {id}", host.name);
            }
        }
        let status = self
            .pops
            .succeed(&["app", "status", "faults", "--output", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status.await?)?;
        let said = status.to_string();
        ensure!(said.contains("deployed"), "{said}");
        Ok(())
    }

    /// The fault is over from now on.
    fn healed(&mut self) {
        self.healed = Some(Instant::now());
    }

    /// Waits until all is as declared, ends the load, and counts.
    async fn end(mut self) -> Result<Outcome> {
        let healed = self.healed.context("the fault is not over")?;
        until_within("all is as declared", CONVERGES, || self.as_declared())
            .await
            .with_context(|| self.pops.logs())?;
        self.serves().await?;
        let converged = healed.elapsed();
        let (mut hello, mut counter) = (BTreeMap::new(), BTreeMap::new());
        for (host, load) in std::mem::take(&mut self.hello) {
            load.goes_on(5).await?;
            hello.insert(host, load.stop().await);
        }
        for (host, load) in std::mem::take(&mut self.counter) {
            load.goes_on(5).await?;
            counter.insert(host, load.stop().await);
        }
        let mut writes = BTreeMap::new();
        for host in &self.pops.hosts {
            let acknowledged = counter.get(&host.name).map_or(0, Seen::good);
            let path = format!("/{}", host.name);
            let last = Http::new(host.at(self.counter_port))
                .get_until_good(&path)
                .await?;
            let counted: usize = last.trim().parse()?;
            // This last one counted too.
            writes.insert(host.name.clone(), (acknowledged, counted - 1));
        }
        let outcome = Outcome {
            name: self.name,
            hello,
            counter,
            writes,
            converged,
        };
        println!("{}", outcome.row());
        Ok(outcome)
    }
}

impl Outcome {
    /// Its row of the fault table.
    fn row(&self) -> String {
        let mut row = format!(
            "FAULT {}: converged in {:.1} s",
            self.name,
            self.converged.as_secs_f64()
        );
        for (host, hello) in &self.hello {
            let counter = &self.counter[host];
            let (acknowledged, counted) = self.writes[host];
            let _ = write!(
                row,
                "; {host}: hello {}/{} failed (longest {} ms), writes {}/{} failed, {acknowledged} acknowledged, {counted} counted",
                hello.failed(),
                hello.total(),
                hello.longest.as_millis(),
                counter.failed(),
                counter.total(),
            );
        }
        row
    }

    /// No acknowledged write was lost, and none counted that nobody asked for.
    fn nothing_lost(&self) -> Result<()> {
        for (host, (acknowledged, counted)) in &self.writes {
            let asked = self.counter[host].total();
            ensure!(
                acknowledged <= counted && *counted <= asked,
                "{host}: {acknowledged} acknowledged, {counted} counted, {asked} asked"
            );
        }
        Ok(())
    }

    /// No request of that kind failed in these PoPs.
    fn none_failed(kind: &str, seen: &BTreeMap<String, Seen>, hosts: &[&str]) -> Result<()> {
        for host in hosts {
            let seen = &seen[*host];
            let failed: Vec<_> = seen
                .answers
                .iter()
                .filter(|((status, _), _)| *status != 200)
                .collect();
            ensure!(failed.is_empty(), "{kind} at {host}: {failed:?}");
        }
        Ok(())
    }

    /// These did not notice anything: neither who only asks, nor who writes.
    fn bystanders(&self, hosts: &[&str]) -> Result<()> {
        self.served(hosts)?;
        Self::none_failed("writes", &self.counter, hosts)
    }

    /// What is served from the PoP itself was.
    fn served(&self, hosts: &[&str]) -> Result<()> {
        Self::none_failed("hello", &self.hello, hosts)
    }
}

const ONE_EACH: [(&str, u8); 3] = [("fra", 1), ("iad", 1), ("sin", 1)];
const ALL: [&str; 3] = ["fra-1", "iad-1", "sin-1"];

#[tokio::test(flavor = "multi_thread")]
async fn one_pop_is_cut_off() -> Result<()> {
    let mut trial = Trial::start("one PoP cut off", &ONE_EACH).await?;
    trial.pops.leaf("fra")?.wire.hold();
    tokio::time::sleep(lasting()).await;
    trial.pops.leaf("fra")?.wire.heal();
    trial.healed();
    let outcome = trial.end().await?;
    outcome.bystanders(&ALL[1..])?;
    outcome.served(&ALL)?;
    outcome.nothing_lost()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_is_cut_off() -> Result<()> {
    let mut trial = Trial::start("hub cut off", &ONE_EACH).await?;
    for leaf in trial.pops.leaves.values() {
        leaf.wire.hold();
    }
    tokio::time::sleep(lasting()).await;
    for leaf in trial.pops.leaves.values() {
        leaf.wire.heal();
    }
    trial.healed();
    let outcome = trial.end().await?;
    outcome.served(&ALL)?;
    outcome.nothing_lost()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_flaps() -> Result<()> {
    let mut trial = Trial::start("a link flaps 20 times", &ONE_EACH).await?;
    for _ in 0..20 {
        trial.pops.leaf("fra")?.wire.close();
        tokio::time::sleep(lasting() / 40).await;
        trial.pops.leaf("fra")?.wire.heal();
        tokio::time::sleep(lasting() / 40).await;
    }
    trial.healed();
    let outcome = trial.end().await?;
    outcome.bystanders(&ALL[1..])?;
    outcome.served(&ALL)?;
    outcome.nothing_lost()
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_slow_and_lossy() -> Result<()> {
    let mut trial = Trial::start("300 ms and 5 % loss", &ONE_EACH).await?;
    let weather = Weather::both(Way {
        delay: Duration::from_millis(150),
        loss: 0.05,
        ..Way::default()
    });
    for leaf in trial.pops.leaves.values() {
        leaf.wire.set(weather);
    }
    tokio::time::sleep(lasting()).await;
    for leaf in trial.pops.leaves.values() {
        leaf.wire.set(Weather::default());
    }
    trial.healed();
    let outcome = trial.end().await?;
    outcome.served(&ALL)?;
    outcome.nothing_lost()
}

/// What the PoP says is heard, what it is told is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_cut_one_way() -> Result<()> {
    let mut trial = Trial::start("a link cut one way", &ONE_EACH).await?;
    let flow = |flow: Flow| move |weather: &mut Weather| weather.back.flow = flow;
    trial.pops.leaf("fra")?.wire.change(flow(Flow::Held));
    tokio::time::sleep(lasting()).await;
    trial.pops.leaf("fra")?.wire.change(flow(Flow::Open));
    trial.healed();
    let outcome = trial.end().await?;
    outcome.bystanders(&ALL[1..])?;
    outcome.served(&ALL)?;
    outcome.nothing_lost()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_server_is_killed() -> Result<()> {
    let mut trial = Trial::start("a PoP's nats-server killed", &ONE_EACH).await?;
    trial.pops.leaf_mut("fra")?.server.crash().await?;
    tokio::time::sleep(lasting() / 2).await;
    trial.pops.leaf_mut("fra")?.server.resume().await?;
    trial.healed();
    let outcome = trial.end().await?;
    outcome.bystanders(&ALL[1..])?;
    outcome.served(&ALL)?;
    outcome.nothing_lost()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_is_killed_and_comes_back_with_its_disk() -> Result<()> {
    let mut trial = Trial::start("the hub killed, and back with its disk", &ONE_EACH).await?;
    trial.pops.hub.crash().await?;
    tokio::time::sleep(lasting() / 2).await;
    trial.pops.hub.resume().await?;
    trial.healed();
    let outcome = trial.end().await?;
    outcome.served(&ALL)?;
    outcome.nothing_lost()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_stands_still_and_goes_on() -> Result<()> {
    let hosts = [("fra", 2), ("iad", 1), ("sin", 1)];
    let mut trial = Trial::start("a host paused and resumed", &hosts).await?;
    trial.pops.host("fra-2")?.freeze(true)?;
    tokio::time::sleep(lasting()).await;
    trial.pops.host("fra-2")?.freeze(false)?;
    trial.healed();
    let outcome = trial.end().await?;
    outcome.bystanders(&["iad-1", "sin-1", "fra-1"])?;
    outcome.nothing_lost()
}
