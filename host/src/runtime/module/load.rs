//! From bytes to a module: check, find or compile, link.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use super::{Module, check::check, link::link};
use crate::runtime::{LoadError, Runtime};

/// Loads a component. Blocks for as long as compiling takes.
pub(in crate::runtime) fn load(
    runtime: &Arc<Runtime>,
    bytes: &[u8],
) -> Result<Arc<Module>, LoadError> {
    let limit = runtime.config().max_component_bytes;
    if bytes.len() > limit {
        return Err(LoadError::TooLarge {
            bytes: bytes.len(),
            limit,
        });
    }
    let hash = Sha256::digest(bytes).into();
    if let Some(module) = runtime.loaded(&hash) {
        return Ok(module);
    }
    let cached = runtime
        .cache()
        .and_then(|cache| cache.get(runtime.engine(), &hash));
    let fresh = cached.is_none();
    let component = match cached {
        Some(component) => component,
        None => {
            check(bytes)?;
            compile(runtime, bytes)?
        }
    };
    let module = link(runtime, &component, bytes.len(), !fresh)?;
    if fresh && let Some(cache) = runtime.cache() {
        cache.put(&hash, &component);
    }
    Ok(runtime.keep_loaded(hash, Arc::new(module)))
}

fn compile(runtime: &Runtime, bytes: &[u8]) -> Result<Component, LoadError> {
    Component::new(runtime.engine(), bytes)
        .map_err(|error| LoadError::Compile(format!("{error:#}")))
}
