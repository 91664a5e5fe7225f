//! A TCP link that is as slow, lossy or broken as one likes: what stands between NATS servers on one machine, so that
//! points of presence are as far from each other as on Earth (`trellis up --latency`), and so that tests can cut them
//! off.
//!
//! It works where the kernel's netem is not to be had, on the bytes of a connection instead of its packets: what is read
//! waits its time and is then written, in order. A packet lost is, to who uses TCP, a wait until it was sent again, and
//! that is what [`Way::loss`] makes. (What crates there are delay each write after the other, which also makes a link
//! narrow, or can't hold a connection open while nothing passes.)
//!
//! - [`Wire`]: the link.
//! - [`Weather`], [`Way`], [`Flow`]: what it is like, each way.

mod carry;
mod weather;
mod wire;

pub use weather::{Flow, Way, Weather};
pub use wire::Wire;
