//! `trellis start`, `stop` and `scale`: what runs, host by host. Applications do this by themselves; this
//! is for looking into things.

mod component;
pub mod outcome;
mod provider;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use trellis_lattice::{ComponentId, control::Annotations};

use crate::{
    config::pair,
    output::Done,
    session::{Options, Session},
};

/// Sets a component's scale.
#[derive(Args, Debug)]
pub struct Scale {
    /// The component's id.
    component: ComponentId,
    /// How many calls of it may run at once on a host; 0 stops it there.
    count: u32,
    /// The image [default: what runs now].
    #[arg(long, value_name = "REFERENCE")]
    image: Option<String>,
    #[command(flatten)]
    with: ComponentOptions,
}

/// What to start.
#[derive(Subcommand, Debug)]
pub enum Start {
    /// Start a component.
    #[command(
        after_help = "Example:\n  trellis start component shop-cart file:///srv/cart.wasm --count 10"
    )]
    Component {
        /// The id it gets.
        component: ComponentId,
        /// The image: file:///path/to.wasm.
        image: String,
        /// How many calls of it may run at once.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
        #[command(flatten)]
        with: ComponentOptions,
    },
    /// Start a provider.
    #[command(after_help = "Example:\n  trellis start provider shop-http builtin:http-server")]
    Provider {
        /// The id it gets.
        provider: ComponentId,
        /// builtin:NAME, or file:// of an archive or an executable.
        image: String,
        #[command(flatten)]
        with: RunOptions,
    },
}

/// What to stop.
#[derive(Subcommand, Debug)]
pub enum Stop {
    /// Stop a component.
    #[command(after_help = "Example:\n  trellis stop component shop-cart")]
    Component {
        /// Its id.
        component: ComponentId,
        /// The host [default: every host that runs it].
        #[arg(long)]
        host: Option<String>,
    },
    /// Stop a provider.
    #[command(after_help = "Example:\n  trellis stop provider shop-http --host edge-1")]
    Provider {
        /// Its id.
        provider: ComponentId,
        /// The host [default: every host that runs it].
        #[arg(long)]
        host: Option<String>,
    },
    /// Stop a host.
    #[command(after_help = "Example:\n  trellis stop host edge-1 --drain 10s")]
    Host {
        /// The host: its id or name, or the beginning of one.
        host: String,
        /// How long calls in flight may take to end.
        #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
        drain: Option<Duration>,
    },
}

/// How a component or a provider is started.
#[derive(Args, Debug)]
pub struct RunOptions {
    /// The host: its id or name, or the beginning of one [default: the one that runs it, or the only one].
    #[arg(long)]
    host: Option<String>,
    /// A named configuration for it; repeatable, later ones win.
    #[arg(long, value_name = "NAME")]
    config: Vec<String>,
    /// An annotation, shown by inventories; repeatable.
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = pair)]
    annotations: Vec<(String, String)>,
    /// Don't wait until it is done.
    #[arg(long)]
    no_wait: bool,
}

/// How a component is started.
#[derive(Args, Debug)]
pub struct ComponentOptions {
    #[command(flatten)]
    run: RunOptions,
    /// The most memory of one instance, in bytes.
    #[arg(long, value_name = "BYTES")]
    max_memory: Option<u64>,
    /// The longest one call may run.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    max_time: Option<Duration>,
    /// Let an instance that answered a call answer another: for components that keep nothing of one call that another must
    /// not see.
    #[arg(long)]
    reuse: bool,
    /// Replace the image if another one runs under this id.
    #[arg(long)]
    update: bool,
}

impl RunOptions {
    fn annotations(&self) -> Option<Annotations> {
        let annotations: Annotations = self.annotations.iter().cloned().collect();
        (!annotations.is_empty()).then_some(annotations)
    }
}

impl Scale {
    /// Does it.
    ///
    /// # Errors
    /// No such component, refused, failed, or no answer.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let session = options.connect().await?;
        component::scale(
            &session,
            &self.component,
            self.image,
            self.count,
            &self.with,
        )
        .await
    }
}

impl Start {
    /// Does it.
    ///
    /// # Errors
    /// Refused, failed, or no answer.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let session = options.connect().await?;
        match self {
            Self::Component {
                component,
                image,
                count,
                with,
            } => component::scale(&session, &component, Some(image), count, &with).await,
            Self::Provider {
                provider,
                image,
                with,
            } => provider::start(&session, provider, image, &with).await,
        }
    }
}

impl Stop {
    /// Does it.
    ///
    /// # Errors
    /// It doesn't run, or no answer.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let session = options.connect().await?;
        match self {
            Self::Component { component, host } => {
                component::stop(&session, &component, host.as_deref()).await
            }
            Self::Provider { provider, host } => {
                provider::stop(&session, &provider, host.as_deref()).await
            }
            Self::Host { host, drain } => stop_host(&session, &host, drain).await,
        }
    }
}

async fn stop_host(session: &Session, host: &str, drain: Option<Duration>) -> anyhow::Result<()> {
    let host = session.host(Some(host)).await?;
    session.control.stop_host(&host.id, drain).await?;
    let message = format!("host {} ({}) stops", host.friendly_name, host.id);
    Ok(session
        .output
        .print(&Done::new(message, json!({ "host_id": host.id })))?)
}

/// A reference as hosts want it: a path of this machine becomes an absolute `file://` reference.
///
/// # Errors
/// The path can't be made absolute.
fn reference(image: &str) -> anyhow::Result<String> {
    if image.contains("://") || image.starts_with("builtin:") {
        return Ok(image.to_owned());
    }
    let path = std::path::Path::new(image);
    // A path is what looks like one; `registry/name:tag` is a reference.
    if path.is_file() || image.starts_with(['/', '.']) {
        return Ok(format!("file://{}", std::path::absolute(path)?.display()));
    }
    Ok(image.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_references() {
        assert_eq!(reference("/a/b.wasm").unwrap(), "file:///a/b.wasm");
        assert!(reference("./b.wasm").unwrap().starts_with("file:///"));
        for other in ["file:///a", "builtin:http-server", "ghcr.io/a/b:1"] {
            assert_eq!(reference(other).unwrap(), other);
        }
    }
}
