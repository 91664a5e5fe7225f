//! Uses the resource of the linked `trellis:test/resources`: any path makes two
//! tallies, adds them, gives one back, and answers `10 + 5 = 15\n`.

use web::{Handler, Request, Response};

use crate::bindings::trellis::test::resources::{self, Tally};

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:resources-caller;
            world caller {
                import trellis:test/resources@0.1.0;
            }
        ",
        path: ["../../../wit/trellis-test"],
        world: "trellis:resources-caller/caller",
        generate_all,
    });
}

struct Caller;

impl Handler for Caller {
    fn handle(_request: Request) -> Response {
        let a = Tally::new(7);
        a.add(3);
        let b = Tally::new(5);
        let sum = Tally::sum(&a, &b).value();
        let b_last = resources::close(b);
        Response::text(200, format!("{} + {b_last} = {sum}\n", a.value()))
    }
}

web::serve!(Caller);
