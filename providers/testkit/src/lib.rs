//! The host's side of a provider, for the providers' tests: it starts a provider in the test's own process, puts links,
//! asks for health and shutdown, makes calls as a component and answers calls as one, all over a real NATS server; and a whole
//! lattice of real processes ([`LatticeHarness`]).

pub mod blobstore;
mod component;
mod host;
pub mod keyvalue;
mod lattice;
mod link;
mod running;
pub mod watch;

pub use component::answer;
pub use host::Host;
pub use lattice::LatticeHarness;
pub use link::Side;
pub use running::Running;
pub use trellis_tests::{nats::NatsServer, port, redis::RedisServer, wait};
