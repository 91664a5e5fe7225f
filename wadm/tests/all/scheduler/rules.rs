//! Each rule on its own: what it does, and what is said when it stands in the way.

use std::collections::BTreeMap;

use trellis_lattice::control::host::{CAPACITY, TAINT};
use trellis_wadm::{
    desired::Place,
    observed::{Component, Observed},
    plan::place::{Placement, explain::Rule},
};

use super::crowd::{Crowd, Wish, component, host, id, labels, topology};

fn crowd(hosts: &[&[(&str, &str)]], wishes: Vec<Wish>) -> Crowd {
    let mut observed = Observed::default();
    for (number, labels) in hosts.iter().enumerate() {
        let host = host(&number.to_string(), labels);
        observed.hosts.insert(id(number), host);
    }
    Crowd { observed, wishes }
}

/// Runs the only wish where it is placed; gives its instances on each host.
fn run(crowd: &mut Crowd) -> Vec<u32> {
    let placements = crowd.apply();
    counts(crowd, &placements[0])
}

/// Instances on each host, by the host's number.
fn counts(crowd: &Crowd, placement: &Placement) -> Vec<u32> {
    let hosts = crowd.observed.hosts.keys();
    hosts
        .map(|host| {
            placement
                .targets
                .get(host)
                .map_or(0, |spreads| spreads.values().sum())
        })
        .collect()
}

fn why(placement: &Placement) -> (Rule, u32, &str) {
    let missing = &placement.missing[0];
    (missing.rule, missing.instances, &missing.why)
}

#[test]
fn residency_holds_also_when_its_hosts_are_lost() {
    let mut wish = component("x", 4);
    wish.workload.rules.require = labels(&[("region", "eu")]);
    let hosts: [&[_]; 3] = [
        &[("region", "eu")],
        &[("region", "us")],
        &[("region", "eu")],
    ];
    let mut crowd = crowd(&hosts, vec![wish]);
    assert_eq!(run(&mut crowd), [2, 0, 2]);
    crowd.observed.hosts.remove(&id(0));
    assert_eq!(run(&mut crowd), [0, 4]);
    crowd.observed.hosts.remove(&id(2));
    let placement = &crowd.place()[0];
    assert!(placement.targets.is_empty());
    assert_eq!(
        why(placement),
        (
            Rule::Labels,
            4,
            "4 instance(s) wait for a host with labels region=eu: none of the 1 host(s) has them"
        )
    );
}

#[test]
fn avoided_labels_and_taints_keep_it_away() {
    let mut wish = component("x", 2);
    wish.workload.rules.avoid = labels(&[("tier", "gold")]);
    let gpu = format!("{TAINT}gpu");
    let hosts: [&[_]; 2] = [&[("tier", "gold")], &[(gpu.as_str(), "only")]];
    let mut crowd = crowd(&hosts, vec![wish]);
    assert_eq!(
        why(&crowd.place()[0]),
        (
            Rule::Taint,
            2,
            "2 instance(s) wait for a host without the taints gpu=only: tolerate them, or add a host without"
        )
    );
    crowd.wishes[0].workload.rules.tolerate = labels(&[("gpu", "only")]);
    assert_eq!(counts(&crowd, &crowd.place()[0]), [0, 2]);
    crowd.wishes[0].workload.rules.tolerate = labels(&[("gpu", "another value")]);
    assert_eq!(why(&crowd.place()[0]).0, Rule::Taint);
    crowd.observed.hosts.remove(&id(1));
    assert_eq!(
        why(&crowd.place()[0]),
        (
            Rule::Avoid,
            2,
            "2 instance(s) wait for a host without the avoided labels tier=gold: there is none"
        )
    );
}

#[test]
fn what_can_never_be_met_is_said() {
    let mut wish = component("x", 1);
    wish.workload.spreads[0].requirements = labels(&[("region", "us")]);
    wish.workload.rules.require = labels(&[("region", "eu")]);
    let crowd = crowd(&[&[("region", "eu")]], vec![wish]);
    assert_eq!(
        why(&crowd.place()[0]),
        (
            Rule::Labels,
            1,
            "1 instance(s) can't be placed: the spread requires region=us, the placement region=eu, and no host has both"
        )
    );
}

#[test]
fn a_host_takes_no_more_than_its_capacity() {
    let hosts: [&[_]; 2] = [&[(CAPACITY, "3")], &[(CAPACITY, "2")]];
    let mut crowd = crowd(&hosts, vec![component("x", 8)]);
    let foreign = Component {
        instances: 2,
        ..Component::default()
    };
    let first = crowd.observed.hosts.get_mut(&id(0)).unwrap();
    first.components.insert("theirs".parse().unwrap(), foreign);
    let placement = &crowd.place()[0];
    assert_eq!(counts(&crowd, placement), [1, 2]);
    assert_eq!(
        why(placement),
        (
            Rule::Room,
            5,
            "5 instance(s) wait for room: the 2 host(s) that fit are full: add a host, or raise the label trellis.dev/capacity"
        )
    );
    // A text that is no number limits nothing.
    let first = crowd.observed.hosts.get_mut(&id(0)).unwrap();
    first.labels.insert(CAPACITY.into(), "a lot".into());
    assert_eq!(counts(&crowd, &crowd.place()[0]), [6, 2]);
}

#[test]
fn who_comes_first_pushes_others_out_only_where_room_is_short() {
    let hosts: [&[_]; 2] = [&[(CAPACITY, "2")], &[(CAPACITY, "2")]];
    let mut low = component("low", 2);
    low.workload.rules.require = labels(&[]);
    let mut crowd = crowd(&hosts, vec![low]);
    crowd.apply();
    let mut high = component("high", 2);
    high.workload.rules.priority = 1;
    crowd.wishes.push(high);
    let placements = crowd.apply();
    assert_eq!(counts(&crowd, &placements[0]), [1, 1]);
    assert_eq!(counts(&crowd, &placements[1]), [1, 1]);
    crowd.wishes[1].workload.instances = 3;
    let placements = crowd.apply();
    assert_eq!(counts(&crowd, &placements[0]).iter().sum::<u32>(), 1);
    assert_eq!(why(&placements[0]).0, Rule::Room);
    // One of the same priority takes nothing.
    crowd.wishes.push(component("a", 1));
    let after = crowd.place();
    assert_eq!(after[..2], placements);
    assert_eq!(why(&after[2]).0, Rule::Room);
}

#[test]
fn it_is_spread_over_pops_and_then_over_their_hosts() {
    let pop = |pop| [("pop", pop)];
    let pops = [pop("a"), pop("a"), pop("a"), pop("b"), pop("c")];
    let hosts: Vec<&[_]> = pops.iter().map(|pop| pop.as_slice()).collect();
    let mut wish = component("x", 9);
    wish.workload.rules.topology_spread = vec![topology("pop", 1)];
    let mut crowd = crowd(&hosts, vec![wish]);
    crowd.observed.hosts.insert(id(9), host("9", &[]));
    assert_eq!(run(&mut crowd), [1, 1, 1, 3, 3, 0]);
    // A whole PoP lost: the others share what it had.
    crowd.observed.hosts.remove(&id(4));
    let placement = crowd.apply()[0].clone();
    let now = counts(&crowd, &placement);
    let of_a: u32 = now[..3].iter().sum();
    assert!(of_a.abs_diff(now[3]) <= 1 && of_a + now[3] == 9, "{now:?}");
}

#[test]
fn what_would_be_too_uneven_waits() {
    let hosts: [&[_]; 2] = [&[("pop", "a"), (CAPACITY, "1")], &[("pop", "b")]];
    let mut wish = component("x", 5);
    wish.workload.rules.topology_spread = vec![topology("pop", 2)];
    let mut crowd = crowd(&hosts, vec![wish]);
    let placement = &crowd.apply()[0];
    assert_eq!(counts(&crowd, placement), [1, 3]);
    assert_eq!(
        why(placement),
        (
            Rule::Skew,
            1,
            "1 instance(s) wait for room on pop=a (maxSkew 2): more elsewhere would be spread too unevenly: add hosts there, raise their capacity, or allow a greater maxSkew"
        )
    );
    // What runs is not stopped because another PoP has no more room.
    let first = crowd.observed.hosts.get_mut(&id(0)).unwrap();
    first.labels.insert(CAPACITY.into(), "0".into());
    assert_eq!(counts(&crowd, &crowd.place()[0]), [0, 3]);
}

#[test]
fn two_labels_hold_at_once() {
    let hosts: [&[_]; 4] = [
        &[("pop", "a"), ("region", "eu")],
        &[("pop", "b"), ("region", "eu")],
        &[("pop", "c"), ("region", "eu")],
        &[("pop", "d"), ("region", "us")],
    ];
    let mut wish = component("x", 6);
    wish.workload.rules.topology_spread = vec![topology("region", 1), topology("pop", 2)];
    let crowd = crowd(&hosts, vec![wish]);
    let mut placed = counts(&crowd, &crowd.place()[0]);
    assert_eq!(placed.pop(), Some(3));
    assert_eq!(placed, [1, 1, 1]);
}

#[test]
fn a_spread_without_a_host_overflows_where_it_may() {
    let spread = |region: &str, weight| Place {
        name: region.into(),
        requirements: labels(&[("region", region)]),
        weight,
    };
    let mut wish = component("x", 10);
    wish.workload.spreads = vec![spread("eu", 50), spread("us", 30), spread("ap", 20)];
    let hosts: [&[_]; 2] = [&[("region", "us")], &[("region", "ap")]];
    let mut crowd = crowd(&hosts, vec![wish]);
    let placement = crowd.place()[0].clone();
    assert_eq!(counts(&crowd, &placement), [3, 2]);
    assert_eq!(why(&placement).1, 5);
    crowd.wishes[0].workload.rules.overflow = true;
    let placement = crowd.apply()[0].clone();
    assert_eq!(
        (counts(&crowd, &placement), placement.missing),
        (vec![6, 4], vec![])
    );
    // Its own host is back: so are its instances.
    crowd
        .observed
        .hosts
        .insert(id(5), host("5", &[("region", "eu")]));
    assert_eq!(counts(&crowd, &crowd.place()[0]), [3, 2, 5]);
}

#[test]
fn a_spread_s_new_name_moves_nothing() {
    let mut crowd = crowd(&[&[], &[], &[], &[], &[]], vec![component("x", 3)]);
    let before = crowd.apply()[0].clone();
    crowd.wishes[0].workload.spreads[0].name = "renamed".into();
    let after = crowd.place()[0].clone();
    assert_eq!(counts(&crowd, &before), counts(&crowd, &after));
}

#[test]
fn hosts_get_different_things() {
    let wishes = (0..40)
        .map(|number| component(&format!("x{number}"), 1))
        .collect();
    let crowd = crowd(&[&[], &[], &[], &[]], wishes);
    let mut by_host = BTreeMap::new();
    for placement in crowd.place() {
        for host in placement.targets.into_keys() {
            *by_host.entry(host).or_insert(0) += 1;
        }
    }
    assert_eq!(by_host.len(), 4);
    assert!(
        by_host.values().all(|count| (4..=20).contains(count)),
        "{by_host:?}"
    );
}
