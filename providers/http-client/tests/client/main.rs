//! The provider against real servers, over a real NATS server.

mod kit;
mod links;
mod refusals;
mod requests;
mod server;
mod streams;
mod timeouts;
mod tls;
