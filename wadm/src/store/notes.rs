//! The manager's own notes on a lattice: what it put there for each application, and how each application is.
//! Whoever leads next goes on from them, so a crash leaves nothing behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use trellis_lattice::{HostId, LinkKey, app::AppStatus};

use super::{Bucket, StoreError};
use crate::{
    observed::Host,
    rollout::{Moment, Rollout},
};

const OWNED: &str = "owned.";
const STATUS: &str = "status.";
const ROLLOUT: &str = "rollout.";
const HOST: &str = "host.";

/// How long it is remembered that an application was, after nothing of it is left. A host that was cut off for longer
/// keeps what it ran for it.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What was put into the lattice for an application, or is about to be. Components and providers are not noted: they
/// carry annotations. Empty after an undeploy: it tells that what still carries the annotations has to go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Links.
    #[serde(default)]
    pub links: BTreeSet<LinkKey>,
    /// Configurations.
    #[serde(default)]
    pub configs: BTreeSet<String>,
}

/// What runs on a host of a PoP and counts as running there when the PoP can't be seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NotedHost {
    /// The host, with no more than that.
    pub host: Host,
    /// Since when it can't be seen; none while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Moment>,
}

/// How an application was when it was noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedStatus {
    /// Its status.
    #[serde(flatten)]
    pub status: AppStatus,
    /// The number of the leadership that noted it ([`crate::lease::Entry::fence`]); 0 when that is not known. A later one
    /// has not looked yet.
    #[serde(default)]
    pub fence: u64,
}

/// The notes.
#[derive(Clone, Debug)]
pub struct Notes {
    bucket: Bucket,
}

impl Notes {
    pub(super) fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }

    pub(crate) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// What was put into the lattice, by application. Forgets applications that were long ago.
    ///
    /// # Errors
    /// JetStream doesn't answer, or an entry holds something else.
    pub async fn owned(&self) -> Result<BTreeMap<String, Owned>, StoreError> {
        let mut all = BTreeMap::new();
        for key in self.bucket.keys().await? {
            if let Some(app) = key.strip_prefix(OWNED)
                && let (Some(owned), revision) = self.bucket.read::<Owned>(&key).await?
            {
                let is_old = owned == Owned::default()
                    && self
                        .bucket
                        .age(&key)
                        .await?
                        .is_some_and(|age| age > REMEMBERED);
                if is_old {
                    self.bucket.delete(&key, revision).await?;
                    continue;
                }
                all.insert(app.to_owned(), owned);
            }
        }
        Ok(all)
    }

    /// Notes what an application has in the lattice.
    ///
    /// # Errors
    /// JetStream doesn't answer.
    pub async fn set_owned(&self, app: &str, owned: &Owned) -> Result<(), StoreError> {
        self.set(&format!("{OWNED}{app}"), owned).await
    }

    /// How an application is; `None` when nothing is known of it.
    ///
    /// # Errors
    /// JetStream doesn't answer, or the entry holds something else.
    pub async fn status(&self, app: &str) -> Result<Option<NotedStatus>, StoreError> {
        let (status, _) = self.bucket.read(&format!("{STATUS}{app}")).await?;
        Ok(status)
    }

    /// Notes how an application is.
    ///
    /// # Errors
    /// JetStream doesn't answer.
    pub async fn set_status(&self, app: &str, status: &NotedStatus) -> Result<(), StoreError> {
        self.set(&format!("{STATUS}{app}"), status).await
    }

    /// Forgets how an application is.
    ///
    /// # Errors
    /// JetStream doesn't answer.
    pub async fn forget_status(&self, app: &str) -> Result<(), StoreError> {
        let key = format!("{STATUS}{app}");
        let (status, revision) = self.bucket.read::<NotedStatus>(&key).await?;
        if status.is_some() {
            self.bucket.delete(&key, revision).await?;
        }
        Ok(())
    }

    /// How far rollouts are, by application.
    ///
    /// # Errors
    /// JetStream doesn't answer, or an entry holds something else.
    pub async fn rollouts(&self) -> Result<BTreeMap<String, Rollout>, StoreError> {
        let mut all = BTreeMap::new();
        for key in self.bucket.keys().await? {
            if let Some(app) = key.strip_prefix(ROLLOUT)
                && let (Some(rollout), _) = self.bucket.read::<Rollout>(&key).await?
            {
                all.insert(app.to_owned(), rollout);
            }
        }
        Ok(all)
    }

    /// How far an application's last rollout is; `None` when nothing was rolled out.
    ///
    /// # Errors
    /// JetStream doesn't answer, or the entry holds something else.
    pub async fn rollout(&self, app: &str) -> Result<Option<Rollout>, StoreError> {
        let (rollout, _) = self.bucket.read(&format!("{ROLLOUT}{app}")).await?;
        Ok(rollout)
    }

    /// Notes how far an application's rollout is.
    ///
    /// # Errors
    /// JetStream doesn't answer.
    pub async fn set_rollout(&self, app: &str, rollout: &Rollout) -> Result<(), StoreError> {
        self.set(&format!("{ROLLOUT}{app}"), rollout).await
    }

    /// Forgets an application's rollout.
    ///
    /// # Errors
    /// JetStream doesn't answer.
    pub async fn forget_rollout(&self, app: &str) -> Result<(), StoreError> {
        let key = format!("{ROLLOUT}{app}");
        let (rollout, revision) = self.bucket.read::<Rollout>(&key).await?;
        if rollout.is_some() {
            self.bucket.delete(&key, revision).await?;
        }
        Ok(())
    }

    /// What is noted of hosts of PoPs.
    ///
    /// # Errors
    /// JetStream doesn't answer, or an entry holds something else.
    pub async fn hosts(&self) -> Result<BTreeMap<HostId, NotedHost>, StoreError> {
        let mut all = BTreeMap::new();
        for key in self.bucket.keys().await? {
            if let Some(Ok(id)) = key.strip_prefix(HOST).map(HostId::new)
                && let (Some(host), _) = self.bucket.read::<NotedHost>(&key).await?
            {
                all.insert(id, host);
            }
        }
        Ok(all)
    }

    /// Notes a host of a PoP.
    ///
    /// # Errors
    /// JetStream doesn't answer.
    pub async fn set_host(&self, id: &HostId, host: &NotedHost) -> Result<(), StoreError> {
        self.set(&format!("{HOST}{id}"), host).await
    }

    /// Forgets a host.
    ///
    /// # Errors
    /// JetStream doesn't answer.
    pub async fn forget_host(&self, id: &HostId) -> Result<(), StoreError> {
        let key = format!("{HOST}{id}");
        let (host, revision) = self.bucket.read::<NotedHost>(&key).await?;
        if host.is_some() {
            self.bucket.delete(&key, revision).await?;
        }
        Ok(())
    }

    /// Only the leader writes, so the last write is right; one from a leader that was is overwritten.
    async fn set<T>(&self, key: &str, value: &T) -> Result<(), StoreError>
    where
        T: Serialize + serde::de::DeserializeOwned + PartialEq + Clone,
    {
        let edited = self
            .bucket
            .edit(key, |old: Option<T>| {
                Ok::<_, std::convert::Infallible>(match old {
                    Some(old) if old == *value => super::bucket::Edit::Keep(()),
                    _ => super::bucket::Edit::Write(value.clone(), ()),
                })
            })
            .await?;
        match edited {
            Ok(()) => Ok(()),
            Err(never) => match never {},
        }
    }
}
