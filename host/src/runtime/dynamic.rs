//! Interfaces that this runtime has no types for: called and served by the types that components state.
//!
//! - `binding`: which function of an actor on this host an import reaches; `differ`: whether their types agree.
//! - `size`: how large values may be that are handed over as they are.
//! - `reflect`: a component's imports and exports as [`trellis_rpc::value::Ty`].
//! - `encode`, `decode`: wasmtime's values to wire bytes and back.
//! - `handles`: resources, which travel as opaque handles.
//! - `stream`: streams of bytes, which travel beside the values.
//! - `import`: calls that an actor makes.

pub(super) mod binding;
pub(super) mod decode;
mod differ;
pub(super) mod encode;
pub(super) mod handles;
pub(super) mod import;
pub(super) mod reflect;
pub(super) mod size;
pub(super) mod stream;
