//! Offers `trellis:example/greeter` to other actors.

use crate::bindings::exports::trellis::example::greeter::Guest;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:greeter;
            world greeter {
                export trellis:example/greeter@0.1.0;
            }
        ",
        path: ["../../wit/trellis-example"],
        world: "trellis:greeter/greeter",
        generate_all,
    });
}

struct Greeter;

impl Guest for Greeter {
    fn greet(name: String) -> Result<String, String> {
        match name.trim() {
            "" => Err("a greeting needs a name".into()),
            name => Ok(format!("Hello, {name}!")),
        }
    }
}

bindings::export!(Greeter with_types_in bindings);
