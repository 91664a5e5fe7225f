//! Streams' messages between a real NATS server and a component that the test plays.

mod faults;
mod handling;
mod kit;
mod pops;
mod settings;
