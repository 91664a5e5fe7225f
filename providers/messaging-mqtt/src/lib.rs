//! `wasmcloud:messaging` on MQTT 5: components get the messages of their subscriptions, publish and request.
//!
//! - [`config`]: a link's configuration; [`server`]: the part of it that says where the broker is and how to get in;
//!   [`subscription`]: one entry of its `subscriptions`.
//! - [`topics`]: what may be published and subscribed to; [`reply`]: where an answer goes.
//! - [`connection`]: a client's connection, made again whenever it ends; [`live`]: one while it lasts, with
//!   [`acknowledgement`] of what came over it.
//! - [`publication`]: a message until the broker has acknowledged it; [`sender`]: a component's messages and requests.
//! - [`receiver`]: a link's subscriptions; [`delivery`]: their messages on the way to the component, one of them
//!   [`attempt`] by attempt.
//! - [`provider`] takes the links and answers the calls.

pub mod acknowledgement;
pub mod attempt;
pub mod config;
pub mod connection;
pub mod delivery;
pub mod live;
pub mod provider;
pub mod publication;
pub mod receiver;
pub mod reply;
pub mod sender;
pub mod server;
pub mod subscription;
pub mod topics;

pub use provider::MessagingMqtt;

/// The provider's name: `builtin:messaging-mqtt`, `trellis provider messaging-mqtt`.
pub const NAME: &str = "messaging-mqtt";

/// Runs the provider as this process: host data comes on standard input.
///
/// # Errors
/// Why it could not run or did not end well.
pub async fn run() -> Result<(), trellis_provider::RunError> {
    trellis_provider::run::<MessagingMqtt>().await
}
