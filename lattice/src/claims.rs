//! Claims: who signed a component or a provider, for how long, and what it may import
//! (`wasmcloud-v1.md`, Claims and Providers/Archive).
//!
//! What 1.x signs verifies here, and what is signed here verifies there. Ours adds one field to a
//! component's claims, the [`Grants`], which a 1.x peer ignores.
//!
//! - A host asks [`verify_component`] and [`verify_archive`], each with its [`IssuerPolicy`].
//! - `trellis sign` asks [`sign_component`] and [`sign_archive`].
//! - `trellis inspect` asks [`inspect`].

pub mod archive;
pub mod binary;
pub mod component;
pub mod error;
pub mod grants;
pub mod inspect;
pub mod interface;
pub mod keys;
pub mod moment;
pub mod policy;
pub mod provider;
pub mod sign;
pub mod token;
pub mod view;
pub mod vouch;
pub mod wasi;
pub mod world;

pub use archive::{ArchiveError, ProviderArchive, this_target};
pub use component::{ComponentMetadata, ComponentToken};
pub use error::ClaimsError;
pub use grants::{GrantError, Grants};
pub use inspect::{FileKind, Inspection, Problem, ShownClaims, inspect};
pub use keys::{
    AccountKey, AnyKey, ComponentKey, HostKey, Issuer, KeyError, KeyKind, ProviderKey, PublicKey,
    SigningKey, UserId, UserKey,
};
pub use policy::{
    IssuerPolicy, VerifiedComponent, VerifiedProvider, verify_archive, verify_component,
};
pub use provider::{ProviderMetadata, ProviderToken};
pub use sign::{
    ComponentDetails, ProviderDetails, Validity, grants_for, sign_archive, sign_component,
};
pub use token::{Claims, Token};
pub use vouch::{HostMetadata, HostToken, sign_builtin, sign_host};
pub use wasi::check_wasi_version;
pub use world::World;
