//! Why each instance is where it is, and what stands in the way of each that has no place. The same code that places
//! tells it, so it is never another answer than the plan's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trellis_lattice::{ComponentId, HostId, control::host::CAPACITY};

use super::{
    Board,
    unit::{Kind, Unit},
};
use crate::{
    desired::{App, Workload},
    names,
    observed::Observed,
    plan::{requests, running::Running},
};

/// How many hosts are named for one reason.
const MAX_NAMED: usize = 32;

/// Why a component's or provider's instances are where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The part's stable id.
    pub part: String,
    /// Its id in the lattice.
    pub id: ComponentId,
    /// Whether it is a provider: its instances are hosts.
    pub is_provider: bool,
    /// Who comes first where room is short: the higher number.
    pub priority: i32,
    /// How many instances ought to be.
    pub wanted: u32,
    /// How many have a place.
    pub placed: u32,
    /// Its spreads.
    pub spreads: Vec<SpreadExplanation>,
    /// What else is to be known, such as a host's label that can't be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Why a spread's instances are where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpreadExplanation {
    /// Its name.
    pub name: String,
    /// Its part of the instances, against the others' weights.
    pub weight: u32,
    /// How many instances it ought to have.
    pub wanted: u32,
    /// How many of these are other spreads', which have no host.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overflow: u32,
    /// How many have a place.
    pub placed: u32,
    /// What has no place, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<MissingExplanation>,
    /// The hosts that it has instances on.
    pub chosen: Vec<Chosen>,
    /// The hosts that it has none on, by the reason.
    pub others: Vec<Others>,
    /// What counts as running on hosts that can't be seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<HostId, u32>,
    /// How it is spread over labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topology: Vec<Topology>,
}

/// Instances that have no place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingExplanation {
    /// How many.
    pub instances: u32,
    /// What stands in the way.
    pub rule: Rule,
    /// The same for people, and what helps.
    pub why: String,
}

/// A host that has instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chosen {
    /// The host.
    pub host: HostName,
    /// How many it ought to have.
    pub instances: u32,
    /// How many it has.
    pub running: u32,
    /// Why these are there.
    pub reason: Reason,
    /// The same for people.
    pub why: String,
}

/// Why a host was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// It runs there already.
    Runs,
    /// Instances are spread evenly over the hosts that fit.
    Even,
    /// As [`Self::Even`], while another spread has no host.
    Overflow,
    /// Every host that fits has it.
    Daemon,
}

/// Hosts that have no instance for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Others {
    /// The reason.
    pub rule: Rule,
    /// The same for people.
    pub why: String,
    /// The hosts; not all, where there are many.
    pub hosts: Vec<HostName>,
    /// How many there are.
    pub count: usize,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostName {
    /// Its public key.
    pub id: HostId,
    /// Its name for people.
    pub name: String,
}

/// What keeps instances away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Rule {
    /// There is no host at all.
    NoHost,
    /// A label that a spread requires, or that all hosts must have.
    Labels,
    /// A label that a host must not have.
    Avoid,
    /// A taint that isn't tolerated.
    Taint,
    /// A label to be spread over that a host doesn't have.
    TopologyLabel,
    /// A host takes no more instances.
    Room,
    /// It would be spread too unevenly.
    Skew,
    /// A host runs a provider once.
    Once,
    /// There are enough instances elsewhere.
    NotNeeded,
}

/// How instances are spread over a label's values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Topology {
    /// The label.
    pub label: String,
    /// How many instances more one value may have than another.
    pub max_skew: u32,
    /// The instances of each value.
    pub values: BTreeMap<String, u64>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Says of everything that an application wants placed why it is where the plan puts it, and why not elsewhere. What the
/// application has is as its desired state says; nothing for an application that isn't deployed.
pub fn explain(
    desired: &BTreeMap<String, App>,
    observed: &Observed,
    app: &str,
) -> Vec<Explanation> {
    let running = Running::new(observed);
    let board = Board::new(requests(desired).collect(), observed, &running);
    let mut by_part: BTreeMap<&str, Explanation> = BTreeMap::new();
    for (index, unit) in board.units.iter().enumerate() {
        let request = board.requests[unit.request];
        if request.app != app {
            continue;
        }
        let spread = board.explain(index, &running);
        let whole = by_part.entry(request.part).or_insert_with(|| Explanation {
            part: request.part.to_owned(),
            id: request.workload.id.clone(),
            is_provider: request.workload.is_provider,
            priority: request.workload.rules.priority,
            wanted: 0,
            placed: 0,
            spreads: Vec::new(),
            notes: residency(request.workload).into_iter().collect(),
        });
        whole.wanted = whole.wanted.saturating_add(spread.wanted);
        whole.placed = whole.placed.saturating_add(spread.placed);
        whole.spreads.push(spread);
        for note in board.notes(unit) {
            if !whole.notes.contains(&note) {
                whole.notes.push(note);
            }
        }
    }
    // In the manifest's order.
    let parts = desired.get(app).into_iter().flat_map(|app| &app.parts);
    parts
        .filter_map(|part| by_part.remove(part.id.as_str()))
        .collect()
}

/// What a residency means.
fn residency(workload: &Workload) -> Option<String> {
    let residency = workload.rules.residency.as_ref()?;
    Some(format!(
        "residency keeps it and its calls within {residency}: it runs nowhere else, also while no host there is seen"
    ))
}

impl Board<'_, '_> {
    fn explain(&self, index: usize, running: &Running<'_>) -> SpreadExplanation {
        let unit = &self.units[index];
        let place = &self.requests[unit.request].workload.spreads[unit.spread];
        let missing = self.missing(index);
        let now = self.now(unit, running);
        let chosen = unit.assigned.iter().map(|(host, instances)| {
            let running = now.get(host).copied().unwrap_or(0);
            let (reason, why) = self.reason(unit, *instances, running);
            Chosen {
                host: self.name(*host),
                instances: *instances,
                running,
                reason,
                why,
            }
        });
        SpreadExplanation {
            name: place.name.clone(),
            weight: place.weight,
            wanted: unit.declared,
            overflow: unit.overflow,
            placed: unit.placed().saturating_add(unit.kept()),
            chosen: chosen.collect(),
            others: self.others(index, missing.is_some()),
            topology: self.topology(index),
            kept: unit.kept.iter().cloned().collect(),
            missing: missing.map(|missing| MissingExplanation {
                instances: missing.instances,
                rule: missing.rule,
                why: missing.why,
            }),
        }
    }

    fn now(&self, unit: &Unit, running: &Running<'_>) -> BTreeMap<u32, u32> {
        let workload = self.requests[unit.request].workload;
        let place = &workload.spreads[unit.spread];
        if !unit.uses_room() {
            let everywhere = running.provider(&workload.id).iter();
            return everywhere.map(|on| (on.index, 1)).collect();
        }
        let everywhere = running.component(&workload.id).iter();
        everywhere
            .map(|on| {
                let there = on.there;
                let count = names::spread_count(&there.annotations, &place.name, there.instances);
                (on.index, count)
            })
            .collect()
    }

    fn reason(&self, unit: &Unit, instances: u32, running: u32) -> (Reason, String) {
        let hosts = unit.fit.hosts.len();
        if matches!(unit.kind, Kind::Daemon(_) | Kind::ProviderDaemon) {
            let why = format!("every one of the {hosts} host(s) that fit has it");
            return (Reason::Daemon, why);
        }
        if running >= instances {
            return (Reason::Runs, "it runs there already".to_owned());
        }
        let even = match running {
            0 => format!("spread evenly over the {hosts} host(s) that fit"),
            _ => format!(
                "{running} run there already, {} more to be spread evenly over the {hosts} host(s) that fit",
                instances - running
            ),
        };
        match unit.overflow {
            0 => (Reason::Even, even),
            more => (
                Reason::Overflow,
                format!(
                    "{even}; {more} of the spread's instances are those of spreads without a host"
                ),
            ),
        }
    }

    fn others(&self, index: usize, is_missing: bool) -> Vec<Others> {
        let unit = &self.units[index];
        let mut by_reason: BTreeMap<(Rule, String), Others> = BTreeMap::new();
        for host in (0..).take(self.hosts.len()) {
            let has_it = unit.assigned.binary_search_by_key(&host, |(host, _)| *host);
            if has_it.is_ok() {
                continue;
            }
            let (rule, why) = self.keeps_away(index, host, is_missing);
            let others = by_reason
                .entry((rule, why))
                .or_insert_with_key(|(rule, why)| Others {
                    rule: *rule,
                    why: why.clone(),
                    hosts: Vec::new(),
                    count: 0,
                });
            others.count += 1;
            if others.hosts.len() < MAX_NAMED {
                others.hosts.push(self.name(host));
            }
        }
        by_reason.into_values().collect()
    }

    /// The first rule that keeps a unit off a host.
    fn keeps_away(&self, index: usize, host: u32, is_missing: bool) -> (Rule, String) {
        let unit = &self.units[index];
        let rules = &self.requests[unit.request].workload.rules;
        let has = &self.hosts.host(host).labels;
        let required = self.required(index);
        if let Some((key, value)) = required
            .iter()
            .find(|(key, value)| has.get(*key) != Some(value))
        {
            return (Rule::Labels, format!("it has no label {key}={value}"));
        }
        if let Some((key, value)) = self.avoided(host, &rules.avoid) {
            return (
                Rule::Avoid,
                format!("it has the avoided label {key}={value}"),
            );
        }
        if let Some((key, value)) = self.untolerated(host, &rules.tolerate).first() {
            return (
                Rule::Taint,
                format!("its taint {key}={value} isn't tolerated"),
            );
        }
        let mut topology = rules.topology_spread.iter();
        if let Some(missing) = topology.find(|one| !has.contains_key(&one.label)) {
            let label = &missing.label;
            return (
                Rule::TopologyLabel,
                format!("it has no label {label} to be spread over"),
            );
        }
        if !unit.uses_room() && self.is_taken(index, host) {
            return (
                Rule::Once,
                "another spread has it there, and a host runs a provider once".into(),
            );
        }
        if unit.uses_room() && self.room.free_above(host, unit.class) == 0 {
            let capacity = self.hosts.capacity(host).unwrap_or(0);
            let why = format!(
                "it is full: it takes {capacity} instance(s) ({CAPACITY}), and all are taken"
            );
            return (Rule::Room, why);
        }
        match is_missing {
            true => (
                Rule::Skew,
                "one more there would be spread too unevenly".into(),
            ),
            false => (Rule::NotNeeded, "there are enough elsewhere".into()),
        }
    }

    fn topology(&self, index: usize) -> Vec<Topology> {
        let unit = &self.units[index];
        let dimensions = unit.fit.dimensions.iter().zip(&unit.skews).enumerate();
        dimensions
            .map(|(number, (dimension, skew))| Topology {
                label: dimension.label.clone(),
                max_skew: *skew,
                values: dimension
                    .values
                    .iter()
                    .cloned()
                    .zip(self.by_value(index, number))
                    .collect(),
            })
            .collect()
    }

    /// Hosts that fit and whose capacity can't be read.
    fn notes(&self, unit: &Unit) -> Vec<String> {
        let hosts = unit.fit.hosts.iter();
        hosts
            .filter_map(|index| {
                let host = self.hosts.host(*index);
                let capacity = host.labels.get(CAPACITY)?;
                self.hosts.capacity(*index).is_none().then(|| {
                    format!(
                        "host {}: the label {CAPACITY} is {capacity:?}, which is no number: it limits nothing",
                        host.friendly_name
                    )
                })
            })
            .take(MAX_NAMED)
            .collect()
    }

    fn name(&self, host: u32) -> HostName {
        HostName {
            id: self.hosts.id(host).clone(),
            name: self.hosts.host(host).friendly_name.clone(),
        }
    }
}
