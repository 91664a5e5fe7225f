//! A message until the broker has acknowledged it, over as many connections as that takes.

use bytes::Bytes;
use rumqttc::{
    ClientError, PubAckReason, PublishNoticeError, PublishOptions, PublishProperties,
    PublishResult, QoS,
};
use tokio::time::Instant;

use crate::{connection::Connection, live::Live};

/// What a packet has beside topic, message and the texts of its properties.
const PACKET_OVERHEAD: usize = 64;

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Where to; checked already.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// What is said about it.
    pub properties: PublishProperties,
    /// Whether the broker acknowledges it.
    pub at_least_once: bool,
}

/// Why a message is not known to be published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There was no connection in time.
    #[error("{0}")]
    Unreachable(String),
    /// The broker did not want it.
    #[error("the broker refuses the message on {topic:?}: {}", told(*.reason))]
    Refused {
        /// Where to.
        topic: String,
        /// Why.
        reason: PubAckReason,
    },
    /// The broker takes no message of that length.
    #[error(
        "the message on {topic:?} has {bytes} bytes with what belongs to it, and the broker takes {limit}"
    )]
    TooLarge {
        /// Where to.
        topic: String,
        /// How long it is.
        bytes: usize,
        /// What is taken.
        limit: u32,
    },
    /// No acknowledgement came in time.
    #[error(
        "the broker did not acknowledge the message on {0:?} in time; it may be published nevertheless"
    )]
    Unacknowledged(String),
    /// The connection broke while a message of QoS 0 was sent.
    #[error(
        "the connection broke while the message on {0:?} was sent; it may be published nevertheless"
    )]
    Broken(String),
    /// MQTT has no such message.
    #[error("not a message that MQTT has, on {0:?}")]
    Invalid(String),
}

impl PublishError {
    /// Whether trying again can help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unacknowledged(_) | Self::Broken(_) => true,
            Self::Refused { .. } | Self::TooLarge { .. } | Self::Invalid(_) => false,
        }
    }
}

fn told(reason: PubAckReason) -> &'static str {
    match reason {
        PubAckReason::NotAuthorized => "not authorized",
        PubAckReason::TopicNameInvalid => "not a topic that it has",
        PubAckReason::QuotaExceeded => "the quota is exceeded",
        PubAckReason::PayloadFormatInvalid => "the payload is not of the format that is said",
        _ => "no reason given",
    }
}

/// What the broker knows of a message's readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// There may be some.
    Maybe,
    /// The broker says that there are none.
    None,
}

impl Publication {
    /// Publishes it. With QoS 1 it is done when the broker has acknowledged it; when the connection breaks before that, it
    /// is published again over the next one.
    ///
    /// # Errors
    /// It is not done by the deadline, or the broker doesn't want it.
    pub async fn publish(
        &self,
        over: &Connection,
        deadline: Instant,
    ) -> Result<Readers, PublishError> {
        loop {
            let live = over.up(deadline).await.map_err(PublishError::Unreachable)?;
            self.check_length(&live)?;
            let late = |_| PublishError::Unacknowledged(self.topic.clone());
            let tried = tokio::time::timeout_at(deadline, self.publish_once(&live)).await;
            if let Some(readers) = tried.map_err(late)?? {
                return Ok(readers);
            }
            // It is about to end: then the next one is waited for.
            tokio::time::timeout_at(deadline, live.ended())
                .await
                .map_err(late)?;
        }
    }

    /// `None`: the connection broke.
    async fn publish_once(&self, live: &Live) -> Result<Option<Readers>, PublishError> {
        let qos = match self.at_least_once {
            true => QoS::AtLeastOnce,
            false => QoS::AtMostOnce,
        };
        let options = PublishOptions::new(qos).properties(self.properties.clone());
        let notice = live
            .publish(&self.topic, self.payload.clone(), options)
            .await;
        let notice = match notice {
            Ok(notice) => notice,
            // It was not even begun.
            Err(ClientError::RequestChannelDisconnected(_)) => return Ok(None),
            Err(_) => return Err(PublishError::Invalid(self.topic.clone())),
        };
        match notice.wait_async().await {
            Ok(PublishResult::Qos1(answer)) => match answer.reason {
                PubAckReason::Success => Ok(Some(Readers::Maybe)),
                PubAckReason::NoMatchingSubscribers => Ok(Some(Readers::None)),
                reason => Err(PublishError::Refused {
                    topic: self.topic.clone(),
                    reason,
                }),
            },
            Ok(_) => Ok(Some(Readers::Maybe)),
            Err(PublishNoticeError::RetainNotSupported) => {
                Err(PublishError::Invalid(self.topic.clone()))
            }
            Err(_) if self.at_least_once => Ok(None),
            Err(_) => Err(PublishError::Broken(self.topic.clone())),
        }
    }

    /// A packet that is too long would end the connection for all who share it.
    fn check_length(&self, live: &Live) -> Result<(), PublishError> {
        let properties = &self.properties;
        let texts = properties
            .user_properties
            .iter()
            .map(|(name, value)| name.len() + value.len() + 5);
        let bytes = PACKET_OVERHEAD
            + self.topic.len()
            + self.payload.len()
            + properties.response_topic.as_ref().map_or(0, String::len)
            + properties.correlation_data.as_ref().map_or(0, Bytes::len)
            + properties.content_type.as_ref().map_or(0, String::len)
            + texts.sum::<usize>();
        // MQTT's own limit is 256 MiB.
        let limit = live.max_packet_bytes.min(256 << 20);
        if bytes > usize::try_from(limit).unwrap_or(usize::MAX) {
            return Err(PublishError::TooLarge {
                topic: self.topic.clone(),
                bytes,
                limit,
            });
        }
        Ok(())
    }
}
