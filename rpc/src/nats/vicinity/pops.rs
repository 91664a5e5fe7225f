//! What is known of the other PoPs, and who of them is nearer.

use std::{collections::BTreeMap, time::Duration};

use trellis_lattice::{
    Place, PopName, RegionName,
    place::{MAX_POPS, PopPresence},
};

/// After so many pings in a row without an answer, a PoP may be cut off: it is asked last.
const DOUBTFUL: u32 = 2;
/// After so many, it is forgotten, unless its distance was declared.
const GONE: u32 = 30;
/// Up to so many, it is asked sooner than the others.
const SOON: u32 = 5;

/// The other PoPs.
#[derive(Debug)]
pub(super) struct Pops {
    own: PopName,
    known: BTreeMap<PopName, Known>,
}

/// What is known of one.
#[derive(Clone, Debug, Default)]
struct Known {
    region: Option<RegionName>,
    declared: Option<Duration>,
    /// The time there and back, smoothed.
    measured: Option<Duration>,
    /// How many pings in a row it has not answered.
    unanswered: u32,
}

impl Pops {
    /// Those whose distance was declared.
    pub(super) fn new(place: &Place) -> Self {
        let others = place.distances.iter().filter(|(pop, _)| **pop != place.pop);
        let known = others
            .map(|(pop, distance)| {
                let known = Known {
                    declared: Some(*distance),
                    ..Known::default()
                };
                (pop.clone(), known)
            })
            .collect();
        Self {
            own: place.pop.clone(),
            known,
        }
    }

    /// A PoP answered a ping, so long after it was sent.
    pub(super) fn answered(&mut self, presence: PopPresence, took: Duration) {
        let room = self.known.len() < MAX_POPS || self.known.contains_key(&presence.pop);
        if presence.pop == self.own || !room {
            return;
        }
        let known = self.known.entry(presence.pop).or_default();
        known.region = presence.region;
        known.unanswered = 0;
        // One slow answer says little, several say something.
        known.measured = Some(match known.measured {
            Some(before) => (before * 3 + took) / 4,
            None => took,
        });
    }

    /// All have had the time to answer a ping. `answered` are those that did.
    pub(super) fn round_over(&mut self, answered: impl Fn(&PopName) -> bool) {
        self.known.retain(|pop, known| {
            if !answered(pop) {
                known.unanswered = known.unanswered.saturating_add(1);
            }
            known.declared.is_some() || known.unanswered < GONE
        });
    }

    /// A call to a PoP got no answer: it comes last until it answers a ping.
    pub(super) fn doubt(&mut self, pop: &PopName) {
        if let Some(known) = self.known.get_mut(pop) {
            known.unanswered = known.unanswered.max(DOUBTFUL);
        }
    }

    /// Whether one has not answered lately, so that it should be asked again soon.
    pub(super) fn waits(&self) -> bool {
        let unanswered = |known: &Known| (1..=SOON).contains(&known.unanswered);
        self.known.values().any(unanswered)
    }

    /// The longest measured time to one and back.
    pub(super) fn farthest(&self) -> Option<Duration> {
        self.known.values().filter_map(|known| known.measured).max()
    }

    /// The PoPs from near to far: by the declared distance, where there is none by the measured one. Those that seem to be
    /// cut off come last, in the same order among themselves.
    pub(super) fn order(&self) -> Vec<PopName> {
        let mut order: Vec<_> = self.known.iter().collect();
        // By name where all else is alike, as the map is ordered by it and the sort is stable.
        order.sort_by_key(|(_, known)| {
            let distance = known.declared.or(known.measured);
            (
                known.unanswered >= DOUBTFUL,
                distance.unwrap_or(Duration::MAX),
            )
        });
        order.into_iter().map(|(pop, _)| pop.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop(name: &str) -> PopName {
        name.parse().unwrap()
    }

    fn presence(name: &str) -> PopPresence {
        PopPresence {
            pop: pop(name),
            region: None,
        }
    }

    fn pops(declared: &[(&str, u64)]) -> Pops {
        let mut place = Place::new(pop("fra"), None);
        for (name, ms) in declared {
            place
                .distances
                .insert(pop(name), Duration::from_millis(*ms));
        }
        Pops::new(&place)
    }

    fn order(pops: &Pops) -> Vec<String> {
        pops.order().iter().map(ToString::to_string).collect()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn declared_distances_count_before_measured_ones() {
        let mut pops = pops(&[("iad", 80), ("sin", 200)]);
        assert_eq!(order(&pops), ["iad", "sin"]);
        pops.answered(presence("sin"), ms(1));
        pops.answered(presence("ams"), ms(100));
        pops.answered(presence("bom"), ms(300));
        assert_eq!(order(&pops), ["iad", "ams", "sin", "bom"]);
    }

    #[test]
    fn the_own_pop_is_none_of_the_others() {
        let mut pops = pops(&[("fra", 1)]);
        pops.answered(presence("fra"), ms(1));
        assert_eq!(order(&pops), [""; 0]);
    }

    #[test]
    fn one_slow_answer_does_not_turn_the_order_and_several_do() {
        let mut pops = pops(&[]);
        pops.answered(presence("iad"), ms(80));
        pops.answered(presence("sin"), ms(100));
        pops.answered(presence("iad"), ms(120));
        assert_eq!(order(&pops), ["iad", "sin"]);
        for _ in 0..5 {
            pops.answered(presence("iad"), ms(120));
        }
        assert_eq!(order(&pops), ["sin", "iad"]);
    }

    #[test]
    fn who_does_not_answer_twice_comes_last_until_it_answers() {
        let mut pops = pops(&[("iad", 10), ("sin", 200)]);
        for name in ["iad", "sin"] {
            pops.answered(presence(name), ms(50));
        }
        let only_sin = |name: &PopName| name.as_str() == "sin";
        pops.round_over(only_sin);
        assert_eq!(order(&pops), ["iad", "sin"], "one lost answer is nothing");
        assert!(pops.waits());
        pops.round_over(only_sin);
        assert_eq!(order(&pops), ["sin", "iad"]);
        pops.answered(presence("iad"), ms(50));
        assert_eq!(order(&pops), ["iad", "sin"]);
        assert!(!pops.waits());
    }

    #[test]
    fn a_call_without_an_answer_is_enough() {
        let mut pops = pops(&[("iad", 10), ("sin", 200)]);
        pops.doubt(&pop("iad"));
        pops.doubt(&pop("unknown"));
        assert_eq!(order(&pops), ["sin", "iad"]);
    }

    #[test]
    fn who_is_long_gone_is_forgotten_and_what_was_declared_is_not() {
        let mut pops = pops(&[("iad", 10)]);
        pops.answered(presence("sin"), ms(50));
        for _ in 0..GONE {
            pops.round_over(|_| false);
        }
        assert_eq!(order(&pops), ["iad"]);
    }

    #[test]
    fn there_is_a_bound_on_how_many_are_known() {
        let mut pops = pops(&[("iad", 10)]);
        for number in 0..2 * MAX_POPS {
            pops.answered(presence(&format!("p{number}")), ms(1));
        }
        assert_eq!(pops.order().len(), MAX_POPS);
        assert_eq!(pops.farthest(), Some(ms(1)));
    }
}
