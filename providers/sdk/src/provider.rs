//! What a provider author implements.

use std::{future::Future, sync::Arc};

use serde::de::DeserializeOwned;
use trellis_lattice::{LinkKey, provider::Health};
use trellis_rpc::Handler;

use crate::{error::LinkError, lattice::Lattice, link::LinkConfig};

/// A capability provider. [`crate::run`] makes a process of it.
///
/// The methods about links are called one after the other, in the order the host sent them; they should not wait for
/// a slow backend, but connect lazily or answer [`LinkError::Unavailable`] and be asked again.
///
/// A put link that is there already, unchanged, is not given again. One that changed (its configuration, its target,
/// its interfaces) is given again and replaces the earlier one: requests that run must not fail because of it.
pub trait Provider: Sized + Send + Sync + 'static {
    /// The provider's name, in logs and in NATS' own monitoring.
    const NAME: &'static str;

    /// What it does and what its configuration means, for its `--help`; `include_str!("../README.md")` is a good one.
    const ABOUT: &'static str = "";

    /// The provider's own configuration; [`crate::config::NoConfig`] for none.
    type Config: DeserializeOwned + Send;
    /// A link's `source_config`, when the provider is its source.
    type SourceConfig: DeserializeOwned + Send;
    /// A link's `target_config`, when the provider is its target.
    type TargetConfig: DeserializeOwned + Send;

    /// Makes the provider. Links follow.
    ///
    /// # Errors
    /// The provider's process ends with the error.
    fn start(
        config: Self::Config,
        lattice: Lattice,
    ) -> impl Future<Output = Result<Self, StartError>> + Send;

    /// What answers calls of components; none when the provider only calls.
    fn handler(self: &Arc<Self>) -> Option<Arc<dyn Handler>> {
        None
    }

    /// A link in which this provider calls the component was put or changed.
    ///
    /// # Errors
    /// See [`LinkError`]: which of them are tried again.
    fn receive_link_config_as_source(
        &self,
        link: LinkConfig<Self::SourceConfig>,
    ) -> impl Future<Output = Result<(), LinkError>> + Send {
        async move {
            Err(LinkError::Refused(format!(
                "{link}: {} calls no component",
                Self::NAME
            )))
        }
    }

    /// A link in which the component calls this provider was put or changed.
    ///
    /// # Errors
    /// See [`LinkError`]: which of them are tried again.
    fn receive_link_config_as_target(
        &self,
        link: LinkConfig<Self::TargetConfig>,
    ) -> impl Future<Output = Result<(), LinkError>> + Send {
        async move {
            Err(LinkError::Refused(format!(
                "{link}: {} answers no calls",
                Self::NAME
            )))
        }
    }

    /// A link in which this provider calls the component was deleted. Also for one that was refused.
    fn delete_link_as_source(&self, link: &LinkKey) -> impl Future<Output = ()> + Send {
        let _ = link;
        async {}
    }

    /// A link in which the component calls this provider was deleted. Also for one that was refused.
    fn delete_link_as_target(&self, link: &LinkKey) -> impl Future<Output = ()> + Send {
        let _ = link;
        async {}
    }

    /// The provider's own configuration changed. By default that is only logged.
    fn update_config(&self, config: Self::Config) -> impl Future<Output = ()> + Send {
        drop(config);
        async {
            tracing::warn!(
                "the configuration changed; it takes effect when the provider is started again"
            );
        }
    }

    /// Whether the provider can do its work. Links that could not be taken are added to it.
    fn health(&self) -> impl Future<Output = Health> + Send {
        async {
            Health {
                healthy: true,
                message: None,
            }
        }
    }

    /// Takes no new work of its own, requests or messages, and finishes what is going on. Calls of components are still
    /// answered, since what is to be finished may need them: their links stay. They are drained next, and after five seconds
    /// in any case.
    fn shutdown(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Clears up after the last call of a component. The process ends when this returns, or at the latest
    /// [`crate::DRAIN_LIMIT`] after [`Self::shutdown`] began.
    fn ended(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Why a provider did not start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);
