//! The NATS route: calls between any two members of a lattice (`wasmcloud-v1.md`, Invocation).
//!
//! # On the wire
//! A call goes to `{lattice}.{target}.wrpc.0.0.1.{instance}.{function}` with the caller's inbox as reply, and its servers
//! share a queue group. Between our own:
//!
//! 1. The call has the header `trellis-flow`. Its parameters are in it, as far as a message holds them; if it does not
//!    hold them all, `trellis-total` says how many bytes they have.
//! 2. The answer comes on the inbox itself. **Without a reply subject** it is final: the results, or an error with
//!    `trellis-error-kind`. So a simple call is two messages.
//! 3. **With a reply subject**, that is the server's inbox. With `trellis-total`, the results begin here, and the rest
//!    follows on `{inbox}.results`; without, it asks for what is left of the parameters, on `{inbox}.params`.
//! 4. Streams and futures go to `{inbox}.{results|params}.{path}`. Each message is numbered (`trellis-seq`), one whose
//!    number is followed by `;last` or an empty one ends the channel, one with `trellis-error-kind` breaks it off. How
//!    many channels results have is said with their beginning (`trellis-flow: {window};channels={count}`). The writer stays within what the reader
//!    granted: first `trellis-flow`, then on `{writer's inbox}.flow.{path}` the bytes in all as decimal digits; an
//!    empty grant asks the writer to stop. A message counts as its payload and 64 bytes.
//! 5. A caller that gives up says so on `{server's inbox}.cancel`, or, while it does not know that inbox, to all servers
//!    of the target on `{lattice}.{target}.trellis.cancel`, with its own inbox as payload.
//! 6. Who waits long publishes to `{inbox}.probe` with `{own inbox}.probe` as reply: when nobody listens there any more,
//!    NATS says so, and when the call has ended there, the peer does.
//!
//! # In many PoPs
//! A process that is in a PoP ([`Whereabouts`]) serves its calls under two subjects more, one of its PoP and one of its
//! region, in the same queue group. A caller that is in one asks those in its own PoP first, then those in the others from
//! near to far, and then 1.x's subject, under which everybody is. That nobody serves the target there is known in a
//! fraction of a millisecond, since the PoP's own NATS server says so, and means that the call was not delivered: nothing
//! is ever called twice. A call whose own PoP serves it takes the messages above and no more. A call over a link with a
//! residency bound goes to its own PoP and then to its region, never further; `trellis-within` has a callee whose labels
//! say otherwise refuse it.
//!
//! With a 1.x peer, which neither sends nor minds these headers, the contract's five messages are spoken instead:
//! handshake, parameters with an empty end, results with an empty end, channels without windows or numbers.
//!
//! In the traffic captured from 1.9.2, a keyvalue increment takes 5 messages and an HTTP request with a body each way
//! 15. Between our own it is 2 and 7.

mod answer;
mod attempt;
mod channel;
mod connection;
mod exchange;
mod headers;
mod operation;
mod reach;
mod route;
mod serve;
mod vicinity;

use std::{sync::Arc, time::Duration};

use async_nats::Client;
use trellis_lattice::{
    ComponentId, HostId, LatticeName, Place, PopName, Within, subject::Subjects,
};

pub use self::serve::Serving;
use self::{connection::Connection, route::NatsRoute};
pub use crate::serving::ServeOptions;
use crate::{CallCounts, CallError, Handler, Route};

/// Bounds of the calls over one connection.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// How long a caller waits that gives no deadline. Default: 30 s.
    pub default_deadline: Duration,
    /// How many bytes of each stream may be on their way or unread. Default: 256 KiB.
    pub window_bytes: usize,
    /// How far a 1.x peer, which knows no windows, may be ahead of a stream's reader before the stream fails.
    /// Default: 8 MiB.
    pub plain_buffer_bytes: usize,
    /// The most that the parameters or the results of a call may have, without streams. Default: 64 MiB.
    pub max_message_bytes: usize,
    /// After so long without a word from a Trellis peer that something is due from, it is asked for a sign of life.
    /// Default: 5 s.
    pub probe_interval: Duration,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self {
            default_deadline: Duration::from_secs(30),
            window_bytes: 256 << 10,
            plain_buffer_bytes: 8 << 20,
            max_message_bytes: 64 << 20,
            probe_interval: Duration::from_secs(5),
        }
    }
}

/// Who makes and answers calls, and where.
#[derive(Clone, Debug, Default)]
pub struct Whereabouts {
    /// The host that the process is or belongs to: told to callers that ask.
    pub host: Option<HostId>,
    /// Where it is. Without a place, calls go to whomever NATS chooses.
    pub place: Option<Place>,
}

/// How calls to a target go.
#[derive(Clone, Debug, Default)]
pub struct RouteOptions {
    /// The residency bound that calls never leave.
    pub within: Option<Within>,
    /// Where they are counted.
    pub counts: Option<Arc<CallCounts>>,
}

/// Calls over one NATS connection. Cheap to clone; all clones, and the routes and servers they made, share one inbox.
#[derive(Clone, Debug)]
pub struct NatsRpc {
    connection: Arc<Connection>,
}

impl NatsRpc {
    /// Calls over that connection, in that lattice.
    pub fn new(client: Client, lattice: LatticeName) -> Self {
        Self::with_options(client, lattice, NatsOptions::default())
    }

    /// The same with bounds of one's own.
    pub fn with_options(client: Client, lattice: LatticeName, options: NatsOptions) -> Self {
        Self::at(client, lattice, options, Whereabouts::default())
    }

    /// The same for who is somewhere.
    ///
    /// # Panics
    /// With a place, outside a tokio runtime.
    pub fn at(
        client: Client,
        lattice: LatticeName,
        options: NatsOptions,
        whereabouts: Whereabouts,
    ) -> Self {
        let subjects = Subjects::new(lattice);
        let connection = Connection::new(client, subjects, options, whereabouts);
        Self {
            connection: Arc::new(connection),
        }
    }

    /// Where its calls come from and are served.
    pub fn place(&self) -> Option<&Place> {
        self.connection.place()
    }

    /// The other PoPs from near to far, as calls go to them. Waits until those that are there have had the time to say so:
    /// half a second after this was made.
    pub async fn others(&self) -> Vec<PopName> {
        let Some(vicinity) = &self.connection.vicinity else {
            return Vec::new();
        };
        vicinity.surveyed().await;
        vicinity.others().to_vec()
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        &self.connection.client
    }

    /// The lattice.
    pub fn lattice(&self) -> &LatticeName {
        self.connection.subjects.lattice()
    }

    /// The way to one target. It need not be there yet. Keep it: it remembers the subjects of what is called.
    pub fn route(&self, target: &ComponentId) -> Arc<dyn Route> {
        self.route_with(target, RouteOptions::default())
    }

    /// The way to one target, with a bound or with counters of its own.
    pub fn route_with(&self, target: &ComponentId, options: RouteOptions) -> Arc<dyn Route> {
        let route = NatsRoute::new(self.connection.clone(), target.clone(), options);
        Arc::new(route)
    }

    /// Serves a target's calls, one among the members of its queue group, until the [`Serving`] is drained or dropped.
    /// When this returns, the NATS server knows of it.
    ///
    /// # Errors
    /// [`CallError::Transport`] when the connection is closed.
    pub async fn serve(
        &self,
        target: &ComponentId,
        handler: Arc<dyn Handler>,
        options: ServeOptions,
    ) -> Result<Serving, CallError> {
        serve::serve(self.connection.clone(), target, handler, options).await
    }
}
