//! Pushing and pulling against a real registry: Debian's docker-registry.

mod drops;
mod images;
mod kit;
mod login;
mod round_trip;
