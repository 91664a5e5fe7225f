//! `wasmcloud:messaging@0.2.0`: the same on the wire as in its WIT.

use bytes::Bytes;

use crate::{wire_functions, wire_record};

/// What an actor imports: [`Publish`] and [`Request`].
pub const CONSUMER: &str = "wasmcloud:messaging/consumer@0.2.0";
/// What an actor exports: [`HandleMessage`].
pub const HANDLER: &str = "wasmcloud:messaging/handler@0.2.0";

wire_record! {
    /// A message of the broker.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct BrokerMessage {
        /// Where it was, or is to be, published.
        pub subject: String,
        /// What it says.
        pub body: Bytes,
        /// Where an answer is expected.
        pub reply_to: Option<String>,
    }
}

wire_record! {
    /// A request to be published.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RequestParams {
        /// Where.
        pub subject: String,
        /// What it says.
        pub body: Bytes,
        /// How long to wait for the answer, in milliseconds.
        pub timeout_ms: u32,
    }
}

wire_functions! {
    CONSUMER {
        /// Publishes a message and waits for one answer.
        Request = "request"(RequestParams) -> Result<BrokerMessage, String>;
        /// Publishes a message.
        Publish = "publish"(BrokerMessage) -> Result<(), String>;
    }
}

wire_functions! {
    HANDLER {
        /// Hands an actor a message.
        HandleMessage = "handle-message"(BrokerMessage) -> Result<(), String>;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codec::to_bytes, interface::Function as _};

    #[test]
    fn messages_are_encoded_as_wrpc_s_facts_have_it() {
        let message = BrokerMessage {
            subject: "a".to_owned(),
            body: Bytes::from_static(b"hi"),
            reply_to: None,
        };
        assert_eq!(&to_bytes(&message)[..], b"\x01a\x02hi\x00");
        assert_eq!(&HandleMessage::answer(&Ok(())).root[..], [0]);
        assert_eq!(
            HandleMessage::operation().to_string(),
            "wasmcloud:messaging/handler@0.2.0.handle-message"
        );
    }
}
