//! Autoscaling: as many instances of a component as its calls need, by what hosts tell of them. More at once, fewer only
//! after a while. At zero one instance stays that sleeps: the host wakes it at its first call. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use trellis_lattice::{ComponentId, HostId};

use crate::{
    desired::{App, Want, Workload},
    manifest::AutoscaleProperties,
    observed::Observed,
};

/// The components that are scaled by their calls.
#[derive(Debug, Default)]
pub struct Autoscaler {
    by_component: BTreeMap<String, BTreeMap<ComponentId, Scale>>,
}

/// How many instances a component needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// What was needed lately, the greatest first; each is later than those before.
    needs: VecDeque<(Instant, u32)>,
    /// How many there ought to be; zero: one that sleeps.
    instances: u32,
    /// Whether all of it was seen asleep since it ought to be.
    slept: bool,
}

/// What hosts tell of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// The most calls at once, lately, of all hosts together; none where no host tells.
    pub calls: Option<u64>,
    /// Whether it sleeps, wherever it runs; it does where it runs nowhere.
    pub sleeps: bool,
    /// How many instances count as running where they can't be seen: they may all be needed there.
    pub unseen: u32,
}

impl Scale {
    /// Begins with that many instances.
    pub fn new(instances: u32, properties: &AutoscaleProperties, now: Instant) -> Self {
        let instances = instances.clamp(properties.min, properties.max.max(properties.min));
        Self {
            needs: [(now, instances)].into(),
            instances,
            slept: false,
        }
    }

    /// How many there ought to be; zero: one that sleeps.
    pub fn instances(&self) -> u32 {
        self.instances
    }

    /// Takes in what hosts tell.
    pub fn take(&mut self, load: Load, properties: &AutoscaleProperties, now: Instant) {
        let mut need = match load.calls {
            Some(calls) => {
                let needed = needed(calls, properties.target_concurrency);
                // Where it is seen there must be one to be called.
                needed.max(load.unseen.min(1)).saturating_add(load.unseen)
            }
            // Nobody tells: it stays.
            None => self.instances,
        };
        if self.instances == 0 {
            // A call woke it, even one that is over by now.
            if self.slept && !load.sleeps {
                need = need.max(1);
            }
            self.slept |= load.sleeps;
        }
        let need = need.clamp(properties.min, properties.max.max(properties.min));
        while self.needs.back().is_some_and(|(_, past)| *past <= need) {
            self.needs.pop_back();
        }
        self.needs.push_back((now, need));
        let is_over = |then: Instant| now.saturating_duration_since(then) > properties.idle.0;
        while self.needs.len() > 1 && self.needs.front().is_some_and(|(then, _)| is_over(*then)) {
            self.needs.pop_front();
        }
        let most = self.needs.front().map_or(need, |(_, need)| *need);
        if most != self.instances {
            self.slept = false;
            self.instances = most;
        }
    }
}

/// The instances that so many calls at once need. One takes one call at a time.
fn needed(calls: u64, target: f64) -> u32 {
    // Out of range or no number at all: a call each.
    let target = if target > 0.0 && target <= 1.0 {
        target
    } else {
        1.0
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a float that is too large becomes the largest number, which is then limited"
    )]
    let needed = (calls as f64 / target).ceil() as u32;
    needed
}

impl Autoscaler {
    /// Puts the number of instances that calls need where the manifests' own number was; whether any is another than
    /// before.
    pub fn apply(
        &mut self,
        desired: &mut BTreeMap<String, App>,
        observed: &Observed,
        now: Instant,
    ) -> bool {
        let mut before = std::mem::take(&mut self.by_component);
        let mut is_news = false;
        for (name, app) in desired {
            let mut known = before.remove(name).unwrap_or_default();
            for part in &mut app.parts {
                let Ok(Want::Workload(workload)) = &mut part.want else {
                    continue;
                };
                let Some(properties) = workload.autoscale.clone() else {
                    continue;
                };
                let scale = scale(
                    known.remove(&workload.id),
                    workload,
                    &properties,
                    observed,
                    now,
                );
                let (instances, dormant) = match scale.instances {
                    0 => (1, true),
                    instances => (instances, false),
                };
                if (workload.instances, workload.dormant) != (instances, dormant) {
                    tracing::info!(
                        component = %workload.id,
                        before = workload.instances,
                        now = scale.instances,
                        "scaled by its calls"
                    );
                    workload.instances = instances;
                    workload.dormant = dormant;
                    is_news = true;
                }
                self.by_component
                    .entry(name.clone())
                    .or_default()
                    .insert(workload.id.clone(), scale);
            }
        }
        is_news
    }

    /// Whether anything is scaled by its calls.
    pub fn is_on(&self) -> bool {
        !self.by_component.is_empty()
    }

    /// The hosts that run such components.
    pub fn hosts<'o>(&self, observed: &'o Observed) -> BTreeSet<&'o HostId> {
        let ids: BTreeSet<&ComponentId> = self
            .by_component
            .values()
            .flat_map(BTreeMap::keys)
            .collect();
        let runs =
            |host: &crate::observed::Host| ids.iter().any(|id| host.components.contains_key(*id));
        let hosts = observed.hosts.iter().filter(|(_, host)| runs(host));
        hosts.map(|(id, _)| id).collect()
    }
}

fn scale(
    known: Option<Scale>,
    workload: &Workload,
    properties: &AutoscaleProperties,
    observed: &Observed,
    now: Instant,
) -> Scale {
    let there: Vec<_> = observed
        .hosts
        .values()
        .filter_map(|host| host.components.get(&workload.id))
        .collect();
    let unseen: u32 = observed
        .counted(workload)
        .filter_map(|(_, unseen)| unseen.component(&workload.id))
        .filter(|there| !there.dormant)
        .fold(0, |sum, there| sum.saturating_add(there.instances));
    let awake = there.iter().filter(|there| !there.dormant);
    let running: u32 = awake.fold(unseen, |sum, there| sum.saturating_add(there.instances));
    let mut scale = known.unwrap_or_else(|| {
        // What runs may be needed; what never ran begins with the manifest's own number.
        let instances = match there.is_empty() && unseen == 0 {
            true => workload.instances,
            false => running,
        };
        Scale::new(instances, properties, now)
    });
    let told = there.iter().filter_map(|there| there.stats.as_ref());
    let calls = told
        .map(|stats| u64::from(stats.peak.max(stats.in_flight)))
        .reduce(u64::saturating_add);
    let load = Load {
        calls,
        sleeps: unseen == 0 && there.iter().all(|there| there.dormant),
        unseen,
    };
    scale.take(load, properties, now);
    scale
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::manifest::Span;

    fn properties(min: u32, max: u32) -> AutoscaleProperties {
        AutoscaleProperties {
            min,
            max,
            target_concurrency: 0.5,
            idle: Span(Duration::from_secs(10)),
        }
    }

    fn load(calls: u64) -> Load {
        Load {
            calls: Some(calls),
            ..Load::default()
        }
    }

    #[test]
    fn more_at_once_and_fewer_after_a_while() {
        let (properties, start) = (properties(1, 20), Instant::now());
        let mut scale = Scale::new(1, &properties, start);
        scale.take(load(4), &properties, start);
        assert_eq!(scale.instances(), 8);
        for second in 1..=10 {
            scale.take(load(1), &properties, start + Duration::from_secs(second));
            assert_eq!(scale.instances(), 8, "{second} s");
        }
        scale.take(load(1), &properties, start + Duration::from_secs(11));
        assert_eq!(scale.instances(), 2);
    }

    #[test]
    fn at_zero_it_sleeps_until_a_call_wakes_it() {
        let (properties, start) = (properties(0, 20), Instant::now());
        let mut scale = Scale::new(1, &properties, start);
        let at = |second| start + Duration::from_secs(second);
        scale.take(load(0), &properties, at(11));
        assert_eq!(scale.instances(), 0);
        // It is told to sleep, and does not yet.
        scale.take(load(0), &properties, at(12));
        assert_eq!(scale.instances(), 0);
        let sleeps = Load {
            calls: Some(0),
            sleeps: true,
            unseen: 0,
        };
        scale.take(sleeps, &properties, at(13));
        assert_eq!(scale.instances(), 0);
        // Woken by a call that is over: it stays awake for as long as any that is idle.
        scale.take(load(0), &properties, at(14));
        assert_eq!(scale.instances(), 1);
        scale.take(load(0), &properties, at(24));
        assert_eq!(scale.instances(), 1);
        scale.take(load(0), &properties, at(25));
        assert_eq!(scale.instances(), 0);
    }

    #[test]
    fn where_nobody_tells_it_stays() {
        let (properties, start) = (properties(0, 20), Instant::now());
        let mut scale = Scale::new(3, &properties, start);
        for second in 0..100 {
            scale.take(
                Load::default(),
                &properties,
                start + Duration::from_secs(second),
            );
            assert_eq!(scale.instances(), 3);
        }
    }

    proptest! {
        #[test]
        fn it_stays_within_bounds_follows_at_once_and_lets_go_late(
            min in 0..5_u32,
            more in 0..50_u32,
            idle in 0..20_u64,
            first in 0..100_u32,
            loads in prop::collection::vec((0..60_u64, 1..4_u64), 1..80),
        ) {
            let properties = AutoscaleProperties {
                idle: Span(Duration::from_secs(idle)),
                ..properties(min, (min + more).max(1))
            };
            let start = Instant::now();
            let mut scale = Scale::new(first, &properties, start);
            let mut seconds = 0;
            let mut needs = vec![(0, scale.instances())];
            for (calls, later) in loads {
                seconds += later;
                scale.take(load(calls), &properties, start + Duration::from_secs(seconds));
                let need = u32::try_from(calls * 2).unwrap().clamp(properties.min, properties.max);
                needs.push((seconds, need));
                // The most that was needed lately, no more and no less.
                let lately = needs.iter().filter(|(then, _)| seconds - then <= idle);
                let most = lately.map(|(_, need)| *need).max().unwrap();
                prop_assert_eq!(scale.instances(), most);
                prop_assert!((properties.min..=properties.max).contains(&most));
            }
            // An even load comes to rest.
            for second in 0..=idle + 1 {
                scale.take(load(3), &properties, start + Duration::from_secs(seconds + second));
            }
            let rests = scale.instances();
            prop_assert_eq!(rests, 6.clamp(properties.min, properties.max));
        }
    }
}
