//! In which JetStream domain a bucket is, in a lattice whose PoPs have one each beside the hub's; and the mark of a bucket
//! that must not leave its region.

use std::fmt;

use async_nats::jetstream::{Context, kv::Store};
use serde::Deserialize;
use trellis_provider::contract::{Place, Within};

/// The mark, in the bucket's metadata. Whoever opens the bucket reads it, wherever that is.
const RESIDENCY: &str = "trellis_residency";

/// Where a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// In the lattice's own domain, the hub's: one bucket for all PoPs. Nothing of it can be had while the hub is away.
    Global,
    /// In the domain of the provider's own server: each PoP has a bucket of its own.
    Local,
    /// At the hub, and copied to the PoP: written there, read here, also while the hub is away.
    Replicated,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Global => "global",
            Self::Local => "local",
            Self::Replicated => "replicated",
        })
    }
}

/// What a bucket's mark says, if it has one.
fn mark(bucket: &Store) -> Option<Result<Within, String>> {
    let text = bucket.stream.cached_info().config.metadata.get(RESIDENCY)?;
    Some(text.parse::<Within>().map_err(|error| error.to_string()))
}

/// Whether a bucket may be used from here, and be copied.
///
/// # Errors
/// The bucket is kept within something else.
pub(crate) fn admit(bucket: &Store, place: Option<&Place>, is_copied: bool) -> Result<(), String> {
    let Some(within) = mark(bucket) else {
        return Ok(());
    };
    let within = within.map_err(|error| format!("its mark {RESIDENCY:?}: {error}"))?;
    let what = format!("NATS bucket {:?}", bucket.name);
    let inside = within.check(place, what, "this provider");
    inside.map_err(|error| error.to_string())?;
    match is_copied {
        true => Err(format!(
            "it is kept within {within}, so it is not copied: it can't be `placement: replicated`"
        )),
        false => Ok(()),
    }
}

/// Marks a bucket as one that is kept within something. A mark that is there already stays.
///
/// # Errors
/// NATS refuses.
pub(crate) async fn mark_as_kept(
    context: &Context,
    bucket: &Store,
    within: &Within,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if mark(bucket).is_some() {
        return Ok(());
    }
    let mut config = bucket.stream.cached_info().config.clone();
    config
        .metadata
        .insert(RESIDENCY.to_owned(), within.to_string());
    context.update_stream(config).await?;
    Ok(())
}
