//! The counter actor, which keeps its counts with a provider.

use anyhow::Result;
use trellis_lattice::Link;

use crate::lattice::Lattice;

/// Runs the counter as `counter`, linked to the provider `kv`: a Redis by these settings of the link.
///
/// # Errors
/// The host refuses a part of it.
pub async fn run_on_redis(
    lattice: &Lattice,
    settings: &[(&str, &str)],
    instances: u32,
) -> Result<()> {
    lattice.config("kv", settings).await?;
    lattice
        .run_actor("counter", "http_counter", instances)
        .await?;
    lattice
        .run_provider("kv", "builtin:keyvalue-redis", &[])
        .await?;
    let link = Lattice::link("counter", "kv", "wasi:keyvalue", &["store", "atomics"])?;
    let link = Link {
        target_config: vec!["kv".into()],
        ..link
    };
    Ok(lattice.control.put_link(&link).await?)
}
