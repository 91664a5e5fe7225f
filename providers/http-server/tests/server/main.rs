//! The server over a real NATS server, with a component that the test plays.

mod access;
mod bodies;
mod client;
mod compression;
mod forwarded;
mod kit;
mod limits;
mod links;
mod place;
mod rate;
mod requests;
mod routing;
mod shutdown;
mod tls;
