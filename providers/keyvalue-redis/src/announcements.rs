//! Listening to Redis' announcements of what changes: over a connection of its own for each link that wants to hear, while
//! values are read over the store's.
//!
//! An announcement says that a key has changed, and not to what. So what is told is the value that the key has when it is
//! read, and of two changes that are close together the later value may be told twice; never is an older one told after it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use futures::StreamExt as _;
use redis::{
    Msg, RedisResult, Value,
    aio::{PubSubSink, PubSubStream},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Duration, sleep, timeout},
};
use trellis_provider::{
    config::SettingsError,
    keyvalue::{Changed, Changes, Error, Watch},
};

use crate::{
    config::RedisConfig,
    keyspace_events::{Announcing, Event},
    redis_store::{Failed, RedisStore},
    wanted::Wanted,
};

/// How many announcements are handled in one go: so many values are read at once.
const AT_ONCE: usize = 32;
/// How many bytes of announcements wait to be handled, and what one takes beside its key.
const WAITING_BYTES: usize = 16 << 20;
const OVERHEAD: usize = 128;
/// How often Redis is asked whether it is there still, and announces still.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// What it means that nobody listens.
const LOST: &str = "what changes meanwhile is not told, for Redis keeps no announcements";

/// Since when nobody listens, where somebody did.
#[derive(Debug, Default)]
pub struct Away {
    since: Option<Instant>,
}

/// What Redis says of a key.
#[derive(Debug, PartialEq, Eq)]
struct Announcement {
    key: String,
    gone: bool,
}

impl Watch for RedisStore {
    type Wanted = Wanted;
    type Place = Away;

    fn wanted(link: &RedisConfig) -> Result<Option<Wanted>, SettingsError> {
        link.wanted()
    }

    async fn unwatchable(&self, wanted: &Wanted) -> Option<SettingsError> {
        match self.announcing(wanted.enables_events()).await {
            Ok(Announcing::Hidden(code)) => {
                tracing::info!(
                    redis = self.place(),
                    code,
                    "it can't be seen whether this Redis announces what changes: notify-keyspace-events has to have K$gxe or KA"
                );
                None
            }
            Ok(_) => None,
            Err(error) => Some(error),
        }
    }

    async fn follow(&self, wanted: &Wanted, place: &mut Away, changes: &Changes) -> String {
        let channels = Channels::of(
            wanted,
            self.client().get_connection_info().redis_settings().db(),
        );
        let subscribed = self.subscribe(&channels, wanted).await;
        let (sink, stream, hidden) = match subscribed {
            Ok(subscribed) => subscribed,
            Err(why) => return format!("{why}: {LOST}"),
        };
        if let Some(since) = place.since.take() {
            let away = since.elapsed();
            tracing::warn!(
                redis = self.place(),
                ?away,
                "listening again: what changed meanwhile was not told"
            );
        }
        changes.follows();
        let why = self
            .listen(&channels, wanted, sink, stream, hidden, changes)
            .await;
        place.since = Some(Instant::now());
        format!("{why}: {LOST}")
    }
}

impl RedisStore {
    /// Listens from now on; also says whether it is hidden whether there is anything to be heard.
    async fn subscribe(
        &self,
        channels: &Channels,
        wanted: &Wanted,
    ) -> Result<(PubSubSink, PubSubStream, bool), String> {
        let connecting = self.in_time(self.client().get_async_pubsub()).await;
        let (mut sink, stream) = connecting?.split();
        let subscribing = self.in_time(sink.psubscribe(&channels.patterns));
        subscribing.await.map_err(|why| {
            let prefix = &channels.prefix;
            format!("{why}: the user has to be allowed to listen to {prefix}KEY for each entry of `watch`")
        })?;
        // Each time anew: a Redis that was started again has forgotten what it was told to announce.
        let announcing = self.announcing(wanted.enables_events()).await;
        let announcing = announcing.map_err(|error| error.to_string())?;
        let hidden = matches!(announcing, Announcing::Hidden(_));
        Ok((sink, stream, hidden))
    }

    /// Hands over what is announced, until that can't go on.
    async fn listen(
        &self,
        channels: &Channels,
        wanted: &Wanted,
        sink: PubSubSink,
        stream: PubSubStream,
        hidden: bool,
        changes: &Changes,
    ) -> String {
        let (sender, receiver) = mpsc::unbounded_channel();
        let taking = self.take_in(channels, wanted, stream, sender);
        let telling = self.tell(wanted, receiver, changes);
        tokio::pin!(telling);
        tokio::select! {
            why = taking => {
                // What was announced is still told, if it can be.
                if let Err(error) = telling.await {
                    tracing::warn!(redis = self.place(), error, "some announced changes are not told");
                }
                why
            }
            told = &mut telling => told.err().unwrap_or_else(|| self.broken()),
            why = self.keep_alive(wanted, sink, hidden) => why,
        }
    }

    /// Takes announcements in as fast as they come: the client keeps what isn't taken, however much it is.
    async fn take_in(
        &self,
        channels: &Channels,
        wanted: &Wanted,
        mut stream: PubSubStream,
        sender: mpsc::UnboundedSender<(Announcement, OwnedSemaphorePermit)>,
    ) -> String {
        let room = Arc::new(Semaphore::new(WAITING_BYTES));
        while let Some(message) = stream.next().await {
            let Some(announcement) = channels.announcement(wanted, &message) else {
                continue;
            };
            let bytes = (announcement.key.len() + OVERHEAD).min(WAITING_BYTES);
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            let Ok(permit) = room.clone().try_acquire_many_owned(bytes) else {
                let redis = self.place();
                return format!("Redis at {redis} announces changes faster than they can be told");
            };
            if sender.send((announcement, permit)).is_err() {
                break;
            }
        }
        self.broken()
    }

    /// Reads what was announced, and hands it over in its order.
    async fn tell(
        &self,
        wanted: &Wanted,
        mut receiver: mpsc::UnboundedReceiver<(Announcement, OwnedSemaphorePermit)>,
        changes: &Changes,
    ) -> Result<(), String> {
        let mut batch = Vec::with_capacity(AT_ONCE);
        while receiver.recv_many(&mut batch, AT_ONCE).await > 0 {
            let changed = batch.iter().filter(|(announced, _)| !announced.gone);
            let keys = changed.map(|(announced, _)| announced.key.as_str());
            let values = self.current(wanted, keys.collect()).await?;
            for (announced, _room) in batch.drain(..) {
                let value = values.get(&announced.key);
                // One that is no more, or is no string: its end is an announcement of its own.
                if !announced.gone && value.is_none() {
                    continue;
                }
                let changed = Changed {
                    bucket: wanted.bucket().to_owned(),
                    value: value.filter(|_| !announced.gone).cloned(),
                    key: announced.key,
                };
                changes.tell(changed).await;
            }
        }
        Ok(())
    }

    /// The values that keys have, for those that have one.
    async fn current(
        &self,
        wanted: &Wanted,
        keys: HashSet<&str>,
    ) -> Result<HashMap<String, Bytes>, String> {
        let keys: Vec<&str> = keys.into_iter().collect();
        // Every key here was read from its full name, so it has one.
        let full = keys.iter().filter_map(|key| wanted.keys().full(key).ok());
        let full: Vec<String> = full.collect();
        if full.is_empty() {
            return Ok(HashMap::new());
        }
        let values = match self.values(&full).await {
            Err(Error::AccessDenied) => self.permitted(&full).await,
            values => values,
        };
        let values = values.map_err(|error| self.shown_with(&error))?;
        let pairs = keys.into_iter().zip(values);
        Ok(pairs
            .filter_map(|(key, value)| Some((key.to_owned(), value?.into())))
            .collect())
    }

    /// The same for a user who may not read all of them.
    async fn permitted(&self, full: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut values = Vec::with_capacity(full.len());
        for key in full {
            match self.values(std::slice::from_ref(key)).await {
                Ok(one) => values.extend(one),
                Err(Error::AccessDenied) => values.push(None),
                Err(error) => return Err(error),
            }
        }
        Ok(values)
    }

    /// Asks from time to time whether Redis is there and announces still, until one of it isn't so.
    async fn keep_alive(&self, wanted: &Wanted, mut sink: PubSubSink, hidden: bool) -> String {
        loop {
            sleep(KEEP_ALIVE).await;
            if let Err(why) = self.in_time(sink.ping::<Value>()).await {
                return why;
            }
            if hidden {
                continue;
            }
            match self.announcing(wanted.enables_events()).await {
                Ok(Announcing::TurnedOn) => {
                    tracing::warn!(
                        redis = self.place(),
                        "announcements had been turned off: what changed meanwhile was not told"
                    );
                }
                Ok(_) => {}
                Err(error) => return error.to_string(),
            }
        }
    }

    /// An answer, if it comes soon enough.
    async fn in_time<T>(&self, asked: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
        let answer = timeout(self.patience(), asked).await;
        let answer = answer.map_or(Err(Failed::Late), |answer| answer.map_err(Failed::Redis));
        answer.map_err(|failed| self.shown_with(&self.explain(&failed)))
    }

    fn shown_with(&self, error: &Error) -> String {
        match error {
            Error::Other(message) => message.clone(),
            _ => format!("Redis at {}: access denied", self.place()),
        }
    }

    fn broken(&self) -> String {
        format!("the connection to Redis at {} broke", self.place())
    }
}

/// Where Redis announces what happens to the wanted keys.
struct Channels {
    /// What a channel begins with; the key is the rest.
    prefix: String,
    /// One for each of the wanted patterns, in their order.
    patterns: Vec<String>,
}

impl Channels {
    fn of(wanted: &Wanted, database: i64) -> Self {
        let prefix = format!("__keyspace@{database}__:");
        let patterns = wanted.full_patterns();
        Self {
            patterns: patterns.map(|key| format!("{prefix}{key}")).collect(),
            prefix,
        }
    }

    /// What a message announces, if it is wanted.
    fn announcement(&self, wanted: &Wanted, message: &Msg) -> Option<Announcement> {
        let channel: Vec<u8> = message.get_channel().ok()?;
        let full = channel.strip_prefix(self.prefix.as_bytes())?;
        let gone = match Event::named(message.get_payload_bytes()) {
            Event::Changed => false,
            Event::Gone => true,
            Event::Unchanged => return None,
        };
        if std::str::from_utf8(full).is_err() {
            tracing::debug!(key = ?String::from_utf8_lossy(full), "a key that is no text: it is not told");
            return None;
        }
        let key = wanted.keys().own(full)?;
        // It comes once for each pattern that the key is under; told is the first's.
        let pattern: String = message.get_pattern().ok()?;
        let first = wanted.first(&key)?;
        if self.patterns.get(first) != Some(&pattern) || !wanted.wants(&key, gone) {
            return None;
        }
        Some(Announcement { key, gone })
    }
}

#[cfg(test)]
mod tests {
    use redis::{PushInfo, PushKind};

    use super::*;

    fn announced(
        wanted: &Wanted,
        pattern: &str,
        channel: &[u8],
        event: &str,
    ) -> Option<(String, bool)> {
        let text = |bytes: &[u8]| Value::BulkString(bytes.to_vec());
        let message = Msg::from_push_info(PushInfo {
            kind: PushKind::PMessage,
            data: vec![
                text(pattern.as_bytes()),
                text(channel),
                text(event.as_bytes()),
            ],
        });
        let announcement = Channels::of(wanted, 3).announcement(wanted, &message.unwrap())?;
        Some((announcement.key, announcement.gone))
    }

    #[test]
    fn an_announcement_is_heard_once() {
        let wanted = Wanted::read("a*,*b,DEL@c", "default", false).unwrap();
        let channels = Channels::of(&wanted, 3);
        assert_eq!(
            channels.patterns,
            ["__keyspace@3__:a*", "__keyspace@3__:*b", "__keyspace@3__:c"]
        );
        let heard = |pattern: &str, key: &str, event: &str| {
            let channel = format!("__keyspace@3__:{key}");
            announced(
                &wanted,
                &format!("__keyspace@3__:{pattern}"),
                channel.as_bytes(),
                event,
            )
        };
        let of = |key: &str, gone| Some((key.to_owned(), gone));
        assert_eq!(heard("a*", "ab", "set"), of("ab", false));
        assert_eq!(heard("*b", "ab", "set"), None);
        assert_eq!(heard("*b", "b", "expired"), of("b", true));
        assert_eq!(heard("c", "c", "set"), None);
        assert_eq!(heard("c", "c", "del"), of("c", true));
        assert_eq!(heard("a*", "a", "expire"), None);
    }

    #[test]
    fn a_bucket_hears_of_its_own_keys() {
        let default = Wanted::read("*", "default", false).unwrap();
        let cart = Wanted::read("*", "cart", false).unwrap();
        let named = b"__keyspace@3__:trellis:bucket:cart:x".as_slice();
        let pattern = "__keyspace@3__:trellis:bucket:cart:*";
        assert_eq!(Channels::of(&cart, 3).patterns, [pattern]);
        assert_eq!(
            announced(&cart, pattern, named, "set"),
            Some(("x".to_owned(), false))
        );
        let all = "__keyspace@3__:*";
        assert_eq!(announced(&default, all, named, "set"), None);
        assert_eq!(
            announced(&default, all, b"__keyspace@3__:\xff", "set"),
            None
        );
    }
}
