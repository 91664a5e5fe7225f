//! The wire forms of the interfaces that Trellis types itself, instead of carrying their values dynamically.
//!
//! - [`blobstore`]: `wrpc:blobstore`, objects in containers, with streaming content.
//! - [`function`]: what a typed function is, how it is called and answered.
//! - [`http`]: `wrpc:http`, requests and responses with streaming bodies.
//! - [`keyvalue`]: `wrpc:keyvalue`, with the bucket's name in place of the resource.
//! - [`messaging`]: messages of a broker, `wasmcloud:messaging`.

pub mod blobstore;
pub mod function;
pub mod http;
pub mod keyvalue;
pub mod messaging;

pub use function::Function;
