//! A client's connection to its broker, made again whenever it ends.
//!
//! The MQTT library could connect again by itself. Each connection is a client of its own instead ([`Live`]): then no
//! acknowledgement can reach the broker over another connection than its message came by, where its packet id may
//! mean another message; and what was published without being acknowledged is published again by whoever waits for it.

mod goodbye;
mod options;
mod running;

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trellis_provider::config::SettingsError;

use self::running::Running;
use crate::{
    live::{Arrived, DISCONNECT_LIMIT, Live},
    server::Server,
};

/// What a connection is made with.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The broker.
    pub server: Server,
    /// What it knows us by.
    pub client_id: String,
    /// What it keeps for us.
    pub session: Session,
}

/// What a broker keeps for us while there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// Nothing.
    Clean,
    /// Subscriptions and their messages.
    Kept {
        /// How long, in seconds.
        expiry_s: u32,
        /// How many messages it sends that are not acknowledged.
        max_in_flight: u16,
    },
}

/// How a connection is.
#[derive(Clone, Debug)]
pub enum State {
    /// It is being made for the first time.
    Connecting,
    /// It is there.
    Up(Arc<Live>),
    /// It is not, and why; it is being made again.
    Down(Arc<str>),
    /// It is being closed, by us.
    Closing,
    /// It was closed.
    Closed,
}

/// A connection. Dropping it ends it at once.
#[derive(Debug)]
pub struct Connection {
    place: String,
    state: watch::Receiver<State>,
    closing: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl Connection {
    /// Begins to connect. What comes goes to `incoming`.
    ///
    /// # Errors
    /// The certificate authorities can't be read.
    pub fn open(plan: Plan, incoming: mpsc::Sender<Arrived>) -> Result<Self, SettingsError> {
        let tls = plan.server.tls_config()?;
        let place = plan.server.shown();
        let (sender, state) = watch::channel(State::Connecting);
        let closing = CancellationToken::new();
        let running = Running::new(plan, tls, incoming, sender, closing.clone());
        Ok(Self {
            place,
            state,
            closing,
            _task: AbortOnDropHandle::new(tokio::spawn(running.run())),
        })
    }

    /// Where the broker is.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// How it is now; each change is seen.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// What is wrong with it now, if anything.
    pub fn problem(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Down(reason) => Some(format!("MQTT at {}: {reason}", self.place)),
            State::Connecting | State::Up(_) | State::Closing | State::Closed => None,
        }
    }

    /// What comes of the first attempt, or how it is after it.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn tried(&self) -> Result<Arc<Live>, String> {
        let mut state = self.state.clone();
        let state = state.wait_for(|state| !matches!(state, State::Connecting));
        // Cloned at once: what is borrowed must not be borrowed again beside it.
        match state.await.map(|state| state.clone()) {
            Ok(State::Up(live)) => Ok(live),
            _ => Err(self.problem().unwrap_or_else(|| self.closed())),
        }
    }

    /// The connection, which is waited for.
    ///
    /// # Errors
    /// Why it is not there in time.
    pub async fn up(&self, deadline: Instant) -> Result<Arc<Live>, String> {
        let mut state = self.state.clone();
        let up =
            state.wait_for(|state| matches!(state, State::Up(_) | State::Closing | State::Closed));
        match tokio::time::timeout_at(deadline, up).await {
            Ok(Ok(state)) => match &*state {
                State::Up(live) => Ok(live.clone()),
                _ => Err(self.closed()),
            },
            Ok(Err(_)) => Err(self.closed()),
            Err(_) => Err(self
                .problem()
                .unwrap_or_else(|| format!("MQTT at {}: not connected", self.place))),
        }
    }

    fn closed(&self) -> String {
        format!("MQTT at {}: the connection is closed", self.place)
    }

    /// Takes leave of the broker, which keeps the session or not, and waits until that is done; not for long.
    pub async fn close(&self, end_session: bool) {
        self.closing.cancel();
        let now = self.state.borrow().clone();
        if let State::Up(live) = now {
            live.disconnect(end_session).await;
        }
        let mut state = self.state.clone();
        let closed = state.wait_for(|state| matches!(state, State::Closed));
        let limit = DISCONNECT_LIMIT + Duration::from_secs(1);
        if tokio::time::timeout(limit, closed).await.is_err() {
            tracing::debug!(
                mqtt = self.place,
                "the connection is cut without taking leave"
            );
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as {}", self.server.shown(), self.client_id)
    }
}
