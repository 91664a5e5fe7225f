//! Pushing and pulling against a real registry: Debian's docker-registry.

#![expect(
    clippy::unwrap_used,
    reason = "what a test can not go on without fails it"
)]

mod drops;
mod images;
mod kit;
mod login;
mod round_trip;
