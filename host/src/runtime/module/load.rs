//! From bytes to a module: check, find or compile, link.

use std::sync::Arc;

use wasmtime::component::Component;

use super::{Module, check::check, link::link};
use crate::runtime::{LoadError, Runtime, cache::ContentHash, machine::remedy};

/// Finds a component that was loaded or compiled before. Blocks while its compiled code is checked.
///
/// # Errors
/// It is larger than this host takes, or asks for what it cannot have.
pub(in crate::runtime) fn find(
    runtime: &Runtime,
    bytes: &[u8],
    hash: &ContentHash,
) -> Result<Option<Arc<Module>>, LoadError> {
    let limit = runtime.config().max_component_bytes;
    if bytes.len() > limit {
        return Err(LoadError::TooLarge {
            bytes: bytes.len(),
            limit,
        });
    }
    if let Some(module) = runtime.loaded(hash) {
        return Ok(Some(module));
    }
    let cached = match runtime.cache() {
        Some(cache) => cache.get(runtime.engine(), hash)?,
        None => None,
    };
    let Some(component) = cached else {
        return Ok(None);
    };
    let module = link(runtime, &component, bytes.len(), true)?;
    Ok(Some(runtime.keep_loaded(*hash, Arc::new(module))))
}

/// Compiles a component that was not found. Blocks for as long as that takes.
pub(in crate::runtime) fn compile(
    runtime: &Runtime,
    bytes: &[u8],
    hash: &ContentHash,
) -> Result<Arc<Module>, LoadError> {
    // Another may have done so while we waited.
    if let Some(module) = runtime.loaded(hash) {
        return Ok(module);
    }
    check(bytes)?;
    let mut component = Component::new(runtime.engine(), bytes).map_err(|error| {
        let error = format!("{error:#}");
        match remedy(&error) {
            Some(remedy) => LoadError::NoRoom(remedy),
            None => LoadError::Compile(error),
        }
    })?;
    // Linked before it is kept: what asks for something that it cannot have is refused each time.
    let mut module = link(runtime, &component, bytes.len(), false)?;
    if let Some(cache) = runtime.cache() {
        cache.put(hash, &component);
        // Mapped it takes less memory than as it was compiled.
        if let Some(mapped) = cache.get(runtime.engine(), hash)? {
            component = mapped;
            module = link(runtime, &component, bytes.len(), false)?;
        }
    }
    Ok(runtime.keep_loaded(*hash, Arc::new(module)))
}
