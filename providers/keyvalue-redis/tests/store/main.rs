//! The provider against a real Redis, over a real NATS server.

mod announcing;
mod store;
mod watch;
