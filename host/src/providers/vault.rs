//! The secrets of one provider: its own and those of its links. They live here and in the provider alone, for as long
//! as it runs. What can't be had is tried again, and what may have changed is asked for again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use rand::Rng as _;
use tokio::task::JoinSet;
use trellis_lattice::secret::{SecretReference, SecretValue, Secrets as Values, is_reference};

use crate::{
    host::Host,
    secrets::{Entity, SecretError},
};

/// How long to wait until a backend that is away is asked again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// How long to wait, at first, after a refusal: somebody has to grant it before.
const REFUSED: Duration = Duration::from_secs(3);
/// The most secrets of one provider.
const MAX_SECRETS: usize = 500;

/// The secrets of a provider.
pub(super) struct Vault {
    host: Arc<Host>,
    entity: Entity,
    known: BTreeMap<String, Known>,
    asking: JoinSet<Answer>,
    /// More secrets are named than a provider may have.
    is_full: bool,
}

struct Answer {
    name: String,
    secret: SecretReference,
    value: Result<SecretValue, SecretError>,
}

/// What is known of a secret.
struct Known {
    /// Where it is kept, or why that is not known.
    reference: Result<SecretReference, String>,
    value: Option<SecretValue>,
    /// Why there is no value, or no newer one.
    why: Option<String>,
    attempts: u32,
    /// When to ask; none while that is done, or would be in vain.
    due: Option<Instant>,
}

impl Vault {
    pub(super) fn new(host: Arc<Host>, entity: Entity) -> Self {
        Self {
            host,
            entity,
            known: BTreeMap::new(),
            asking: JoinSet::new(),
            is_full: false,
        }
    }

    /// From now on these are needed, as the lattice's configurations say where they are. Asks for those that are new.
    pub(super) fn follow(&mut self, names: BTreeSet<String>) {
        self.is_full = names.len() > MAX_SECRETS;
        self.known.retain(|name, _| names.contains(name));
        for name in names.into_iter().take(MAX_SECRETS) {
            let reference = match self.host.view.config(&name) {
                None => Err(format!("there is no secret reference {name:?}")),
                Some(config) => SecretReference::read(&config).map_err(|error| {
                    format!("configuration {name:?} is no secret reference: {error}")
                }),
            };
            let is_known = self
                .known
                .get(&name)
                .is_some_and(|known| known.reference == reference);
            if !is_known {
                self.known.insert(name, Known::new(reference));
            }
        }
        self.ask();
    }

    /// Asks for what is due.
    pub(super) fn ask(&mut self) {
        let now = Instant::now();
        for (name, known) in &mut self.known {
            let Ok(secret) = &known.reference else {
                continue;
            };
            if known.due.is_none_or(|due| due > now) {
                continue;
            }
            known.due = None;
            let (name, secret) = (name.clone(), secret.clone());
            let (host, entity) = (self.host.clone(), self.entity.clone());
            self.asking.spawn(async move {
                let value = host.secrets.fetch(&secret, &entity).await;
                Answer {
                    name,
                    secret,
                    value,
                }
            });
        }
    }

    /// When something is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.known.values().filter_map(|known| known.due).min()
    }

    /// Waits for an answer; whether anything is another than before. Never ends while nothing was asked.
    pub(super) async fn answered(&mut self) -> bool {
        let Some(answer) = self.asking.join_next().await else {
            return std::future::pending().await;
        };
        // One that panicked is asked again with the next change.
        answer.is_ok_and(|answer| self.take(answer))
    }

    fn take(&mut self, answer: Answer) -> bool {
        let refresh = self.host.config.secrets_refresh;
        let known = self.known.get_mut(&answer.name);
        let Some(known) = known.filter(|known| known.reference.as_ref() == Ok(&answer.secret))
        else {
            // No longer needed, or kept elsewhere by now.
            return false;
        };
        match answer.value {
            Ok(value) => {
                if known.why.take().is_some() {
                    tracing::info!(secret = %answer.secret, "the secret is there");
                }
                known.attempts = 0;
                // A certain version stays what it is.
                known.due = match answer.secret.version {
                    Some(_) => None,
                    None => Instant::now().checked_add(jittered(refresh)),
                };
                let is_news = known.value.as_ref() != Some(&value);
                known.value = Some(value);
                is_news
            }
            Err(error) => {
                let why = error.to_string();
                let is_news = known.why.as_ref() != Some(&why);
                if is_news {
                    // Another trouble is another wait: a backend that is back must not be left alone for long.
                    known.attempts = 0;
                    tracing::warn!(%error, kept = known.value.is_some(), "a secret can't be had");
                }
                let first = match error.is_passing() {
                    true => AGAIN.0,
                    false => REFUSED,
                };
                let pause = first.saturating_mul(1 << known.attempts.min(10));
                known.attempts = known.attempts.saturating_add(1);
                known.due = Instant::now().checked_add(jittered(pause.min(AGAIN.1)));
                known.why = Some(why);
                // One that there is stays in use.
                is_news && known.value.is_none()
            }
        }
    }

    /// The values of those of the named configurations that are secrets, by the names their user knows them by.
    pub(super) fn values(&self, names: &[String]) -> Result<Values, String> {
        let mut values = Values::new();
        for name in names.iter().filter(|name| is_reference(name)) {
            let known = self.known.get(name).ok_or_else(|| match self.is_full {
                true => format!("more than {MAX_SECRETS} secrets are named"),
                false => format!("secret {name:?} was not asked for yet"),
            })?;
            let secret = known.reference.as_ref().map_err(String::clone)?;
            let value = known.value.as_ref().ok_or_else(|| match &known.why {
                Some(why) => why.clone(),
                None => format!("{secret}: asking for it"),
            })?;
            values.insert(secret.name.clone(), value.clone());
        }
        Ok(values)
    }
}

impl Known {
    fn new(reference: Result<SecretReference, String>) -> Self {
        Self {
            due: reference.is_ok().then(Instant::now),
            reference,
            value: None,
            why: None,
            attempts: 0,
        }
    }
}

/// So that hosts that lost a backend together don't come back to it together.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.8..=1.2))
}
