//! HTTP for actors, in a few lines: implement [`Handler`] and name the type in
//! [`serve!`]. A thin layer over `wasi:http/incoming-handler@0.2.12`; bodies
//! stream both ways and nothing is held whole unless the actor does so.

#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:web;
            world server {
                import wasi:http/types@0.2.12;
                export wasi:http/incoming-handler@0.2.12;
            }
        ",
        path: [
            "../../wit/wasi-io",
            "../../wit/wasi-clocks",
            "../../wit/wasi-random",
            "../../wit/wasi-filesystem",
            "../../wit/wasi-sockets",
            "../../wit/wasi-cli",
            "../../wit/wasi-http",
        ],
        world: "trellis:web/server",
        pub_export_macro: true,
        generate_all,
    });
}

mod body;
mod query;
mod request;
mod response;
mod serve;

pub use body::{BodyReader, BodyWriter};
pub use request::Request;
pub use response::Response;
pub use serve::{Adapter, Handler};
