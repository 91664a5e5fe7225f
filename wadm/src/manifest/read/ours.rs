//! The traits that are ours. A field that isn't known is refused: a rule that is ignored is worse than none.

use super::{Fields, Unknown, count, list, text, texts};
use crate::manifest::{
    AutoscaleProperties, CanaryStep, HealthGate, OnPartition, PlacementProperties, Residency,
    RolloutProperties, Span, Strategy, TopologySpread,
    problem::{Findings, Path},
    suggest::hint,
    tree::{Node, Value},
};

pub(super) fn placement(
    node: &Node,
    path: &Path,
    findings: &mut Findings,
) -> Option<PlacementProperties> {
    let known = &[
        "require",
        "residency",
        "avoid",
        "tolerate",
        "topologySpread",
        "priority",
        "overflow",
        "onPartition",
        "partitionGrace",
    ];
    let mut fields = Fields::open(node, path, known, Unknown::Refused, findings)?;
    let require = fields.optional("require", texts);
    let residency = fields.optional("residency", residency);
    let avoid = fields.optional("avoid", texts);
    let tolerate = fields.optional("tolerate", texts);
    let topology_spread = fields.optional("topologySpread", |node, path, findings| {
        list(node, path, findings, topology)
    });
    let priority = fields.optional("priority", number);
    let overflow = fields.optional("overflow", truth);
    let on_partition = fields.optional("onPartition", on_partition);
    let partition_grace = fields.optional("partitionGrace", span);
    Some(PlacementProperties {
        require: require?.unwrap_or_default(),
        residency: residency?,
        avoid: avoid?.unwrap_or_default(),
        tolerate: tolerate?.unwrap_or_default(),
        topology_spread: topology_spread?.unwrap_or_default(),
        priority: priority?.unwrap_or_default(),
        overflow: overflow?.unwrap_or_default(),
        on_partition: on_partition?.unwrap_or_default(),
        partition_grace: partition_grace?,
    })
}

fn residency(node: &Node, path: &Path, findings: &mut Findings) -> Option<Residency> {
    let known = &["region", "pop"];
    let mut fields = Fields::open(node, path, known, Unknown::Refused, findings)?;
    let region = fields.optional("region", text);
    let pop = fields.optional("pop", text);
    Some(Residency {
        region: region?,
        pop: pop?,
    })
}

fn on_partition(node: &Node, path: &Path, findings: &mut Findings) -> Option<OnPartition> {
    match text(node, path, findings)?.as_str() {
        "replace" => Some(OnPartition::Replace),
        "keep" => Some(OnPartition::Keep),
        other => {
            let hint = hint(other, ["replace", "keep"]);
            findings.error(
                path,
                format!("is {other:?}: use \"replace\" or \"keep\"{hint}"),
            );
            None
        }
    }
}

fn topology(node: &Node, path: &Path, findings: &mut Findings) -> Option<TopologySpread> {
    let known = &["label", "maxSkew"];
    let mut fields = Fields::open(node, path, known, Unknown::Refused, findings)?;
    let label = fields.required("label", text);
    let max_skew = fields.optional("maxSkew", count);
    Some(TopologySpread {
        label: label?,
        max_skew: max_skew?.unwrap_or(1),
    })
}

pub(super) fn rollout(
    node: &Node,
    path: &Path,
    findings: &mut Findings,
) -> Option<RolloutProperties> {
    let known = &[
        "strategy",
        "maxUnavailable",
        "maxSurge",
        "steps",
        "health",
        "autoRollback",
        "deadline",
    ];
    let mut fields = Fields::open(node, path, known, Unknown::Refused, findings)?;
    let strategy = fields.optional("strategy", strategy);
    let max_unavailable = fields.optional("maxUnavailable", count);
    let max_surge = fields.optional("maxSurge", count);
    let steps = fields.optional("steps", |node, path, findings| {
        list(node, path, findings, step)
    });
    let health = fields.optional("health", health);
    let auto_rollback = fields.optional("autoRollback", truth);
    let deadline = fields.optional("deadline", span);
    let default = RolloutProperties::default();
    Some(RolloutProperties {
        strategy: strategy?.unwrap_or_default(),
        max_unavailable: max_unavailable?.unwrap_or(default.max_unavailable),
        max_surge: max_surge?.unwrap_or(default.max_surge),
        steps: steps?.unwrap_or_default(),
        health: health?,
        auto_rollback: auto_rollback?.unwrap_or(default.auto_rollback),
        deadline: deadline?.unwrap_or(default.deadline),
    })
}

fn strategy(node: &Node, path: &Path, findings: &mut Findings) -> Option<Strategy> {
    match text(node, path, findings)?.as_str() {
        "rolling" => Some(Strategy::Rolling),
        "canary" => Some(Strategy::Canary),
        other => {
            let hint = hint(other, ["rolling", "canary"]);
            findings.error(
                path,
                format!("is {other:?}: use \"rolling\" or \"canary\"{hint}"),
            );
            None
        }
    }
}

fn step(node: &Node, path: &Path, findings: &mut Findings) -> Option<CanaryStep> {
    let known = &["weight", "pause"];
    let mut fields = Fields::open(node, path, known, Unknown::Refused, findings)?;
    let weight = fields.required("weight", count);
    let pause = fields.optional("pause", span);
    Some(CanaryStep {
        weight: weight?,
        pause: pause?.unwrap_or_default(),
    })
}

fn health(node: &Node, path: &Path, findings: &mut Findings) -> Option<HealthGate> {
    let known = &["errorRate", "latencyP99", "minCalls"];
    let mut fields = Fields::open(node, path, known, Unknown::Refused, findings)?;
    let error_rate = fields.optional("errorRate", decimal);
    let latency_p99 = fields.optional("latencyP99", span);
    let min_calls = fields.optional("minCalls", count);
    let default = HealthGate::default();
    Some(HealthGate {
        error_rate: error_rate?,
        latency_p99: latency_p99?,
        min_calls: min_calls?.map_or(default.min_calls, u64::from),
    })
}

pub(super) fn autoscale(
    node: &Node,
    path: &Path,
    findings: &mut Findings,
) -> Option<AutoscaleProperties> {
    let known = &["min", "max", "targetConcurrency", "idle"];
    let mut fields = Fields::open(node, path, known, Unknown::Refused, findings)?;
    let min = fields.optional("min", count);
    let max = fields.required("max", count);
    let target = fields.optional("targetConcurrency", decimal);
    let idle = fields.optional("idle", span);
    Some(AutoscaleProperties {
        min: min?.unwrap_or_default(),
        max: max?,
        target_concurrency: target?.unwrap_or(AutoscaleProperties::TARGET),
        idle: idle?.unwrap_or(AutoscaleProperties::IDLE),
    })
}

// === values ===

fn span(node: &Node, path: &Path, findings: &mut Findings) -> Option<Span> {
    let written = match &node.value {
        Value::Text(text) => text,
        Value::Number(number) => number,
        _ => {
            findings.error(
                path,
                format!("must be a time like \"30s\", not {}", node.kind()),
            );
            return None;
        }
    };
    match written.parse() {
        Ok(span) => Some(span),
        Err(_) => {
            let text = format!("must be a time like \"30s\", \"500ms\" or \"2m\", not {written:?}");
            findings.error(path, text);
            None
        }
    }
}

pub(super) fn truth(node: &Node, path: &Path, findings: &mut Findings) -> Option<bool> {
    match node.value {
        Value::Bool(truth) => Some(truth),
        _ => {
            findings.error(path, format!("must be true or false, not {}", node.kind()));
            None
        }
    }
}

fn number(node: &Node, path: &Path, findings: &mut Findings) -> Option<i32> {
    if let Value::Number(written) = &node.value
        && let Ok(number) = written.parse()
    {
        return Some(number);
    }
    let text = format!("must be a whole number from {} to {}", i32::MIN, i32::MAX);
    findings.error(path, text);
    None
}

fn decimal(node: &Node, path: &Path, findings: &mut Findings) -> Option<f64> {
    if let Value::Number(written) = &node.value
        && let Ok(number) = written.parse::<f64>()
        && number.is_finite()
    {
        return Some(number);
    }
    findings.error(
        path,
        format!("must be a number like 0.05, not {}", node.kind()),
    );
    None
}
