//! A component that is told of a store's changes, and what every provider that tells them must do.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::mpsc;
use trellis_provider::{
    keyvalue::Changed,
    rpc::{
        CallError, IncomingCall,
        interface::{
            Function as _,
            keyvalue::{OnDelete, OnSet},
        },
        nats::Serving,
    },
};

use crate::{component, host::Host, keyvalue::Bucket};

/// How long a change may take to be told.
const SOON: Duration = Duration::from_secs(20);
/// How many changes wait to be looked at.
const WAITING: usize = 10_000;

/// The component. It is told until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    told: mpsc::Receiver<Changed>,
    _serving: Serving,
}

impl Watcher {
    /// Begins to listen under that id.
    ///
    /// # Errors
    /// NATS doesn't take the subscription.
    pub async fn start(host: &Host, id: &str) -> Result<Self> {
        let (sender, told) = mpsc::channel(WAITING);
        let serving = component::answer(host, id, move |call: IncomingCall| {
            let sender = sender.clone();
            async move {
                let gone = |_| CallError::Failed("the test is over".to_owned());
                if call.operation == *OnSet::operation() {
                    let set = OnSet::decode_params(call.params)?;
                    let changed = Changed {
                        bucket: set.bucket,
                        key: set.key,
                        value: Some(set.value),
                    };
                    sender.send(changed).await.map_err(gone)?;
                    return Ok(OnSet::answer(&()));
                }
                let deleted = OnDelete::decode_params(call.params)?;
                let changed = Changed {
                    bucket: deleted.bucket,
                    key: deleted.key,
                    value: None,
                };
                sender.send(changed).await.map_err(gone)?;
                Ok(OnDelete::answer(&()))
            }
        });
        Ok(Self {
            told,
            _serving: serving.await?,
        })
    }

    /// What it is told next: a key and its value as text, none when it was deleted. Changes of different keys come in any order.
    ///
    /// # Errors
    /// Nothing comes, or it is of another bucket.
    pub async fn next(&mut self, bucket: &str) -> Result<(String, Option<String>)> {
        let told = tokio::time::timeout(SOON, self.told.recv()).await;
        let changed = told
            .context("nothing is told")?
            .context("the component is gone")?;
        ensure!(changed.bucket == bucket, "{changed:?}");
        let value = changed.value.map(|value| String::from_utf8(value.to_vec()));
        Ok((changed.key, value.transpose()?))
    }

    /// Waits for exactly that to be told next.
    ///
    /// # Errors
    /// Something else comes, or nothing.
    pub async fn hears(&mut self, bucket: &str, key: &str, value: Option<&str>) -> Result<()> {
        let told = self.next(bucket).await?;
        ensure!(
            (&*told.0, told.1.as_deref()) == (key, value),
            "{told:?} instead of {key:?}, {value:?}"
        );
        Ok(())
    }
}

/// What a component does to a bucket is told, each change once, those of a key in their order; keys that begin with `other` are not.
///
/// # Errors
/// What is not as it should be.
pub async fn changes_are_told(bucket: Bucket<'_>, watcher: &mut Watcher) -> Result<()> {
    let name = bucket.name;
    bucket.set("other", "unheard").await?;
    bucket.set("key", "one").await?;
    watcher.hears(name, "key", Some("one")).await?;
    bucket.set("key", "two").await?;
    watcher.hears(name, "key", Some("two")).await?;
    bucket.delete("key").await?;
    watcher.hears(name, "key", None).await?;
    bucket.increment("count", 3).await?;
    watcher.hears(name, "count", Some("3")).await?;
    bucket.delete("count").await?;
    watcher.hears(name, "count", None).await
}
