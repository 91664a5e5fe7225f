//! A manifest's parts, as they are stored: 1.x reads what we write and we read what it wrote.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    ours::{AutoscaleProperties, PlacementProperties, RolloutProperties},
    schema,
};

/// An application's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Manifest {
    /// The manifest's format: `core.oam.dev/v1beta1`.
    #[serde(rename = "apiVersion")]
    #[schemars(extend("const" = super::API_VERSION))]
    pub api_version: String,
    /// What it declares: an `Application`.
    #[schemars(extend("const" = super::KIND))]
    pub kind: String,
    /// Name and annotations.
    pub metadata: Metadata,
    /// What it is made of.
    pub spec: Specification,
}

/// An application's name, annotations and labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Metadata {
    /// The name, unique in its lattice.
    #[schemars(regex(pattern = "^[A-Za-z0-9_-]{1,100}$"))]
    pub name: String,
    /// Description, version, and what else its owner notes.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// For its owner.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What an application is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Specification {
    /// Components and capabilities.
    #[schemars(length(min = 1, max = 500))]
    pub components: Vec<Component>,
    /// Policies: which backends keep secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policy>,
}

/// A component (an actor) or a capability (a provider).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Component {
    /// Its name in this manifest.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Which of the two, and its properties.
    #[serde(flatten)]
    pub kind: Kind,
    /// How it is scaled and linked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traits: Option<Vec<Trait>>,
}

impl Component {
    /// The properties, which both kinds have alike.
    pub fn properties(&self) -> &Properties {
        match &self.kind {
            Kind::Component(properties) | Kind::Capability(properties) => properties,
        }
    }

    /// The traits, none or some.
    pub fn traits(&self) -> &[Trait] {
        self.traits.as_deref().unwrap_or_default()
    }

    /// Whether it is a capability.
    pub fn is_capability(&self) -> bool {
        matches!(self.kind, Kind::Capability(_))
    }
}

/// What a component of a manifest is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "properties", rename_all = "lowercase")]
pub enum Kind {
    /// An actor.
    Component(Properties),
    /// A provider.
    Capability(Properties),
}

/// Where a component comes from and what it gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Properties {
    /// Its image's reference; absent when it belongs to another application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The component of a shared application that this one stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<SharedComponent>,
    /// Its id in the lattice; else it is made of the application's and its own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Ours: an instance of the component that answered a call may answer another. 1.x takes no manifest with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuse: bool,
    /// Configuration; later ones win.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<ConfigProperty>,
    /// References of secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretProperty>,
}

/// A component of another application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SharedComponent {
    /// The application.
    pub name: String,
    /// The component's name there.
    pub component: String,
}

/// A named configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ConfigProperty {
    /// Its name.
    pub name: String,
    /// Its values; without any it is somebody else's and must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<BTreeMap<String, String>>,
}

/// A reference of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretProperty {
    /// The name its user knows it by.
    pub name: String,
    /// Where it is kept.
    pub properties: SecretSource,
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretSource {
    /// The policy that names the store.
    pub policy: String,
    /// Its key there.
    pub key: String,
    /// A field of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// A version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A policy: of type `policy.secret.wasmcloud.dev/v1alpha1`, which backend keeps secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// Its properties: `backend`, and what else that backend wants to know.
    pub properties: BTreeMap<String, String>,
}

/// How a component is scaled or linked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trait {
    /// `spreadscaler`, `daemonscaler`, `link`, or a name of somebody else's.
    #[serde(rename = "type")]
    pub ty: String,
    /// Its properties.
    pub properties: TraitProperties,
}

impl Trait {
    /// A number of instances over hosts.
    pub const SPREAD: &str = "spreadscaler";
    /// A number of instances on every host.
    pub const DAEMON: &str = "daemonscaler";
    /// A link.
    pub const LINK: &str = "link";
    /// Ours: rules on where instances may be and how they are spread.
    pub const PLACEMENT: &str = "placement";
    /// Ours: how another image takes an image's place.
    pub const ROLLOUT: &str = "rollout";
    /// Ours: as many instances as calls need.
    pub const AUTOSCALE: &str = "autoscale";
    /// The types that are known.
    pub const KNOWN: [&str; 6] = [
        Self::SPREAD,
        Self::DAEMON,
        Self::LINK,
        Self::PLACEMENT,
        Self::ROLLOUT,
        Self::AUTOSCALE,
    ];
}

/// A trait's properties.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TraitProperties {
    /// Of a `link`.
    Link(LinkProperties),
    /// Of a `spreadscaler` or `daemonscaler`.
    Spread(SpreadProperties),
    /// Of a `placement`.
    Placement(PlacementProperties),
    /// Of a `rollout`.
    Rollout(RolloutProperties),
    /// Of an `autoscale`.
    Autoscale(AutoscaleProperties),
    /// Of a type we don't know, as they came.
    Other(serde_json::Value),
}

impl<'de> Deserialize<'de> for Trait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(rename = "type")]
            ty: String,
            #[serde(default)]
            properties: serde_json::Value,
        }
        let Raw { ty, properties } = Raw::deserialize(deserializer)?;
        let properties = match ty.as_str() {
            Self::LINK => TraitProperties::Link(from_value(properties)?),
            Self::SPREAD | Self::DAEMON => TraitProperties::Spread(from_value(properties)?),
            Self::PLACEMENT => TraitProperties::Placement(from_value(properties)?),
            Self::ROLLOUT => TraitProperties::Rollout(from_value(properties)?),
            Self::AUTOSCALE => TraitProperties::Autoscale(from_value(properties)?),
            _ => TraitProperties::Other(properties),
        };
        Ok(Self { ty, properties })
    }
}

fn from_value<T: serde::de::DeserializeOwned, E: serde::de::Error>(
    value: serde_json::Value,
) -> Result<T, E> {
    serde_json::from_value(value).map_err(E::custom)
}

/// A link from the component whose trait it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::older_link)]
pub struct LinkProperties {
    /// Its name, where it isn't `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The interfaces' WIT namespace.
    pub namespace: String,
    /// The interfaces' WIT package.
    pub package: String,
    /// The interfaces' names.
    pub interfaces: Vec<String>,
    /// Configuration for the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ConfigDefinition>,
    /// The target, and configuration for it.
    #[schemars(schema_with = "schema::target")]
    pub target: TargetConfig,
}

/// Configuration for one side of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigDefinition {
    /// Configurations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<ConfigProperty>,
    /// References of secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretProperty>,
}

/// A link's target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetConfig {
    /// The name of a component of the manifest.
    pub name: String,
    /// Configurations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config: Vec<ConfigProperty>,
    /// References of secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretProperty>,
}

/// How many instances, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, transform = schema::older_scale)]
pub struct SpreadProperties {
    /// How many: over all hosts for a `spreadscaler`, on every host for a `daemonscaler`.
    #[serde(alias = "replicas")]
    pub instances: u32,
    /// Where; without any, on all hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<Spread>,
}

/// A part of the instances, on the hosts that meet its requirements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Spread {
    /// Its name.
    pub name: String,
    /// Labels that a host must have.
    #[serde(default)]
    pub requirements: BTreeMap<String, String>,
    /// Its part, against the other spreads' weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}
