//! The functions on several keys: `batch`.

use web::{Request, Response};

use crate::bindings::wasi::keyvalue::batch;
use crate::bindings::wasi::keyvalue::store::Bucket;
use crate::{Failure, wanted};

type Answer = Result<Response, Failure>;

pub fn get(bucket: &Bucket, request: &Request) -> Answer {
    let keys = keys(request)?;
    let values = batch::get_many(bucket, &keys)?;
    if values.len() != keys.len() {
        let text = format!(
            "asked for {} keys, got {} values\n",
            keys.len(),
            values.len()
        );
        return Ok(Response::text(500, text));
    }
    let mut text = String::new();
    for (key, found) in keys.iter().zip(values) {
        match found {
            Some((name, value)) => {
                text += &format!("{name}={}\n", String::from_utf8_lossy(&value));
            }
            None => text += &format!("{key}\n"),
        }
    }
    Ok(Response::text(200, text))
}

pub fn set(bucket: &Bucket, request: &Request) -> Answer {
    let pairs = wanted(request, "pairs")?
        .split(',')
        .map(|pair| match pair.split_once(':') {
            Some((key, value)) => Ok((key.to_owned(), value.as_bytes().to_vec())),
            None => Err(Failure::Asked(format!("{pair:?} is not KEY:VALUE"))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    batch::set_many(bucket, &pairs)?;
    Ok(Response::text(200, "set\n"))
}

pub fn delete(bucket: &Bucket, request: &Request) -> Answer {
    batch::delete_many(bucket, &keys(request)?)?;
    Ok(Response::text(200, "deleted\n"))
}

fn keys(request: &Request) -> Result<Vec<String>, Failure> {
    Ok(wanted(request, "keys")?
        .split(',')
        .map(str::to_owned)
        .collect())
}
