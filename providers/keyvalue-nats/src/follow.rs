//! Following a bucket, to tell components what changes in it: a consumer of its stream that NATS forgets when nobody asks it.
//!
//! Nothing is acknowledged, so NATS sends nothing twice and keeps no count of what came; whether all came is seen here, by the
//! consumer's own numbers. What was lost on its way, with a connection or a link between servers, is had again by
//! beginning anew after the last revision that came.

use std::{convert::Infallible, time::Duration};

use async_nats::jetstream::{
    Message,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, ReplayPolicy, pull},
    kv::Store,
    stream::Info,
};
use futures::StreamExt as _;
use trellis_provider::{
    config::SettingsError,
    contract::mirror::Incarnation,
    keyvalue::{Changed, Changes, Error, Watch},
};

use crate::{
    bucket::{Bucket, failed},
    config::BucketConfig,
    listing::is_deletion,
    wanted::Wanted,
};

/// How many changes are asked for at a time.
const BATCH: usize = 32;
/// How long NATS keeps a request for changes, and how often it says meanwhile that it has it: without that the request was
/// lost.
const REQUEST: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(2);
/// After how long without a change it is asked whether one was lost.
const QUIET: Duration = Duration::from_secs(5);
/// After how long without a request NATS forgets the consumer.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// How far a bucket was followed.
#[derive(Debug, Default)]
pub struct Place(Option<Seen>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// Of which bucket, as far as that is known: one that was lost and made anew counts from 1 again.
    of: Option<Incarnation>,
    /// The last revision.
    revision: u64,
}

/// Where a bucket is followed.
struct Source {
    store: Store,
    of: Option<Incarnation>,
    /// The bucket's last revision.
    last: u64,
    /// Whether that was asked where the bucket is written: a copy may be behind.
    is_origin_s: bool,
}

impl Watch for Bucket {
    type Wanted = Wanted;
    type Place = Place;

    fn wanted(link: &BucketConfig) -> Result<Option<Wanted>, SettingsError> {
        link.wanted()
    }

    async fn follow(&self, wanted: &Wanted, place: &mut Place, changes: &Changes) -> String {
        let why = match self.go_on(wanted, place, changes).await {
            Ok(never) => match never {},
            Err(why) => self.told(why).await,
        };
        match why {
            Error::NoSuchStore => format!(
                "NATS bucket {:?}: it is not there, and the link says not to make it",
                self.name()
            ),
            why => why.to_string(),
        }
    }
}

impl Bucket {
    async fn go_on(
        &self,
        wanted: &Wanted,
        place: &mut Place,
        changes: &Changes,
    ) -> Result<Infallible, Error> {
        let source = self.source().await?;
        let seen = place.aim(&source, self.name());
        let consumer = consume(&source.store, wanted, seen.revision).await?;
        let stream = consumer
            .stream()
            .max_messages_per_batch(BATCH)
            .expires(REQUEST)
            .heartbeat(HEARTBEAT);
        let mut messages = stream.messages().await.map_err(|error| failed(&error))?;
        changes.follows();
        let mut count = Count::default();
        loop {
            let message = match tokio::time::timeout(QUIET, messages.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return Err(failed(&error)),
                Ok(None) => return Err(Error::Other("its changes come no more".to_owned())),
                Err(_) => {
                    let info = consumer.get_info().await;
                    let info = info.map_err(|error| failed(&error))?;
                    count.sent(info.delivered.consumer_sequence)?;
                    continue;
                }
            };
            let info = message.info().map_err(|error| failed(&*error))?;
            count.came(info.consumer_sequence)?;
            let revision = info.stream_sequence;
            // A copy that is being made anew goes through all of it.
            if revision <= seen.revision {
                continue;
            }
            if let Some(changed) = changed(&source.store, wanted, message) {
                changes.tell(changed).await;
            }
            seen.revision = revision;
        }
    }

    /// Where the bucket is followed: the PoP's copy, where it has one, or where it is written.
    async fn source(&self) -> Result<Source, Error> {
        let Some(replica) = self.replica() else {
            return self.origin().await;
        };
        // The hub is asked first, for nobody else may have made the bucket; but not while it is known to be away, for that takes
        // its time.
        let origin = match replica.is_cut() {
            true => None,
            false => Some(self.origin().await),
        };
        let at_hub = origin.as_ref().and_then(|origin| origin.as_ref().ok());
        let info = at_hub.map(|origin| origin.store.stream.cached_info());
        if let Some((store, copy)) = replica.to_follow(info).await {
            return Ok(Source {
                store,
                of: at_hub.and_then(|origin| origin.of).or(copy.origin),
                last: at_hub.map_or(copy.last_sequence, |origin| origin.last),
                is_origin_s: at_hub.is_some(),
            });
        }
        match origin {
            Some(origin) => origin,
            None => self.origin().await,
        }
    }

    /// The bucket where it is written.
    async fn origin(&self) -> Result<Source, Error> {
        let mut store = self.open().await?.store;
        let info: &Info = store.stream.info().await.map_err(|error| failed(&error))?;
        Ok(Source {
            of: Some(Incarnation::of(info)),
            last: info.state.last_sequence,
            is_origin_s: true,
            store,
        })
    }
}

impl Place {
    /// Where to go on after: what is told begins with the next revision.
    fn aim(&mut self, source: &Source, bucket: &str) -> &mut Seen {
        let seen = self.0.get_or_insert(Seen {
            of: source.of,
            revision: source.last,
        });
        let is_other = seen.of.is_some() && source.of.is_some() && seen.of != source.of;
        if is_other || (source.is_origin_s && source.last < seen.revision) {
            tracing::warn!(
                bucket,
                revision = source.last,
                followed_to = seen.revision,
                "the NATS bucket was lost and made anew: what is in it is told from its beginning"
            );
            seen.revision = 0;
        }
        seen.of = source.of.or(seen.of);
        seen
    }
}

/// How many changes came.
#[derive(Debug, Default)]
struct Count {
    came: u64,
    /// How many had been sent when that was last asked.
    sent: u64,
}

impl Count {
    /// The one of that number came.
    fn came(&mut self, number: u64) -> Result<(), Error> {
        if number != self.came + 1 {
            return Err(lost());
        }
        self.came = number;
        Ok(())
    }

    /// After a while in which nothing came: so many were sent. What was on its way then has come by the next time.
    fn sent(&mut self, number: u64) -> Result<(), Error> {
        if self.sent > self.came {
            return Err(lost());
        }
        self.sent = number;
        Ok(())
    }
}

fn lost() -> Error {
    Error::Other("a change was lost on its way".to_owned())
}

/// The consumer: of what is wanted, after that revision.
async fn consume(store: &Store, wanted: &Wanted, after: u64) -> Result<PullConsumer, Error> {
    let mut subjects: Vec<String> = wanted
        .filters()
        .iter()
        .map(|filter| format!("{}{filter}", store.prefix))
        .collect();
    let mut config = pull::Config {
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: after.saturating_add(1),
        },
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        inactive_threshold: FORGET_AFTER,
        num_replicas: 1,
        memory_storage: true,
        ..pull::Config::default()
    };
    match subjects.len() {
        1 => config.filter_subject = subjects.swap_remove(0),
        _ => config.filter_subjects = subjects,
    }
    let made = store.stream.create_consumer(config).await;
    made.map_err(|error| failed(&error))
}

/// What a message of the bucket's stream says, if it is wanted.
fn changed(store: &Store, wanted: &Wanted, message: Message) -> Option<Changed> {
    let key = wanted.key(message.subject.strip_prefix(&*store.prefix)?)?;
    let is_deletion = is_deletion(message.headers.as_ref());
    Some(Changed {
        bucket: wanted.bucket().to_owned(),
        key,
        value: (!is_deletion).then_some(message.message.payload),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_on_its_way_is_noticed() {
        let mut count = Count::default();
        for number in 1..=3 {
            count.came(number).unwrap();
        }
        assert!(count.came(5).is_err());

        let mut count = Count::default();
        count.sent(0).unwrap();
        // It may be on its way, once.
        count.sent(1).unwrap();
        count.came(1).unwrap();
        count.sent(2).unwrap();
        assert!(count.sent(2).is_err());
    }
}
