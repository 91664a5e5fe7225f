//! From bytes to a module: check, find or compile, link.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use super::{Module, link::link};
use crate::runtime::{LoadError, Runtime};

/// Loads a component. Blocks for as long as compiling takes.
pub(in crate::runtime) fn load(
    runtime: &Arc<Runtime>,
    bytes: &[u8],
) -> Result<Arc<Module>, LoadError> {
    check_kind(bytes)?;
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
        None => compile(runtime, bytes)?,
    };
    let module = link(runtime, &component, bytes.len(), !fresh)?;
    if fresh && let Some(cache) = runtime.cache() {
        cache.put(&hash, &component);
    }
    Ok(runtime.keep_loaded(hash, Arc::new(module)))
}

/// Tells components from core modules and from everything else, which the compiler's message does less well.
fn check_kind(bytes: &[u8]) -> Result<(), LoadError> {
    let Some((head, _)) = bytes
        .split_first_chunk::<8>()
        .filter(|(head, _)| head.starts_with(b"\0asm"))
    else {
        let head = &bytes[..bytes.len().min(4)];
        let found = head
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(" ");
        return Err(LoadError::NotWasm {
            found: if found.is_empty() {
                "nothing".into()
            } else {
                found
            },
        });
    };
    // Version and layer: 01 00 00 00 is a core module, 0d 00 01 00 a component.
    match head[6..] {
        [0, 0] => Err(LoadError::CoreModule),
        _ => Ok(()),
    }
}

fn compile(runtime: &Runtime, bytes: &[u8]) -> Result<Component, LoadError> {
    // The validator tells what is wrong with the binary; what fails after it is the compiler's business.
    wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all())
        .validate_all(bytes)
        .map_err(|error| LoadError::Invalid(error.to_string()))?;
    Component::new(runtime.engine(), bytes)
        .map_err(|error| LoadError::Compile(format!("{error:#}")))
}
