//! What is measured: plans after something happened to a lattice in which all runs as it ought to.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike as _},
};
use serde::Serialize;
use trellis_wadm::{
    desired::App,
    manifest::{self, Manifest},
    observed::Observed,
    plan::{Input, Plan, State, configs_of_interest, plan},
    store::Owned,
};

use crate::{Arguments, lattice, manifests};

/// More plans than it ever takes to be done.
const MAX_PLANS: usize = 20;

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Hosts.
    pub hosts: usize,
    /// PoPs.
    pub pops: usize,
    /// Components.
    pub actors: usize,
    /// Applications.
    pub applications: usize,
    /// Instances that run.
    pub instances: u64,
    /// What plans cost.
    pub plans: Vec<Row>,
    /// Reading and checking all manifests, in milliseconds.
    pub manifests_ms: f64,
    /// Working out from them what ought to be, in milliseconds.
    pub desire_ms: f64,
    /// The most memory that the whole program had, in MiB.
    pub peak_memory_mib: u64,
}

/// A plan.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// After what.
    pub plan: &'static str,
    /// How long a processor worked on it, in milliseconds.
    pub median_ms: f64,
    /// The longest.
    pub worst_ms: f64,
    /// How long it took by the clock: more, where others use the processors too.
    pub clock_median_ms: f64,
    /// Commands of this plan.
    pub commands: usize,
    /// Commands of this and all that follow until nothing is left to do.
    pub commands_until_done: usize,
}

/// What ought to be, what is, and what is noted.
#[derive(Clone)]
struct World {
    desired: BTreeMap<String, App>,
    owned: BTreeMap<String, Owned>,
    observed: Observed,
}

/// Measures all.
pub fn measure(arguments: Arguments) -> Result<Report> {
    let Arguments {
        hosts,
        pops,
        actors,
        applications,
        rounds,
        ..
    } = arguments;
    ensure!(
        hosts >= pops && pops > 0 && applications > 0 && actors >= 2 * applications && rounds > 0,
        "there must be a host for each PoP, two components for each application, and a round"
    );
    let components = actors / applications;
    let texts: Vec<String> = (0..applications)
        .map(|number| manifests::manifest(number, components))
        .collect();
    let begun = processor_time()?;
    let manifests = texts
        .iter()
        .map(|text| read(text))
        .collect::<Result<Vec<Manifest>>>()?;
    let manifests_ms = ms(processor_time()?.saturating_sub(begun));
    let begun = processor_time()?;
    let desired = manifests.iter().map(application).collect();
    let desire_ms = ms(processor_time()?.saturating_sub(begun));

    let mut world = World {
        desired,
        owned: BTreeMap::new(),
        observed: lattice::lattice(hosts, pops)?,
    };
    world.know_configs();
    let mut plans = vec![world.row("first, nothing runs", rounds)?];
    world.settle()?;
    world.check()?;
    let instances = world.instances();
    plans.push(world.row("nothing changed", rounds)?);

    let mut changed = world.clone();
    let lost = changed.observed.hosts.keys().nth(hosts / 2).cloned();
    lost.and_then(|host| changed.observed.hosts.remove(&host));
    plans.push(changed.row("one host lost", rounds)?);

    let mut changed = world.clone();
    for host in lattice::hosts_of_pop(&changed.observed, pops / 2) {
        changed.observed.hosts.remove(&host);
    }
    plans.push(changed.row("one PoP lost", rounds)?);

    let mut changed = world.clone();
    let text = texts[0]
        .replacen(":1.0.0", ":1.0.1", 1)
        .replacen("instances: 3", "instances: 7", 1);
    let app = application(&read(&text)?);
    changed.desired.extend([app]);
    plans.push(changed.row("one manifest changed", rounds)?);

    let mut changed = world;
    for number in 0..100 {
        lattice::join(&mut changed.observed, hosts + number, number % pops)?;
    }
    plans.push(changed.row("100 hosts joined", rounds)?);

    Ok(Report {
        hosts,
        pops,
        actors: components * applications,
        applications,
        instances,
        plans,
        manifests_ms,
        desire_ms,
        peak_memory_mib: peak_memory_mib()?,
    })
}

fn read(text: &str) -> Result<Manifest> {
    match manifest::parse(text) {
        Ok((manifest, _)) => Ok(manifest),
        Err(errors) => bail!("a manifest of this program is wrong: {errors}"),
    }
}

fn application(manifest: &Manifest) -> (String, App) {
    let app = App::new("v1", manifest, &|_| None);
    (manifest.name().to_owned(), app)
}

impl World {
    fn plan(&self) -> Plan {
        plan(Input {
            desired: &self.desired,
            owned: &self.owned,
            observed: &self.observed,
            rolling: Input::NO_ROLLOUT,
        })
    }

    /// Measures the next plan, then carries it and all that follow out in a copy.
    fn row(&self, name: &'static str, rounds: usize) -> Result<Row> {
        let (mut times, mut clock_times) = (Vec::new(), Vec::new());
        let mut commands = 0;
        for _ in 0..rounds {
            let (begun, worked) = (Instant::now(), processor_time()?);
            let plan = self.plan();
            times.push(ms(processor_time()?.saturating_sub(worked)));
            clock_times.push(ms(begun.elapsed()));
            commands = plan.steps.len();
        }
        times.sort_by(f64::total_cmp);
        clock_times.sort_by(f64::total_cmp);
        Ok(Row {
            plan: name,
            median_ms: times[rounds / 2],
            worst_ms: times[rounds - 1],
            clock_median_ms: clock_times[rounds / 2],
            commands,
            commands_until_done: self.clone().settle()?,
        })
    }

    /// Plans and carries out until nothing is left to do; gives how many commands it took.
    fn settle(&mut self) -> Result<usize> {
        let mut commands = 0;
        for _ in 0..MAX_PLANS {
            let plan = self.plan();
            if plan.steps.is_empty() {
                return Ok(commands);
            }
            commands += plan.steps.len();
            for step in &plan.steps {
                lattice::carry_out(&mut self.observed, &step.command)?;
            }
            self.owned = plan.owned;
        }
        bail!("there is still something to do after {MAX_PLANS} plans")
    }

    /// What isn't there is known not to be there.
    fn know_configs(&mut self) {
        for name in configs_of_interest(&self.desired, &self.owned) {
            self.observed.configs.entry(name).or_default();
        }
    }

    /// A measurement of something that doesn't work says nothing.
    fn check(&self) -> Result<()> {
        let plan = self.plan();
        let mut parts = plan.apps.values().flat_map(|app| &app.parts);
        let failed = parts.find(|part| part.state != State::Deployed);
        failed.map_or(Ok(()), |part| {
            Err(anyhow::anyhow!("{} is {:?}", part.name, part.state))
        })
    }

    fn instances(&self) -> u64 {
        let hosts = self.observed.hosts.values();
        hosts
            .flat_map(|host| host.components.values())
            .map(|component| u64::from(component.instances))
            .sum()
    }
}

/// How long this thread has run: a machine that is busy with something else is not to be measured.
fn processor_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).context("reading its own processor time")?;
    let micros = |time: TimeVal| u64::try_from(time.num_microseconds());
    let total = micros(usage.user_time())? + micros(usage.system_time())?;
    Ok(Duration::from_micros(total))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn peak_memory_mib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading its own memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = kib
        .context("the kernel doesn't tell the peak memory")?
        .parse()?;
    Ok(kib / 1024)
}
