//! A connection while it lasts. What is begun on one is never finished on the next: a packet id means something only here.

use std::time::Duration;

use rumqttc::{
    AsyncClient, ClientError, DisconnectProperties, DisconnectReasonCode, ManualAck, PubAck,
    Publish, PublishNotice, QoS, RetainForwardRule, SubAck, SubscribeFilterInput,
    SubscribeReasonCode,
};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::acknowledgement::{Acknowledgements, Ticket};

/// How long the broker may take to answer to (un)subscribing.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(5);
/// How long publications that are on their way may take when the connection is to be closed.
pub(crate) const DISCONNECT_LIMIT: Duration = Duration::from_secs(2);

/// A connection while it lasts.
#[derive(Debug)]
pub struct Live {
    pub(crate) client: AsyncClient,
    /// Cancelled once it has ended.
    pub(crate) ended: CancellationToken,
    /// The longest packet that the broker takes.
    pub(crate) max_packet_bytes: u32,
    pub(crate) acknowledgements: Acknowledgements,
    /// Set once answers to requests are subscribed to.
    pub(crate) answers: OnceCell<()>,
}

/// A message that came.
#[derive(Debug)]
pub struct Arrived {
    /// Over which connection.
    pub live: std::sync::Arc<Live>,
    /// Its place among those to be acknowledged, if it is.
    pub ticket: Option<Ticket>,
    /// The message.
    pub publish: Publish,
}

/// Why a subscription isn't one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The broker doesn't want it.
    #[error("the broker refuses the subscription {filter:?}: {}", told(.reason))]
    Refused {
        /// What was subscribed to.
        filter: String,
        /// Why.
        reason: SubscribeReasonCode,
    },
    /// The connection ended, or the broker doesn't answer.
    #[error("the broker did not answer to a subscription")]
    NoAnswer,
}

fn told(reason: &SubscribeReasonCode) -> &'static str {
    match reason {
        SubscribeReasonCode::NotAuthorized => "not authorized",
        SubscribeReasonCode::TopicFilterInvalid => "not a filter that it has",
        SubscribeReasonCode::QuotaExceeded => "the quota is exceeded",
        SubscribeReasonCode::SharedSubscriptionsNotSupported => "it has no shared subscriptions",
        SubscribeReasonCode::WildcardSubscriptionsNotSupported => "it has no wildcards",
        _ => "no reason given",
    }
}

impl Live {
    /// Waits until it has ended.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// The message is handled: the broker is told as soon as it is told of all that came before.
    pub(crate) fn acknowledge(&self, ticket: Ticket) {
        self.acknowledgements.handled(ticket, |packet| {
            let ack = ManualAck::PubAck(PubAck::new(packet, None));
            // There is room for as many as the broker sends. Else the connection has ended, and it sends the message again.
            if let Err(error) = self.client.try_manual_ack(ack) {
                tracing::debug!(%error, "a message is not acknowledged, and will come again");
            }
        });
    }

    /// Publishes; the notice says what came of it.
    pub(crate) async fn publish(
        &self,
        topic: &str,
        payload: bytes::Bytes,
        options: rumqttc::PublishOptions,
    ) -> Result<PublishNotice, ClientError> {
        self.client.publish_tracked(topic, payload, options).await
    }

    /// Subscribes, and waits for the broker's word.
    ///
    /// # Errors
    /// The first that it refuses.
    pub async fn subscribe(
        &self,
        filters: &[&str],
        at_least_once: bool,
    ) -> Result<(), SubscribeError> {
        if filters.is_empty() {
            return Ok(());
        }
        let qos = match at_least_once {
            true => QoS::AtLeastOnce,
            false => QoS::AtMostOnce,
        };
        let inputs = filters.iter().map(|filter| {
            // What is retained comes once, and not again with every connection.
            SubscribeFilterInput::new(*filter, qos)
                .retain_forward_rule(RetainForwardRule::OnNewSubscribe)
        });
        let answered = async {
            let notice = self.client.subscribe_many_tracked(inputs).await;
            let notice = notice.map_err(|_| SubscribeError::NoAnswer)?;
            notice
                .wait_async()
                .await
                .map_err(|_| SubscribeError::NoAnswer)
        };
        let answered: Result<SubAck, _> = tokio::time::timeout(SUBSCRIBE_LIMIT, answered)
            .await
            .unwrap_or(Err(SubscribeError::NoAnswer));
        for (filter, reason) in filters.iter().zip(answered?.return_codes) {
            if !matches!(reason, SubscribeReasonCode::Success(_)) {
                let filter = (*filter).to_owned();
                return Err(SubscribeError::Refused { filter, reason });
            }
        }
        Ok(())
    }

    /// Ends subscriptions.
    ///
    /// # Errors
    /// The broker doesn't answer.
    pub async fn unsubscribe(&self, filters: &[&str]) -> Result<(), SubscribeError> {
        if filters.is_empty() {
            return Ok(());
        }
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let answered = async {
            let notice = self.client.unsubscribe_many_tracked(filters).await;
            let notice = notice.map_err(|_| SubscribeError::NoAnswer)?;
            notice
                .wait_async()
                .await
                .map_err(|_| SubscribeError::NoAnswer)
        };
        tokio::time::timeout(SUBSCRIBE_LIMIT, answered)
            .await
            .unwrap_or(Err(SubscribeError::NoAnswer))
            .map(drop)
    }

    /// Takes leave of the broker, which keeps the session or not.
    pub(crate) async fn disconnect(&self, end_session: bool) {
        let properties = DisconnectProperties {
            session_expiry_interval: end_session.then_some(0),
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        };
        let reason = DisconnectReasonCode::NormalDisconnection;
        let asked =
            self.client
                .disconnect_with_properties_timeout(reason, properties, DISCONNECT_LIMIT);
        // Else it has ended already.
        if let Err(error) = asked.await {
            tracing::debug!(%error, "nobody to take leave of");
        }
    }
}
