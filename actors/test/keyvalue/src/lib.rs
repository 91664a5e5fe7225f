//! Every function of `wasi:keyvalue` by HTTP. The path is the function, the query
//! has `bucket` (else `default`) and `key`, the body is the value.
//!
//! | request | answer |
//! | --- | --- |
//! | `/get?key=` | 200 and the value, or 404 |
//! | `/set?key=` | 200; the body is the value |
//! | `/delete?key=` | 200 |
//! | `/exists?key=` | `true` or `false` |
//! | `/list-keys` (`cursor=`) | a key per line; header `x-cursor` when there are more |
//! | `/increment?key=` (`by=`, else 1) | the new value |
//! | `/get-many?keys=a,b` | `a=VALUE` per line, `b` alone when it is not set |
//! | `/set-many?pairs=a:1,b:2` | 200 |
//! | `/delete-many?keys=a,b` | 200 |
//!
//! An error of the store answers 500 with its kind: `no-such-store`,
//! `access-denied` or `other: TEXT`.

mod many;
mod single;

use web::{Handler, Request, Response};

use crate::bindings::wasi::keyvalue::store;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:keyvalue;
            world keyvalue {
                include wasi:keyvalue/imports@0.2.0-draft;
            }
        ",
        path: ["../../../wit/wasi-keyvalue"],
        world: "trellis:keyvalue/keyvalue",
        generate_all,
    });
}

struct KeyValue;

/// Why there is no 200: the asker's mistake, or the store's error.
enum Failure {
    Asked(String),
    Store(store::Error),
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl Handler for KeyValue {
    fn handle(request: Request) -> Response {
        match call(&request) {
            Ok(response) => response,
            Err(Failure::Asked(reason)) => Response::text(400, reason + "\n"),
            Err(Failure::Store(error)) => Response::text(500, say(error) + "\n"),
        }
    }
}

fn call(request: &Request) -> Result<Response, Failure> {
    let bucket = store::open(&request.query("bucket").unwrap_or_else(|| "default".into()))?;
    match request.path() {
        "/get" => single::get(&bucket, request),
        "/set" => single::set(&bucket, request),
        "/delete" => single::delete(&bucket, request),
        "/exists" => single::exists(&bucket, request),
        "/list-keys" => single::list_keys(&bucket, request),
        "/increment" => single::increment(&bucket, request),
        "/get-many" => many::get(&bucket, request),
        "/set-many" => many::set(&bucket, request),
        "/delete-many" => many::delete(&bucket, request),
        path => Ok(Response::text(404, format!("no function at {path}\n"))),
    }
}

fn wanted(request: &Request, name: &str) -> Result<String, Failure> {
    request
        .query(name)
        .ok_or_else(|| Failure::Asked(format!("the query needs {name}=")))
}

fn say(error: store::Error) -> String {
    match error {
        store::Error::NoSuchStore => "no-such-store".into(),
        store::Error::AccessDenied => "access-denied".into(),
        store::Error::Other(reason) => format!("other: {reason}"),
    }
}

web::serve!(KeyValue);
