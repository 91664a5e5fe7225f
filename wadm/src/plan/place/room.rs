//! How much room the hosts have left, and who took it.

use std::collections::{BTreeMap, HashSet};

use trellis_lattice::ComponentId;

use super::{Request, hosts::Hosts, unit::Unit};

/// The room of hosts that take only so many instances.
pub(super) struct Room {
    hosts: Vec<Option<Taken>>,
    /// The last class: nobody comes after it.
    last_class: u32,
    /// Whether anybody has less somewhere than before.
    pub(super) was_freed: bool,
}

/// Who took a host's room.
#[derive(Debug, Default)]
struct Taken {
    capacity: u64,
    /// What runs there and is nobody's here.
    others: u64,
    by_unit: BTreeMap<usize, u32>,
    by_class: BTreeMap<u32, u64>,
    total: u64,
}

impl Room {
    pub(super) fn new(hosts: &Hosts<'_>, requests: &[Request<'_>], units: &[Unit]) -> Self {
        let last_class = units.iter().map(|unit| unit.class).max().unwrap_or(0);
        let mut wanted = None;
        let hosts = (0..)
            .take(hosts.len())
            .map(|index| {
                let capacity = u64::from(hosts.capacity(index)?);
                let wanted = wanted.get_or_insert_with(|| components(requests));
                let running = hosts.host(index).components.iter();
                let others = running
                    .filter(|(id, _)| !wanted.contains(id))
                    .map(|(_, there)| u64::from(there.instances))
                    .sum();
                Some(Taken {
                    capacity,
                    others,
                    ..Taken::default()
                })
            })
            .collect();
        Self {
            hosts,
            last_class,
            was_freed: false,
        }
    }

    /// What is left.
    pub(super) fn free(&self, host: u32) -> u32 {
        let Some(taken) = &self.hosts[host as usize] else {
            return u32::MAX;
        };
        left(taken.capacity, taken.others + taken.total)
    }

    /// What is left for a class that takes from those below it.
    pub(super) fn free_above(&self, host: u32, class: u32) -> u32 {
        let Some(taken) = &self.hosts[host as usize] else {
            return u32::MAX;
        };
        let above: u64 = taken.by_class.range(..=class).map(|(_, count)| count).sum();
        left(taken.capacity, taken.others + above)
    }

    /// Whether there may be anybody of a lower priority.
    pub(super) fn has_lower(&self, class: u32) -> bool {
        class < self.last_class
    }

    /// Who comes last of those that took room there.
    pub(super) fn last(&self, host: u32) -> Option<usize> {
        let taken = self.hosts[host as usize].as_ref()?;
        taken.by_unit.last_key_value().map(|(unit, _)| *unit)
    }

    /// Takes what a unit has.
    pub(super) fn take(&mut self, index: usize, unit: &Unit) {
        for (host, count) in &unit.assigned {
            let Some(taken) = &mut self.hosts[*host as usize] else {
                continue;
            };
            taken.by_unit.insert(index, *count);
            *taken.by_class.entry(unit.class).or_default() += u64::from(*count);
            taken.total += u64::from(*count);
        }
    }

    /// Gives back what a unit has.
    pub(super) fn give(&mut self, index: usize, unit: &Unit) {
        for (host, count) in &unit.assigned {
            let Some(taken) = &mut self.hosts[*host as usize] else {
                continue;
            };
            taken.by_unit.remove(&index);
            if let Some(of_class) = taken.by_class.get_mut(&unit.class) {
                *of_class = of_class.saturating_sub(u64::from(*count));
            }
            taken.total = taken.total.saturating_sub(u64::from(*count));
        }
    }

    /// Notes what a unit has less than before.
    pub(super) fn compare(&mut self, before: &[(u32, u32)], after: &[(u32, u32)]) {
        if self.was_freed || before == after {
            return;
        }
        self.was_freed = before.iter().any(|(host, count)| {
            let now = after.binary_search_by_key(host, |(host, _)| *host);
            self.hosts[*host as usize].is_some() && now.map_or(0, |at| after[at].1) < *count
        });
    }
}

/// What is wanted of somebody.
fn components<'a>(requests: &[Request<'a>]) -> HashSet<&'a ComponentId> {
    let workloads = requests.iter().map(|request| request.workload);
    workloads
        .filter(|workload| !workload.is_provider)
        .map(|workload| &workload.id)
        .collect()
}

fn left(capacity: u64, taken: u64) -> u32 {
    u32::try_from(capacity.saturating_sub(taken)).unwrap_or(u32::MAX)
}
