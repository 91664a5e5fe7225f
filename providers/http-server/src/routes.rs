//! Where an address's requests go now: to a link's component, to the link that is about to come, or nowhere.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{sync::watch, time::Instant};
use trellis_provider::{Component, contract::LinkKey};

use crate::{
    config::Settings,
    rate::Limiter,
    table::{Clash, Entry, Found, Table},
    tls::Tls,
};

/// A link as requests see it. A request keeps the one that it began with.
#[derive(Debug)]
pub struct Target {
    /// The link.
    pub link: LinkKey,
    /// What answers.
    pub component: Component,
    /// Within which bounds.
    pub settings: Settings,
    /// What its address is encrypted with.
    pub tls: Option<Arc<Tls>>,
    /// How often each client may ask.
    pub limiter: Option<Limiter>,
}

/// What an address's listener and its requests share.
#[derive(Debug)]
pub struct Routes {
    /// Read by every request, without a lock.
    table: ArcSwap<Table>,
    /// Told when there is another table; who replaces it does so within its lock, one after the other.
    changes: watch::Sender<()>,
    grace: Duration,
}

/// Why a link can't have its route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occupied {
    /// By another link.
    By(Clash),
    /// The address was given up just now; it can be listened at anew.
    Gone,
}

impl Routes {
    /// The routes of an address with its first link; that of a link which is deleted waits for a successor for `grace`.
    pub fn new(target: Arc<Target>, grace: Duration) -> Self {
        let entry = Entry {
            target,
            vacant_since: None,
        };
        Self {
            table: ArcSwap::from_pointee(Table::new(vec![entry])),
            changes: watch::Sender::new(()),
            grace,
        }
    }

    /// Gives a link its route, in place of the one that it had here.
    ///
    /// # Errors
    /// [`Occupied`]; nothing is changed then.
    pub fn put(&self, target: &Arc<Target>) -> Result<(), Occupied> {
        let mut outcome = Ok(());
        self.replace(|table| {
            let entries = match table.is_closed() {
                true => Err(Occupied::Gone),
                false => table.with(target).map_err(Occupied::By),
            };
            entries.map_err(|occupied| outcome = Err(occupied)).ok()
        });
        outcome
    }

    /// Takes a link's route from it. Its requests wait for the next link.
    pub fn vacate(&self, link: &LinkKey) {
        self.replace(|table| {
            let mut entries = table.entries().to_vec();
            let live =
                |entry: &&mut Entry| entry.target.link == *link && entry.vacant_since.is_none();
            let entry = entries.iter_mut().find(live)?;
            entry.vacant_since = Some(Instant::now());
            Some(entries)
        });
    }

    /// Gives the address up, whoever has it.
    pub fn close(&self) {
        self.replace(|_| Some(Vec::new()));
    }

    /// Lets go of the routes for which no link came within the grace time; ends when the last one is gone and with it the
    /// address.
    pub async fn abandoned(&self) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let table = self.table.load_full();
            if table.is_closed() {
                return;
            }
            let vacant = table
                .entries()
                .iter()
                .filter_map(|entry| entry.vacant_since);
            let expiry = vacant.min().map(|since| since + self.grace);
            drop(table);
            // The sender is `self`: the channel can't be closed.
            match expiry {
                None => {
                    let _ = changes.changed().await;
                }
                Some(expiry) => {
                    let changed = tokio::time::timeout_at(expiry, changes.changed()).await;
                    if changed.is_err() {
                        self.expire();
                    }
                }
            }
        }
    }

    fn expire(&self) {
        let now = Instant::now();
        let grace = self.grace;
        self.replace(|table| {
            let mut entries = table.entries().to_vec();
            entries.retain(|entry| entry.vacant_since.is_none_or(|since| since + grace > now));
            (entries.len() < table.entries().len()).then_some(entries)
        });
    }

    /// Who has a request; waits for a link that is about to come. `asked` gives its host and path.
    pub async fn find<'a>(&self, asked: impl Fn() -> (&'a str, &'a str)) -> Found {
        match self.look(&asked) {
            Found::Vacant => {}
            found => return found,
        }
        let mut changes = self.changes.subscribe();
        loop {
            match self.look(&asked) {
                Found::Vacant => {}
                found => return found,
            }
            if changes.changed().await.is_err() {
                return Found::Closed;
            }
        }
    }

    fn look<'a>(&self, asked: impl Fn() -> (&'a str, &'a str)) -> Found {
        self.table.load().find(asked)
    }

    /// Who has now what was this link's; waits for a link that is about to come.
    pub async fn successor(&self, of: &Target) -> Option<Arc<Target>> {
        let route = &of.settings.route;
        match self.find(|| (route.example_host(), route.path())).await {
            Found::Target(target) => Some(target),
            _ => None,
        }
    }

    /// The table of now.
    pub fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Replaces the table by one of the links that `change` gives, if it gives any.
    fn replace(&self, change: impl FnOnce(&Table) -> Option<Vec<Entry>>) {
        self.changes.send_if_modified(|()| {
            let entries = change(&self.table.load());
            let changed = entries.is_some();
            if let Some(entries) = entries {
                self.table.store(Arc::new(Table::new(entries)));
            }
            changed
        });
    }
}
