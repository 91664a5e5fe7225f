//! `trellis app history`, and `trellis app rollback`, which goes back in it.

use std::{fmt, time::Duration};

use clap::Args;
use serde::Serialize;
use trellis_lattice::app::{Deed, HistoryReply};

use super::{client::AppClient, deploy};
use crate::{
    exit::{NotFound, Usage},
    output::{or_dash, table},
    session::Options,
};

/// An application's history.
#[derive(Serialize)]
pub struct History {
    /// The application.
    name: String,
    #[serde(flatten)]
    history: HistoryReply,
}

impl History {
    /// Of this application.
    pub fn new(name: String, history: HistoryReply) -> Self {
        Self { name, history }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.history.versions.iter().map(|version| {
            vec![
                version.version.clone(),
                if version.deployed { "yes" } else { "-" }.into(),
                or_dash(version.put.clone().unwrap_or_default()),
                or_dash(version.last_deployed.clone().unwrap_or_default()),
                or_dash(version.description.clone().unwrap_or_default()),
            ]
        });
        let columns = ["VERSION", "DEPLOYED", "PUT", "LAST DEPLOYED", "DESCRIPTION"];
        table(f, "", &columns, rows)?;
        if self.history.happened.is_empty() {
            return Ok(());
        }
        writeln!(f)?;
        let rows = self.history.happened.iter().map(|one| {
            vec![
                one.at.clone(),
                word(one.what).into(),
                or_dash(one.version.clone().unwrap_or_default()),
                or_dash(one.why.clone().unwrap_or_default()),
            ]
        });
        table(f, "", &["WHEN", "WHAT", "VERSION", "WHY"], rows)
    }
}

fn word(what: Deed) -> &'static str {
    match what {
        Deed::Put => "put",
        Deed::Deployed => "deployed",
        Deed::Undeployed => "undeployed",
    }
}

/// Where to go back to.
#[derive(Args, Debug)]
pub struct Rollback {
    /// The application.
    name: String,
    /// The version to go back to [default: the one that was deployed before the present one].
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// How long to wait until it runs.
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Don't wait until it runs.
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
}

impl Rollback {
    /// Deploys an older version.
    ///
    /// # Errors
    /// Nothing of that name, none to go back to, refused, failed, or not in time.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let session = options.connect().await?;
        let apps = AppClient::new(&session);
        let version = match self.to {
            Some(version) => version,
            None => before(&self.name, &apps.history(&self.name).await?)?,
        };
        let wait = (!self.no_wait).then_some(self.wait);
        deploy::version(&session, &apps, &self.name, Some(version), wait, &[]).await
    }
}

/// The version that was deployed before the present one; where nobody knows, the one that was put before it.
fn before(name: &str, history: &HistoryReply) -> anyhow::Result<String> {
    let versions = &history.versions;
    let Some(present) = versions.iter().position(|version| version.deployed) else {
        return Err(Usage(format!(
            "application {name} is not deployed: name the version to deploy with --to"
        ))
        .into());
    };
    let is_other = |version: &str| {
        version != versions[present].version
            && versions.iter().any(|known| known.version == version)
    };
    let deployed_before = history
        .happened
        .iter()
        .rev()
        .filter(|one| one.what == Deed::Deployed)
        .filter_map(|one| one.version.as_deref())
        .find(|version| is_other(version));
    let put_before = present
        .checked_sub(1)
        .map(|before| versions[before].version.as_str());
    match deployed_before.or(put_before) {
        Some(version) => Ok(version.to_owned()),
        None => Err(NotFound(format!(
            "application {name} has no version before {}: `trellis app history {name}` shows all there are",
            versions[present].version
        ))
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn history(deployed: &str, happened: &[(&str, &str)]) -> HistoryReply {
        let versions: Vec<_> = ["v1", "v2", "v3"]
            .iter()
            .map(|version| json!({"version": version, "deployed": *version == deployed}))
            .collect();
        let happened: Vec<_> = happened
            .iter()
            .map(|(what, version)| json!({"at": "t", "what": what, "version": version}))
            .collect();
        let reply =
            json!({"result": "success", "message": "", "versions": versions, "happened": happened});
        serde_json::from_value(reply).unwrap()
    }

    #[test]
    fn back_is_to_what_was_deployed_before() {
        let was = |deployed, happened: &[_]| before("a", &history(deployed, happened));
        let happened = [("deployed", "v3"), ("put", "v2"), ("deployed", "v1")];
        assert_eq!(was("v1", &happened).unwrap(), "v3");
        // A version that is gone can't be gone back to.
        assert_eq!(was("v2", &[("deployed", "v0")]).unwrap(), "v1");
        assert_eq!(was("v3", &[]).unwrap(), "v2");
        assert!(was("v1", &[]).unwrap_err().is::<NotFound>());
        assert!(was("", &happened).unwrap_err().is::<Usage>());
    }
}
