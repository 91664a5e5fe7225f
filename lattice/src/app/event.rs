//! Ours: what the application manager tells of applications, as CloudEvents on `wadm.evt.{lattice}.{name}`.

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::StatusInfo;
use crate::{
    event::CloudEvent,
    id::{HostId, LatticeName},
};

/// What these events' types begin with.
const TYPE_PREFIX: &str = "dev.trellis.wadm.";

/// Something that happened to an application, or that concerns some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum AppEvent {
    /// A version was deployed: from now on the lattice is to be so. Whether it is, its status tells.
    #[serde(rename = "app_deployed")]
    Deployed {
        /// The application.
        app: String,
        /// The version.
        version: String,
        /// The version that was deployed before, if any.
        before: Option<String>,
    },
    /// It was undeployed, or deleted.
    #[serde(rename = "app_undeployed")]
    Undeployed {
        /// The application.
        app: String,
        /// The version that was deployed before.
        before: String,
    },
    /// Its status is another than before.
    #[serde(rename = "app_status_changed")]
    StatusChanged {
        /// The application.
        app: String,
        /// The deployed version.
        version: Option<String>,
        /// Its status.
        status: StatusInfo,
    },
    /// Something that was commanded for it failed; it is tried again.
    #[serde(rename = "command_failed")]
    CommandFailed {
        /// The application.
        app: String,
        /// What.
        command: String,
        /// The host that was asked, where it was a certain one.
        host: Option<HostId>,
        /// How often it failed by now.
        failures: u32,
        /// Why.
        error: String,
        /// When it is tried again, in milliseconds.
        retry_in_ms: Option<u64>,
    },
    /// A host is lost.
    #[serde(rename = "host_lost")]
    HostLost {
        /// The host.
        host: HostId,
        /// Its name.
        host_name: String,
        /// The applications of which it ran something.
        apps: Vec<String>,
    },
    /// A PoP can't be seen any more: all of its hosts fell silent together.
    #[serde(rename = "pop_unseen")]
    PopUnseen {
        /// The PoP.
        pop: String,
        /// Its hosts.
        hosts: Vec<HostId>,
        /// The applications of which they ran something.
        apps: Vec<String>,
    },
    /// A PoP is seen again, and it is known which of its hosts are there.
    #[serde(rename = "pop_seen")]
    PopSeen {
        /// The PoP.
        pop: String,
        /// For how long it could not be seen, in milliseconds.
        after_ms: u64,
    },
    /// A rollout went on, paused, ended, failed or went back.
    #[serde(rename = "app_rollout")]
    Rollout {
        /// The application.
        app: String,
        /// The version that it goes to.
        version: String,
        /// What happened: `started`, `progressed`, `paused`, `resumed`, `failed`, `rolling_back`, `rolled_back`, `done`.
        phase: String,
        /// The same for people.
        message: String,
    },
}

impl AppEvent {
    /// The kind's short name, the last token of its subject.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deployed { .. } => "app_deployed",
            Self::Undeployed { .. } => "app_undeployed",
            Self::StatusChanged { .. } => "app_status_changed",
            Self::CommandFailed { .. } => "command_failed",
            Self::HostLost { .. } => "host_lost",
            Self::PopUnseen { .. } => "pop_unseen",
            Self::PopSeen { .. } => "pop_seen",
            Self::Rollout { .. } => "app_rollout",
        }
    }

    /// The event as it travels, now.
    pub fn envelope(&self, lattice: &LatticeName) -> CloudEvent {
        CloudEvent {
            specversion: "1.0".into(),
            id: uuid::Uuid::now_v7().to_string(),
            ty: format!("{TYPE_PREFIX}{}", self.name()),
            source: format!("wadm/{lattice}"),
            datacontenttype: Some("application/json".into()),
            time: OffsetDateTime::now_utc().format(&Rfc3339).ok(),
            // Strings, numbers and lists: they have a JSON form.
            data: serde_json::to_value(self).unwrap_or_default(),
        }
    }

    /// Reads an event; none: its kind is one that this version doesn't know.
    pub fn read(envelope: &CloudEvent) -> Option<Self> {
        serde_json::from_value(envelope.data.clone()).ok()
    }

    /// Whether it concerns an application.
    pub fn concerns(&self, application: &str) -> bool {
        match self {
            Self::Deployed { app, .. }
            | Self::Undeployed { app, .. }
            | Self::StatusChanged { app, .. }
            | Self::CommandFailed { app, .. }
            | Self::Rollout { app, .. } => app == application,
            // All that can't be seen may concern it.
            Self::PopSeen { .. } => true,
            Self::HostLost { apps, .. } | Self::PopUnseen { apps, .. } => {
                apps.iter().any(|app| app == application)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        let lattice = LatticeName::default();
        let (app, to) = ("a".to_owned(), "v2".to_owned());
        let events = [
            AppEvent::Deployed {
                app: app.clone(),
                version: to.clone(),
                before: None,
            },
            AppEvent::Undeployed {
                app: app.clone(),
                before: to.clone(),
            },
            AppEvent::StatusChanged {
                app: app.clone(),
                version: None,
                status: StatusInfo::default(),
            },
            AppEvent::CommandFailed {
                app: app.clone(),
                command: "put config c".into(),
                host: None,
                failures: 1,
                error: "no".into(),
                retry_in_ms: Some(5),
            },
            AppEvent::HostLost {
                host: "H".parse().unwrap(),
                host_name: "edge".into(),
                apps: vec![app.clone()],
            },
            AppEvent::PopUnseen {
                pop: "fra".into(),
                hosts: vec!["H".parse().unwrap()],
                apps: vec![app.clone()],
            },
            AppEvent::Rollout {
                app: app.clone(),
                version: to,
                phase: "paused".into(),
                message: String::new(),
            },
        ];
        for event in events {
            let envelope = event.envelope(&lattice);
            let bytes = serde_json::to_vec(&envelope).unwrap();
            let read = CloudEvent::read(&bytes).unwrap();
            assert_eq!(AppEvent::read(&read), Some(event.clone()));
            assert!(event.concerns("a") && !event.concerns("b"));
        }
    }
}
