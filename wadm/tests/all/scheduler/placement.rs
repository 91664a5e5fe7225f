//! What always holds of where things are placed, whatever the rules are.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trellis_lattice::{
    HostId,
    control::{Labels, host::CAPACITY},
};
use trellis_wadm::plan::place::{Placement, explain::Rule, place};

use super::crowd::{Crowd, Wish, any_crowd, any_labels, any_wish, fits, id};

/// Something that happens to the hosts.
#[derive(Clone, Debug)]
enum Happening {
    Join(usize, Labels),
    Leave(usize),
    Label(usize, Labels),
}

fn happening(limits: bool) -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0..12_usize, any_labels(limits)).prop_map(|(host, labels)| Happening::Join(host, labels)),
        (0..12_usize).prop_map(Happening::Leave),
        (0..12_usize, any_labels(limits)).prop_map(|(host, labels)| Happening::Label(host, labels)),
    ]
}

fn happen(crowd: &mut Crowd, happening: &Happening) {
    let hosts = &mut crowd.observed.hosts;
    match happening {
        Happening::Join(host, labels) => {
            let host = hosts.entry(id(*host)).or_default();
            host.labels.clone_from(labels);
        }
        Happening::Leave(host) => {
            hosts.remove(&id(*host));
        }
        Happening::Label(host, labels) => {
            if let Some(host) = hosts.get_mut(&id(*host)) {
                host.labels.clone_from(labels);
            }
        }
    }
}

fn on(placement: &Placement, host: &HostId, spread: &str) -> u32 {
    let there = placement.targets.get(host);
    there
        .and_then(|spreads| spreads.get(spread))
        .copied()
        .unwrap_or(0)
}

fn missing(placement: &Placement) -> u32 {
    placement.missing.iter().map(|one| one.instances).sum()
}

fn total(placement: &Placement) -> u32 {
    placement.targets.values().flat_map(BTreeMap::values).sum()
}

/// Every instance has a place or a reason.
fn check_counts(wish: &Wish, placement: &Placement) {
    if wish.workload.is_daemon {
        return;
    }
    assert_eq!(
        total(placement) + missing(placement),
        wish.workload.instances,
        "{wish:?} {placement:?}"
    );
    for missing in &placement.missing {
        assert!(
            missing.instances > 0 && !missing.why.is_empty(),
            "{missing:?}"
        );
    }
}

fn check_rules(crowd: &Crowd, wish: &Wish, placement: &Placement) {
    for (host, spreads) in &placement.targets {
        for (spread, count) in spreads {
            let spread = wish
                .workload
                .spreads
                .iter()
                .find(|place| place.name == *spread);
            let host = &crowd.observed.hosts[host];
            assert!(
                fits(host, &wish.workload, spread.unwrap()),
                "{wish:?} on {host:?}"
            );
            assert!(*count > 0);
            assert!(!wish.workload.is_provider || *count == 1);
        }
        assert!(
            !wish.workload.is_provider || spreads.len() == 1,
            "a host runs a provider once"
        );
    }
    if !wish.workload.is_daemon {
        return;
    }
    for place in &wish.workload.spreads {
        for host in crowd.fits(&wish.workload, place) {
            let has_limit = crowd.observed.hosts[host].labels.contains_key(CAPACITY);
            if !has_limit && !wish.workload.is_provider {
                assert_eq!(on(placement, host, &place.name), wish.workload.instances);
            }
        }
    }
}

fn check_capacity(crowd: &Crowd, placements: &[Placement]) {
    for (id, host) in &crowd.observed.hosts {
        let Some(capacity) = host.labels.get(CAPACITY) else {
            continue;
        };
        let capacity: u32 = capacity.parse().unwrap();
        let all = crowd.wishes.iter().zip(placements);
        let taken: u32 = all
            .filter(|(wish, _)| !wish.workload.is_provider)
            .filter_map(|(_, placement)| placement.targets.get(id))
            .flat_map(BTreeMap::values)
            .sum();
        assert!(
            taken <= capacity.saturating_sub(crowd.others(id)),
            "{taken} on {host:?}"
        );
    }
}

/// Never further apart than allowed, except for what ran so before: that isn't stopped.
fn check_skew(crowd: &Crowd, wish: &Wish, placement: &Placement, before: Option<&Placement>) {
    if wish.workload.is_daemon {
        return;
    }
    for place in &wish.workload.spreads {
        for topology in &wish.workload.rules.topology_spread {
            let label = &topology.label;
            let now = |host: &HostId| on(placement, host, &place.name);
            let counts = crowd.by_value(wish, place, label, now);
            let least = counts.values().min().copied().unwrap_or(0);
            let was = |host: &HostId| match wish.workload.is_provider {
                // Which of its spreads a running provider is for may change.
                true => before.map_or(0, |before| u32::from(before.targets.contains_key(host))),
                false => before.map_or(0, |before| on(before, host, &place.name)),
            };
            let was = crowd.by_value(wish, place, label, was);
            for (value, count) in &counts {
                assert!(
                    count - least <= topology.max_skew || *count <= was[value],
                    "{label}={value} in {counts:?}, before {was:?}"
                );
            }
        }
    }
}

/// Where room is missing, nobody of a lower priority has any.
fn check_priorities(crowd: &Crowd, placements: &[Placement]) {
    for (wish, placement) in crowd.wishes.iter().zip(placements) {
        if wish.workload.is_daemon || !wish.workload.rules.topology_spread.is_empty() {
            continue;
        }
        for missing in placement
            .missing
            .iter()
            .filter(|one| one.rule == Rule::Room)
        {
            let mut spreads = wish.workload.spreads.iter();
            let place = spreads.find(|place| place.name == missing.spread).unwrap();
            for host in crowd.fits(&wish.workload, place) {
                for (other, placed) in crowd.wishes.iter().zip(placements) {
                    let is_lower = other.workload.rules.priority < wish.workload.rules.priority;
                    if is_lower && !other.workload.is_provider {
                        assert_eq!(placed.targets.get(host), None, "{other:?} has the room");
                    }
                }
            }
        }
    }
}

fn check(crowd: &Crowd, placements: &[Placement], before: Option<&[Placement]>) {
    for (index, (wish, placement)) in crowd.wishes.iter().zip(placements).enumerate() {
        check_counts(wish, placement);
        check_rules(crowd, wish, placement);
        check_skew(crowd, wish, placement, before.map(|before| &before[index]));
    }
    check_capacity(crowd, placements);
    check_priorities(crowd, placements);
}

/// What runs where it was placed stays there.
fn check_stays(crowd: &Crowd, placed: &[Placement]) {
    for ((wish, before), after) in crowd.wishes.iter().zip(placed).zip(crowd.place()) {
        if wish.workload.is_provider {
            // Spreads may swap hosts that both have: a provider isn't started anew for that.
            assert!(
                before.targets.keys().eq(after.targets.keys()),
                "{wish:?}: {before:?}, {after:?}"
            );
        } else {
            assert_eq!(*before, after, "{wish:?}");
        }
    }
}

/// By how much hosts have more and less than before, beside one host.
fn moved(before: &Placement, after: &Placement, beside: &HostId) -> (u32, u32) {
    let count = |placement: &Placement, host: &HostId| -> u32 {
        let there = placement.targets.get(host);
        there.map_or(0, |spreads| spreads.values().sum())
    };
    let (mut gained, mut lost) = (0, 0);
    for host in before.targets.keys().chain(
        after
            .targets
            .keys()
            .filter(|host| !before.targets.contains_key(*host)),
    ) {
        if host == beside {
            continue;
        }
        let (was, is) = (count(before, host), count(after, host));
        gained += is.saturating_sub(was);
        lost += was.saturating_sub(is);
    }
    (gained, lost)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Counts sum up, no rule is ever broken, and what is placed stays where it is: whatever happens.
    #[test]
    fn rules_hold_and_nothing_flaps(
        mut crowd in any_crowd(true),
        happenings in prop::collection::vec(happening(true), 0..8),
    ) {
        let placements = crowd.place();
        check(&crowd, &placements, None);
        let mut before = crowd.apply();
        check_stays(&crowd, &before);
        for happening in happenings {
            happen(&mut crowd, &happening);
            let placements = crowd.place();
            check(&crowd, &placements, Some(&before));
            before = crowd.apply();
            check_stays(&crowd, &before);
        }
    }

    /// The order in which things are told doesn't matter.
    #[test]
    fn order_does_not_matter(crowd in any_crowd(true), seed in any::<u64>()) {
        let mut requests = crowd.requests();
        let turn = usize::try_from(seed % 7).unwrap() % requests.len();
        requests.rotate_left(turn);
        if seed % 2 == 0 {
            requests.reverse();
        }
        let placements = place(requests, &crowd.observed);
        prop_assert_eq!(crowd.sorted(&placements), crowd.place());
    }

    /// Who comes later with no higher priority takes nothing from those that are there.
    #[test]
    fn equals_do_not_push_each_other_out(mut crowd in any_crowd(true), mut late in any_wish(true)) {
        let before = crowd.apply();
        // The first in the order, and still the last to get room.
        late.app = "a".into();
        late.workload.id = "late".parse().unwrap();
        late.workload.rules.priority = 0;
        crowd.wishes.push(late);
        let after = crowd.place();
        for (before, after) in before.iter().zip(&after) {
            prop_assert_eq!(&before.targets, &after.targets);
        }
    }

    /// A host that leaves moves only what it had.
    #[test]
    fn a_host_that_leaves_moves_its_own(mut crowd in any_crowd(false), host in 0..10_usize) {
        let before = crowd.apply();
        crowd.observed.hosts.remove(&id(host));
        for ((wish, before), after) in crowd.wishes.iter().zip(&before).zip(crowd.place()) {
            let had: u32 = before.targets.get(&id(host)).map_or(0, |spreads| spreads.values().sum());
            let (gained, lost) = moved(before, &after, &id(host));
            prop_assert_eq!(lost, 0, "{:?}", wish);
            // What had no place may get one: nobody has to be as even as the lost host any more.
            prop_assert!(gained <= had + missing(before), "{:?}", wish);
        }
    }

    /// A host that joins takes what evenness gives it, and nothing else moves.
    #[test]
    fn a_host_that_joins_is_all_that_gains(mut crowd in any_crowd(false), labels in any_labels(false)) {
        let before = crowd.apply();
        crowd.observed.hosts.entry(id(99)).or_default().labels = labels;
        for ((wish, before), after) in crowd.wishes.iter().zip(&before).zip(crowd.place()) {
            let (gained, lost) = moved(before, &after, &id(99));
            let new: u32 = after.targets.get(&id(99)).map_or(0, |spreads| spreads.values().sum());
            // What had no place may get one elsewhere, once the new host makes it even enough.
            prop_assert!(gained <= missing(before), "{:?}", wish);
            if !wish.workload.is_daemon {
                prop_assert_eq!(lost + missing(before), new + gained + missing(&after), "{:?}", wish);
                prop_assert!(lost <= new, "{:?}", wish);
                let hosts = u32::try_from(after.targets.len()).unwrap().max(1);
                let is_plain = wish.workload.rules.topology_spread.is_empty() && wish.workload.spreads.len() == 1;
                prop_assert!(!is_plain || new <= wish.workload.instances.div_ceil(hosts), "{:?}", wish);
            }
        }
    }

    /// A host's new labels move what must leave it and what they let in, and nothing else.
    #[test]
    fn new_labels_move_what_they_must(
        mut crowd in any_crowd(false),
        host in 0..10_usize,
        gold in any::<bool>(),
        tainted in any::<bool>(),
    ) {
        let host = id(host);
        let before = crowd.apply();
        let Some(there) = crowd.observed.hosts.get_mut(&host) else {
            return Ok(());
        };
        let was = there.clone();
        let taint = format!("{}gpu", trellis_lattice::control::host::TAINT);
        for (label, value, is_set) in [("tier", "gold", gold), (taint.as_str(), "only", tainted)] {
            match is_set {
                true => there.labels.insert(label.into(), value.into()),
                false => there.labels.remove(label),
            };
        }
        let is = there.clone();
        for ((wish, before), after) in crowd.wishes.iter().zip(&before).zip(crowd.place()) {
            let fitted = |there| wish.workload.spreads.iter().map(|place| fits(there, &wish.workload, place)).collect::<Vec<_>>();
            let (gained, lost) = moved(before, &after, &host);
            let all = |fits: Vec<bool>| fits.contains(&true);
            match (all(fitted(&was)), all(fitted(&is))) {
                (true, false) => prop_assert_eq!(lost, 0, "{:?}", wish),
                (false, true) => prop_assert!(gained <= missing(before), "{:?}", wish),
                _ => prop_assert_eq!(&before.targets, &after.targets, "{:?}", wish),
            }
        }
    }
}
