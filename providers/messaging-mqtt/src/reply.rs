//! Where an answer goes. MQTT 5 says it in two properties, the response topic and the correlation data;
//! `wasmcloud:messaging` has one text, `reply-to`. With correlation data it is `topic#hex`: no topic has a '#', so a
//! component that publishes there says both, and whichever process of the provider it asks needs to remember nothing.

use bytes::Bytes;
use data_encoding::HEXLOWER_PERMISSIVE;

use crate::topics::{TopicError, check_topic};

/// The longest correlation data that a component may name.
const MAX_CORRELATION_BYTES: usize = 4096;

/// A response topic, and what the asker knows its question by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The topic.
    pub topic: String,
    /// What the asker knows its question by.
    pub correlation: Option<Bytes>,
}

impl ReplyTo {
    /// Reads what a component publishes to, or names for answers.
    ///
    /// # Errors
    /// The topic can't be published to.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        let (topic, correlation) = match text.rsplit_once('#') {
            Some((topic, hex)) => {
                let data = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok();
                let data =
                    data.filter(|data| !data.is_empty() && data.len() <= MAX_CORRELATION_BYTES);
                // Else the '#' is a wildcard that nobody can publish to.
                match data {
                    Some(data) => (topic, Some(Bytes::from(data))),
                    None => (text, None),
                }
            }
            None => (text, None),
        };
        check_topic(topic)?;
        Ok(Self {
            topic: topic.to_owned(),
            correlation,
        })
    }

    /// As a component gets it.
    pub fn text(topic: &str, correlation: Option<&Bytes>) -> String {
        match correlation {
            Some(data) if !data.is_empty() => {
                format!("{topic}#{}", HEXLOWER_PERMISSIVE.encode(data))
            }
            _ => topic.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_component_gets_leads_back() {
        let data = Bytes::from_static(b"\x00\xffid");
        let text = ReplyTo::text("answers/7", Some(&data));
        assert_eq!(text, "answers/7#00ff6964");
        let read = ReplyTo::parse(&text).unwrap();
        assert_eq!(
            (read.topic.as_str(), read.correlation),
            ("answers/7", Some(data))
        );
        let plain = ReplyTo::parse(&ReplyTo::text("answers/7", None)).unwrap();
        assert_eq!(
            (plain.topic.as_str(), plain.correlation),
            ("answers/7", None)
        );
    }

    #[test]
    fn a_wildcard_stays_one() {
        for text in ["a/#", "#", "a#xyz", "+#00", "$SYS/x#00", "#00"] {
            assert!(ReplyTo::parse(text).is_err(), "{text:?}");
        }
    }
}
