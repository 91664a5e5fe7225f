//! The provider's links: what the host put, what the provider made of it, and what is to be tried again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};
use trellis_lattice::{ComponentId, LinkKey, Place, ResolvedLink, place::Outside};

use crate::{
    error::LinkError,
    link::{self, Role},
    provider::Provider,
    secrets::SecretKeys,
};

/// The most links a provider takes.
const MAX_LINKS: usize = 10_000;
/// How long a provider may take over one link before it counts as unavailable.
const LINK_TIMEOUT: Duration = Duration::from_secs(10);
/// The first and the longest wait before a link is tried again.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// The links of a provider, in the hands of the one task that handles them in order.
pub(crate) struct Links<P> {
    provider: Arc<P>,
    provider_id: ComponentId,
    place: Option<Place>,
    keys: Option<SecretKeys>,
    taken: HashMap<(LinkKey, Role), Taken>,
    failures: watch::Sender<Vec<String>>,
}

/// A link, and how far the provider got with it.
struct Taken {
    link: ResolvedLink,
    failure: Option<Failure>,
}

struct Failure {
    error: LinkError,
    attempts: u32,
    /// None: not tried again.
    again: Option<Instant>,
}

impl<P: Provider> Links<P> {
    pub(crate) fn new(
        provider: Arc<P>,
        provider_id: ComponentId,
        place: Option<Place>,
        keys: Option<SecretKeys>,
    ) -> Self {
        Self {
            provider,
            provider_id,
            place,
            keys,
            taken: HashMap::new(),
            failures: watch::Sender::new(Vec::new()),
        }
    }

    /// What doesn't work now, for the provider's health.
    pub(crate) fn failures(&self) -> watch::Receiver<Vec<String>> {
        self.failures.subscribe()
    }

    /// A link was put. One that is there already, unchanged, is left alone unless it failed.
    pub(crate) async fn put(&mut self, link: ResolvedLink) {
        let own_key = self.keys.as_ref().map(SecretKeys::provider_public);
        if link.sealed_for.is_some() && link.sealed_for != own_key {
            tracing::debug!(link = %link.key(), "a link whose secrets are for another process of this id");
            return;
        }
        // It is for other processes of this id, which are within: nothing is wrong with this one.
        if let Err(outside) = self.check_bound(&link) {
            tracing::warn!(%outside, "link not taken");
            return self.delete(&link.key()).await;
        }
        let mut ours = false;
        for role in [Role::Source, Role::Target] {
            if end(&link, role) == &self.provider_id {
                ours = true;
                self.put_as(role, &link).await;
            } else if self.taken.contains_key(&(link.key(), role)) {
                // The same link now has another target than us.
                ours = true;
                self.delete_as(role, &link.key()).await;
            }
        }
        if !ours {
            tracing::debug!(link = %link.key(), "a link of others");
        }
    }

    /// Whether this process is within the link's residency bound.
    fn check_bound(&self, link: &ResolvedLink) -> Result<(), Outside> {
        let Some(within) = &link.within else {
            return Ok(());
        };
        let what = format_args!("link {} {}", link.key(), link.target);
        within.check(self.place.as_ref(), what, "this provider")
    }

    /// A link was deleted. One that isn't there is no error.
    pub(crate) async fn delete(&mut self, key: &LinkKey) {
        for role in [Role::Source, Role::Target] {
            self.delete_as(role, key).await;
        }
    }

    /// When the next link is to be tried again.
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        self.taken
            .values()
            .filter_map(|taken| taken.failure.as_ref()?.again)
            .min()
    }

    /// Tries the links again whose time has come.
    pub(crate) async fn retry(&mut self) {
        let now = Instant::now();
        let due = |taken: &Taken| taken.failure.as_ref()?.again.map(|again| again <= now);
        let due: Vec<_> = self
            .taken
            .iter()
            .filter(|(_, taken)| due(taken) == Some(true))
            .map(|((_, role), taken)| (*role, taken.link.clone()))
            .collect();
        for (role, link) in due {
            self.give(role, link).await;
        }
    }

    async fn delete_as(&mut self, role: Role, key: &LinkKey) {
        if self.taken.remove(&(key.clone(), role)).is_none() {
            return;
        }
        match role {
            Role::Source => self.provider.delete_link_as_source(key).await,
            Role::Target => self.provider.delete_link_as_target(key).await,
        }
        tracing::info!(link = %key, "link deleted");
        self.tell_failures();
    }

    async fn put_as(&mut self, role: Role, link: &ResolvedLink) {
        let key = (link.key(), role);
        match self.taken.get(&key) {
            Some(taken) if taken.failure.is_none() && taken.link == *link => {
                tracing::debug!(link = %key.0, "the link is there already");
                return;
            }
            None if self.taken.len() >= MAX_LINKS => {
                tracing::error!(link = %key.0, limit = MAX_LINKS, "too many links, not taken");
                return;
            }
            // Changed: what failed before says nothing about it.
            Some(_) => drop(self.taken.remove(&key)),
            None => {}
        }
        self.give(role, link.clone()).await;
    }

    /// Gives a link to the provider and keeps the outcome.
    async fn give(&mut self, role: Role, link: ResolvedLink) {
        let attempts = self
            .taken
            .get(&(link.key(), role))
            .and_then(|taken| taken.failure.as_ref())
            .map_or(0, |failure| failure.attempts);
        let outcome = tokio::time::timeout(LINK_TIMEOUT, self.receive(role, &link)).await;
        let outcome = outcome.unwrap_or_else(|_| {
            Err(LinkError::Unavailable(format!(
                "link {} {}: not ready after {} s",
                link.key(),
                link.target,
                LINK_TIMEOUT.as_secs()
            )))
        });
        let failure = match outcome {
            Ok(()) => {
                tracing::info!(link = %link.key(), target = %link.target, "link ready");
                None
            }
            Err(error) => Some(Failure::new(error, attempts)),
        };
        self.taken
            .insert((link.key(), role), Taken { link, failure });
        self.tell_failures();
    }

    async fn receive(&self, role: Role, link: &ResolvedLink) -> Result<(), LinkError> {
        let keys = self.keys.as_ref();
        match role {
            Role::Source => {
                let link = link::read(link, role, keys)?;
                self.provider.receive_link_config_as_source(link).await
            }
            Role::Target => {
                let link = link::read(link, role, keys)?;
                self.provider.receive_link_config_as_target(link).await
            }
        }
    }

    fn tell_failures(&self) {
        let failures: Vec<String> = self
            .taken
            .values()
            .filter_map(|taken| Some(taken.failure.as_ref()?.error.to_string()))
            .collect();
        self.failures.send_replace(failures);
    }
}

/// Who stands at that end of a link.
fn end(link: &ResolvedLink, role: Role) -> &ComponentId {
    match role {
        Role::Source => &link.source_id,
        Role::Target => &link.target,
    }
}

impl Failure {
    fn new(error: LinkError, earlier_attempts: u32) -> Self {
        let wait = FIRST_RETRY
            .saturating_mul(1 << earlier_attempts.min(10))
            .min(LAST_RETRY);
        let again = error.is_passing().then(|| Instant::now() + wait);
        // The first time is news; the tenth is not.
        if earlier_attempts == 0 || again.is_none() {
            tracing::error!(%error, retried = again.is_some(), "link not usable");
        } else {
            tracing::debug!(%error, attempts = earlier_attempts + 1, "link still not usable");
        }
        Self {
            error,
            attempts: earlier_attempts.saturating_add(1),
            again,
        }
    }
}
