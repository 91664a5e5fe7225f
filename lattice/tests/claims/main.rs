//! Claims: signing, verifying and looking at components and provider archives.

#![expect(
    clippy::unwrap_used,
    reason = "a test that fails here fails as it should"
)]

mod archive;
mod component;
mod hostile;
mod inspect;
mod interop;
mod keys;
mod kit;
