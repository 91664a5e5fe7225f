//! The kit that the end-to-end tests and the benches share: real servers and real `trellis` processes, each
//! on its own free port, each ended with the value that stands for it.
//!
//! - [`process`]: a child process that never outlives its test.
//! - [`nats`], [`redis`], [`mosquitto`], [`postgres`], [`s3`], [`registry`], [`secrets`]: the servers; [`dropping`]: a way to one that breaks;
//!   [`gate`]: a way to one whose answers wait.
//! - [`lattice`]: a NATS server, hosts, and what is asked of them.
//! - [`pops`]: the same in many points of presence, and links between them to be cut.
//! - [`actors`], [`counter`], [`provider`]: what runs in it.
//! - [`up`], [`manifest`]: a whole lattice from one command, and applications for it.
//! - [`rollout`]: one version after another.
//! - [`http`], [`upload`]: requests, and a steady load that counts what failed.
//! - [`wait`]: waiting for a condition, with a deadline.

pub mod actors;
pub mod counter;
pub mod dropping;
pub mod gate;
pub mod http;
pub mod lattice;
pub mod manifest;
pub mod mosquitto;
pub mod nats;
pub mod pops;
pub mod port;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod redis;
pub mod registry;
pub mod rollout;
pub mod s3;
pub mod secrets;
pub mod up;
pub mod upload;
pub mod wait;
