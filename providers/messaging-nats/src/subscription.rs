//! One entry of a link's `subscriptions`: `subject` or `subject|queue`, as 1.x writes it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::subjects::{SubjectError, check_pattern};

/// A subject, wildcards allowed, with or without a queue group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// What is subscribed to.
    pub subject: String,
    /// The group whose members share the messages.
    pub queue: Option<String>,
}

impl FromStr for Subscription {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let (subject, queue) = match text.split_once('|') {
            Some((subject, queue)) => (subject.trim(), Some(queue.trim())),
            None => (text.trim(), None),
        };
        check_pattern(subject)?;
        if let Some(queue) = queue
            && (queue.is_empty()
                || queue.len() > 255
                || queue.contains(|c: char| c.is_whitespace() || c.is_control()))
        {
            return Err(SubjectError::new(
                text,
                "has an empty queue group, or one with white space",
            ));
        }
        Ok(Self {
            subject: subject.to_owned(),
            queue: queue.map(str::to_owned),
        })
    }
}

impl fmt::Display for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)?;
        match &self.queue {
            Some(queue) => write!(f, "|{queue}"),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Subscription {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_group_stands_behind_a_bar() {
        let both: Subscription = "orders.* | workers".parse().unwrap();
        assert_eq!(
            (both.subject.as_str(), both.queue.as_deref()),
            ("orders.*", Some("workers"))
        );
        assert_eq!(both.to_string(), "orders.*|workers");
        let one: Subscription = "orders.>".parse().unwrap();
        assert_eq!(one.queue, None);
    }

    #[test]
    fn what_nats_can_not_take_is_refused() {
        for text in ["", "a..b", "a b", "a|", "a|b c", "a.>.b", "x*", "|q"] {
            assert!(text.parse::<Subscription>().is_err(), "{text:?}");
        }
    }
}
