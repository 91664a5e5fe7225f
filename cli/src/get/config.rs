//! Named configurations: one with its values, or the names of all.

use std::fmt;

use anyhow::Context as _;
use async_nats::jetstream::{self, context::KeyValueErrorKind};
use futures::TryStreamExt as _;
use serde::Serialize;
use trellis_lattice::{bucket, config::Config};

use crate::{
    exit::NotFound,
    output::{Listing, Row},
    session::Session,
};

/// A configuration's name, as a line.
#[derive(Serialize)]
struct Name {
    name: String,
}

impl Row for Name {
    const COLUMNS: &'static [&'static str] = &["CONFIG"];
    const NONE: &'static str = "no configurations";

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}

/// A configuration's values.
#[derive(Serialize)]
#[serde(transparent)]
struct Values(Config);

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(key, value)| writeln!(f, "{key}={value}"))
    }
}

/// Shows one.
///
/// # Errors
/// There is none of that name, or no answer.
pub async fn show(session: &Session, name: &str) -> anyhow::Result<()> {
    trellis_lattice::config::check_name(name)
        .map_err(|error| crate::exit::Usage(error.to_string()))?;
    let Some(config) = session.control.config(name).await? else {
        let lattice = session.lattice();
        return Err(NotFound(format!(
            "no configuration {name:?} in lattice {lattice:?}: `trellis get config` lists them"
        ))
        .into());
    };
    Ok(session.output.print(&Values(config))?)
}

/// Lists the names. The control interface has no such request: the bucket knows.
///
/// # Errors
/// JetStream is off or doesn't answer.
pub async fn list(session: &Session) -> anyhow::Result<()> {
    let mut names = tokio::time::timeout(session.timeout, names(session))
        .await
        .map_err(|_| crate::exit::NoAnswer("JetStream doesn't answer in time".into()))??;
    names.sort_unstable();
    let names = names.into_iter().map(|name| Name { name }).collect();
    Ok(session.output.print(&Listing::new(names))?)
}

async fn names(session: &Session) -> anyhow::Result<Vec<String>> {
    let bucket = bucket::config_data(session.lattice());
    let jetstream = jetstream::new(session.control.nats().clone());
    let store = match jetstream.get_key_value(&bucket).await {
        Ok(store) => store,
        // Nobody has put a configuration yet, or there is no JetStream: the account knows.
        Err(error) if error.kind() == KeyValueErrorKind::GetBucket => {
            jetstream.query_account().await.context(
                "NATS answers, but without JetStream, which keeps the lattice's state: start it with `nats-server -js`",
            )?;
            return Ok(Vec::new());
        }
        Err(error) => return Err(error).with_context(|| format!("bucket {bucket}")),
    };
    let keys = store
        .keys()
        .await
        .with_context(|| format!("bucket {bucket}"))?;
    keys.try_collect()
        .await
        .with_context(|| format!("bucket {bucket}"))
}
