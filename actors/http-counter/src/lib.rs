//! Counts the requests of each path in a key-value store and answers the count.
//!
//! `/a/b` counts under the key `a/b`, `/` under `counter`. The bucket is the
//! query's `bucket`, else the actor's configuration value `bucket`, else `default`.
//! Why a count failed stands in the log; the client is only told that it did.

use web::{Handler, Request, Response};

use crate::bindings::wasi::config::store as config;
use crate::bindings::wasi::keyvalue::{atomics, store};
use crate::bindings::wasi::logging::logging::{Level, log};

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:http-counter;
            world counter {
                import wasi:config/store@0.2.0-draft;
                import wasi:keyvalue/store@0.2.0-draft;
                import wasi:keyvalue/atomics@0.2.0-draft;
                import wasi:logging/logging@0.1.0-draft;
            }
        ",
        path: [
            "../../wit/wasi-config-0.2.0-draft",
            "../../wit/wasi-keyvalue",
            "../../wit/wasi-logging",
        ],
        world: "trellis:http-counter/counter",
        generate_all,
    });
}

struct Counter;

impl Handler for Counter {
    fn handle(request: Request) -> Response {
        match count(&request) {
            Ok(count) => Response::text(200, format!("{count}\n")),
            Err(error) => {
                log(Level::Error, "counting", &error);
                Response::text(500, "the request could not be counted\n")
            }
        }
    }
}

fn count(request: &Request) -> Result<u64, String> {
    let name = bucket_name(request)?;
    let key = match request.path().trim_start_matches('/') {
        "" => "counter",
        path => path,
    };
    let bucket =
        store::open(&name).map_err(|error| format!("opening bucket {name:?}: {}", say(error)))?;
    atomics::increment(&bucket, key, 1)
        .map_err(|error| format!("counting {key:?} in bucket {name:?}: {}", say(error)))
}

fn bucket_name(request: &Request) -> Result<String, String> {
    if let Some(name) = request.query("bucket") {
        return Ok(name);
    }
    match config::get("bucket") {
        Ok(name) => Ok(name.unwrap_or_else(|| "default".into())),
        Err(config::Error::Upstream(reason) | config::Error::Io(reason)) => Err(format!(
            "reading the configuration value \"bucket\": {reason}"
        )),
    }
}

fn say(error: store::Error) -> String {
    match error {
        store::Error::NoSuchStore => "no such bucket".into(),
        store::Error::AccessDenied => "access denied".into(),
        store::Error::Other(reason) => reason,
    }
}

web::serve!(Counter);
