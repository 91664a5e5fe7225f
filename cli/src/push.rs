//! `trellis push`: a component or a provider archive to a registry.

use std::{fmt, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;
use trellis_registry::{Artefact, Client, Digest, Kind, Reference};

use crate::{
    registry::{Bar, CREDENTIALS, RegistryAccess},
    session::Options,
    sign::read,
};

/// What to push, and where to.
#[derive(Args, Debug)]
#[command(after_help = format!(
    "Example:\n  trellis push ghcr.io/acme/cart:1.0 target/actors/cart.wasm\n  \
     trellis push --insecure-registry localhost:5000 localhost:5000/store:2.1 store.par.gz\n\n{CREDENTIALS}"
))]
pub struct Push {
    /// Where to: REGISTRY/NAME:TAG.
    reference: String,
    /// A component, or a provider archive.
    file: PathBuf,
    /// Push what is not signed, or whose claims don't hold, too: no host runs it unless it is told to.
    #[arg(long)]
    allow_unsigned: bool,
    #[command(flatten)]
    registry: RegistryAccess,
}

/// What was pushed.
#[derive(Serialize)]
struct Report {
    reference: String,
    /// The reference of exactly this.
    by_digest: String,
    digest: Digest,
    content_digest: Digest,
    kind: Kind,
    size_bytes: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "pushed {}, {} bytes, to {}",
            self.kind, self.size_bytes, self.reference
        )?;
        writeln!(f, "exactly this is {}", self.by_digest)
    }
}

impl Push {
    /// Pushes it.
    ///
    /// # Errors
    /// The file is neither of the two or not signed, or the registry doesn't take it.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let reference: Reference = self
            .reference
            .parse()
            .map_err(trellis_registry::RegistryError::from)?;
        let settings = self.registry.settings(Some(reference.registry()))?;
        let bytes = read(&self.file)?;
        let now = OffsetDateTime::now_utc();
        let named = || format!("file {}", self.file.display());
        if !self.allow_unsigned {
            super::pull::check_claims(&bytes, now).with_context(named)?;
        }
        let artefact = Artefact::of(bytes.into(), now).with_context(named)?;
        let bar = Arc::new(Bar::new("pushing", options.output));
        let pushed = Client::new(settings)?
            .push(&reference, &artefact, bar.clone())
            .await;
        bar.end();
        let pushed = pushed?;
        Ok(options.output.print(&Report {
            by_digest: format!(
                "{}/{}@{}",
                reference.registry(),
                reference.repository(),
                pushed.manifest
            ),
            reference: reference.to_string(),
            digest: pushed.manifest,
            content_digest: pushed.content,
            kind: artefact.kind,
            size_bytes: pushed.size,
        })?)
    }
}
