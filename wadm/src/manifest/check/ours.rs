//! Values of the traits that are ours.

use std::{collections::BTreeSet, time::Duration};

use super::residency;
use crate::manifest::{
    AutoscaleProperties, Component, OnPartition, PlacementProperties, RolloutProperties, Strategy,
    Trait, TraitProperties,
    problem::{Findings, Path},
};

/// The most instances of what is spread over a topology: they are placed one by one.
pub(crate) const MAX_SPREAD: u32 = 10_000;

/// The most labels that something is spread over.
const MAX_TOPOLOGIES: usize = 4;

/// The most steps of a canary.
const MAX_STEPS: usize = 32;

/// The longest time that can be asked for.
const MAX_SPAN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Checks one of our traits.
pub(super) fn trait_(component: &Component, trait_: &Trait, path: &Path, findings: &mut Findings) {
    if component.properties().application.is_some() {
        findings.error(
            path,
            "a component of another application is placed there, not here",
        );
        return;
    }
    match &trait_.properties {
        TraitProperties::Placement(properties) => placement(component, properties, path, findings),
        TraitProperties::Rollout(properties) => rollout(properties, path, findings),
        TraitProperties::Autoscale(properties) => autoscale(component, properties, path, findings),
        TraitProperties::Link(_) | TraitProperties::Spread(_) | TraitProperties::Other(_) => {}
    }
}

fn placement(
    component: &Component,
    properties: &PlacementProperties,
    path: &Path,
    findings: &mut Findings,
) {
    for (key, value) in &properties.require {
        if properties.avoid.get(key) == Some(value) {
            findings.error(
                &path.field("avoid").field(key),
                format!("{key}={value} is required too: no host could ever meet both"),
            );
        }
    }
    residency::check(component, properties, path, findings);
    if let Some(grace) = properties.partition_grace {
        let path = path.field("partitionGrace");
        if grace.0.is_zero() && properties.on_partition == OnPartition::Keep {
            findings.error(
                &path,
                "is 0: nothing would be kept; leave it out, or use `onPartition: replace`",
            );
        }
        span(grace.0, &path, findings);
    }
    let path = path.field("topologySpread");
    if properties.topology_spread.len() > MAX_TOPOLOGIES {
        findings.error(&path, format!("has more than {MAX_TOPOLOGIES} labels"));
    }
    let mut seen = BTreeSet::new();
    for (index, topology) in properties.topology_spread.iter().enumerate() {
        let path = path.item(index);
        if topology.label.is_empty() {
            findings.error(&path.field("label"), "is empty");
        } else if !seen.insert(&topology.label) {
            findings.error(
                &path.field("label"),
                format!("{:?} is there twice", topology.label),
            );
        }
        if topology.max_skew == 0 {
            findings.error(
                &path.field("maxSkew"),
                "must be at least 1: 0 could only be met by some numbers of instances",
            );
        }
    }
    if properties.topology_spread.is_empty() {
        return;
    }
    for scaler in component.traits() {
        let TraitProperties::Spread(scale) = &scaler.properties else {
            continue;
        };
        if scaler.ty == Trait::DAEMON {
            findings.warn(&path, "has no effect: a daemonscaler is on every host");
        } else if scale.instances > MAX_SPREAD {
            findings.error(
                &path,
                format!(
                    "{} instances can't be spread over a topology: at most {MAX_SPREAD}",
                    scale.instances
                ),
            );
        }
    }
}

fn rollout(properties: &RolloutProperties, path: &Path, findings: &mut Findings) {
    if properties.max_unavailable == 0 && properties.max_surge == 0 {
        findings.error(
            &path.field("maxSurge"),
            "is 0, and so is `maxUnavailable`: nothing could ever be updated; give one of them 1",
        );
    }
    let steps = path.field("steps");
    match properties.strategy {
        Strategy::Rolling if !properties.steps.is_empty() => findings.error(
            &steps,
            "only a canary has steps: add `strategy: canary`, or remove them",
        ),
        Strategy::Canary if properties.steps.is_empty() => findings.error(
            &steps,
            "is missing: a canary has at least one step, such as `{weight: 10, pause: 1m}`",
        ),
        _ => {}
    }
    if properties.steps.len() > MAX_STEPS {
        findings.error(&steps, format!("has more than {MAX_STEPS} steps"));
    }
    let mut before = 0;
    for (index, step) in properties.steps.iter().enumerate() {
        let path = steps.item(index);
        if !(1..=100).contains(&step.weight) {
            findings.error(&path.field("weight"), "must be a percentage from 1 to 100");
        } else if step.weight <= before {
            findings.error(
                &path.field("weight"),
                format!("must be more than the {before} of the step before"),
            );
        }
        before = before.max(step.weight);
        span(step.pause.0, &path.field("pause"), findings);
    }
    if properties.deadline.0.is_zero() {
        findings.error(
            &path.field("deadline"),
            "is 0: every step would have failed",
        );
    }
    span(properties.deadline.0, &path.field("deadline"), findings);
    let Some(health) = &properties.health else {
        return;
    };
    let path = path.field("health");
    if health.error_rate.is_none() && health.latency_p99.is_none() {
        findings.error(
            &path,
            "watches nothing: give `errorRate`, `latencyP99` or both",
        );
    }
    if let Some(rate) = health.error_rate
        && !(0.0..=1.0).contains(&rate)
    {
        findings.error(
            &path.field("errorRate"),
            "must be a part of all calls, from 0 to 1",
        );
    }
    if let Some(latency) = health.latency_p99 {
        span(latency.0, &path.field("latencyP99"), findings);
    }
}

fn autoscale(
    component: &Component,
    properties: &AutoscaleProperties,
    path: &Path,
    findings: &mut Findings,
) {
    if component.is_capability() {
        findings.error(path, "a provider can't be scaled by its calls");
    }
    if component
        .traits()
        .iter()
        .any(|scaler| scaler.ty == Trait::DAEMON)
    {
        findings.error(path, "a daemonscaler's instances can't be scaled by calls");
    }
    if properties.max == 0 {
        findings.error(&path.field("max"), "must be at least 1");
    } else if properties.max < properties.min {
        findings.error(
            &path.field("max"),
            format!("is less than `min`, {}", properties.min),
        );
    }
    if !(properties.target_concurrency > 0.0 && properties.target_concurrency <= 1.0) {
        findings.error(
            &path.field("targetConcurrency"),
            "must be more than 0 and at most 1: an instance takes one call at a time",
        );
    }
    span(properties.idle.0, &path.field("idle"), findings);
}

fn span(span: Duration, path: &Path, findings: &mut Findings) {
    if span > MAX_SPAN {
        findings.error(path, "is more than a week");
    }
}
