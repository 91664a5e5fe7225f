//! What a runtime and its actors may use.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use trellis_lattice::ComponentId;

use crate::links::LinkTable;

/// Settings of a [`Runtime`](super::Runtime), one for each host.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Where compiled actors are kept between starts: a folder of this user alone (mode 0700, made when it is not
    /// there). `None` compiles at every load.
    pub cache_dir: Option<PathBuf>,
    /// How many bytes that folder may hold; the entries not used for longest go first.
    pub cache_bytes: u64,
    /// How many calls may run at once, all actors together, as far as the machine has room for them
    /// ([`Runtime::calls`](super::Runtime::calls)): each takes memory, memory mappings and address space.
    pub max_calls: u32,
    /// How many calls, of all actors together, may wait while so many run; one more is refused at once.
    pub queue: usize,
    /// The most memory that any actor's [`Limits::memory_bytes`] may grant.
    pub max_memory_bytes: usize,
    /// The largest component that is loaded, in bytes.
    pub max_component_bytes: usize,
    /// How often running actors are interrupted to let others run and to look at their deadline.
    pub tick: Duration,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            cache_bytes: 4 << 30,
            max_calls: 1000,
            queue: 4096,
            max_memory_bytes: 1 << 30,
            max_component_bytes: 64 << 20,
            tick: Duration::from_millis(10),
        }
    }
}

/// What one actor may use. Each call has an instance to itself, so these are for each call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, all memories of an instance together.
    pub memory_bytes: usize,
    /// How long a call may take when its caller names no earlier deadline. Streaming a body may take longer, see
    /// [`Limits::stream_deadline`].
    pub call_deadline: Duration,
    /// How long a call may go on streaming a response after its head was sent. Computing, as opposed to waiting for
    /// the other side, is bounded by [`Limits::call_deadline`] all the same.
    pub stream_deadline: Duration,
    /// How many calls may wait while [`ActorOptions::max_instances`] run; one more is refused at once.
    pub queue: usize,
    /// How long calls may have to wait, as it looks when they come; one that would wait for longer is refused at once.
    pub queue_wait: Duration,
    /// How many instances may live at once that hold resources of the actor's own for callers: one for each caller.
    pub resource_owners: usize,
    /// How long resources that nobody uses are held for a caller.
    pub resource_idle: Duration,
    /// Whether an instance that answered a call may answer another: for actors that keep nothing of one call that another
    /// must not see. Without it each call has a new one.
    pub reuse: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            call_deadline: Duration::from_secs(30),
            stream_deadline: Duration::from_secs(3600),
            queue: 1024,
            queue_wait: Duration::from_secs(5),
            resource_owners: 32,
            resource_idle: Duration::from_secs(300),
            reuse: false,
        }
    }
}

/// How an actor is started.
#[derive(Clone, Debug)]
pub struct ActorOptions {
    /// Its id in the lattice: what its calls out carry as `source-id`.
    pub id: ComponentId,
    /// How many calls of it may run at once; at least 1. No actor may have more than seven in eight of the host's
    /// ([`RuntimeConfig::max_calls`]), so that there is room for others.
    pub max_instances: u32,
    /// What each of them may use.
    pub limits: Limits,
    /// What it reads by `wasi:config`.
    pub config: BTreeMap<String, String>,
    /// Where its calls out go.
    pub links: Arc<LinkTable>,
}
