//! What a rollout sees of the lattice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trellis_lattice::{ComponentId, HostId};

use super::{Counters, Release, Rollout};
use crate::{
    attempts::Attempts,
    command::Subject,
    desired::{App, Part, Want, Workload},
    manifest::{RolloutProperties, same_image},
    names,
    observed::{Observed, Unseen},
    plan::Plan,
};

/// What a rollout sees of its application.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Its parts, by id.
    pub parts: BTreeMap<ComponentId, PartView>,
    /// The deployed version.
    pub version: String,
    /// Whether the version to go back to is still stored.
    pub can_go_back: bool,
    /// What its user wants of it.
    pub wish: Wish,
}

/// What a user wants of an application's rollout. Stored with the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wish {
    /// Whether it is held.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// How often it was let go on after it had failed.
    #[serde(skip_serializing_if = "super::is_zero")]
    pub retries: u32,
}

impl Wish {
    /// Whether nothing in particular is wanted.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a rollout sees of a component or provider.
#[derive(Clone, Debug, Default)]
pub struct PartView {
    /// How it is to be rolled out.
    pub properties: RolloutProperties,
    /// Whether it is a provider.
    pub is_provider: bool,
    /// How many instances there ought to be.
    pub instances: u32,
    /// Whether it can be said where it ought to be; not while it waits for its configurations.
    pub is_placed: bool,
    /// The hosts that ought to run it.
    pub hosts: BTreeMap<HostId, HostView>,
    /// How many hosts more run another release where they can't be seen, and count as running it: they are waited for.
    pub unseen: usize,
}

/// What a rollout sees of a host.
#[derive(Clone, Debug, Default)]
pub struct HostView {
    /// Its name for people.
    pub name: String,
    /// How many instances it ought to run.
    pub instances: u32,
    /// Whether it runs anything of it.
    pub runs: bool,
    /// Whether it runs the new release.
    pub is_new: bool,
    /// Whether the new release runs and is well.
    pub is_healthy: bool,
    /// Why the new release can't run there, where that is told.
    pub failure: Option<String>,
    /// Whether what runs there has the new release's image: then it goes on counting calls when it is updated.
    pub keeps_counters: bool,
    /// How calls went there with what runs now, where it tells.
    pub counters: Option<Counters>,
}

/// How often a host may tell that it can't before it counts: once may be chance.
const FAILURES: u32 = 2;

impl View {
    /// Looks at an application through the plan that was just made.
    pub(super) fn new(
        name: &str,
        app: &App,
        rollout: &Rollout,
        plan: &Plan,
        observed: &Observed,
        attempts: &Attempts,
    ) -> Self {
        let mut view = Self {
            version: app.version.clone(),
            ..Self::default()
        };
        for part in &app.parts {
            let Ok(Want::Workload(workload)) = &part.want else {
                continue;
            };
            if !rollout.parts.iter().any(|one| one.id == workload.id) {
                continue;
            }
            let seen = part_view(name, part, workload, plan, observed, attempts);
            view.parts.insert(workload.id.clone(), seen);
        }
        view
    }
}

fn part_view(
    name: &str,
    part: &Part,
    workload: &Workload,
    plan: &Plan,
    observed: &Observed,
    attempts: &Attempts,
) -> PartView {
    let new = Release::of(part, workload);
    let targets = plan
        .targets
        .get(name)
        .and_then(|parts| parts.get(&workload.id));
    let told = failures(name, &part.id, plan, attempts);
    let hosts = targets
        .into_iter()
        .flatten()
        .filter_map(|(id, instances)| {
            let host = observed.hosts.get(id)?;
            let mut seen = HostView {
                name: host.friendly_name.clone(),
                instances: *instances,
                failure: told.get(id).cloned(),
                ..HostView::default()
            };
            if workload.is_provider {
                let there = host.providers.get(&workload.id);
                let start_error = observed
                    .start_errors
                    .get(&(id.clone(), workload.id.clone()));
                if let Some(there) = there {
                    seen.runs = true;
                    seen.is_new = new.runs(there.image.as_deref(), &there.annotations);
                    seen.is_healthy =
                        seen.is_new && there.unhealthy.is_none() && start_error.is_none();
                    if seen.is_new {
                        seen.failure = start_error.cloned().or(seen.failure);
                    }
                }
            } else if let Some(there) = host.components.get(&workload.id) {
                seen.runs = names::managed_app(&there.annotations) == Some(name);
                seen.is_new = new.runs(Some(&there.image), &there.annotations);
                seen.is_healthy = seen.is_new;
                seen.keeps_counters = same_image(&there.image, &workload.image);
                seen.counters = there.stats.as_ref().map(Counters::of);
            }
            Some((id.clone(), seen))
        })
        .collect();
    PartView {
        properties: workload.rollout.clone(),
        is_provider: workload.is_provider,
        instances: workload.instances,
        is_placed: targets.is_some(),
        hosts,
        unseen: unseen(name, workload, &new, observed),
    }
}

/// How many hosts run another release where they can't be seen.
fn unseen(name: &str, workload: &Workload, new: &Release, observed: &Observed) -> usize {
    let is_other = |unseen: &Unseen| {
        let (image, annotations) = match workload.is_provider {
            true => match unseen.host.providers.get(&workload.id) {
                Some(there) => (there.image.as_deref(), &there.annotations),
                None => return false,
            },
            false => match unseen.component(&workload.id) {
                Some(there) => (Some(there.image.as_str()), &there.annotations),
                None => return false,
            },
        };
        names::managed_app(annotations) == Some(name) && !new.runs(image, annotations)
    };
    observed
        .counted(workload)
        .filter(|(_, unseen)| is_other(unseen))
        .count()
}

/// Why hosts can't do what the plan asks of them for this part, where they told so.
fn failures(name: &str, part: &str, plan: &Plan, attempts: &Attempts) -> BTreeMap<HostId, String> {
    let steps = plan
        .steps
        .iter()
        .filter(|step| step.app == name && step.part.as_deref() == Some(part));
    steps
        .filter_map(|step| {
            let host = match step.command.subject() {
                Subject::Component(host, _) | Subject::Provider(host, _) => host,
                _ => return None,
            };
            let (told, why) = attempts.told(&step.command)?;
            (told >= FAILURES).then(|| (host, why.to_owned()))
        })
        .collect()
}
