//! All that a reconciler knows and decides. Pure: it is told [`News`] and the time, and says what to do.

mod act;
mod commands;
mod ledger;
mod liveness;
mod look;
mod questions;
mod rolls;
mod take;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use trellis_lattice::app::AppStatus;

use super::{Effect, Id, News, Settings};
use crate::{
    attempts::Attempts,
    command::Subject,
    desired::App,
    observed::Observed,
    store::{Catalog, Owned},
};
use commands::Commands;
use ledger::Ledger;
use liveness::Liveness;
use questions::Questions;
use rolls::Rolls;

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
    questions: Questions,
    commands: Commands,
    /// What each application has in the lattice.
    owned: Ledger<Owned>,
    /// How each application is; `None` when it is gone for good.
    statuses: Ledger<Option<AppStatus>>,
    /// How new versions take the old ones' place.
    rolls: Rolls,
    /// Whether what happens is heard.
    is_listening: bool,
    /// Whether someone told who is there.
    hosts_are_known: bool,
    /// Whether every host was asked once what it runs. Before that nothing is commanded: it may run already.
    is_surveyed: bool,
    /// Whether there is news that no plan has seen.
    has_news: bool,
    /// When the last plan was made.
    planned: Instant,
    /// When everything is asked anew.
    resync_at: Instant,
    /// When hosts that don't beat are pinged again.
    ping_at: Instant,
    /// Whether another manager leads.
    is_deposed: bool,
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
            questions: Questions::default(),
            commands: Commands::default(),
            owned: Ledger::default(),
            statuses: Ledger::default(),
            rolls: Rolls::new(now),
            is_listening: false,
            hosts_are_known: false,
            is_surveyed: false,
            has_news: false,
            planned: now,
            resync_at: now,
            ping_at: now,
            is_deposed: false,
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
                at,
            } => {
                self.rolls.begin(rollouts, at, now);
                self.begin(catalog, owned, now);
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

    /// What each application has in the lattice, as far as it is noted.
    pub fn owned(&self) -> &BTreeMap<String, Owned> {
        self.owned.noted()
    }

    /// Whether the next [`Self::effects`] makes a plan, which takes a while in a large lattice.
    pub fn must_plan(&self) -> bool {
        self.has_news && self.is_listening && self.is_surveyed && !self.is_deposed
    }

    /// What to do now.
    pub fn effects(&mut self, now: Instant) -> Vec<Effect> {
        if self.is_deposed {
            return vec![Effect::StepDown];
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
        effects
    }

    /// When [`Self::effects`] is to be called at the latest, unless there is news before.
    pub fn next(&self) -> Option<Instant> {
        if !self.is_listening || self.is_deposed {
            return None;
        }
        [
            Some(self.resync_at),
            self.liveness.has_silent_kind().then_some(self.ping_at),
            self.liveness.next(),
            self.questions.next(),
            self.owned.next(),
            self.statuses.next(),
            self.rolls.next(),
            self.is_surveyed
                .then(|| self.attempts.next_after(self.planned))
                .flatten(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn news(&mut self) {
        self.has_news = true;
    }

    fn id(&mut self) -> Id {
        self.ids += 1;
        self.ids
    }
}
