//! The functions on one key: `store` and `atomics`.

use std::io::Read;

use web::{Request, Response};

use crate::bindings::wasi::keyvalue::atomics;
use crate::bindings::wasi::keyvalue::store::Bucket;
use crate::{Failure, wanted};

type Answer = Result<Response, Failure>;

pub fn get(bucket: &Bucket, request: &Request) -> Answer {
    Ok(match bucket.get(&wanted(request, "key")?)? {
        Some(value) => Response::bytes(200, value),
        None => Response::text(404, "(not set)\n"),
    })
}

pub fn set(bucket: &Bucket, request: &Request) -> Answer {
    let mut value = Vec::new();
    if let Some(mut body) = request.body() {
        body.read_to_end(&mut value)
            .map_err(|error| Failure::Asked(format!("reading the body: {error}")))?;
    }
    bucket.set(&wanted(request, "key")?, &value)?;
    Ok(Response::text(200, "set\n"))
}

pub fn delete(bucket: &Bucket, request: &Request) -> Answer {
    bucket.delete(&wanted(request, "key")?)?;
    Ok(Response::text(200, "deleted\n"))
}

pub fn exists(bucket: &Bucket, request: &Request) -> Answer {
    let exists = bucket.exists(&wanted(request, "key")?)?;
    Ok(Response::text(200, format!("{exists}\n")))
}

pub fn list_keys(bucket: &Bucket, request: &Request) -> Answer {
    let cursor = match request.query("cursor") {
        Some(text) => Some(number(&text)?),
        None => None,
    };
    let page = bucket.list_keys(cursor)?;
    let text = page
        .keys
        .iter()
        .map(|key| format!("{key}\n"))
        .collect::<String>();
    let response = Response::text(200, text);
    Ok(match page.cursor {
        Some(cursor) => response.with_header("x-cursor", cursor.to_string()),
        None => response,
    })
}

pub fn increment(bucket: &Bucket, request: &Request) -> Answer {
    let by = match request.query("by") {
        Some(text) => number(&text)?,
        None => 1,
    };
    let value = atomics::increment(bucket, &wanted(request, "key")?, by)?;
    Ok(Response::text(200, format!("{value}\n")))
}

fn number(text: &str) -> Result<u64, Failure> {
    text.parse()
        .map_err(|_| Failure::Asked(format!("{text:?} is no number")))
}
