//! Traits that 1.x doesn't know: it keeps them as they came and does nothing about them.

use std::{collections::BTreeMap, fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use trellis_lattice::place::{POP, REGION};

/// Where a component's or provider's instances may be, whatever its scaler says, and how they are spread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct PlacementProperties {
    /// Labels that every host must have, also while others are lost.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub require: BTreeMap<String, String>,
    /// Where it stays, whatever happens: as `require`, and no call to it or from it is made or answered elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residency: Option<Residency>,
    /// Labels of which a host must have none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub avoid: BTreeMap<String, String>,
    /// Taints that don't keep it away: `KEY: VALUE` for a host's label `trellis.dev/taint.KEY=VALUE`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tolerate: BTreeMap<String, String>,
    /// How evenly it is spread over the values of labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub topology_spread: Vec<TopologySpread>,
    /// Who comes first where room is short: the higher number.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// Whether a spread's instances go to the hosts of the other spreads while it has none of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub overflow: bool,
    /// What becomes of its instances in a PoP that can't be seen: the label `pop` tells which hosts are one PoP.
    #[serde(skip_serializing_if = "OnPartition::is_default")]
    pub on_partition: OnPartition,
    /// How long its instances count as running in a PoP that can't be seen. Without it: not at all for `replace`, until
    /// the PoP is seen again for `keep`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_grace: Option<Span>,
}

/// What becomes of instances in a PoP that can't be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnPartition {
    /// They run elsewhere, after the grace time.
    #[default]
    Replace,
    /// They count as running where they were, at most for the grace time where there is one.
    Keep,
}

impl OnPartition {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl PlacementProperties {
    /// How long instances in a PoP that can't be seen count as running; none: until it is seen again.
    pub fn counts_unseen_for(&self) -> Option<Duration> {
        match (self.on_partition, self.partition_grace) {
            (_, Some(grace)) => Some(grace.0),
            (OnPartition::Replace, None) => Some(Duration::ZERO),
            (OnPartition::Keep, None) => None,
        }
    }
}

/// Where something stays: in a region, in a PoP, or in a PoP of a region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Residency {
    /// The region: hosts' label `region`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[A-Za-z0-9_-]{1,63}$"))]
    pub region: Option<String>,
    /// The PoP: hosts' label `pop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[A-Za-z0-9_-]{1,63}$"))]
    pub pop: Option<String>,
}

impl Residency {
    /// The labels that hosts must have.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let labels = [(POP, &self.pop), (REGION, &self.region)];
        labels
            .into_iter()
            .filter_map(|(label, value)| Some((label, value.as_deref()?)))
    }
}

impl fmt::Display for Residency {
    /// `region=eu`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (label, value)) in self.labels().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{label}={value}")?;
        }
        Ok(())
    }
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// An even spread over the values of a label, such as `pop`. A host without the label gets nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct TopologySpread {
    /// The label.
    #[schemars(length(min = 1))]
    pub label: String,
    /// How many instances more one value's hosts may have than another's; at least 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub max_skew: u32,
}

const fn one() -> u32 {
    1
}

/// How a new version's image takes the old one's place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct RolloutProperties {
    /// In which steps.
    pub strategy: Strategy,
    /// How many instances may be missing at once.
    pub max_unavailable: u32,
    /// How many instances may be there beyond the wanted ones.
    pub max_surge: u32,
    /// A canary's steps; the last one is followed by all the rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub steps: Vec<CanaryStep>,
    /// What the new image has to keep to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthGate>,
    /// Whether a new version that fails gives way to the one before by itself.
    pub auto_rollback: bool,
    /// How long a step may take until it has failed.
    pub deadline: Span,
}

impl Default for RolloutProperties {
    /// Host by host, one more at a time than wanted, none missing, back by itself after two minutes without progress.
    fn default() -> Self {
        Self {
            strategy: Strategy::Rolling,
            max_unavailable: 0,
            max_surge: 1,
            steps: Vec::new(),
            health: None,
            auto_rollback: true,
            deadline: Span(Duration::from_secs(120)),
        }
    }
}

/// In which steps a new image comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Host by host.
    #[default]
    Rolling,
    /// A part of the instances first, by weight, each step held for a while.
    Canary,
}

/// A canary's step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct CanaryStep {
    /// The new image's part of the instances, in percent: 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub weight: u32,
    /// How long the step is held and watched before the next.
    #[serde(default)]
    pub pause: Span,
}

/// What a new image has to keep to, as the hosts report it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct HealthGate {
    /// The greatest part of calls that may fail: 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub error_rate: Option<f64>,
    /// The longest that 99 of 100 calls may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_p99: Option<Span>,
    /// Fewer calls say nothing.
    pub min_calls: u64,
}

impl Default for HealthGate {
    fn default() -> Self {
        Self {
            error_rate: None,
            latency_p99: None,
            min_calls: 20,
        }
    }
}

/// As many instances as calls need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct AutoscaleProperties {
    /// The fewest instances; at 0 it sleeps until it is called.
    #[serde(default)]
    pub min: u32,
    /// The most instances; at least 1.
    #[schemars(range(min = 1))]
    pub max: u32,
    /// Calls in flight per instance that are aimed at. An instance takes one call at a time: more than 0, at most 1.
    #[serde(default = "AutoscaleProperties::target")]
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub target_concurrency: f64,
    /// How long fewer calls must last until instances go.
    #[serde(default = "AutoscaleProperties::idle")]
    pub idle: Span,
}

impl AutoscaleProperties {
    /// [`Self::target_concurrency`] where none is given.
    pub const TARGET: f64 = 0.7;
    /// [`Self::idle`] where none is given.
    pub const IDLE: Span = Span(Duration::from_secs(60));

    const fn target() -> f64 {
        Self::TARGET
    }

    const fn idle() -> Span {
        Self::IDLE
    }
}

/// A length of time, written like `30s`, `1m 30s` or `500ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl std::str::FromStr for Span {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text).map(Self)
    }
}
