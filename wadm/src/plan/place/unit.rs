//! What is placed: the part of a workload's instances that one of its spreads has.

use std::{collections::BTreeMap, rc::Rc};

use trellis_lattice::HostId;

use super::{
    Request,
    even::{Counts, Share, even},
    fit::{Fit, Rules},
    hosts::{Hosts, hash},
    kept::{kept, left},
    topology::Cells,
};
use crate::{
    desired::Workload,
    names,
    observed::Observed,
    plan::{running::Running, share},
};

/// A part of a workload's instances.
pub(super) struct Unit {
    /// The request's number.
    pub(super) request: usize,
    /// The spread's number.
    pub(super) spread: usize,
    /// The number of its priority: lower numbers come first.
    pub(super) class: u32,
    pub(super) kind: Kind,
    /// How many instances as declared; a provider's are hosts.
    pub(super) declared: u32,
    /// How many of them on hosts that are seen.
    pub(super) wanted: u32,
    /// What counts as running on hosts that are not seen, and stays as it is.
    pub(super) kept: Vec<(HostId, u32)>,
    /// How many of them the spread has from others that have no host.
    pub(super) overflow: u32,
    pub(super) fit: Rc<Fit>,
    /// By label of the topology.
    pub(super) skews: Vec<u32>,
    hash: u64,
    /// A provider: where it runs. The higher number stays first.
    holders: Counts,
    /// What it had when the plan began; a provider, where it ran.
    pub(super) ran: Counts,
    /// Where it is placed.
    pub(super) assigned: Counts,
    /// Whether more room could have made it any different.
    pub(super) is_limited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Instances over hosts.
    Component,
    /// That many on each host.
    Daemon(u32),
    /// Once on each of so many hosts.
    Provider,
    /// Once on each host.
    ProviderDaemon,
}

/// The most instances that are spread over a topology: they are placed one by one. A manifest that asks for more is
/// refused, but what is stored may be anything.
const MAX_SPREAD: u32 = 10_000;

/// Where a provider runs for the spread.
const ITS_OWN: u32 = 2;

/// Where it runs for another one.
const ANOTHER_S: u32 = 1;

/// All units, in the order of the requests.
pub(super) fn units<'a>(
    requests: &[Request<'a>],
    rules: &mut Rules<'a, '_, '_>,
    observed: &Observed,
    running: &Running<'_>,
) -> Vec<Unit> {
    let mut units = Vec::with_capacity(requests.len());
    let mut class = 0;
    let mut priority = None;
    for (index, request) in requests.iter().enumerate() {
        let workload = request.workload;
        if priority.is_some_and(|before| before != workload.rules.priority) {
            class += 1;
        }
        priority = Some(workload.rules.priority);
        let fits: Vec<_> = workload
            .spreads
            .iter()
            .map(|place| rules.fit(workload, place))
            .collect();
        let kept = kept(workload, observed);
        let (wanted, overflow) = wanted(workload, &fits, &kept);
        let now = match workload.is_provider {
            true => provider_now(workload, &fits, running),
            false => component_now(workload, &fits, &wanted, running),
        };
        let spreads = fits.into_iter().zip(now).zip(kept).zip(&workload.spreads);
        for (spread, (((fit, now), kept), place)) in spreads.enumerate() {
            let ran = now.clone();
            let (holders, assigned) = match workload.is_provider {
                true => (now, Counts::new()),
                false => (Counts::new(), now),
            };
            units.push(Unit {
                request: index,
                spread,
                class,
                kind: Kind::of(workload),
                declared: wanted[spread].saturating_add(sum(&kept)),
                wanted: wanted[spread],
                kept,
                overflow: overflow[spread],
                fit,
                skews: skews(workload),
                hash: hash(&[workload.id.as_str(), &place.name]),
                holders,
                ran,
                assigned,
                is_limited: false,
            });
        }
    }
    units
}

impl Kind {
    fn of(workload: &Workload) -> Self {
        match (workload.is_provider, workload.is_daemon) {
            (false, false) => Self::Component,
            (false, true) => Self::Daemon(workload.instances),
            (true, false) => Self::Provider,
            (true, true) => Self::ProviderDaemon,
        }
    }
}

fn skews(workload: &Workload) -> Vec<u32> {
    let topologies = workload.rules.topology_spread.iter();
    topologies.map(|one| one.max_skew.max(1)).collect()
}

/// How many instances each spread has on hosts that are seen, and how many of them are others'.
fn wanted(
    workload: &Workload,
    fits: &[Rc<Fit>],
    kept: &[Vec<(HostId, u32)>],
) -> (Vec<u32>, Vec<u32>) {
    if workload.is_daemon {
        let each = |fit: &Rc<Fit>| match (workload.instances, workload.is_provider) {
            (0, _) => 0,
            (instances, false) => times(instances, fit.hosts.len()),
            (_, true) => times(1, fit.hosts.len()),
        };
        return (fits.iter().map(each).collect(), vec![0; fits.len()]);
    }
    let weights: Vec<u32> = workload.spreads.iter().map(|place| place.weight).collect();
    let shares = share::by_weight(workload.instances, &weights);
    let mut shares: Vec<u32> = shares
        .into_iter()
        .zip(kept)
        .map(|(share, kept)| left(share, sum(kept)))
        .collect();
    let nowhere = |spread: usize| fits[spread].hosts.is_empty();
    let without: Vec<usize> = (0..shares.len()).filter(|one| nowhere(*one)).collect();
    let mut overflow = vec![0; shares.len()];
    if workload.rules.overflow && !without.is_empty() {
        let mut open = weights;
        for spread in &without {
            open[*spread] = 0;
        }
        // With no weight anywhere else there is nobody to take it.
        if open.iter().any(|weight| *weight > 0) {
            let homeless = without.iter().map(|spread| shares[*spread]).sum();
            overflow = share::by_weight(homeless, &open);
            for spread in without {
                shares[spread] = 0;
            }
            for (share, more) in shares.iter_mut().zip(&overflow) {
                *share = share.saturating_add(*more);
            }
        }
    }
    (shares, overflow)
}

fn times(each: u32, hosts: usize) -> u32 {
    each.saturating_mul(u32::try_from(hosts).unwrap_or(u32::MAX))
}

/// What each spread of a component has where it may stay. What runs for a spread that is no more counts for those that
/// lack instances: a spread with a new name moves nothing.
fn component_now(
    workload: &Workload,
    fits: &[Rc<Fit>],
    wanted: &[u32],
    running: &Running<'_>,
) -> Vec<Counts> {
    let mut now = vec![Counts::new(); fits.len()];
    let mut orphans = Counts::new();
    for on in running.component(&workload.id) {
        let mut known: u32 = 0;
        for (spread, place) in workload.spreads.iter().enumerate() {
            let there = on.there;
            let count = names::spread_count(&there.annotations, &place.name, there.instances);
            known = known.saturating_add(count);
            if count > 0 && fits[spread].contains(on.index) {
                now[spread].push((on.index, count));
            }
        }
        if known == 0 {
            orphans.push((on.index, on.there.instances));
        }
    }
    for (host, mut count) in orphans {
        for (spread, fit) in fits.iter().enumerate() {
            let has: u32 = sum(&now[spread]);
            let more = count.min(wanted[spread].saturating_sub(has));
            if more > 0 && fit.contains(host) {
                count -= more;
                now[spread].push((host, more));
            }
        }
    }
    for counts in &mut now {
        counts.sort_unstable();
    }
    now
}

fn provider_now(workload: &Workload, fits: &[Rc<Fit>], running: &Running<'_>) -> Vec<Counts> {
    let spreads = workload.spreads.iter().zip(fits);
    spreads
        .map(|(place, fit)| {
            let everywhere = running.provider(&workload.id).iter();
            everywhere
                .filter(|on| fit.contains(on.index))
                .map(|on| match on.there.annotations.get(names::SPREAD) {
                    Some(spread) if *spread != place.name => (on.index, ANOTHER_S),
                    _ => (on.index, ITS_OWN),
                })
                .collect()
        })
        .collect()
}

/// Takes a provider's spreads as running where they are placed; says whether that is anything new. What runs already
/// goes on for the spread that it was started for.
pub(super) fn run(spreads: &mut [Unit]) -> bool {
    let mut started_for: BTreeMap<u32, usize> = BTreeMap::new();
    for unit in spreads.iter() {
        let hosts = unit.assigned.iter().map(|(host, _)| (*host, unit.spread));
        started_for.extend(hosts);
    }
    let mut is_new = false;
    for unit in spreads {
        let fitting = started_for
            .iter()
            .filter(|(host, _)| unit.fit.contains(**host));
        let holders: Counts = fitting
            .map(|(host, spread)| {
                match unit.holders.binary_search_by_key(host, |(host, _)| *host) {
                    Ok(at) => unit.holders[at],
                    Err(_) if *spread == unit.spread => (*host, ITS_OWN),
                    Err(_) => (*host, ANOTHER_S),
                }
            })
            .collect();
        is_new |= holders != unit.holders;
        unit.holders = holders;
    }
    is_new
}

fn sum<H>(counts: &[(H, u32)]) -> u32 {
    let counts = counts.iter().map(|(_, count)| *count);
    counts.fold(0, u32::saturating_add)
}

impl Unit {
    /// Whether its instances count against a host's capacity.
    pub(super) fn uses_room(&self) -> bool {
        matches!(self.kind, Kind::Component | Kind::Daemon(_))
    }

    pub(super) fn placed(&self) -> u32 {
        sum(&self.assigned)
    }

    pub(super) fn kept(&self) -> u32 {
        sum(&self.kept)
    }

    /// Gives up to that many instances on a host; gives how many it gave.
    pub(super) fn shrink(&mut self, host: u32, by: u32) -> u32 {
        let Ok(at) = self.assigned.binary_search_by_key(&host, |(host, _)| *host) else {
            return 0;
        };
        let given = self.assigned[at].1.min(by);
        self.assigned[at].1 -= given;
        if self.assigned[at].1 == 0 {
            self.assigned.remove(at);
        }
        given
    }

    /// Places it anew, with what it has as the beginning; with `keeps_all` it only adds. `room` is the most that a host
    /// can have of it.
    pub(super) fn arrange(
        &mut self,
        hosts: &Hosts<'_>,
        keeps_all: bool,
        room: impl Fn(u32) -> u32,
    ) {
        let each = match self.kind {
            Kind::Daemon(instances) => instances,
            Kind::ProviderDaemon => self.wanted.min(1),
            Kind::Component | Kind::Provider => {
                return self.share_out(hosts, keeps_all, room);
            }
        };
        let counts = self.fit.hosts.iter();
        self.assigned = counts
            .map(|host| (*host, room(*host).min(each)))
            .filter(|(_, count)| *count > 0)
            .collect();
        self.is_limited = self.placed() < self.wanted;
    }

    fn share_out(&mut self, hosts: &Hosts<'_>, keeps_all: bool, room: impl Fn(u32) -> u32) {
        let fit = self.fit.clone();
        let has_limits = fit.has_capacities || !self.uses_room();
        let now = match self.uses_room() {
            true => std::mem::take(&mut self.assigned),
            false => {
                self.assigned.clear();
                self.holders.clone()
            }
        };
        let hash = self.hash;
        let over = |hosts_of: &[u32], wanted: u32, now: &[(u32, u32)]| {
            let share = Share {
                hosts: hosts_of,
                wanted,
                now,
                keeps_all,
                has_limits,
            };
            even(share, &room, |host| hosts.rank(hash, host))
        };
        if fit.dimensions.is_empty() {
            (self.assigned, self.is_limited) = over(&fit.hosts, self.wanted, &now);
            return;
        }
        let mut now_of = vec![Counts::new(); fit.cells.len()];
        for (host, count) in now {
            now_of[fit.cell(host)].push((host, count));
        }
        let rooms: Vec<u32> = fit
            .cells
            .iter()
            .map(|cell| match has_limits {
                true => cell
                    .hosts
                    .iter()
                    .map(|host| room(*host))
                    .fold(0, u32::saturating_add),
                false => u32::MAX,
            })
            .collect();
        let (counts, holders): (Vec<u32>, Vec<u32>) = now_of
            .iter()
            .map(|now| match self.uses_room() {
                true => (sum(now), sum(now)),
                false => {
                    let own = now.iter().filter(|(_, held)| *held == ITS_OWN);
                    let free = |(host, _): &&(u32, u32)| room(*host) > 0;
                    let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
                    (number(own.filter(free).count()), number(now.len()))
                }
            })
            .unzip();
        let mut cells = Cells::new(&fit, &self.skews, &rooms, &holders, hash, &counts);
        if !keeps_all {
            let mut ran = vec![0; fit.cells.len()];
            for (host, count) in &self.ran {
                ran[fit.cell(*host)] += if self.uses_room() { *count } else { 1 };
            }
            cells.trim(&ran);
        }
        let (counts, is_limited) = cells.spread(self.wanted.min(MAX_SPREAD), keeps_all);
        self.is_limited = is_limited;
        for ((cell, count), now) in fit.cells.iter().zip(counts).zip(now_of) {
            let (assigned, is_limited) = over(&cell.hosts, count, &now);
            self.assigned.extend(assigned);
            self.is_limited |= is_limited;
        }
        self.assigned.sort_unstable();
    }
}
