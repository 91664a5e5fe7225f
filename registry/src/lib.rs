//! Actors and providers in OCI registries.
//!
//! - [`Reference`], [`Digest`]: how an image is named, and how content is known.
//! - [`Artefact`], [`Kind`]: a component or a provider archive as a registry keeps it.
//! - [`Client`], [`Settings`]: pushing and pulling, with credentials, retries and resumption.
//! - [`Cache`]: pulled content on disk, bound in bytes.
//! - [`Images`]: what a host asks for images: resolved, pulled once, cached.
//! - [`RegistryError`]: what went wrong, with which reference, and the remedy.

mod answer;
mod artefact;
mod cache;
mod client;
mod credentials;
mod digest;
mod error;
mod images;
mod manifest;
mod partial;
mod progress;
mod push;
mod reference;
mod retry;
mod settings;
mod tls;

pub use artefact::{Artefact, ArtefactError, Kind};
pub use cache::{Cache, CacheError, Held};
pub use client::Client;
pub use credentials::CredentialsError;
pub use digest::{Digest, DigestError};
pub use error::RegistryError;
pub use images::{Image, Images};
pub use manifest::{Content, Resolved};
pub use progress::{Progress, Silent};
pub use push::Pushed;
pub use reference::{Reference, ReferenceError};
pub use retry::Retry;
pub use settings::{DEFAULT_MAX_BYTES, Login, Settings};
