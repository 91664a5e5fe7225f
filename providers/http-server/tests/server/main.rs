//! The server over a real NATS server, with a component that the test plays.

mod bodies;
mod kit;
mod limits;
mod links;
mod place;
mod requests;
mod shutdown;
