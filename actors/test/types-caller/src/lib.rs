//! Sends every kind of WIT value to the linked `trellis:test/types` and compares
//! what comes back.
//!
//! `/` runs every case and answers 200 with `N cases\n`, or 500 with a line per
//! case that came back changed. `/produce?bytes=N` and `/digest?bytes=N` move a
//! large value one way, `/trap` calls the function that traps.

mod cases;

use web::{Handler, Request, Response};

use crate::bindings::trellis::test::types;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:types-caller;
            world caller {
                import trellis:test/types@0.1.0;
            }
        ",
        path: ["../../../wit/trellis-test"],
        world: "trellis:types-caller/caller",
        additional_derives: [PartialEq],
        generate_all,
    });
}

struct Caller;

impl Handler for Caller {
    fn handle(request: Request) -> Response {
        match answer(&request) {
            Ok(text) => Response::text(200, text),
            Err(reason) => Response::text(500, reason),
        }
    }
}

fn answer(request: &Request) -> Result<String, String> {
    match request.path() {
        "/" => cases::all(),
        "/produce" => produce(bytes(request)?),
        "/digest" => digest(bytes(request)?),
        "/trap" => {
            types::trap();
            Err("the trapping function came back\n".into())
        }
        path => Err(format!("no case at {path}\n")),
    }
}

fn bytes(request: &Request) -> Result<u32, String> {
    request
        .query("bytes")
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "the query needs bytes=NUMBER\n".into())
}

fn pattern(count: u32) -> Vec<u8> {
    (0..251_u8).cycle().take(count as usize).collect()
}

fn produce(count: u32) -> Result<String, String> {
    let got = types::produce(count);
    if got == pattern(count) {
        Ok(format!("{count} bytes\n"))
    } else {
        Err(format!(
            "asked for {count} bytes, got {} others\n",
            got.len()
        ))
    }
}

fn digest(count: u32) -> Result<String, String> {
    let sent = pattern(count);
    let sum = sent
        .iter()
        .fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    let got = types::digest(&sent);
    if got == (u64::from(count), sum) {
        Ok(format!("{count} bytes\n"))
    } else {
        Err(format!(
            "sent {count} bytes of sum {sum}, the other side saw {got:?}\n"
        ))
    }
}

web::serve!(Caller);
