//! An application's history: its versions, and what was done to it when.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use trellis_lattice::app::{AppResult, Deed, Happened, HistoryReply, HistoryVersion};

use super::{Api, Refusal};

impl Api {
    pub(super) async fn history(&self, name: &str) -> Result<HistoryReply, Refusal> {
        let (app, _) = self.store.apps.get(name).await?;
        let Some(app) = app else {
            return Ok(HistoryReply {
                result: AppResult::NotFound,
                message: format!("Application with the name {name} not found"),
                versions: Vec::new(),
                happened: Vec::new(),
            });
        };
        let happened = self.store.notes.history(name).await?;
        let versions = app.manifests.iter().map(|(version, manifest)| {
            let last = |what| last(&happened, version, what);
            HistoryVersion {
                deployed: app.deployed_version.as_ref() == Some(version),
                description: manifest.description().map(str::to_owned),
                put: last(Deed::Put).or_else(|| made(version)),
                last_deployed: last(Deed::Deployed),
                version: version.clone(),
            }
        });
        Ok(HistoryReply {
            result: AppResult::Success,
            message: format!("Successfully fetched history of application {name}"),
            versions: versions.collect(),
            happened,
        })
    }
}

fn last(happened: &[Happened], version: &str, what: Deed) -> Option<String> {
    let of_version = happened
        .iter()
        .rev()
        .find(|one| one.what == what && one.version.as_deref() == Some(version));
    of_version.map(|one| one.at.clone())
}

/// A version that was given its name here, or by 1.x, has the time in it.
fn made(version: &str) -> Option<String> {
    let milliseconds = ulid::Ulid::from_string(version).ok()?.timestamp_ms();
    let seconds = i64::try_from(milliseconds / 1000).ok()?;
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    time.format(&Rfc3339).ok()
}
