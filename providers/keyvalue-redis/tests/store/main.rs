//! The provider against a real Redis, over a real NATS server.

mod store;
mod watch;
