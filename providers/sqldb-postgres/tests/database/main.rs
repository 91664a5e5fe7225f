//! The provider against real PostgreSQL servers, over a real NATS server.

mod deadlines;
mod failures;
mod kit;
mod queries;
mod sessions;
mod tls;
mod transactions;
mod types;
