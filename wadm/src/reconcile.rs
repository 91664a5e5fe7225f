//! Keeps one lattice as its applications' manifests say. Driven by what happens: hosts' beats and events, changes of
//! manifests, answers to commands. Regular looks at everything are only the net below.
//!
//! - [`Core`]: all that is known and decided. Pure: [`News`] go in, [`Effect`]s come out, time comes from outside
//! - [`Shell`]: runs a core on NATS

mod core;
mod effect;
mod news;
mod shell;

use std::time::Duration;

use crate::attempts::Timing;

pub use self::core::Core;
pub use effect::{Effect, Id, Question};
pub use news::{Answer, Failure, FailureKind, News};
pub(crate) use shell::{Heard, Leadership, Shell};

/// How the reconciler is timed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a host that beats may be silent before it is asked whether it is still there.
    pub silence: Duration,
    /// How long a silent host may take to answer before its work goes elsewhere.
    pub probe: Duration,
    /// How often hosts that don't beat are asked whether they are there.
    pub ping_every: Duration,
    /// How long a host that doesn't beat may be silent before its work goes elsewhere.
    pub host_grace: Duration,
    /// How long all hosts of a PoP must be silent until it counts as cut off: longer than a manager that lost its own
    /// connection to the store goes on acting, and a beat more.
    pub pop_silence: Duration,
    /// How long the other hosts of a PoP may stay away after the first one is seen again.
    pub pop_return: Duration,
    /// How long after NATS came back no host is given up that was not heard of since: they reconnect one by one.
    pub reconnect_grace: Duration,
    /// How often everything is read anew.
    pub resync_every: Duration,
    /// How long a leading manager may be silent before another takes over.
    pub lease: Duration,
    /// How commands are tried again.
    pub retry: Timing,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(1),
            probe: Duration::from_millis(400),
            ping_every: Duration::from_secs(1),
            host_grace: Duration::from_secs(3),
            pop_silence: Duration::from_millis(1600),
            pop_return: Duration::from_secs(3),
            reconnect_grace: Duration::from_secs(8),
            resync_every: Duration::from_secs(30),
            lease: Duration::from_millis(1800),
            retry: Timing::default(),
        }
    }
}
