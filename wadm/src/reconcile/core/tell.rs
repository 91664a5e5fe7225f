//! What is told of applications: events as they happen, and why each is as it is, when somebody asks.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use trellis_lattice::{
    ComponentId, HostId,
    app::{AppEvent, AppStatus, Explanation, LostHost, StatusInfo, StatusType},
};

use super::Core;
use crate::{
    attempts::Attempts,
    command::Subject,
    desired::App,
    explain::{self, View},
    names,
    observed::Host,
    plan::{AppState, Plan, place},
};

/// How many lost hosts are remembered.
const MAX_LOST: usize = 64;

/// How long a lost host is told of.
const LOST_FOR: Duration = Duration::from_secs(60 * 60);

/// How many events wait to be told; of more, the oldest are dropped.
const MAX_EVENTS: usize = 4096;

/// What was told, and what is to be.
#[derive(Debug, Default)]
pub(super) struct Teller {
    events: VecDeque<AppEvent>,
    /// The deployed versions; none: it is not known yet what was deployed before.
    versions: Option<BTreeMap<String, String>>,
    statuses: BTreeMap<String, StatusInfo>,
    /// Whether all was read once. Until then statuses come from what is not known yet, and are not told.
    is_settled: bool,
    /// How each application's parts are, by the last plan; none before the first.
    states: Option<BTreeMap<String, AppState>>,
    /// How often each command has failed.
    failures: BTreeMap<Subject, u32>,
    /// The latest last.
    lost: VecDeque<Lost>,
}

#[derive(Debug)]
struct Lost {
    host: HostId,
    name: String,
    at: Instant,
    /// What it ran, and of which application.
    ran: Vec<(String, ComponentId)>,
}

impl Teller {
    /// What there is to tell.
    pub(super) fn events(&mut self) -> impl Iterator<Item = AppEvent> {
        self.events.drain(..)
    }

    /// These are deployed now.
    pub(super) fn deployed(&mut self, desired: &BTreeMap<String, App>) {
        let now: BTreeMap<String, String> = desired
            .iter()
            .map(|(name, app)| (name.clone(), app.version.clone()))
            .collect();
        // What a manager finds when it begins is no news.
        if let Some(before) = self.versions.take() {
            for (app, version) in &now {
                let old = before.get(app);
                if old != Some(version) {
                    self.event(AppEvent::Deployed {
                        app: app.clone(),
                        version: version.clone(),
                        before: old.cloned(),
                    });
                }
            }
            for (app, version) in before {
                if !now.contains_key(&app) {
                    self.event(AppEvent::Undeployed {
                        app,
                        before: version,
                    });
                }
            }
        }
        self.versions = Some(now);
    }

    /// An application's status; none when it is gone for good.
    pub(super) fn status(&mut self, app: &str, version: Option<&str>, status: Option<&AppStatus>) {
        let now = status.map(|status| &status.status);
        let before = self.statuses.get(app);
        if before == now {
            return;
        }
        let is_news = match (before, now) {
            _ if !self.is_settled => false,
            (Some(before), Some(now)) => before.ty != now.ty,
            // What was never deployed is no news.
            (None, Some(now)) => now.ty != StatusType::Undeployed,
            (_, None) => false,
        };
        match now {
            Some(now) => self.statuses.insert(app.to_owned(), now.clone()),
            None => self.statuses.remove(app),
        };
        if let (true, Some(status)) = (is_news, now) {
            self.event(AppEvent::StatusChanged {
                app: app.to_owned(),
                version: version.map(str::to_owned),
                status: status.clone(),
            });
        }
    }

    /// All was read that had to be.
    pub(super) fn settled(&mut self) {
        self.is_settled = true;
    }

    /// Forgets applications that are no more.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.statuses.retain(|app, _| is_there(app));
    }

    /// A plan was made.
    pub(super) fn planned(&mut self, plan: Plan, attempts: &Attempts, now: Instant) {
        let mut failures = BTreeMap::new();
        for step in &plan.steps {
            let subject = step.command.subject();
            let Some(report) = attempts.report(&subject, now) else {
                continue;
            };
            if report.failures == 0 {
                continue;
            }
            let known = self.failures.get(&subject).copied().unwrap_or_default();
            failures.insert(subject, report.failures);
            if let Some(error) = report.error
                && report.failures > known
            {
                self.event(AppEvent::CommandFailed {
                    app: step.app.clone(),
                    command: report.command,
                    host: step.command.host().cloned(),
                    failures: report.failures,
                    error,
                    retry_in_ms: report.retry_in_ms,
                });
            }
        }
        self.failures = failures;
        self.states = Some(plan.apps);
    }

    /// A host is lost, with all that it ran.
    pub(super) fn lost(&mut self, id: &HostId, host: &Host, now: Instant) {
        let ran = ran(host);
        let apps = apps(&ran);
        self.event(AppEvent::HostLost {
            host: id.clone(),
            host_name: host.friendly_name.clone(),
            apps,
        });
        if self.lost.len() >= MAX_LOST {
            self.lost.pop_front();
        }
        self.lost.push_back(Lost {
            host: id.clone(),
            name: host.friendly_name.clone(),
            at: now,
            ran,
        });
    }

    /// A PoP can't be seen any more, with all that its hosts ran.
    pub(super) fn unseen(&mut self, pop: &str, hosts: &[(HostId, Host)]) {
        let ran: Vec<_> = hosts.iter().flat_map(|(_, host)| ran(host)).collect();
        self.event(AppEvent::PopUnseen {
            pop: pop.to_owned(),
            hosts: hosts.iter().map(|(id, _)| id.clone()).collect(),
            apps: apps(&ran),
        });
    }

    /// A PoP is seen again.
    pub(super) fn seen(&mut self, pop: &str, after: Duration) {
        self.event(AppEvent::PopSeen {
            pop: pop.to_owned(),
            after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        });
    }

    fn event(&mut self, event: AppEvent) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn lost_lately(&self, app: &str, now: Instant) -> Vec<LostHost> {
        let lost = self.lost.iter().rev();
        let lately = lost.map(|lost| (lost, now.saturating_duration_since(lost.at)));
        lately
            .take_while(|(_, ago)| *ago <= LOST_FOR)
            .map(|(lost, ago)| LostHost {
                host: lost.host.clone(),
                name: lost.name.clone(),
                ago_ms: u64::try_from(ago.as_millis()).unwrap_or(u64::MAX),
                ran: lost
                    .ran
                    .iter()
                    .filter(|(of, _)| of == app)
                    .map(|(_, id)| id.clone())
                    .collect(),
            })
            .collect()
    }
}

/// What a host runs, and of which application.
fn ran(host: &Host) -> Vec<(String, ComponentId)> {
    let components = host.components.iter();
    let components = components.map(|(id, there)| (id, &there.annotations));
    let providers = host.providers.iter();
    let providers = providers.map(|(id, there)| (id, &there.annotations));
    components
        .chain(providers)
        .filter_map(|(id, annotations)| {
            Some((names::managed_app(annotations)?.to_owned(), id.clone()))
        })
        .collect()
}

/// Its applications, each once.
fn apps(ran: &[(String, ComponentId)]) -> Vec<String> {
    let apps: BTreeSet<&String> = ran.iter().map(|(app, _)| app).collect();
    apps.into_iter().cloned().collect()
}

impl Core {
    /// Why an application is as it is; none when there is nothing of that name. Takes as long as a plan.
    pub fn explain(&self, name: &str, now: Instant) -> Option<Explanation> {
        let states = self.teller.states.as_ref();
        let state = states.and_then(|states| states.get(name));
        let app = self.desired.get(name);
        let is_known = self.catalog.apps().any(|(known, _)| known == name);
        if !is_known && app.is_none() && state.is_none() {
            return None;
        }
        let waiting = || StatusInfo {
            ty: match app {
                Some(_) => StatusType::Waiting,
                None => StatusType::Undeployed,
            },
            message: String::new(),
        };
        let nothing = AppState::default();
        Some(explain::explain(View {
            name,
            app,
            state: state.unwrap_or(&nothing),
            status: self
                .teller
                .statuses
                .get(name)
                .cloned()
                .unwrap_or_else(waiting),
            placements: &place::explain::explain(&self.desired, &self.observed, name),
            observed: &self.observed,
            attempts: &self.attempts,
            lost: self.teller.lost_lately(name, now),
            now,
        }))
    }
}
