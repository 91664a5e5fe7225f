//! One entry of a link's `subscriptions`: a filter, or `$share/group/filter`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::topics::{TopicError, check_filter};

/// A filter to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subscription {
    text: String,
    /// Where the filter itself begins: behind `$share/group/`, if that is there.
    begins: usize,
}

impl Subscription {
    /// As it is written, and as the broker gets it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the messages are shared out among the members of a group.
    pub fn is_shared(&self) -> bool {
        self.begins > 0
    }

    /// Whether a message on that topic may come by this subscription.
    pub fn matches(&self, topic: &str) -> bool {
        let filter = self.text.get(self.begins..).unwrap_or_default();
        // A wildcard at the beginning does not reach the broker's own topics.
        let own = topic.starts_with('$') && filter.starts_with(['+', '#']);
        !own && matches(filter, topic)
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some(wanted), Some(level)) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
}

impl FromStr for Subscription {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        let text = text.trim();
        let begins = match text.strip_prefix("$share/") {
            Some(rest) => {
                let group = rest.split('/').next().unwrap_or_default();
                let begins = text.len() - rest.len() + group.len() + 1;
                if group.is_empty() || group.contains(['+', '#']) || begins > text.len() {
                    let problem = "is no shared subscription: write it as $share/group/filter";
                    return Err(TopicError::new(text, problem));
                }
                begins
            }
            None => 0,
        };
        check_filter(text.get(begins..).unwrap_or_default())?;
        Ok(Self {
            text: text.to_owned(),
            begins,
        })
    }
}

impl fmt::Display for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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

    fn parsed(text: &str) -> Subscription {
        text.parse().unwrap()
    }

    #[test]
    fn a_group_stands_before_the_filter() {
        let shared = parsed(" $share/workers/orders/+ ");
        assert_eq!(shared.as_str(), "$share/workers/orders/+");
        assert!(shared.is_shared() && shared.matches("orders/1") && !shared.matches("orders"));
        assert!(!parsed("orders/#").is_shared());
        for text in [
            "$share/",
            "$share/g",
            "$share/g/",
            "$share//a",
            "$share/+/a",
            "a/#/b",
        ] {
            assert!(text.parse::<Subscription>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn topics_match_as_the_broker_has_it() {
        for (filter, topic) in [
            ("a", "a"),
            ("a/#", "a"),
            ("a/#", "a/b/c"),
            ("#", "a/b"),
            ("+", "a"),
            ("+/b", "/b"),
            ("a/+/c", "a//c"),
            ("$SYS/#", "$SYS/x"),
        ] {
            assert!(parsed(filter).matches(topic), "{filter} {topic}");
        }
        for (filter, topic) in [
            ("a", "a/b"),
            ("a/b", "a"),
            ("+", "a/b"),
            ("a/+", "a"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
        ] {
            assert!(!parsed(filter).matches(topic), "{filter} {topic}");
        }
    }
}
