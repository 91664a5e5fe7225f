//! HTTP between the wire (`wrpc:http`) and guests (`wasi:http`): bodies and errors, for both directions.

pub(super) mod body;
pub(super) mod error;
