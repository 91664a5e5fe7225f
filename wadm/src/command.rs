//! What can be done to a lattice.

use std::fmt;

use trellis_lattice::{
    ComponentId, HostId, Link, LinkKey,
    config::Config,
    control::{
        component::ScaleComponent,
        provider::{StartProvider, StopProvider},
    },
};

/// One thing to do. Doing it twice is as good as once.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Sets a component's instances on a host; zero stops it.
    Scale(ScaleComponent),
    /// Starts a provider on a host.
    StartProvider(StartProvider),
    /// Stops a provider on a host.
    StopProvider(StopProvider),
    /// Puts a link; `replace` when there is another one in its place.
    PutLink {
        /// The link.
        link: Link,
        /// Whether there is another one in its place.
        replace: bool,
    },
    /// Deletes a link.
    DeleteLink(LinkKey),
    /// Puts a configuration.
    PutConfig {
        /// Its name.
        name: String,
        /// Its values.
        config: Config,
    },
    /// Deletes a configuration.
    DeleteConfig(String),
}

/// What a command is about. There is at most one command about the same thing at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A component on a host.
    Component(HostId, ComponentId),
    /// A provider on a host.
    Provider(HostId, ComponentId),
    /// A link.
    Link(LinkKey),
    /// A configuration.
    Config(String),
}

impl Command {
    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Scale(scale) => {
                Subject::Component(scale.host_id.clone(), scale.component_id.clone())
            }
            Self::StartProvider(start) => {
                Subject::Provider(start.host_id.clone(), start.provider_id.clone())
            }
            Self::StopProvider(stop) => {
                Subject::Provider(stop.host_id.clone(), stop.provider_id.clone())
            }
            Self::PutLink { link, .. } => Subject::Link(link.key()),
            Self::DeleteLink(key) => Subject::Link(key.clone()),
            Self::PutConfig { name, .. } | Self::DeleteConfig(name) => {
                Subject::Config(name.clone())
            }
        }
    }

    /// The host that is asked, where it is a certain one.
    pub fn host(&self) -> Option<&HostId> {
        match self {
            Self::Scale(scale) => Some(&scale.host_id),
            Self::StartProvider(start) => Some(&start.host_id),
            Self::StopProvider(stop) => Some(&stop.host_id),
            _ => None,
        }
    }
}

impl fmt::Display for Command {
    /// Without configuration's values: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scale(scale) => write!(
                f,
                "scale component {} to {} on {}",
                scale.component_id, scale.count, scale.host_id
            ),
            Self::StartProvider(start) => {
                write!(
                    f,
                    "start provider {} on {}",
                    start.provider_id, start.host_id
                )
            }
            Self::StopProvider(stop) => {
                write!(f, "stop provider {} on {}", stop.provider_id, stop.host_id)
            }
            Self::PutLink { link, .. } => write!(f, "put link {}{}", link.key(), link.target),
            Self::DeleteLink(key) => write!(f, "delete link {key}"),
            Self::PutConfig { name, .. } => write!(f, "put config {name}"),
            Self::DeleteConfig(name) => write!(f, "delete config {name}"),
        }
    }
}
