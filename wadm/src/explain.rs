//! Why an application is as it is: for each instance why it is where it is, for each missing one what stands in the
//! way. Pure: made of what the reconciler knows, when somebody asks.

mod workload;

use std::{collections::BTreeMap, time::Instant};

use trellis_lattice::{
    HostId,
    app::{
        AttemptReport, ConfigReport, Explanation, LinkReport, LostHost, StatusInfo, StatusType,
        UnseenPop,
    },
};

use crate::{
    attempts::Attempts,
    command::Subject,
    desired::{App, Part, PartKind, Want},
    names,
    observed::{Host, Observed},
    plan::{AppState, State, place, unseen::time},
};

/// What is known of an application.
pub struct View<'a> {
    /// Its name.
    pub name: &'a str,
    /// It as it ought to be; none when it is not deployed.
    pub app: Option<&'a App>,
    /// How its parts are, as the last plan saw it.
    pub state: &'a AppState,
    /// How it is as a whole.
    pub status: StatusInfo,
    /// Why its components and providers are placed as they are.
    pub placements: &'a [place::explain::Explanation],
    /// The lattice.
    pub observed: &'a Observed,
    /// What was tried.
    pub attempts: &'a Attempts,
    /// The hosts that were lost lately, the latest first.
    pub lost: Vec<LostHost>,
    /// Now.
    pub now: Instant,
}

/// Explains an application.
pub fn explain(view: View<'_>) -> Explanation {
    let nothing = App::default();
    let app = view.app.unwrap_or(&nothing);
    let (mut components, mut links) = (Vec::new(), Vec::new());
    for part in &app.parts {
        match part.kind {
            PartKind::Link => links.push(view.link(part)),
            PartKind::Spread | PartKind::Daemon => components.push(view.workload(part)),
        }
    }
    Explanation {
        name: view.name.to_owned(),
        version: view.app.map(|app| app.version.clone()),
        hosts: view.observed.hosts.len(),
        components,
        links,
        configs: view.configs(app),
        leftovers: view.state.leftovers.clone(),
        status: view.status,
        lost_hosts: view.lost,
        unseen_pops: unseen_pops(view.name, view.observed),
    }
}

/// The PoPs that can't be seen, and what of an application ran there.
fn unseen_pops(app: &str, observed: &Observed) -> Vec<UnseenPop> {
    let mut pops: BTreeMap<&str, UnseenPop> = BTreeMap::new();
    for (id, unseen) in &observed.unseen {
        let pop = pops.entry(&unseen.pop).or_insert_with(|| UnseenPop {
            pop: unseen.pop.clone(),
            since: time(unseen.since),
            hosts: Vec::new(),
            ran: Vec::new(),
        });
        pop.hosts.push(host_name(id, &unseen.host));
        let components = unseen.host.components.iter();
        let components = components.map(|(id, it)| (id, &it.annotations));
        let providers = unseen.host.providers.iter();
        let providers = providers.map(|(id, it)| (id, &it.annotations));
        for (id, annotations) in components.chain(providers) {
            if names::managed_app(annotations) == Some(app) && !pop.ran.contains(id) {
                pop.ran.push(id.clone());
            }
        }
    }
    pops.into_values().collect()
}

/// A host's name for people.
fn host_name(id: &HostId, host: &Host) -> String {
    match host.friendly_name.as_str() {
        "" => id.to_string(),
        name => name.to_owned(),
    }
}

impl View<'_> {
    fn attempt(&self, subject: &Subject) -> Option<AttemptReport> {
        self.attempts.report(subject, self.now)
    }

    /// How a part is, in the plan's words.
    fn status_of(&self, part: &Part) -> StatusInfo {
        let state = self.state.parts.iter().find(|one| one.id == part.id);
        let (ty, message) = match state.map(|state| &state.state) {
            Some(State::Deployed) => (StatusType::Deployed, ""),
            Some(State::Unhealthy(why)) => (StatusType::Unhealthy, why.as_str()),
            Some(State::Reconciling(why)) => (StatusType::Reconciling, why.as_str()),
            Some(State::Failed(why)) => (StatusType::Failed, why.as_str()),
            None => (StatusType::Waiting, "no plan was made for it yet"),
        };
        StatusInfo {
            ty,
            message: message.to_owned(),
        }
    }

    fn link(&self, part: &Part) -> LinkReport {
        let status = self.status_of(part);
        let attempt = match &part.want {
            Ok(Want::Link(link)) => self.attempt(&Subject::Link(link.key())),
            _ => None,
        };
        LinkReport {
            link: part.name.clone(),
            there: status.ty == StatusType::Deployed,
            status: after(status, attempt.as_ref(), false),
            attempt,
        }
    }

    fn configs(&self, app: &App) -> Vec<ConfigReport> {
        let configs = app.configs.iter().map(|(name, wanted)| {
            let there = self.observed.configs.get(name);
            let why = match (there, wanted) {
                (None, _) => "not read yet",
                (Some(None), Some(_)) => "not put yet",
                (Some(None), None) => {
                    "not in the lattice, and the manifest gives no properties for it: put it with `trellis config put`"
                }
                (Some(Some(there)), Some(wanted)) if there != wanted => {
                    "has other values than the manifest's; they are being put"
                }
                (Some(Some(_)), _) => "",
            };
            ConfigReport {
                name: name.clone(),
                is_own: wanted.is_some(),
                there: why.is_empty(),
                why: why.to_owned(),
                attempt: self.attempt(&Subject::Config(name.clone())),
            }
        });
        configs.collect()
    }
}

/// How something is that is on its way, after an attempt at it failed. What runs somewhere has not failed.
fn after(status: StatusInfo, attempt: Option<&AttemptReport>, runs: bool) -> StatusInfo {
    let Some((attempt, error)) = attempt.and_then(|one| Some((one, one.error.as_ref()?))) else {
        return status;
    };
    if status.ty != StatusType::Reconciling {
        return status;
    }
    StatusInfo {
        ty: match runs {
            true => StatusType::Unhealthy,
            false => StatusType::Failed,
        },
        message: format!("{}: {error}; trying again", attempt.command),
    }
}
