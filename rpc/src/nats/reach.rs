//! How far the calls of a route may go, and who is asked first.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use trellis_lattice::{
    Place, PopName, RegionName, Within,
    place::{MAX_POPS, Outside},
    subject::Tier,
};

use super::vicinity::Vicinity;

/// How long a PoP where nobody was is not asked again. The own PoP always is.
const MISSED: Duration = Duration::from_secs(1);
/// How many other PoPs are asked for one call; after the nearest ones NATS chooses.
const MAX_POPS_ASKED: usize = 16;

/// The tiers of one route.
#[derive(Debug)]
pub(super) struct Reach {
    /// Who is asked first, and for most calls the only one.
    first: Tier,
    beyond: Beyond,
    /// The other PoPs where nobody was, and when.
    missed: Mutex<HashMap<PopName, Instant>>,
}

/// Who is asked after that.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Beyond {
    /// Nobody.
    Nobody,
    /// The others in the region.
    Region(RegionName),
    /// The other PoPs from near to far, then anybody.
    All,
}

impl Reach {
    /// The reach of calls from a place.
    ///
    /// # Errors
    /// [`Outside`] when the place is not within the bound.
    pub(super) fn new(
        place: Option<&Place>,
        within: Option<&Within>,
        target: &str,
    ) -> Result<Self, Outside> {
        if let Some(within) = within {
            within.check(place, format_args!("the link to {target:?}"), "its caller")?;
        }
        let beyond = match (place, within) {
            (None, _) => Beyond::Nobody,
            (Some(_), None) => Beyond::All,
            (Some(_), Some(Within { pop: Some(_), .. })) => Beyond::Nobody,
            (Some(_), Some(Within { region, .. })) => {
                region.clone().map_or(Beyond::Nobody, Beyond::Region)
            }
        };
        Ok(Self {
            first: place.map_or(Tier::Anywhere, |place| Tier::Pop(place.pop.clone())),
            beyond,
            missed: Mutex::default(),
        })
    }

    /// Who is asked first.
    pub(super) fn first(&self) -> &Tier {
        &self.first
    }

    /// Whether anybody is asked after that.
    pub(super) fn goes_on(&self) -> bool {
        self.beyond != Beyond::Nobody
    }

    /// Who is asked after nobody was at the first, in this order.
    pub(super) fn beyond(&self, vicinity: Option<&Vicinity>) -> Vec<Tier> {
        match &self.beyond {
            Beyond::Nobody => Vec::new(),
            Beyond::Region(region) => vec![Tier::Region(region.clone())],
            Beyond::All => {
                let others = vicinity.map(Vicinity::others).unwrap_or_default();
                let mut tiers = self.not_missed(&others, Instant::now());
                tiers.push(Tier::Anywhere);
                tiers
            }
        }
    }

    fn not_missed(&self, others: &[PopName], now: Instant) -> Vec<Tier> {
        let missed = self.lock();
        let lately = |pop: &PopName| {
            let when = missed.get(pop);
            when.is_some_and(|when| now.saturating_duration_since(*when) < MISSED)
        };
        others
            .iter()
            .filter(|pop| !lately(pop))
            .take(MAX_POPS_ASKED)
            .cloned()
            .map(Tier::Pop)
            .collect()
    }

    /// Nobody was there, or will be in a moment.
    pub(super) fn missed(&self, tier: &Tier) {
        let Tier::Pop(pop) = tier else { return };
        if *tier == self.first {
            return;
        }
        let now = Instant::now();
        let mut missed = self.lock();
        if missed.len() >= MAX_POPS {
            missed.retain(|_, when| now.saturating_duration_since(*when) < MISSED);
        }
        if missed.len() < MAX_POPS {
            missed.insert(pop.clone(), now);
        }
    }

    /// The other PoP that a tier is, if it is one.
    pub(super) fn other_pop<'a>(&self, tier: &'a Tier) -> Option<&'a PopName> {
        match tier {
            Tier::Pop(pop) if *tier != self.first => Some(pop),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PopName, Instant>> {
        // Nothing panics while holding it.
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fra() -> Place {
        Place::new("fra".parse().unwrap(), Some("eu".parse().unwrap()))
    }

    fn reach(place: Option<&Place>, within: Option<&str>) -> Result<Reach, Outside> {
        let within = within.map(|within| within.parse().unwrap());
        Reach::new(place, within.as_ref(), "kv")
    }

    fn pop(name: &str) -> PopName {
        name.parse().unwrap()
    }

    #[test]
    fn who_is_nowhere_asks_whom_nats_chooses_and_nobody_else() {
        let reach = reach(None, None).unwrap();
        assert_eq!(reach.first(), &Tier::Anywhere);
        assert!(!reach.goes_on());
    }

    #[test]
    fn the_own_pop_comes_first_and_anybody_last() {
        let reach = reach(Some(&fra()), None).unwrap();
        assert_eq!(reach.first(), &Tier::Pop(pop("fra")));
        assert!(reach.goes_on());
        assert_eq!(reach.beyond(None), [Tier::Anywhere]);
        let now = Instant::now();
        let others = [pop("iad"), pop("sin")];
        assert_eq!(
            reach.not_missed(&others, now),
            others.clone().map(Tier::Pop)
        );
        reach.missed(&Tier::Pop(pop("iad")));
        reach.missed(reach.first());
        assert_eq!(
            reach.not_missed(&others, Instant::now()),
            [Tier::Pop(pop("sin"))]
        );
        assert_eq!(
            reach.not_missed(&others, Instant::now() + MISSED).len(),
            2,
            "it is asked again after a while"
        );
        let many: Vec<_> = (0..40).map(|number| pop(&format!("p{number}"))).collect();
        assert_eq!(reach.not_missed(&many, now).len(), MAX_POPS_ASKED);
    }

    #[test]
    fn a_bound_is_never_left() {
        let region = reach(Some(&fra()), Some("region=eu")).unwrap();
        assert_eq!(region.first(), &Tier::Pop(pop("fra")));
        let eu = Tier::Region("eu".parse().unwrap());
        assert_eq!(region.beyond(None), [eu]);
        for within in ["pop=fra", "pop=fra,region=eu"] {
            let one = reach(Some(&fra()), Some(within)).unwrap();
            assert!(!one.goes_on() && one.beyond(None).is_empty());
        }
    }

    #[test]
    fn who_is_outside_calls_nobody() {
        for (place, within) in [
            (Some(fra()), "region=us"),
            (Some(fra()), "pop=iad"),
            (None, "region=eu"),
        ] {
            let error = reach(place.as_ref(), Some(within)).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!(
                    "the link to \"kv\" is kept within {within}; its caller is in "
                )),
                "{error}"
            );
        }
    }
}
