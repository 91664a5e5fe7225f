//! Offers a resource, a tally, to other actors.

use std::cell::Cell;

use crate::bindings::exports::trellis::test::resources::{Guest, GuestTally, Tally, TallyBorrow};

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:resources;
            world resources {
                export trellis:test/resources@0.1.0;
            }
        ",
        path: ["../../../wit/trellis-test"],
        world: "trellis:resources/resources",
        generate_all,
    });
}

struct Resources;

struct Count(Cell<u64>);

impl Guest for Resources {
    type Tally = Count;

    fn close(tally: Tally) -> u64 {
        tally.get::<Count>().value()
    }
}

impl GuestTally for Count {
    fn new(start: u64) -> Self {
        Self(Cell::new(start))
    }

    fn add(&self, delta: u64) -> u64 {
        self.0.set(self.0.get().wrapping_add(delta));
        self.0.get()
    }

    fn value(&self) -> u64 {
        self.0.get()
    }

    fn sum(a: TallyBorrow<'_>, b: TallyBorrow<'_>) -> Tally {
        let total = a
            .get::<Count>()
            .value()
            .wrapping_add(b.get::<Count>().value());
        Tally::new(Count(Cell::new(total)))
    }
}

bindings::export!(Resources with_types_in bindings);
