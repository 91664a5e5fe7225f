//! Interfaces that this runtime has no types for: called and served by the types that components state.
//!
//! - `reflect`: a component's imports and exports as [`trellis_rpc::value::Ty`].
//! - `encode`, `decode`: wasmtime's values to wire bytes and back.
//! - `handles`: resources, which travel as opaque handles.
//! - `import`: calls that an actor makes.

pub(super) mod decode;
pub(super) mod encode;
pub(super) mod handles;
pub(super) mod import;
pub(super) mod reflect;
