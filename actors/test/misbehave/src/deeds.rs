//! The deeds: loops, memory, traps, delays and large bodies.

use std::hint::black_box;
use std::io::{self, Read, Write};

use web::{Request, Response};

use crate::bindings::wasi::clocks::monotonic_clock;

type Deed = Result<Response, String>;

/// Computes for ever.
pub fn spin() -> Deed {
    let mut rounds = 0_u64;
    loop {
        rounds = black_box(rounds.wrapping_add(1));
    }
}

/// Takes memory, and touches it, until there is no more; then Rust aborts.
pub fn grow() -> Deed {
    let mut held = Vec::new();
    loop {
        held.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Calls itself until the stack ends.
pub fn recurse() -> Deed {
    Ok(Response::text(200, deeper(1).to_string()))
}

fn deeper(depth: u64) -> u64 {
    // A frame that is not optimised into a loop: its array is used after the call.
    let frame = black_box([depth; 64]);
    if depth == u64::MAX {
        return depth;
    }
    deeper(black_box(depth + 1)) + frame[(depth % 64) as usize]
}

/// Panics, which is a trap here.
pub fn trap() -> Deed {
    panic!("this actor traps because it was asked to")
}

/// Waits without computing, then answers.
pub fn sleep(ms: u64) -> Deed {
    monotonic_clock::subscribe_duration(ms.saturating_mul(1_000_000)).block();
    Ok(Response::text(200, format!("slept {ms} ms\n")))
}

/// Answers with any status.
pub fn status(code: u64) -> Deed {
    let code = u16::try_from(code).map_err(|_| format!("{code} is no HTTP status"))?;
    Ok(Response::text(code, format!("{code}\n")))
}

/// Streams the request's body back as it comes, with its content type.
pub fn echo(request: &Request) -> Deed {
    let kind = request.header("content-type");
    let mut body = request.body().ok_or("the request has no body to read")?;
    let response = Response::stream(200, move |out| {
        io::copy(&mut body, out)?;
        out.flush()
    });
    Ok(match kind {
        Some(kind) => response.with_header("content-type", kind),
        None => response,
    })
}

/// Reads the whole body, holding none of it, and answers its length.
pub fn count(request: &Request) -> Deed {
    let mut body = request.body().ok_or("the request has no body to read")?;
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0_u64;
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok(Response::text(200, format!("{total}\n"))),
            Ok(count) => total += count as u64,
            Err(error) => return Err(format!("the body broke after {total} bytes: {error}")),
        }
    }
}

/// Streams so many bytes, byte `i` being `i` modulo 251.
pub fn big(bytes: u64) -> Response {
    Response::stream(200, move |out| {
        // A whole number of periods, so every block is the same.
        let block: Vec<u8> = (0..251_u8).cycle().take(251 * 64).collect();
        let mut left = bytes;
        while left > 0 {
            let count = left.min(block.len() as u64) as usize;
            out.write_all(&block[..count])?;
            left -= count as u64;
        }
        out.flush()
    })
    .with_header("content-type", "application/octet-stream")
}

/// Begins a body and breaks off.
pub fn half() -> Response {
    Response::stream(200, |out| {
        out.write_all(b"the first half, and then")?;
        out.flush()?;
        Err(io::Error::other("broken off on purpose"))
    })
}

/// Answers the request's header named by `name`, and sends back one of its own.
pub fn headers(request: &Request) -> Response {
    let name = request.query("name").unwrap_or_else(|| "host".into());
    let value = request.header(&name).unwrap_or_else(|| "(not set)".into());
    Response::text(200, format!("{value}\n")).with_header("x-trellis-test", "yes")
}
