//! The interfaces that every actor is offered.
//!
//! - WASI 0.2: clocks, random numbers, streams, the standard streams; files and sockets that grant nothing.
//! - `http`: `wasi:http/outgoing-handler`, over a link: there is no way out but by a provider.
//! - `keyvalue`, `blobstore`, `messaging`: typed, over links.
//! - `config`, `logging`: this host's own.
//! - `lattice`: which link later calls go over.

pub(super) mod blobstore;
pub(super) mod config;
pub(super) mod http;
pub(super) mod keyvalue;
pub(super) mod lattice;
pub(super) mod logging;
pub(super) mod messaging;

use wasmtime::{Engine, component::Linker};

use super::state::CallState;

/// A linker with all of them; each module's own begins as a copy.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    keyvalue::add_to_linker(&mut linker)?;
    blobstore::add_to_linker(&mut linker)?;
    messaging::add_to_linker(&mut linker)?;
    config::add_to_linker(&mut linker)?;
    logging::add_to_linker(&mut linker)?;
    Ok(linker)
}
