//! A host over a real NATS server: its control interface, its components, its providers.

mod components;
mod kit;
mod probe;
mod requests;
mod resilience;
mod supervision;
