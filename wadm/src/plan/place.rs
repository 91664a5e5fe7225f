//! Where things ought to be: all workloads of all applications at once, because they share the hosts' room. Pure.
//!
//! What is placed one after the other are *units*: the part of a workload's instances that one of its spreads has. The
//! order is by priority, then by application and part, so that the order of the input doesn't matter. Every unit begins
//! with what runs already; it changes only to become complete or more even, and it takes room from others only where
//! those have a lower priority. Whoever could not have all it wanted is looked at again once others gave room back.
//! This comes to an end, since with each change the first unit that changes has more instances or spreads them more
//! evenly; and what comes out stays as it is when it runs and is planned for again.

mod even;
pub mod explain;
mod fit;
mod hosts;
mod kept;
mod room;
mod topology;
mod unit;
mod unmet;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use trellis_lattice::HostId;

use super::running::Running;
use crate::{desired::Workload, observed::Observed};
use explain::Rule;
use fit::Rules;
use hosts::Hosts;
use room::Room;
use unit::Unit;

/// Instances of each spread on each host. A host runs a provider once.
pub type Targets = BTreeMap<HostId, BTreeMap<String, u32>>;

/// The most times that everything is gone over. It ends by itself long before; a bound is better than a proof.
const MAX_SWEEPS: usize = 64;

/// The most times that one workload is looked at in a row.
const MAX_LOOKS: usize = 8;

/// Something to place.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The application.
    pub app: &'a str,
    /// The part's stable id.
    pub part: &'a str,
    /// What.
    pub workload: &'a Workload,
}

/// Where something ought to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Instances on hosts.
    pub targets: Targets,
    /// Instances on hosts that are not seen, which count as running there.
    pub kept: BTreeMap<HostId, u32>,
    /// What has no place.
    pub missing: Vec<Missing>,
}

/// Instances that have no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The spread that wants them.
    pub spread: String,
    /// How many.
    pub instances: u32,
    /// What stands in the way.
    pub rule: Rule,
    /// The same for people, and what helps, for people.
    pub why: String,
}

impl Placement {
    /// What can't be placed and why, for people.
    pub fn unmet(&self) -> Option<String> {
        let messages: BTreeSet<&str> = self.missing.iter().map(|one| one.why.as_str()).collect();
        let messages: Vec<_> = messages.into_iter().collect();
        (!messages.is_empty()).then(|| messages.join("; "))
    }
}

/// Where everything ought to be.
#[derive(Clone, Debug, Default)]
pub struct Placements<'a> {
    by_app: HashMap<&'a str, HashMap<&'a str, Placement>>,
}

impl Placements<'_> {
    /// Where a part of an application ought to be; none when it was not asked for.
    pub fn of(&self, app: &str, part: &str) -> Option<&Placement> {
        self.by_app.get(app)?.get(part)
    }
}

/// Places everything. The order of the requests doesn't matter.
pub fn place<'a>(
    requests: impl IntoIterator<Item = Request<'a>>,
    observed: &Observed,
) -> Placements<'a> {
    let running = Running::new(observed);
    placed(requests, observed, &running)
}

/// [`place`], where it is known what runs where.
pub(super) fn placed<'a>(
    requests: impl IntoIterator<Item = Request<'a>>,
    observed: &Observed,
    running: &Running<'_>,
) -> Placements<'a> {
    let board = Board::new(requests.into_iter().collect(), observed, running);
    Placements {
        by_app: board.placements(),
    }
}

/// Everything that is being placed, and where.
struct Board<'a, 'o> {
    requests: Vec<Request<'a>>,
    hosts: Hosts<'o>,
    /// In order.
    units: Vec<Unit>,
    room: Room,
}

impl<'a, 'o> Board<'a, 'o> {
    fn new(mut requests: Vec<Request<'a>>, observed: &'o Observed, running: &Running<'_>) -> Self {
        requests.sort_by_key(|request| {
            let priority = std::cmp::Reverse(request.workload.rules.priority);
            (priority, request.app, request.part)
        });
        let hosts = Hosts::new(observed);
        let units = unit::units(&requests, &mut Rules::new(&hosts), observed, running);
        let room = Room::new(&hosts, &requests, &units);
        let mut board = Self {
            requests,
            hosts,
            units,
            room,
        };
        board.keep();
        board.settle();
        board
    }

    /// Everything keeps what already runs where it may stay, as long as there is room: in order.
    fn keep(&mut self) {
        for (index, unit) in self.units.iter_mut().enumerate() {
            if !unit.uses_room() {
                continue;
            }
            let room = &self.room;
            unit.assigned.retain_mut(|(host, count)| {
                *count = (*count).min(room.free(*host));
                *count > 0
            });
            self.room.take(index, unit);
        }
    }

    fn settle(&mut self) {
        // A provider takes no room: one look is enough.
        let mut waiting: BTreeSet<usize> = (0..self.units.len()).collect();
        for _ in 0..MAX_SWEEPS {
            self.room.was_freed = false;
            let mut next = BTreeSet::new();
            while let Some(index) = waiting.pop_first() {
                let evicted = self.arrange(index);
                let unit = &self.units[index];
                if unit.uses_room() && unit.is_limited {
                    next.insert(index);
                }
                waiting.extend(evicted);
            }
            if !self.room.was_freed || next.is_empty() {
                break;
            }
            waiting = next;
        }
    }

    /// Places one unit, with all others where they are; gives those of lower priority that had to make room.
    fn arrange(&mut self, index: usize) -> Vec<usize> {
        if !self.units[index].uses_room() {
            self.arrange_provider(index);
            return Vec::new();
        }
        self.room.give(index, &self.units[index]);
        let before = self.units[index].assigned.clone();
        let mut evicted = Vec::new();
        // What others give way to may let more of it move: so look again.
        for _ in 0..MAX_LOOKS {
            let (unit, room) = (&mut self.units[index], &self.room);
            unit.arrange(&self.hosts, false, |host| room.free(host));
            let (placed, class) = (unit.placed(), unit.class);
            if placed >= unit.wanted || !room.has_lower(class) {
                break;
            }
            unit.arrange(&self.hosts, true, |host| room.free_above(host, class));
            if unit.placed() == placed {
                break;
            }
            for (host, count) in unit.assigned.clone() {
                let lacking = count.saturating_sub(self.room.free(host));
                if lacking > 0 {
                    self.evict(host, lacking, class, &mut evicted);
                }
            }
        }
        let unit = &self.units[index];
        self.room.take(index, unit);
        self.room.compare(&before, &unit.assigned);
        evicted
    }

    /// Places one spread of a provider; after the last one, looks whether all would stay there once they run.
    fn arrange_provider(&mut self, index: usize) {
        let taken = self.taken_by_siblings(index);
        let is_free = |host: u32| u32::from(taken.binary_search(&host).is_err());
        self.units[index].arrange(&self.hosts, false, is_free);
        let request = self.units[index].request;
        let next = self.units.get(index + 1);
        if next.is_some_and(|next| next.request == request) {
            return;
        }
        let first = index - self.units[index].spread;
        for _ in 0..MAX_LOOKS {
            if !unit::run(&mut self.units[first..=index]) {
                return;
            }
            for index in first..=index {
                let taken = self.taken_by_siblings(index);
                let is_free = |host: u32| u32::from(taken.binary_search(&host).is_err());
                self.units[index].arrange(&self.hosts, false, is_free);
            }
        }
    }

    /// Takes room on a host from those that come last, all of a lower priority.
    fn evict(&mut self, host: u32, mut lacking: u32, class: u32, evicted: &mut Vec<usize>) {
        while lacking > 0
            && let Some(last) = self.room.last(host)
            && self.units[last].class > class
        {
            self.room.give(last, &self.units[last]);
            lacking -= self.units[last].shrink(host, lacking);
            self.room.take(last, &self.units[last]);
            evicted.push(last);
        }
    }

    /// The hosts on which a provider's earlier spreads run it.
    fn taken_by_siblings(&self, index: usize) -> Vec<u32> {
        let unit = &self.units[index];
        if unit.uses_room() || unit.spread == 0 {
            return Vec::new();
        }
        let siblings = &self.units[index - unit.spread..index];
        let mut taken: Vec<u32> = siblings
            .iter()
            .flat_map(|sibling| sibling.assigned.iter().map(|(host, _)| *host))
            .collect();
        taken.sort_unstable();
        taken
    }

    fn placements(&self) -> HashMap<&'a str, HashMap<&'a str, Placement>> {
        let mut placements: HashMap<_, HashMap<_, Placement>> = HashMap::new();
        for (index, unit) in self.units.iter().enumerate() {
            let request = self.requests[unit.request];
            let place = &request.workload.spreads[unit.spread];
            let of_app = placements.entry(request.app).or_default();
            let placement = of_app.entry(request.part).or_default();
            for (host, count) in &unit.assigned {
                placement
                    .targets
                    .entry(self.hosts.id(*host).clone())
                    .or_default()
                    .insert(place.name.clone(), *count);
            }
            for (host, count) in &unit.kept {
                let kept = placement.kept.entry(host.clone()).or_default();
                *kept = kept.saturating_add(*count);
            }
            placement.missing.extend(self.missing(index));
        }
        placements
    }
}
