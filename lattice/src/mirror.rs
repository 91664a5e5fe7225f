//! A bucket's copy beside those who read it. The bucket is in one JetStream domain, the hub's; a PoP's server keeps a mirror
//! of the same name in its own, so that what is in it can be had while the hub is away. Writes always go to the hub.
//!
//! nats-server takes up a mirror that was cut off by itself, but late: 20 to 40 s after a cut of a quarter of a minute,
//! minutes after a long one. So whoever reads must ask whether the copy still hears of its origin ([`Copy::silent_for`]),
//! and may have a small one made anew ([`Mirror::renew`]), which takes a fraction of a second.

use std::time::Duration;

use async_nats::{
    Client,
    jetstream::{
        Context, ErrorCode,
        context::{ContextBuilder, GetStreamErrorKind},
        kv,
        stream::{Config, External, Info, Source},
    },
};
use rand::Rng as _;
use time::OffsetDateTime;

/// What a copy says of itself: which incarnation of the bucket it is of.
const ORIGIN: &str = "trellis_origin";
/// What a copy says of itself: how far the bucket was when the copy was made.
const ORIGIN_SEQUENCE: &str = "trellis_origin_sequence";
/// A copy that has heard nothing of its origin for this long is cut off from it: it hears something every second.
pub const SILENT: Duration = Duration::from_millis(2500);
/// Several who want to make one copy anew look once more at different times, at most this much later.
const TURNS: Duration = Duration::from_millis(400);

/// One bucket among those that had its name: one that was lost and made anew is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation(i128);

impl Incarnation {
    /// The bucket's, or the stream's behind it.
    pub fn of(bucket: &Info) -> Self {
        Self(bucket.created.unix_timestamp_nanos())
    }
}

/// A copy can't be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// Something else has the name.
    #[error(
        "the server's own JetStream domain has a bucket {bucket:?} which is no copy of the one in domain {domain:?}: delete or rename it"
    )]
    NoCopy {
        /// The bucket.
        bucket: String,
        /// The origin's domain.
        domain: String,
    },
    /// The server's own JetStream fails.
    #[error("the copy of bucket {bucket:?} ({what}): {source}")]
    Own {
        /// The bucket.
        bucket: String,
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A bucket's copy in the server's own domain, there or to be made.
#[derive(Clone, Debug)]
pub struct Mirror {
    bucket: String,
    domain: String,
    own: Context,
}

/// A copy as it was when it was looked at.
#[derive(Clone, Debug)]
pub struct Copy {
    /// When it was made.
    pub created: OffsetDateTime,
    /// Which bucket it is of; none when somebody else made it.
    pub origin: Option<Incarnation>,
    /// The last revision it has.
    pub last_sequence: u64,
    /// How large it is.
    pub bytes: u64,
    /// For how long it has heard nothing of its origin; none when it never has.
    pub silent_for: Option<Duration>,
    /// How far the bucket was when the copy was made.
    begun_at: u64,
}

impl Copy {
    fn of(info: &Info) -> Self {
        fn number<T: std::str::FromStr>(info: &Info, key: &str) -> Option<T> {
            info.config.metadata.get(key)?.parse().ok()
        }
        Self {
            created: info.created,
            origin: number(info, ORIGIN).map(Incarnation),
            last_sequence: info.state.last_sequence,
            bytes: info.state.bytes,
            silent_for: info.mirror.as_ref().and_then(|mirror| mirror.active),
            begun_at: number(info, ORIGIN_SEQUENCE).unwrap_or(1),
        }
    }

    /// Whether it has all that the bucket had when the copy was made: one that was cut off before has not, and says
    /// nothing of what there is.
    pub fn is_whole(&self) -> bool {
        self.last_sequence >= self.begun_at
    }

    /// Whether it hears of its origin, so that it is at most a moment behind.
    pub fn is_live(&self) -> bool {
        self.is_whole() && self.silent_for.is_some_and(|silent| silent <= SILENT)
    }
}

impl Mirror {
    /// The copy of a bucket in another domain. None where there is nothing to copy to: the server is of that domain itself,
    /// or has no JetStream and no domain of its own. `timeout` is how long the own JetStream may take to answer.
    pub fn beside(client: &Client, domain: &str, bucket: &str, timeout: Duration) -> Option<Self> {
        let server = client.server_info();
        let own = server.domain.filter(|_| server.jetstream)?;
        if own == domain {
            return None;
        }
        let context = ContextBuilder::new().timeout(timeout);
        Some(Self {
            bucket: bucket.to_owned(),
            domain: domain.to_owned(),
            own: context.build(client.clone()),
        })
    }

    /// The bucket's name, which is the copy's too.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The domain that the bucket is in.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Opens the copy for reading; what is written to it goes to the bucket itself.
    ///
    /// # Errors
    /// It isn't there, or the own JetStream fails.
    pub async fn open(&self) -> Result<kv::Store, MirrorError> {
        let opened = self.own.get_key_value(&*self.bucket).await;
        opened.map_err(|error| self.failed("opening it", error))
    }

    /// The copy as it is, if there is one.
    ///
    /// # Errors
    /// Something else has its name, or the own JetStream fails.
    pub async fn look(&self) -> Result<Option<Copy>, MirrorError> {
        let stream = match self.own.get_stream(self.stream()).await {
            Ok(stream) => stream,
            Err(error) => {
                return match error.kind() {
                    GetStreamErrorKind::JetStream(answer)
                        if answer.error_code() == ErrorCode::STREAM_NOT_FOUND =>
                    {
                        Ok(None)
                    }
                    _ => Err(self.failed("looking at it", error)),
                };
            }
        };
        let info = stream.cached_info();
        let origin = info.config.mirror.as_ref();
        let from = origin.and_then(|origin| origin.external.as_ref());
        if origin.is_none_or(|origin| origin.name != self.stream())
            || from.is_none_or(|from| from.api_prefix != self.api())
        {
            return Err(MirrorError::NoCopy {
                bucket: self.bucket.clone(),
                domain: self.domain.clone(),
            });
        }
        Ok(Some(Copy::of(info)))
    }

    /// Sees to it that there is a copy of this very bucket: makes it where it is missing, and anew where it is of a bucket
    /// that was lost.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub async fn keep(&self, bucket: &Info) -> Result<(), MirrorError> {
        match self.look().await? {
            None => self.make(bucket).await,
            Some(copy) => match copy.origin {
                Some(origin) if origin != Incarnation::of(bucket) => {
                    self.renew(&copy, bucket).await
                }
                _ => Ok(()),
            },
        }
    }

    /// Makes the copy anew, unless somebody else does meanwhile or it has come back to life. One that somebody else had
    /// made is left as it is. Until the new one is whole, there is none to read.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub async fn renew(&self, before: &Copy, bucket: &Info) -> Result<(), MirrorError> {
        let turn = TURNS.mul_f64(rand::rng().random_range(0.0..1.0));
        tokio::time::sleep(turn).await;
        let incarnation = Incarnation::of(bucket);
        match self.look().await? {
            None => return self.make(bucket).await,
            Some(copy) if copy.created != before.created || copy.origin.is_none() => return Ok(()),
            Some(copy) if copy.is_live() && copy.origin == Some(incarnation) => return Ok(()),
            Some(_) => {}
        }
        tracing::info!(
            bucket = self.bucket,
            domain = self.domain,
            "this PoP's copy of the bucket does not follow it: making it anew"
        );
        match self.own.delete_stream(self.stream()).await {
            Ok(_) => {}
            Err(error) => tracing::debug!(bucket = self.bucket, %error, "the copy was not deleted"),
        }
        self.make(bucket).await
    }

    /// Makes the copy. Who loses the race against somebody else has one, too.
    async fn make(&self, bucket: &Info) -> Result<(), MirrorError> {
        let origin = &bucket.config;
        let config = Config {
            name: self.stream(),
            description: Some(format!("copy of the bucket in domain {}", self.domain)),
            mirror: Some(Source {
                name: self.stream(),
                external: Some(External {
                    api_prefix: self.api(),
                    delivery_prefix: None,
                }),
                ..Source::default()
            }),
            mirror_direct: true,
            allow_direct: true,
            allow_rollup: true,
            deny_delete: true,
            max_messages_per_subject: origin.max_messages_per_subject,
            max_age: origin.max_age,
            allow_message_ttl: origin.allow_message_ttl,
            num_replicas: 1,
            metadata: [
                (ORIGIN.to_owned(), Incarnation::of(bucket).0.to_string()),
                (
                    ORIGIN_SEQUENCE.to_owned(),
                    bucket.state.last_sequence.to_string(),
                ),
            ]
            .into(),
            ..Config::default()
        };
        let Err(error) = self.own.create_stream(config).await else {
            tracing::info!(
                bucket = self.bucket,
                domain = self.domain,
                "this PoP has a copy of the bucket now"
            );
            return Ok(());
        };
        match self.look().await? {
            Some(_) => Ok(()),
            None => Err(self.failed("making it", error)),
        }
    }

    fn stream(&self) -> String {
        format!("KV_{}", self.bucket)
    }

    /// What begins requests to the origin's domain.
    fn api(&self) -> String {
        format!("$JS.{}.API", self.domain)
    }

    fn failed(
        &self,
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> MirrorError {
        MirrorError::Own {
            bucket: self.bucket.clone(),
            what,
            source: source.into(),
        }
    }
}
