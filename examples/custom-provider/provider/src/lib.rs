//! A capability of one's own: money in the currencies of ISO 4217, for actors that are linked to it.
//!
//! - [`bindings`]: what is generated from `wit`.
//! - [`config`]: the configuration of the provider and of its links.
//! - [`money`]: amounts and their currencies, exactly.
//! - [`market`]: the rates, and who hears of a change.
//! - [`provider`]: the links. [`converter`]: the calls.

#[allow(missing_docs)]
pub mod bindings {
    trellis_provider::generate!({ path: "wit", world: "provider" });
}
pub mod config;
pub mod converter;
pub mod market;
pub mod money;
pub mod provider;

pub use provider::CurrencyProvider;
