//! A provider that a host runs: its process, and its health.

use anyhow::{Result, ensure};
use trellis_lattice::{ComponentId, from_json, provider::Health};

use crate::{lattice::Lattice, process::children_of, wait::until};

/// The one process of a provider of the first host, by a part of its command line.
///
/// # Errors
/// There was not exactly one within the kit's deadline.
pub async fn process_of(lattice: &Lattice, part: &str) -> Result<u32> {
    let host = lattice.host()?.process.id();
    until("the provider's process runs", || async {
        let found = children_of(host, part)?;
        ensure!(found.len() == 1, "{found:?}");
        Ok(found[0])
    })
    .await
}

/// What a provider of the first host says of itself when it is asked as its host asks.
///
/// # Errors
/// It does not answer.
pub async fn health(lattice: &Lattice, id: &str) -> Result<Health> {
    let (id, host) = (ComponentId::new(id)?, &lattice.host()?.id);
    let asked = lattice.control.subjects().provider_health_on(&id, host);
    let nats = lattice.control.nats();
    let answer = nats.request(asked, bytes::Bytes::new()).await?;
    Ok(from_json("health answer", &answer.payload)?)
}
