//! Components and providers, host by host.

use std::collections::BTreeMap;

use serde::Serialize;
use trellis_lattice::{
    HostId,
    app::{HostReport, MissingReport, OtherHosts, WorkloadReport},
};

use super::{View, after, host_name};
use crate::{
    command::Subject,
    desired::{Part, Want, Workload},
    manifest::same_image,
    names,
    observed::Host,
    plan::{
        place::explain::{Explanation as Placed, SpreadExplanation},
        unseen::{time, until},
    },
};

/// How many of the hosts that are not used for one reason are named.
const MAX_NAMED: usize = 8;

/// How many hosts are told of one by one: an answer must hold them.
const MAX_HOSTS: usize = 500;

/// How many reasons are told.
const MAX_REASONS: usize = 50;

impl View<'_> {
    pub(super) fn workload(&self, part: &Part) -> WorkloadReport {
        let mut report = WorkloadReport {
            id: part.name.clone(),
            is_provider: false,
            image: None,
            scaler: part.kind.as_str().to_owned(),
            status: self.status_of(part),
            desired: 0,
            running: 0,
            hosts: Vec::new(),
            others: Vec::new(),
            missing: Vec::new(),
            notes: Vec::new(),
        };
        let Ok(Want::Workload(workload)) = &part.want else {
            return report;
        };
        report.is_provider = workload.is_provider;
        report.image = Some(workload.image.clone());
        let placed = self.placements.iter().find(|one| one.part == part.id);
        let targets = placed.map(targets).unwrap_or_default();
        for (id, host) in &self.observed.hosts {
            let target = targets.get(id);
            let there = self.there(part, workload, host);
            if target.is_none() && there.is_none() {
                continue;
            }
            let one = self.on_host(workload, id, host, target, there);
            report.running = report.running.saturating_add(match one.problem {
                None => one.running.min(one.desired),
                Some(_) => 0,
            });
            report.hosts.push(one);
        }
        for unseen in self.unseen(workload, placed) {
            report.running = report.running.saturating_add(unseen.running);
            report.hosts.push(unseen);
        }
        // What is amiss first, where not all can be told.
        if report.hosts.len() > MAX_HOSTS {
            report
                .hosts
                .sort_by_key(|one| one.problem.is_none() && one.running == one.desired);
            report.hosts.truncate(MAX_HOSTS);
        }
        if let Some(placed) = placed {
            report.desired = placed.wanted;
            for spread in &placed.spreads {
                report.others.extend(others(spread));
                report.missing.extend(missing(spread));
                report.notes.extend(evenness(spread));
            }
            report.others.truncate(MAX_REASONS);
            report.notes.extend(placed.notes.iter().cloned());
        }
        let mut attempts = report.hosts.iter().filter_map(|host| host.attempt.as_ref());
        let failed = attempts.find(|attempt| attempt.error.is_some());
        report.status = after(report.status, failed, report.running > 0);
        report
    }

    /// What counts as running on hosts that can't be seen.
    fn unseen(&self, workload: &Workload, placed: Option<&Placed>) -> Vec<HostReport> {
        let spreads = placed.map(|placed| placed.spreads.as_slice());
        let mut hosts: BTreeMap<&HostId, BTreeMap<String, u32>> = BTreeMap::new();
        for spread in spreads.unwrap_or_default() {
            for (host, count) in &spread.kept {
                let counts = hosts.entry(host).or_default();
                counts.insert(spread.name.clone(), *count);
            }
        }
        let reports = hosts.into_iter().filter_map(|(id, spreads)| {
            let unseen = self.observed.unseen.get(id)?;
            let running = spreads.values().copied().fold(0, u32::saturating_add);
            Some(HostReport {
                host: id.clone(),
                name: host_name(id, &unseen.host),
                desired: running,
                running,
                spreads,
                why: format!(
                    "PoP {} can't be seen since {}; taken as running there {}",
                    unseen.pop,
                    time(unseen.since),
                    until(unseen, workload)
                ),
                unseen: true,
                problem: None,
                attempt: None,
            })
        });
        reports.collect()
    }

    /// What runs on a host under a workload's id.
    fn there(&self, part: &Part, workload: &Workload, host: &Host) -> Option<There> {
        let is_ours = |annotations| {
            names::managed_app(annotations) == Some(self.name)
                && annotations.get(names::SCALER) == Some(&part.id)
        };
        if workload.is_provider {
            let provider = host.providers.get(&workload.id)?;
            let is_same = provider
                .image
                .as_ref()
                .is_none_or(|image| same_image(image, &workload.image));
            return Some(There {
                instances: 1,
                is_ours: is_ours(&provider.annotations),
                other_image: provider.image.clone().filter(|_| !is_same),
                problem: provider.not_ready.clone().or(provider.unhealthy.clone()),
                is_dormant: false,
            });
        }
        let component = host.components.get(&workload.id)?;
        let is_same = same_image(&component.image, &workload.image);
        Some(There {
            instances: component.instances,
            is_ours: is_ours(&component.annotations),
            other_image: (!is_same).then(|| component.image.clone()),
            problem: None,
            is_dormant: component.dormant,
        })
    }

    fn on_host(
        &self,
        workload: &Workload,
        id: &HostId,
        host: &Host,
        target: Option<&Target>,
        there: Option<There>,
    ) -> HostReport {
        let key = (id.clone(), workload.id.clone());
        let start_error = self.observed.start_errors.get(&key);
        let subject = match workload.is_provider {
            true => Subject::Provider(key.0.clone(), key.1.clone()),
            false => Subject::Component(key.0.clone(), key.1.clone()),
        };
        let mut problem =
            start_error.map(|why| format!("can't be started, and is tried again: {why}"));
        if let Some(there) = &there {
            problem = problem.or_else(|| there.problem.clone());
            if target.is_some() {
                problem = problem.or_else(|| {
                    let image = there.other_image.as_ref()?;
                    Some(format!("runs another image: {image}"))
                });
            }
        }
        let spreads = target.map(|target| target.spreads.clone());
        let spreads = spreads.unwrap_or_default();
        HostReport {
            host: id.clone(),
            name: host_name(id, host),
            desired: spreads.values().copied().fold(0, u32::saturating_add),
            running: there.as_ref().map_or(0, |there| there.instances),
            why: why(target, there.as_ref()),
            spreads,
            unseen: false,
            problem,
            attempt: self.attempt(&subject),
        }
    }
}

/// What ought to run on a host.
#[derive(Default)]
struct Target {
    /// How many instances of each spread.
    spreads: BTreeMap<String, u32>,
    /// Why.
    why: Vec<String>,
}

fn targets(placed: &Placed) -> BTreeMap<&HostId, Target> {
    let mut targets: BTreeMap<&HostId, Target> = BTreeMap::new();
    for spread in &placed.spreads {
        for chosen in &spread.chosen {
            let target = targets.entry(&chosen.host.id).or_default();
            target.spreads.insert(spread.name.clone(), chosen.instances);
            target.why.push(match placed.spreads.len() {
                1 => chosen.why.clone(),
                _ => format!(
                    "{} for spread {}: {}",
                    chosen.instances, spread.name, chosen.why
                ),
            });
        }
    }
    targets
}

/// What runs on a host.
struct There {
    instances: u32,
    /// Whether it was started for this part of the application.
    is_ours: bool,
    /// Its image, where it is not the wanted one.
    other_image: Option<String>,
    problem: Option<String>,
    is_dormant: bool,
}

/// Why something is on a host, or still is.
fn why(target: Option<&Target>, there: Option<&There>) -> String {
    let mut why = match (target, there) {
        (Some(target), _) => target.why.join("; "),
        (None, Some(there)) if there.is_ours => {
            return "not wanted here any more: it goes once what takes its place runs".into();
        }
        (None, _) => return "started by somebody else, under the same id".into(),
    };
    if let Some(there) = there {
        if !there.is_ours {
            why.push_str("; what runs there was not started for this");
        }
        if there.is_dormant {
            why.push_str("; it sleeps until it is called");
        }
    }
    why
}

fn others(spread: &SpreadExplanation) -> impl Iterator<Item = OtherHosts> {
    spread.others.iter().map(|others| OtherHosts {
        spread: spread.name.clone(),
        rule: name_of(&others.rule),
        why: others.why.clone(),
        count: others.count,
        names: others
            .hosts
            .iter()
            .take(MAX_NAMED)
            .map(|host| match host.name.as_str() {
                "" => host.id.to_string(),
                name => name.to_owned(),
            })
            .collect(),
    })
}

fn missing(spread: &SpreadExplanation) -> Option<MissingReport> {
    let missing = spread.missing.as_ref()?;
    Some(MissingReport {
        instances: missing.instances,
        spread: spread.name.clone(),
        rule: name_of(&missing.rule),
        why: missing.why.clone(),
    })
}

/// How evenly a spread is over labels.
fn evenness(spread: &SpreadExplanation) -> impl Iterator<Item = String> {
    spread.topology.iter().map(|topology| {
        let values: Vec<String> = topology
            .values
            .iter()
            .map(|(value, count)| format!("{value} {count}"))
            .collect();
        format!(
            "spread {} over label {}, at most {} apart: {}",
            spread.name,
            topology.label,
            topology.max_skew,
            values.join(", ")
        )
    })
}

/// A rule's name as it is written.
fn name_of(rule: &impl Serialize) -> String {
    match serde_json::to_value(rule) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
