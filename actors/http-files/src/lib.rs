//! Files by HTTP, kept in a store of blobs. Whatever their size, nothing is held whole.
//!
//! | request | answer |
//! | --- | --- |
//! | `PUT /CONTAINER/NAME` | 201; the body is the content, the container is made when it isn't there |
//! | `GET /CONTAINER/NAME` | 200 and the content, or 404 |
//! | `DELETE /CONTAINER/NAME` | 204 |
//! | `GET /CONTAINER/` | the names, one per line, or 404 |
//!
//! What the store says went wrong answers 500.

use std::io::{Read, Write, copy};

use web::{BodyReader, BodyWriter, Handler, Request, Response};

use crate::bindings::wasi::blobstore::{
    blobstore,
    container::Container,
    types::{IncomingValue, OutgoingValue},
};

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package trellis:files;
            world files {
                include wasi:blobstore/imports@0.2.0-draft;
            }
        ",
        path: ["../../wit/wasi-io", "../../wit/wasi-blobstore"],
        world: "trellis:files/files",
        with: {
            "wasi:io/error@0.2.12": web::bindings::wasi::io::error,
            "wasi:io/poll@0.2.12": web::bindings::wasi::io::poll,
            "wasi:io/streams@0.2.12": web::bindings::wasi::io::streams,
        },
        generate_all,
    });
}

/// How many names are asked for at once.
const NAMES: u64 = 1000;

struct Files;

impl Handler for Files {
    fn handle(request: Request) -> Response {
        let path = request.path().trim_start_matches('/').to_owned();
        let Some((container, name)) = path
            .split_once('/')
            .filter(|(container, _)| !container.is_empty())
        else {
            return Response::text(
                400,
                "ask for /CONTAINER/NAME, or /CONTAINER/ for its names\n",
            );
        };
        let answer = match (request.method().as_str(), name) {
            ("GET", "") => list(container),
            ("GET", name) => get(container, name),
            ("PUT", name) if !name.is_empty() => put(container, name, &request),
            ("DELETE", name) if !name.is_empty() => delete(container, name),
            _ => {
                let refusal = Response::text(405, "GET, PUT and DELETE are what this knows\n");
                return refusal.with_header("allow", "GET, PUT, DELETE");
            }
        };
        answer.unwrap_or_else(|error| Response::text(500, error + "\n"))
    }
}

fn list(container: &str) -> Result<Response, String> {
    if !blobstore::container_exists(container)? {
        return Ok(Response::text(
            404,
            format!("there is no container {container:?}\n"),
        ));
    }
    let names = blobstore::get_container(container)?.list_objects()?;
    let answer = Response::stream(200, move |body| {
        loop {
            let (some, ended) = names
                .read_stream_object_names(NAMES)
                .map_err(std::io::Error::other)?;
            for name in some {
                writeln!(body, "{name}")?;
            }
            if ended {
                return Ok(());
            }
        }
    });
    Ok(answer.with_header("content-type", "text/plain; charset=utf-8"))
}

fn get(container: &str, name: &str) -> Result<Response, String> {
    let absent = || Response::text(404, format!("there is no {name:?} in {container:?}\n"));
    if !blobstore::container_exists(container)? {
        return Ok(absent());
    }
    let container: Container = blobstore::get_container(container)?;
    if !container.has_object(name)? {
        return Ok(absent());
    }
    let value = container.get_data(name, 0, u64::MAX)?;
    let content = IncomingValue::incoming_value_consume_async(value)?;
    let answer = Response::stream(200, move |body| {
        let mut content = BodyReader::of(content);
        pass_on(&mut content, body)
    });
    Ok(answer.with_header("content-type", "application/octet-stream"))
}

fn put(container: &str, name: &str, request: &Request) -> Result<Response, String> {
    let container = blobstore::create_container(container)?;
    let value = OutgoingValue::new_outgoing_value();
    let content = value
        .outgoing_value_write_body()
        .map_err(|()| "the value's stream was taken before".to_owned())?;
    container.write_data(name, &value)?;
    let mut content = BodyWriter::new(content);
    if let Some(mut body) = request.body()
        && let Err(error) = pass_on(&mut body, &mut content)
    {
        // Not finished: the store keeps what it had.
        drop(content);
        return Err(format!("the body broke off: {error}"));
    }
    drop(content);
    OutgoingValue::finish(value)?;
    Ok(Response::text(201, "stored\n"))
}

fn delete(container: &str, name: &str) -> Result<Response, String> {
    if blobstore::container_exists(container)? {
        blobstore::get_container(container)?.delete_object(name)?;
    }
    Ok(Response::bytes(204, Vec::new()))
}

fn pass_on(from: &mut impl Read, to: &mut BodyWriter) -> std::io::Result<()> {
    copy(from, to)?;
    to.flush()
}

web::serve!(Files);
