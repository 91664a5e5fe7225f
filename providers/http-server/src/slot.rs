//! Where an address's requests go now: to a link's component, to the link that is about to come, or nowhere.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use trellis_provider::{Component, contract::LinkKey};

use crate::config::Settings;

/// A link as requests see it. A request keeps the one that it began with.
#[derive(Debug)]
pub struct Target {
    /// The link.
    pub link: LinkKey,
    /// What answers.
    pub component: Component,
    /// Within which bounds.
    pub settings: Settings,
}

/// The state of an address.
#[derive(Clone, Debug)]
enum State {
    /// There is a link.
    Linked(Arc<Target>),
    /// The link was deleted a moment ago. A replacement is often a deletion followed by a new link, and no request is to
    /// notice: they wait.
    Vacant(Arc<Target>),
    /// Nobody came. The address is given up.
    Closed,
}

/// What an address's listener and its requests share.
#[derive(Debug)]
pub struct Slot {
    state: watch::Sender<State>,
    grace: Duration,
}

impl Slot {
    /// A slot with its first link, that waits for a successor for `grace` once the link is deleted.
    pub fn new(target: Arc<Target>, grace: Duration) -> Self {
        Self {
            state: watch::Sender::new(State::Linked(target)),
            grace,
        }
    }

    /// Puts a link into the slot, if it is this link's already or free.
    ///
    /// # Errors
    /// [`Occupied`] by another link; [`Gone`](Occupied::Gone) when the address was given up.
    pub fn occupy(&self, target: &Arc<Target>) -> Result<(), Occupied> {
        let mut outcome = Ok(());
        self.state.send_if_modified(|state| {
            let occupied = match state {
                State::Linked(current) if current.link != target.link => {
                    Some(Occupied::By(current.link.clone()))
                }
                State::Closed => Some(Occupied::Gone),
                State::Linked(_) | State::Vacant(_) => None,
            };
            match occupied {
                Some(occupied) => {
                    outcome = Err(occupied);
                    false
                }
                None => {
                    *state = State::Linked(target.clone());
                    true
                }
            }
        });
        outcome
    }

    /// Takes a link out. The address waits for the next one.
    pub fn vacate(&self, link: &LinkKey) {
        self.state.send_if_modified(|state| match state {
            State::Linked(current) if current.link == *link => {
                *state = State::Vacant(current.clone());
                true
            }
            _ => false,
        });
    }

    /// Gives the address up, whatever is in the slot.
    pub fn close(&self) {
        self.state.send_replace(State::Closed);
    }

    /// Waits until no link came for the grace time, and gives the address up.
    pub async fn abandoned(&self) {
        let mut changes = self.state.subscribe();
        loop {
            // The sender is `self`: the channel can't be closed.
            let waited = changes
                .wait_for(|state| !matches!(state, State::Linked(_)))
                .await
                .is_ok();
            let linked = changes.wait_for(|state| !matches!(state, State::Vacant(_)));
            if waited && tokio::time::timeout(self.grace, linked).await.is_err() {
                self.state.send_if_modified(|state| {
                    let vacant = matches!(state, State::Vacant(_));
                    if vacant {
                        *state = State::Closed;
                    }
                    vacant
                });
            }
            if matches!(*self.state.borrow(), State::Closed) {
                return;
            }
        }
    }

    /// The link for a request; waits for it for as long as the address does.
    pub async fn target(&self) -> Option<Arc<Target>> {
        if let State::Linked(target) = &*self.state.borrow() {
            return Some(target.clone());
        }
        let mut changes = self.state.subscribe();
        let settled = changes
            .wait_for(|state| !matches!(state, State::Vacant(_)))
            .await;
        match settled.as_deref() {
            Ok(State::Linked(target)) => Some(target.clone()),
            _ => None,
        }
    }

    /// The bounds for new connections: the link's, or the last link's.
    pub fn settings(&self) -> Option<Settings> {
        match &*self.state.borrow() {
            State::Linked(target) | State::Vacant(target) => Some(target.settings),
            State::Closed => None,
        }
    }
}

/// Why a link can't have an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occupied {
    /// Another link has it.
    By(LinkKey),
    /// It was given up just now; it can be listened at anew.
    Gone,
}
