//! Events: CloudEvents 1.0 in JSON, one subject a kind (`wasmcloud-v1.md`, Events).

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    control::{
        Annotations, Labels,
        host::{ComponentDescription, HostInventory, ProviderDescription},
    },
    decode::{DecodeError, from_json},
    id::{ComponentId, HostId, LinkName},
    link::Link,
};

/// What every lattice event's type begins with.
const TYPE_PREFIX: &str = "com.wasmcloud.lattice.";

/// A CloudEvent as it travels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloudEvent {
    /// Always `1.0`.
    pub specversion: String,
    /// Unique for its source.
    pub id: String,
    /// `com.wasmcloud.lattice.{name}`.
    #[serde(rename = "type")]
    pub ty: String,
    /// The host it comes from.
    pub source: String,
    /// Always `application/json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// When, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// What happened.
    pub data: serde_json::Value,
}

impl CloudEvent {
    /// An event of a host, now.
    pub fn new(source: &HostId, event: &Event) -> Self {
        Self {
            specversion: "1.0".into(),
            id: uuid::Uuid::now_v7().to_string(),
            ty: format!("{TYPE_PREFIX}{}", event.name()),
            source: source.to_string(),
            datacontenttype: Some("application/json".into()),
            time: OffsetDateTime::now_utc().format(&Rfc3339).ok(),
            data: event.data(),
        }
    }

    /// Reads an event's envelope.
    ///
    /// # Errors
    /// Names the field that doesn't fit.
    pub fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        from_json("event", bytes)
    }

    /// The event in it.
    ///
    /// # Errors
    /// Names the field that doesn't fit its kind. A kind we don't know is [`Event::Other`].
    pub fn event(&self) -> Result<Event, DecodeError> {
        let Some(name) = self.ty.strip_prefix(TYPE_PREFIX) else {
            return Ok(Event::Other {
                name: self.ty.clone(),
                data: self.data.clone(),
            });
        };
        Event::read(name, &self.data)
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident($data:ty) = $name:literal,)*) => {
        /// What can happen in a lattice.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Event {
            $($(#[$doc])* $variant($data),)*
            /// A kind this version doesn't know.
            Other {
                /// Its name.
                name: String,
                /// Its data.
                data: serde_json::Value,
            },
        }

        impl Event {
            /// The kind's short name, the last token of its subject.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant(_) => $name,)*
                    Self::Other { name, .. } => name,
                }
            }

            /// The data as JSON.
            pub fn data(&self) -> serde_json::Value {
                match self {
                    // Types of strings, numbers, lists and maps keyed by strings: they have a JSON form.
                    $(Self::$variant(data) => serde_json::to_value(data).unwrap_or_default(),)*
                    Self::Other { data, .. } => data.clone(),
                }
            }

            fn read(name: &str, data: &serde_json::Value) -> Result<Self, DecodeError> {
                Ok(match name {
                    $($name => Self::$variant(read_data(concat!("event ", $name), data)?),)*
                    _ => Self::Other { name: name.to_owned(), data: data.clone() },
                })
            }
        }
    };
}

fn read_data<T: serde::de::DeserializeOwned>(
    message: &'static str,
    data: &serde_json::Value,
) -> Result<T, DecodeError> {
    serde_path_to_error::deserialize(data).map_err(|error| DecodeError::Field {
        message,
        field: format!("data.{}", error.path()),
        problem: error.inner().to_string(),
    })
}

events! {
    /// A host joined.
    HostStarted(HostStarted) = "host_started",
    /// A host left.
    HostStopped(HostStopped) = "host_stopped",
    /// A host is alive, with its inventory; every 30 s and at its start.
    HostHeartbeat(HostInventory) = "host_heartbeat",
    /// A host's labels changed.
    LabelsChanged(LabelsChanged) = "labels_changed",
    /// A component was scaled, or its image replaced.
    ComponentScaled(ComponentScaled) = "component_scaled",
    /// A component could not be scaled.
    ComponentScaleFailed(ComponentScaleFailed) = "component_scale_failed",
    /// A provider runs.
    ProviderStarted(ProviderStarted) = "provider_started",
    /// A provider could not be started.
    ProviderStartFailed(ProviderStartFailed) = "provider_start_failed",
    /// A provider ended.
    ProviderStopped(ProviderStopped) = "provider_stopped",
    /// A provider became healthy.
    HealthCheckPassed(HealthCheck) = "health_check_passed",
    /// A provider became unhealthy.
    HealthCheckFailed(HealthCheck) = "health_check_failed",
    /// A provider's health did not change.
    HealthCheckStatus(HealthCheck) = "health_check_status",
    /// A link was put.
    LinkSet(Link) = "linkdef_set",
    /// A link was refused.
    LinkSetFailed(LinkSetFailed) = "linkdef_set_failed",
    /// A link was deleted.
    LinkDeleted(LinkDeleted) = "linkdef_deleted",
    /// A configuration was put.
    ConfigSet(ConfigChanged) = "config_set",
    /// A configuration was deleted.
    ConfigDeleted(ConfigChanged) = "config_deleted",
}

/// A host joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStarted {
    /// Its name for people.
    #[serde(default)]
    pub friendly_name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
    /// How long it has run, in seconds.
    #[serde(default)]
    pub uptime_seconds: u64,
    /// The host program's version.
    #[serde(default)]
    pub version: String,
    /// Ours; in 1.x the event's source alone has the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<HostId>,
}

/// A host left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStopped {
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
    /// Ours: its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<HostId>,
    /// Ours: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A host's labels changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelsChanged {
    /// The host.
    pub host_id: HostId,
    /// All its labels now.
    pub labels: Labels,
}

/// Claims as events show them. Components have a call alias and a revision; providers have neither.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventClaims {
    /// Components only: null where the signer gave none.
    #[serde(default, with = "present", skip_serializing_if = "Option::is_none")]
    pub call_alias: Option<Option<String>>,
    /// When they expire, for people; `never`.
    pub expires_human: String,
    /// Who signed.
    pub issuer: String,
    /// The signed name.
    pub name: String,
    /// From when they hold, for people; `never` when there is no such time (1.x's word).
    pub not_before_human: String,
    /// Components only: the signed revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i32>,
    /// Tags; null for providers.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    /// The signed version.
    #[serde(default)]
    pub version: Option<String>,
}

/// Keeps "there and null" apart from "not there".
mod present {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Option<String>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value
            .as_ref()
            .and_then(Option::as_ref)
            .serialize(serializer)
    }

    #[expect(clippy::option_option, reason = "the two levels mean different things")]
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<String>>, D::Error> {
        Option::<String>::deserialize(deserializer).map(Some)
    }
}

/// A component was scaled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentScaled {
    /// What it was started with.
    #[serde(default)]
    pub annotations: Annotations,
    /// Its claims; unsigned ones have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<EventClaims>,
    /// The component.
    pub component_id: ComponentId,
    /// The host.
    pub host_id: HostId,
    /// Its image.
    pub image_ref: String,
    /// How many at once now; zero: stopped.
    pub max_instances: u32,
    /// Its signed public key, or its id when unsigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Ours: it is unloaded and wakes at its next call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dormant: bool,
}

/// A component could not be scaled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentScaleFailed {
    /// What it was asked with.
    #[serde(default)]
    pub annotations: Annotations,
    /// Its claims, where they could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<EventClaims>,
    /// The component.
    pub component_id: ComponentId,
    /// Why.
    pub error: String,
    /// The host.
    pub host_id: HostId,
    /// Its image.
    pub image_ref: String,
    /// How many were asked for.
    pub max_instances: u32,
    /// Its signed public key, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// A provider runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStarted {
    /// What it was started with.
    #[serde(default)]
    pub annotations: Annotations,
    /// Its claims; unsigned ones have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<EventClaims>,
    /// The host.
    pub host_id: HostId,
    /// Its reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_ref: Option<String>,
    /// 1.x repeats the id here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<ComponentId>,
    /// Always `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_name: Option<LinkName>,
    /// The provider.
    pub provider_id: ComponentId,
    /// 1.x repeats the id here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// A provider could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStartFailed {
    /// Why.
    pub error: String,
    /// The provider.
    pub provider_id: ComponentId,
    /// Its reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_ref: Option<String>,
    /// The host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<HostId>,
}

/// A provider ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStopped {
    /// What it was started with.
    #[serde(default)]
    pub annotations: Annotations,
    /// The host.
    pub host_id: HostId,
    /// 1.x repeats the id here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<ComponentId>,
    /// Always `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_name: Option<LinkName>,
    /// The provider.
    pub provider_id: ComponentId,
    /// 1.x repeats the id here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Why: `stop`, or what went wrong.
    #[serde(default)]
    pub reason: String,
}

/// A provider's health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The host.
    pub host_id: HostId,
    /// The provider.
    pub provider_id: ComponentId,
    /// Ours: what the provider says, where it says something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A link was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSetFailed {
    /// Why.
    pub error: String,
    /// The link.
    #[serde(flatten)]
    pub link: Link,
}

/// A link was deleted. 1.x leaves the configuration's names out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkDeleted {
    /// Who called.
    pub source_id: ComponentId,
    /// Who was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ComponentId>,
    /// Its name.
    #[serde(default)]
    pub name: LinkName,
    /// WIT namespace.
    pub wit_namespace: String,
    /// WIT package.
    pub wit_package: String,
    /// The interfaces' names.
    #[serde(default)]
    pub interfaces: Vec<String>,
}

/// A configuration was put or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChanged {
    /// Its name.
    pub config_name: String,
}

impl HostInventory {
    /// A component of this inventory.
    pub fn component(&self, id: &ComponentId) -> Option<&ComponentDescription> {
        self.components.iter().find(|component| &component.id == id)
    }

    /// A provider of this inventory.
    pub fn provider(&self, id: &ComponentId) -> Option<&ProviderDescription> {
        self.providers.iter().find(|provider| &provider.id == id)
    }
}
