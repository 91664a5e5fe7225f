//! The scheduler: what ought to be and what is go in, what to do and how things are comes out. Pure and deterministic.
//!
//! A plan is made from scratch each time. It names everything that is not yet as it ought to be; what was asked for
//! already is filtered by [`crate::attempts`]. Some steps wait for others: they come in a later plan.

mod link;
pub mod place;
mod remove;
mod running;
mod share;
pub(crate) mod unseen;
mod workload;

use std::collections::{BTreeMap, BTreeSet};

use trellis_lattice::{ComponentId, HostId, Link, LinkKey};

use crate::{
    command::Command,
    desired::{App, PartKind, Want},
    observed::Observed,
    rollout::Rolling,
    store::Owned,
};
use place::Placements;
pub(crate) use running::Running;

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The deployed applications.
    pub desired: &'a BTreeMap<String, App>,
    /// What applications have in the lattice; every application that is ours has an entry here, deployed or not.
    pub owned: &'a BTreeMap<String, Owned>,
    /// The lattice.
    pub observed: &'a Observed,
    /// What is rolled out, by application. While an application is, nothing that it has beside is removed: the old
    /// release may need it.
    pub rolling: &'a BTreeMap<String, BTreeMap<ComponentId, Rolling>>,
}

impl Input<'_> {
    /// Nothing is rolled out: everything is brought at once to what it ought to be.
    pub const NO_ROLLOUT: &'static BTreeMap<String, BTreeMap<ComponentId, Rolling>> =
        &BTreeMap::new();
}

/// What to do, and how things are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What to do, in this order.
    pub steps: Vec<Step>,
    /// How each application is.
    pub apps: BTreeMap<String, AppState>,
    /// What each application has in the lattice, or will have when this is done: to be noted before it is done.
    pub owned: BTreeMap<String, Owned>,
    /// Of what is rolled out: how many instances each host ought to have, by application and id.
    pub targets: BTreeMap<String, BTreeMap<ComponentId, BTreeMap<HostId, u32>>>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// For which application.
    pub app: String,
    /// For which of its parts; none when something is removed.
    pub part: Option<String>,
    /// What.
    pub command: Command,
}

/// How an application is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppState {
    /// Its parts, in the manifest's order.
    pub parts: Vec<PartState>,
    /// What is there but ought not to be, for people.
    pub leftovers: Vec<String>,
}

/// How a part of an application is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartState {
    /// Its stable id.
    pub id: String,
    /// What cares for it.
    pub kind: PartKind,
    /// What it is about, for people.
    pub name: String,
    /// How it is.
    pub state: State,
}

/// How something is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// As it ought to be.
    Deployed,
    /// It runs, but a provider says that it doesn't work.
    Unhealthy(String),
    /// On its way.
    Reconciling(String),
    /// Stuck until something else changes.
    Failed(String),
}

impl State {
    /// The same, where a part of it counts as running that can't be seen.
    #[must_use]
    fn and(self, unseen: String) -> Self {
        let both = |why: String| format!("{why}; {unseen}");
        match self {
            Self::Deployed => Self::Unhealthy(unseen),
            Self::Unhealthy(why) => Self::Unhealthy(both(why)),
            Self::Reconciling(why) => Self::Reconciling(both(why)),
            Self::Failed(why) => Self::Failed(both(why)),
        }
    }
}

/// Makes a plan.
pub fn plan(input: Input<'_>) -> Plan {
    let running = Running::new(input.observed);
    let placements = place::placed(requests(input.desired), input.observed, &running);
    let mut planner = Planner {
        input,
        wanted: Wanted::new(input.desired),
        placements,
        running,
        managed: remove::managed(input.observed),
        plan: Plan::default(),
    };
    let nothing = App::default();
    let names: BTreeSet<&String> = input.desired.keys().chain(input.owned.keys()).collect();
    for name in names {
        let app = input.desired.get(name).unwrap_or(&nothing);
        planner.app(name, app);
    }
    planner.plan
}

/// What the deployed applications want placed.
pub fn requests(desired: &BTreeMap<String, App>) -> impl Iterator<Item = place::Request<'_>> {
    desired.iter().flat_map(|(app, wants)| {
        wants.parts.iter().filter_map(move |part| match &part.want {
            Ok(Want::Workload(workload)) => Some(place::Request {
                app,
                part: &part.id,
                workload,
            }),
            _ => None,
        })
    })
}

/// The names of the configurations that a plan needs to know.
pub fn configs_of_interest(
    desired: &BTreeMap<String, App>,
    owned: &BTreeMap<String, Owned>,
) -> BTreeSet<String> {
    let desired = desired.values().flat_map(|app| app.configs.keys());
    let owned = owned.values().flat_map(|owned| &owned.configs);
    desired.chain(owned).cloned().collect()
}

/// What any application wants: one's leftover may be another's need.
struct Wanted<'a> {
    links: BTreeSet<LinkKey>,
    configs: BTreeSet<&'a String>,
}

impl<'a> Wanted<'a> {
    fn new(desired: &'a BTreeMap<String, App>) -> Self {
        Self {
            links: desired
                .values()
                .flat_map(App::links)
                .map(Link::key)
                .collect(),
            configs: desired
                .values()
                .flat_map(|app| app.configs.keys())
                .collect(),
        }
    }
}

struct Planner<'a> {
    input: Input<'a>,
    wanted: Wanted<'a>,
    placements: Placements<'a>,
    running: Running<'a>,
    /// What runs, by the application that it says it is of.
    managed: BTreeMap<&'a str, Vec<remove::Managed<'a>>>,
    plan: Plan,
}

impl Planner<'_> {
    fn app(&mut self, name: &str, app: &App) {
        self.put_configs(name, app);
        let mut parts = Vec::new();
        for part in &app.parts {
            let state = match &part.want {
                Err(why) => State::Failed(why.clone()),
                Ok(Want::Link(link)) => self.link(name, app, part, link),
                Ok(Want::Workload(workload)) => self.workload(name, app, part, workload),
            };
            parts.push(PartState {
                id: part.id.clone(),
                kind: part.kind,
                name: part.name.clone(),
                state,
            });
        }
        let (leftovers, still_owned) = self.remove(name, app);
        let mut owned = still_owned;
        owned.links.extend(app.links().map(Link::key));
        owned
            .configs
            .extend(app.own_configs().map(|(name, _)| name.clone()));
        self.plan.owned.insert(name.to_owned(), owned);
        self.plan
            .apps
            .insert(name.to_owned(), AppState { parts, leftovers });
    }

    fn step(&mut self, app: &str, part: Option<&str>, command: Command) {
        self.plan.steps.push(Step {
            app: app.to_owned(),
            part: part.map(str::to_owned),
            command,
        });
    }

    fn put_configs(&mut self, name: &str, app: &App) {
        // Any host takes it, but there must be one.
        if self.input.observed.hosts.is_empty() {
            return;
        }
        for (config_name, config) in app.own_configs() {
            match self.input.observed.configs.get(config_name) {
                // Not read yet.
                None => {}
                Some(Some(there)) if there == config => {}
                Some(_) => {
                    let command = Command::PutConfig {
                        name: config_name.clone(),
                        config: config.clone(),
                    };
                    self.step(name, None, command);
                }
            }
        }
    }

    /// Whether all of these configurations are there; else how the part is that needs them.
    fn configs_ready<'c>(
        &self,
        app: &App,
        names: impl IntoIterator<Item = &'c String>,
    ) -> Result<(), State> {
        for name in names {
            match self.input.observed.configs.get(name) {
                Some(Some(_)) => {}
                Some(None) if app.configs.get(name).is_none_or(Option::is_none) => {
                    return Err(State::Failed(format!(
                        "config {name} is not in the lattice, and the manifest gives no properties for it"
                    )));
                }
                _ => return Err(State::Reconciling(format!("waiting for config {name}"))),
            }
        }
        Ok(())
    }
}
