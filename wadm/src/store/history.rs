//! What was done to each application, and when. Only for people: nothing is decided by it.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use trellis_lattice::app::{Deed, Happened};

use super::{Notes, StoreError, bucket::Edit};

const HISTORY: &str = "history.";

/// How much is remembered of an application.
const MAX_HAPPENED: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct History {
    #[serde(default)]
    happened: Vec<Happened>,
}

impl Notes {
    /// What was done to an application, oldest first.
    ///
    /// # Errors
    /// JetStream doesn't answer, or the entry holds something else.
    pub async fn history(&self, app: &str) -> Result<Vec<Happened>, StoreError> {
        let (history, _) = self
            .bucket()
            .read::<History>(&format!("{HISTORY}{app}"))
            .await?;
        Ok(history.unwrap_or_default().happened)
    }

    /// Remembers what was done to an application. It is done already, so what can't be noted is only logged.
    pub async fn remember(&self, app: &str, what: Deed, version: Option<&str>, why: Option<&str>) {
        let at = OffsetDateTime::now_utc()
            .replace_nanosecond(0)
            .ok()
            .and_then(|now| now.format(&Rfc3339).ok());
        let happened = Happened {
            at: at.unwrap_or_default(),
            what,
            version: version.map(str::to_owned),
            why: why.map(str::to_owned),
        };
        let edited = self
            .bucket()
            .edit(&format!("{HISTORY}{app}"), |history: Option<History>| {
                let mut history = history.unwrap_or_default();
                history.happened.push(happened.clone());
                let superfluous = history.happened.len().saturating_sub(MAX_HAPPENED);
                history.happened.drain(..superfluous);
                Ok::<_, std::convert::Infallible>(Edit::Write(history, ()))
            })
            .await;
        if let Err(error) = edited {
            tracing::warn!(%error, app, "could not note the application's history");
        }
    }

    /// Forgets what was done to an application.
    pub async fn forget_history(&self, app: &str) {
        let edited = self
            .bucket()
            .edit(&format!("{HISTORY}{app}"), |history: Option<History>| {
                Ok::<_, std::convert::Infallible>(match history {
                    Some(_) => Edit::Delete(()),
                    None => Edit::Keep(()),
                })
            })
            .await;
        if let Err(error) = edited {
            tracing::warn!(%error, app, "could not forget the application's history");
        }
    }
}
