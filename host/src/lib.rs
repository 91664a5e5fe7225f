//! The host: joins a lattice, answers control requests, fetches and verifies actors, runs them in wasmtime,
//! supervises provider processes, and resolves links to routes.

pub mod links;
