//! Listing a bucket's keys, a page at a time. The cursor is where in the bucket's stream the page ended: a key that is
//! written meanwhile moves to the end and is seen there, so none is missed.

use std::time::Duration;

use async_nats::{
    HeaderMap,
    jetstream::{
        consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, pull},
        kv::Store,
    },
};
use futures::TryStreamExt as _;
use trellis_provider::keyvalue::KeyResponse;

use crate::keys::Keys;

/// The most keys on a page.
const PAGE: usize = 1000;
/// How long NATS keeps a listing that was broken off.
const FORGET_AFTER: Duration = Duration::from_secs(10);
/// How long NATS has for a page.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a deleted key's last message has: put by a client, or by the server for a key that expired.
const DELETED: [&str; 2] = ["KV-Operation", "Nats-Marker-Reason"];

/// Whether a message says that its key has no value any more.
pub(crate) fn is_deletion(headers: Option<&HeaderMap>) -> bool {
    headers.is_some_and(|headers| DELETED.iter().any(|header| headers.get(*header).is_some()))
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A page of keys.
///
/// # Errors
/// NATS fails.
pub(crate) async fn page(
    store: &Store,
    keys: &Keys,
    cursor: Option<u64>,
) -> Result<KeyResponse, Failure> {
    let info = store.stream.get_info().await?;
    let after = cursor.unwrap_or_default();
    let config = pull::Config {
        // With a history of one, a message is its key's only one; else the last one of each key has to be asked for, and
        // that can't be combined with a start.
        deliver_policy: if info.config.max_messages_per_subject == 1 {
            DeliverPolicy::ByStartSequence {
                start_sequence: after.saturating_add(1),
            }
        } else {
            DeliverPolicy::LastPerSubject
        },
        filter_subject: format!("{}{}", store.prefix, keys.filter()),
        ack_policy: AckPolicy::None,
        replay_policy: ReplayPolicy::Instant,
        headers_only: true,
        inactive_threshold: FORGET_AFTER,
        num_replicas: 1,
        memory_storage: true,
        ..pull::Config::default()
    };
    let consumer = store.stream.create_consumer(config).await?;
    let name = consumer.cached_info().name.clone();
    let page = read(&consumer, store, keys, after).await;
    // NATS forgets it by itself too, but a limited number of them is kept until then.
    if let Err(error) = store.stream.delete_consumer(&name).await {
        tracing::debug!(%error, "a listing is not ended");
    }
    page
}

async fn read(
    consumer: &async_nats::jetstream::consumer::Consumer<pull::Config>,
    store: &Store,
    keys: &Keys,
    after: u64,
) -> Result<KeyResponse, Failure> {
    let mut response = KeyResponse::default();
    let mut left = consumer.cached_info().num_pending;
    while left > 0 {
        let mut messages = consumer
            .fetch()
            .max_messages(PAGE)
            .expires(PATIENCE)
            .messages()
            .await?;
        let mut got_any = false;
        while let Some(message) = messages.try_next().await? {
            got_any = true;
            let info = message.info()?;
            left = info.pending;
            if info.stream_sequence <= after {
                continue;
            }
            let deleted = is_deletion(message.headers.as_ref());
            let key = message
                .subject
                .strip_prefix(&*store.prefix)
                .and_then(|key| keys.decode(key));
            if let Some(key) = key.filter(|_| !deleted) {
                response.keys.push(key);
            }
            if response.keys.len() >= PAGE {
                response.cursor = (left > 0).then_some(info.stream_sequence);
                return Ok(response);
            }
        }
        if !got_any {
            return Err("the listing stopped before its end".into());
        }
    }
    Ok(response)
}
