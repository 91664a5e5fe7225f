//! An HTTP actor that has another actor do the work: `/?name=Ada` answers what
//! the linked `trellis:example/greeter` says of that name.

use web::{Handler, Request, Response};

use crate::bindings::trellis::example::greeter;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:http-caller;
            world caller {
                import trellis:example/greeter@0.1.0;
            }
        ",
        path: ["../../wit/trellis-example"],
        world: "trellis:http-caller/caller",
        generate_all,
    });
}

struct Caller;

impl Handler for Caller {
    fn handle(request: Request) -> Response {
        let name = request.query("name").unwrap_or_else(|| "World".into());
        match greeter::greet(&name) {
            Ok(greeting) => Response::text(200, format!("{greeting}\n")),
            // The greeter's own refusal; a call that fails on the way never returns.
            Err(reason) => Response::text(400, format!("{reason}\n")),
        }
    }
}

web::serve!(Caller);
