//! A lattice in virtual time, an application with versions, and a manager that rolls them out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use trellis_lattice::control::host::ComponentStats;
use trellis_wadm::{
    attempts::{Attempts, Timing},
    command::{Command, Subject},
    desired::App,
    manifest,
    plan::{Input, Plan, plan},
    rollout::{Moment, Phase, Rollout, Rollouts, Wish},
    store::Owned,
};

use crate::model::Model;

const TICK: Duration = Duration::from_millis(100);

pub(super) struct World {
    pub(super) model: Model,
    versions: Vec<App>,
    pub(super) deployed: String,
    pub(super) wish: Wish,
    owned: BTreeMap<String, Owned>,
    rollouts: Rollouts,
    pub(super) notes: BTreeMap<String, Rollout>,
    attempts: Attempts,
    start: Instant,
    now: Duration,
    /// Images that hosts refuse.
    pub(super) bad: BTreeSet<String>,
    /// Images of which every so many'th call fails.
    pub(super) erring: BTreeMap<String, u64>,
    /// Calls to each host in a tick.
    pub(super) calls: u64,
    /// How many ticks a host takes for a command.
    pub(super) delay: u32,
    /// Whether notes can't be written.
    pub(super) store_is_away: bool,
    /// Whether the version before is deleted just before it is deployed again.
    pub(super) vanishes: bool,
    /// How often it was tried to deploy the version before again.
    pub(super) tries: u32,
    on_the_way: Vec<(Duration, Command)>,
    /// Hosts that were ever told to run an image.
    pub(super) told: BTreeMap<String, BTreeSet<String>>,
    /// The most instances that were in update at once.
    pub(super) most_in_update: u32,
    pub(super) happened: Vec<&'static str>,
}

/// Version `v1`, `v2`, ... of an application, with images `file:///cart-1.wasm`, ...; `rollout` are the trait's properties.
fn version(number: usize, scaler: &str, rollout: &str) -> App {
    let text = format!(
        "
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: shop}}
spec:
  components:
    - name: cart
      type: component
      properties: {{image: 'file:///cart-{number}.wasm', config: [{{name: c{number}, properties: {{a: b}}}}]}}
      traits:
        - {scaler}
        - {{type: rollout, properties: {rollout}}}
    - name: store
      type: capability
      properties: {{image: 'file:///store-{number}'}}
      traits:
        - {{type: spreadscaler, properties: {{instances: 2}}}}
        - {{type: rollout, properties: {rollout}}}
"
    );
    let (manifest, _) = manifest::parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    App::new(&format!("v{number}"), &manifest, &|_| None)
}

pub(super) fn image(number: usize) -> String {
    format!("file:///cart-{number}.wasm")
}

impl World {
    /// Hosts with `v1` everywhere, and two more versions stored.
    pub(super) fn new(hosts: usize, instances: u32, rollout: &str) -> Self {
        let scaler = format!("{{type: spreadscaler, properties: {{instances: {instances}}}}}");
        let mut model = Model::default();
        for host in 0..hosts {
            model.join(&format!("h{host}"), "east");
        }
        for number in 1..=3 {
            model
                .observed
                .configs
                .insert(format!("shop-c{number}"), None);
        }
        let mut world = Self {
            model,
            versions: (1..=3)
                .map(|number| version(number, &scaler, rollout))
                .collect(),
            deployed: "v1".into(),
            wish: Wish::default(),
            owned: BTreeMap::new(),
            rollouts: Rollouts::default(),
            notes: BTreeMap::new(),
            attempts: attempts(),
            start: Instant::now(),
            now: Duration::from_secs(1_000_000),
            bad: BTreeSet::new(),
            erring: BTreeMap::new(),
            calls: 0,
            delay: 1,
            store_is_away: false,
            vanishes: false,
            tries: 0,
            on_the_way: Vec::new(),
            told: BTreeMap::new(),
            most_in_update: 0,
            happened: Vec::new(),
        };
        world.run(30);
        assert!(
            world.runs_everywhere(1),
            "{:?}",
            world.model.counts("shop-cart")
        );
        assert!(world.notes.is_empty(), "nothing was rolled out");
        world.told.clear();
        world
    }

    fn moment(&self) -> Moment {
        Moment(u64::try_from(self.now.as_millis()).unwrap())
    }

    fn desired(&self) -> BTreeMap<String, App> {
        let app = self
            .versions
            .iter()
            .find(|app| app.version == self.deployed);
        app.map(|app| ("shop".to_owned(), app.clone()))
            .into_iter()
            .collect()
    }

    /// The manager is killed and another one goes on; what it commanded is on its way.
    pub(super) fn crash(&mut self) {
        self.rollouts = Rollouts::new(self.notes.clone());
        self.attempts = attempts();
    }

    pub(super) fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.tick();
        }
    }

    /// Runs until nothing is rolled out any more; the phase it ended in.
    pub(super) fn end(&mut self) -> Phase {
        for _ in 0..6000 {
            self.tick();
            if let Some(rollout) = self.notes.get("shop")
                && rollout.to == self.deployed
                && (!rollout.is_open() || matches!(rollout.phase, Phase::Failed { .. }))
            {
                // What was begun comes to rest.
                self.run(30);
                return self.notes["shop"].phase.clone();
            }
        }
        panic!("it never ends: {:?}", self.notes.get("shop"));
    }

    pub(super) fn phase(&self) -> &Phase {
        &self.notes["shop"].phase
    }

    pub(super) fn tick(&mut self) {
        self.now += TICK;
        let now = self.start + self.now;
        self.arrive(now);
        self.call();
        let (desired, moment) = (self.desired(), self.moment());
        let versions = self.versions.clone();
        let others = |_: &str, but: &str| -> Vec<App> {
            let others = versions.iter().rev().filter(|app| app.version != but);
            others.cloned().collect()
        };
        let wish = self.wish;
        self.rollouts
            .begin(&desired, &others, &|_| wish, &self.model.observed, moment);
        let rolling = self.rollouts.rolling(&desired);
        let plan = plan(Input {
            desired: &desired,
            owned: &self.owned,
            observed: &self.model.observed,
            rolling: &rolling,
        });
        self.owned.clone_from(&plan.owned);
        self.command(&plan, now);
        let is_stored = |_: &str, version: &str| versions.iter().any(|app| app.version == version);
        self.rollouts.step(
            &desired,
            &is_stored,
            &|_| wish,
            &plan,
            &self.model.observed,
            &self.attempts,
            moment,
        );
        for (app, rollout) in self.rollouts.to_note(moment) {
            if self.store_is_away {
                self.rollouts.not_noted(&app, moment);
                continue;
            }
            // As it is stored and read.
            let text = serde_json::to_string(&rollout).unwrap();
            let rollout: Option<Rollout> = serde_json::from_str(&text).unwrap();
            match &rollout {
                Some(rollout) => self.notes.insert(app.clone(), rollout.clone()),
                None => self.notes.remove(&app),
            };
            self.rollouts.noted(&app, rollout);
        }
        while let Some(back) = self.rollouts.to_go_back(&desired, moment) {
            self.tries += 1;
            if self.vanishes {
                self.versions.retain(|app| app.version != back.to);
            }
            let is_stored = self.versions.iter().any(|app| app.version == back.to);
            if self.deployed == back.from && is_stored {
                self.deployed = back.to;
            }
            self.rollouts.went_back(&back.app, moment);
        }
        while let Some(happened) = self.rollouts.happened() {
            self.happened.push(happened.event);
        }
    }

    fn command(&mut self, plan: &Plan, now: Instant) {
        self.attempts.settle(&plan.steps);
        let due: Vec<Command> = self
            .attempts
            .due(&plan.steps, now)
            .into_iter()
            .map(|step| step.command.clone())
            .collect();
        for command in due {
            if let Command::Scale(scale) = &command
                && scale.count > 0
            {
                let hosts = self.told.entry(scale.component_ref.clone()).or_default();
                hosts.insert(scale.host_id.to_string());
            }
            self.attempts.sent(&command);
            self.attempts.accepted(&command, now);
            self.on_the_way
                .push((self.now + TICK * self.delay, command));
        }
        let mut in_update = BTreeMap::new();
        for (_, command) in &self.on_the_way {
            if let Command::Scale(scale) = command
                && let Some(host) = self.model.observed.hosts.get(&scale.host_id)
                && let Some(there) = host.components.get(&scale.component_id)
                && there.image != scale.component_ref
            {
                in_update.insert(scale.host_id.clone(), scale.count);
            }
        }
        self.most_in_update = self.most_in_update.max(in_update.values().sum());
    }

    /// Commands reach their hosts.
    fn arrive(&mut self, now: Instant) {
        let (arrived, still): (Vec<_>, Vec<_>) = std::mem::take(&mut self.on_the_way)
            .into_iter()
            .partition(|(due, _)| *due <= self.now);
        self.on_the_way = still;
        for (_, command) in arrived {
            let image = match &command {
                Command::Scale(scale) if scale.count > 0 => Some(&scale.component_ref),
                Command::StartProvider(start) => Some(&start.provider_ref),
                _ => None,
            };
            if image.is_some_and(|image| self.bad.contains(image)) {
                self.attempts
                    .failed(&command.subject(), "no such image".into(), now);
            } else if self.applies(&command) {
                self.model.carry_out(&command);
            }
        }
    }

    /// Whether a command still says something: two managers may have sent it.
    fn applies(&self, command: &Command) -> bool {
        let host = |id| self.model.observed.hosts.get(id);
        match (command, command.subject()) {
            (Command::Scale(scale), Subject::Component(id, component)) => host(&id)
                .is_some_and(|host| scale.count > 0 || host.components.contains_key(&component)),
            (Command::StartProvider(_), Subject::Provider(id, provider)) => {
                host(&id).is_some_and(|host| !host.providers.contains_key(&provider))
            }
            (Command::StopProvider(_), Subject::Provider(id, provider)) => {
                host(&id).is_some_and(|host| host.providers.contains_key(&provider))
            }
            _ => true,
        }
    }

    /// Calls reach every host that runs the component, and its image fails some.
    fn call(&mut self) {
        for host in self.model.observed.hosts.values_mut() {
            for component in host.components.values_mut() {
                let stats = component.stats.get_or_insert_with(ComponentStats::default);
                stats.calls += self.calls;
                if let Some(every) = self.erring.get(&component.image) {
                    stats.errors = stats.calls / every;
                }
            }
        }
    }

    pub(super) fn hosts_with(&self, number: usize) -> BTreeSet<String> {
        let image = image(number);
        let hosts = self.model.observed.hosts.iter().filter(|(_, host)| {
            host.components
                .get("shop-cart")
                .is_some_and(|there| there.image == image)
        });
        hosts.map(|(id, _)| id.to_string()).collect()
    }

    /// Whether every host and provider has that version.
    pub(super) fn runs_everywhere(&self, number: usize) -> bool {
        let components = self.model.counts("shop-cart").len();
        let store = format!("file:///store-{number}");
        let providers = self.model.observed.hosts.values().filter_map(|host| {
            let there = host.providers.get("shop-store")?;
            Some(there.image.as_deref() == Some(store.as_str()))
        });
        let providers: Vec<bool> = providers.collect();
        self.hosts_with(number).len() == components
            && components > 0
            && !providers.is_empty()
            && providers.iter().all(|is_it| *is_it)
    }
}

fn attempts() -> Attempts {
    Attempts::new(Timing {
        outcome: Duration::from_secs(5),
        first_wait: Duration::from_millis(500),
        longest_wait: Duration::from_secs(2),
    })
}
