//! What always holds of a rollout, whatever happens meanwhile.

use proptest::prelude::*;
use trellis_wadm::rollout::Phase;

use super::world::{World, image};

/// Something that happens in the middle.
#[derive(Clone, Debug)]
enum Happening {
    Crash,
    Leave(usize),
    Join(usize),
    Pause(u32),
    StoreAway(u32),
    Nothing(u32),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        Just(Happening::Crash),
        (0..8_usize).prop_map(Happening::Leave),
        (0..10_usize).prop_map(Happening::Join),
        (1..30_u32).prop_map(Happening::Pause),
        (1..30_u32).prop_map(Happening::StoreAway),
        (0..20_u32).prop_map(Happening::Nothing),
    ]
}

impl World {
    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Crash => self.crash(),
            Happening::Leave(host) => {
                // One stays.
                if self.model.observed.hosts.len() > 1 {
                    self.model.leave(&format!("h{host}"));
                }
            }
            Happening::Join(host) => self.model.join(&format!("h{host}"), "east"),
            Happening::Pause(ticks) => {
                self.wish.paused = true;
                self.run(*ticks);
                self.wish.paused = false;
            }
            Happening::StoreAway(ticks) => {
                self.store_is_away = true;
                self.run(*ticks);
                self.store_is_away = false;
            }
            Happening::Nothing(ticks) => self.run(*ticks),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn it_ends_and_all_hosts_have_one_version(
        hosts in 1..8_usize,
        per_host in 1..4_u32,
        unavailable in 0..4_u32,
        surge in 1..4_u32,
        weights in prop::collection::btree_set(1..=100_u32, 0..3),
        delay in 1..8_u32,
        is_bad in any::<bool>(),
        happenings in prop::collection::vec(happening(), 0..12),
    ) {
        let steps: Vec<String> = weights
            .iter()
            .map(|weight| format!("{{weight: {weight}, pause: 2s}}"))
            .collect();
        let strategy = match steps.is_empty() {
            true => "strategy: rolling".to_owned(),
            false => format!("strategy: canary, steps: [{}]", steps.join(", ")),
        };
        let count = u32::try_from(hosts).unwrap() * per_host;
        let mut world = World::new(
            hosts,
            count,
            &format!("{{{strategy}, maxUnavailable: {unavailable}, maxSurge: {surge}}}"),
        );
        world.delay = delay;
        if is_bad {
            world.bad.insert(image(2));
        }
        world.deployed = "v2".into();
        world.tick();
        for happening in &happenings {
            world.happen(happening);
            world.tick();
        }
        let phase = world.end();
        world.run(100);
        match phase {
            Phase::Done => prop_assert!(!is_bad && world.runs_everywhere(2)),
            Phase::RolledBack { .. } => prop_assert!(is_bad && world.runs_everywhere(1)),
            other => prop_assert!(false, "{other:?}"),
        }
        let changes = happenings.iter().any(|happening| {
            matches!(happening, Happening::Leave(_) | Happening::Join(_))
        });
        if !changes {
            // At least one host, and no more than allowed.
            let bound = (unavailable + surge).max(per_host);
            prop_assert!(world.most_in_update <= bound, "{} of {bound}", world.most_in_update);
            if is_bad {
                let batch = usize::try_from((unavailable + surge) / per_host).unwrap().max(1);
                prop_assert!(world.told[&image(2)].len() <= batch);
            }
        }
    }
}
