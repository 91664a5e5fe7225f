//! All that a reconciler knows and decides. Pure: it is told [`News`] and the time, and says what to do.

mod act;
mod commands;
mod doubts;
mod ledger;
mod liveness;
mod look;
mod pops;
mod questions;
mod rolls;
mod take;
mod tell;
mod unsettled;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use trellis_lattice::{HostId, app::AppStatus};

use super::{Effect, Id, News, Question, Settings};
use crate::{
    attempts::Attempts,
    autoscale::Autoscaler,
    command::Subject,
    desired::App,
    observed::Observed,
    store::{Catalog, Owned},
};
use commands::Commands;
use doubts::Doubts;
use ledger::Ledger;
use liveness::Liveness;
use pops::Pops;
use questions::Questions;
use rolls::Rolls;
use tell::Teller;
use unsettled::Unsettled;

/// The reconciler of one lattice, without its hands and ears.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
    catalog: Catalog,
    desired: BTreeMap<String, App>,
    observed: Observed,
    attempts: Attempts,
    /// What outcomes of attempts the lattice told of since the last plan.
    ended: BTreeSet<Subject>,
    liveness: Liveness,
    /// Those that live and owe an answer.
    doubts: Doubts,
    /// PoPs that can't be seen.
    pops: Pops,
    questions: Questions,
    commands: Commands,
    /// What each application has in the lattice.
    owned: Ledger<Owned>,
    /// What of it may still turn up.
    unsettled: Unsettled,
    /// How each application is; `None` when it is gone for good.
    statuses: Ledger<Option<AppStatus>>,
    /// How many instances calls need.
    autoscaler: Autoscaler,
    /// When hosts are asked again how calls go.
    calls_at: Instant,
    /// How new versions take the old ones' place.
    rolls: Rolls,
    /// What is told of applications.
    teller: Teller,
    /// Whether what happens is heard.
    is_listening: bool,
    /// Whether someone told who is there.
    hosts_are_known: bool,
    /// Whether every host was asked once what it runs. Before that nothing is commanded: it may run already.
    is_surveyed: bool,
    /// When it begins at the latest.
    survey_by: Instant,
    /// Whether there is news that no plan has seen.
    has_news: bool,
    /// When the last plan was made.
    planned: Instant,
    /// When everything is asked anew.
    resync_at: Instant,
    /// When hosts that don't beat are pinged again.
    ping_at: Instant,
    /// The number of another manager's leadership, once there is one.
    deposed: Option<u64>,
    ids: Id,
}

impl Core {
    /// A core that knows nothing yet; it begins when it is told [`News::Begun`].
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            settings,
            catalog: Catalog::default(),
            desired: BTreeMap::new(),
            observed: Observed::default(),
            attempts: Attempts::new(settings.retry),
            ended: BTreeSet::new(),
            liveness: Liveness::new(&settings),
            doubts: Doubts::default(),
            pops: Pops::default(),
            questions: Questions::default(),
            commands: Commands::default(),
            owned: Ledger::default(),
            unsettled: Unsettled::default(),
            statuses: Ledger::default(),
            autoscaler: Autoscaler::default(),
            calls_at: now,
            rolls: Rolls::new(now),
            teller: Teller::default(),
            is_listening: false,
            hosts_are_known: false,
            is_surveyed: false,
            survey_by: now,
            has_news: false,
            planned: now,
            resync_at: now,
            ping_at: now,
            deposed: None,
            ids: 0,
        }
    }

    /// Takes news in. What follows from them is in the next [`Self::effects`]: take all there are first.
    pub fn take(&mut self, news: News, now: Instant) {
        match news {
            News::Begun {
                catalog,
                owned,
                rollouts,
                hosts,
                at,
                patient_until,
            } => {
                self.rolls.begin(rollouts, at, now);
                self.remember(hosts, at, patient_until);
                self.begin(catalog, owned, patient_until, now);
            }
            News::Disconnected => self.is_listening = false,
            News::Catalog(catalog) => {
                self.catalog = catalog;
                self.desire();
            }
            News::Event(source, event) => self.take_event(&source, &event, now),
            News::Beat(host) => self.take_beat(host, now),
            News::Answer(id, answer) => self.take_answer(id, answer, now),
            News::Done(id, result) => {
                if let Some(command) = self.commands.done(id) {
                    self.take_result(&command, result, now);
                }
            }
            News::Noted(id, result) => self.take_noted(id, result, now),
        }
    }

    /// These hosts beat a short while ago, then: they are asked what they run before anything is commanded, unless they
    /// are gone.
    pub fn expect(&mut self, hosts: impl IntoIterator<Item = (HostId, Instant)>) {
        for (host, heard) in hosts {
            self.liveness.heard(&host, heard, true);
            self.questions.ask(Question::Inventory(host));
        }
    }

    /// The hosts that beat, and when they were last heard of.
    pub fn heard(&self) -> impl Iterator<Item = (&HostId, Instant)> {
        self.liveness.heard_of()
    }

    /// What each application has in the lattice, as far as it is noted.
    pub fn owned(&self) -> &BTreeMap<String, Owned> {
        self.owned.noted()
    }

    /// Whether the next [`Self::effects`] makes a plan, which takes a while in a large lattice.
    pub fn must_plan(&self) -> bool {
        self.has_news && self.is_listening && self.is_surveyed && self.deposed.is_none()
    }

    /// What to do now.
    pub fn effects(&mut self, now: Instant) -> Vec<Effect> {
        if let Some(fence) = self.deposed {
            return vec![Effect::StepDown(fence)];
        }
        let mut effects = Vec::new();
        if !self.is_listening {
            return effects;
        }
        self.wake(now, &mut effects);
        if self.must_plan() {
            self.plan(now);
        }
        self.send(now, &mut effects);
        effects.extend(self.teller.events().map(Effect::Event));
        effects
    }

    /// When [`Self::effects`] is to be called at the latest, unless there is news before.
    pub fn next(&self) -> Option<Instant> {
        if !self.is_listening || self.deposed.is_some() {
            return None;
        }
        [
            Some(self.resync_at),
            (!self.is_surveyed && self.hosts_are_known).then_some(self.survey_by),
            self.must_ping().then_some(self.ping_at),
            self.liveness.next(),
            self.doubts.next(),
            self.pops.next(),
            self.commands.next(),
            self.questions.next(),
            self.owned.next(),
            self.unsettled.next(),
            self.statuses.next(),
            self.rolls.next(),
            self.autoscaler.is_on().then_some(self.calls_at),
            self.is_surveyed
                .then(|| self.attempts.next_after(self.planned))
                .flatten(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// How long a host may take to answer a [`Question::Probe`].
    pub fn patience(&self, host: &HostId) -> Duration {
        self.liveness.patience(host)
    }

    fn news(&mut self) {
        self.has_news = true;
    }

    fn id(&mut self) -> Id {
        self.ids += 1;
        self.ids
    }
}
