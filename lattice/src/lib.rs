//! The contract that every process of a lattice shares: ids, subjects, messages, claims, and the typed
//! client of the control interface. It follows wasmCloud 1.x, so 1.x's hosts, providers, CLI and
//! application manager can share a lattice with ours; where we add to it, a 1.x peer ignores the addition.

pub mod app;
pub mod bucket;
pub mod claims;
pub mod client;
pub mod config;
pub mod connect;
pub mod control;
pub mod decode;
pub mod event;
pub mod header;
pub mod id;
pub mod link;
pub mod mirror;
pub mod place;
pub mod provider;
pub mod secret;
pub mod subject;
pub mod topology;

pub use decode::{DecodeError, from_json};
pub use id::{ComponentId, HostId, IdError, LatticeName, LinkName};
pub use link::{Link, LinkKey, ResolvedLink};
pub use place::{Place, PopName, RegionName, Within};
