//! What a link says about its consumer.

use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use serde::Deserialize;
use trellis_provider::{
    config::SettingsError,
    contract::{ComponentId, LatticeName, LinkName},
};

use crate::{
    config::MessagingConfig,
    period::Period,
    subjects::{check_pattern, check_subject},
};

const DEFAULT_MAX_DELIVER: u64 = 5;
const DEFAULT_BACKOFF: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
];
/// Below it, a message would be given again before anybody could say that it is being handled.
const MIN_ACK_WAIT: Duration = Duration::from_secs(1);
const MAX_PERIOD: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const MAX_LIST: usize = 64;
/// NATS itself takes no longer name.
const MAX_NAME_BYTES: usize = 255;

/// Where a consumer that is made begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Begin {
    /// With the oldest message that the stream has.
    All,
    /// With the next message.
    New,
    /// With the newest message that the stream has.
    Last,
}

impl From<Begin> for DeliverPolicy {
    fn from(begin: Begin) -> Self {
        match begin {
            Begin::All => Self::All,
            Begin::New => Self::New,
            Begin::Last => Self::Last,
        }
    }
}

/// A link's consumer. What is `None` stays as it is at a consumer that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// The stream.
    pub stream: String,
    /// The subjects of a stream that is made; none when it has to be there.
    pub stream_subjects: Vec<String>,
    /// The consumer's durable name.
    pub consumer: String,
    /// Whether the consumer is made, and made what the link says.
    pub create: bool,
    /// Which of the stream's subjects it takes; none for all.
    pub filters: Vec<String>,
    /// Where it begins when it is made.
    pub begin: Option<Begin>,
    /// After how long without a word from here a message is given to another.
    pub ack_wait: Option<Duration>,
    /// How many messages all providers together may have at once.
    pub max_ack_pending: Option<i64>,
    /// After how long without any provider the server forgets it.
    pub inactive_threshold: Option<Duration>,
    /// How often a message is tried; `None` without end.
    pub max_deliver: Option<u64>,
    /// The waits after the first, second, … failure. The last one repeats.
    pub backoff: Vec<Duration>,
    /// Where a message goes that was tried so often.
    pub dead_letter: Option<String>,
    /// The JetStream domain, when it isn't the connection's own.
    pub domain: Option<String>,
}

impl ConsumerSettings {
    /// How long to wait before a message is tried again that came for the `deliveries`th time.
    pub fn wait_after(&self, deliveries: u64) -> Duration {
        let index = usize::try_from(deliveries.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = self.backoff.get(index).or(self.backoff.last());
        wait.copied().unwrap_or_default()
    }

    /// Whether a message that came for the `deliveries`th time is not tried any more if that failed.
    pub fn is_last(&self, deliveries: u64) -> bool {
        self.max_deliver.is_some_and(|most| deliveries >= most)
    }
}

/// Whose consumer it is, where its name isn't given.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The lattice.
    pub lattice: &'a LatticeName,
    /// The component that gets the messages.
    pub component: &'a ComponentId,
    /// The link's name.
    pub link: &'a LinkName,
}

impl Owner<'_> {
    /// A name that is the same each time and on each host: every instance of the provider shares the consumer.
    fn consumer(&self) -> String {
        let name = format!("{}-{}-{}", self.lattice, self.component, self.link);
        let mut escaped = String::with_capacity(name.len());
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => {
                    escaped.push(char::from(byte));
                }
                other => escaped.push_str(&format!("={other:02X}")),
            }
        }
        escaped
    }
}

fn refuse<T>(field: &'static str, problem: impl Into<String>) -> Result<T, SettingsError> {
    Err(SettingsError {
        field,
        problem: problem.into(),
    })
}

impl MessagingConfig {
    /// The link's consumer, if it has one; the provider's own configuration fills in what is no single stream's matter.
    ///
    /// # Errors
    /// Names the field that doesn't fit.
    pub fn consumer(
        &self,
        own: &Self,
        owner: Owner<'_>,
    ) -> Result<Option<ConsumerSettings>, SettingsError> {
        let Some(stream) = self.stream.clone() else {
            return match self.meant_for_a_stream() {
                Some(field) => refuse("stream", format!("is missing: `{field}` is about a stream")),
                None => Ok(None),
            };
        };
        check_name("stream", &stream)?;
        let consumer = self.consumer.clone().unwrap_or_else(|| owner.consumer());
        check_name("consumer", &consumer)?;
        check_patterns("stream_subjects", &self.stream_subjects)?;
        check_patterns("filter_subjects", &self.filter_subjects)?;
        let create = self.create_consumer.unwrap_or(true);
        if !create && let Some(field) = self.makes_the_consumer() {
            return refuse(
                field,
                "is the consumer's, which `create_consumer: false` says to leave as it is: take one of them out",
            );
        }
        let dead_letter = first(&self.dead_letter_subject, &own.dead_letter_subject);
        if let Some(subject) = &dead_letter
            && let Err(error) = check_subject(subject)
        {
            return refuse("dead_letter_subject", error.to_string());
        }
        if self
            .max_ack_pending
            .is_some_and(|most| !(1..=1_000_000).contains(&most))
        {
            return refuse("max_ack_pending", "is not from 1 to 1000000");
        }
        Ok(Some(ConsumerSettings {
            stream,
            stream_subjects: self.stream_subjects.clone(),
            consumer,
            create,
            filters: self.filter_subjects.clone(),
            begin: self.deliver_policy,
            ack_wait: period(
                "ack_wait",
                self.ack_wait.or(own.ack_wait.filter(|_| create)),
                MIN_ACK_WAIT,
            )?,
            max_ack_pending: self.max_ack_pending,
            inactive_threshold: period(
                "inactive_threshold",
                self.inactive_threshold,
                MIN_ACK_WAIT,
            )?,
            max_deliver: max_deliver(self.max_deliver.or(own.max_deliver))?,
            backoff: backoff(&self.backoff, &own.backoff)?,
            dead_letter,
            domain: first(&self.js_domain, &own.js_domain),
        }))
    }

    /// A field that has no meaning without a stream.
    fn meant_for_a_stream(&self) -> Option<&'static str> {
        let told = [
            (!self.stream_subjects.is_empty(), "stream_subjects"),
            (self.consumer.is_some(), "consumer"),
            (self.create_consumer.is_some(), "create_consumer"),
            (self.max_deliver.is_some(), "max_deliver"),
            (!self.backoff.is_empty(), "backoff"),
            (self.dead_letter_subject.is_some(), "dead_letter_subject"),
        ];
        let told = told.into_iter().find(|(told, _)| *told);
        told.map(|(_, field)| field).or(self.makes_the_consumer())
    }

    /// A field that says what the consumer at the server is like.
    fn makes_the_consumer(&self) -> Option<&'static str> {
        let told = [
            (!self.filter_subjects.is_empty(), "filter_subjects"),
            (self.deliver_policy.is_some(), "deliver_policy"),
            (self.ack_wait.is_some(), "ack_wait"),
            (self.max_ack_pending.is_some(), "max_ack_pending"),
            (self.inactive_threshold.is_some(), "inactive_threshold"),
        ];
        let told = told.into_iter().find(|(told, _)| *told);
        told.map(|(_, field)| field)
    }
}

fn first<T: Clone>(link: &Option<T>, own: &Option<T>) -> Option<T> {
    link.as_ref().or(own.as_ref()).cloned()
}

fn check_name(field: &'static str, name: &str) -> Result<(), SettingsError> {
    let fits = |c: char| c.is_ascii_graphic() && !".*>/\\".contains(c);
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(fits) {
        let shown: String = name.chars().take(80).collect();
        let problem = format!(
            "{shown:?}: such a name has no dots, wildcards, slashes or spaces, and at most {MAX_NAME_BYTES} bytes"
        );
        return refuse(field, problem);
    }
    Ok(())
}

fn check_patterns(field: &'static str, patterns: &[String]) -> Result<(), SettingsError> {
    if patterns.len() > MAX_LIST {
        let problem = format!("{} entries, more than {MAX_LIST}", patterns.len());
        return refuse(field, problem);
    }
    for pattern in patterns {
        if let Err(error) = check_pattern(pattern) {
            return refuse(field, error.to_string());
        }
    }
    Ok(())
}

fn period(
    field: &'static str,
    period: Option<Period>,
    least: Duration,
) -> Result<Option<Duration>, SettingsError> {
    let Some(Period(period)) = period else {
        return Ok(None);
    };
    if period < least || period > MAX_PERIOD {
        let problem = format!(
            "{} is not from {} to {}",
            humantime::format_duration(period),
            humantime::format_duration(least),
            humantime::format_duration(MAX_PERIOD)
        );
        return refuse(field, problem);
    }
    Ok(Some(period))
}

fn max_deliver(told: Option<i64>) -> Result<Option<u64>, SettingsError> {
    match told {
        None => Ok(Some(DEFAULT_MAX_DELIVER)),
        Some(-1) => Ok(None),
        Some(most) => match u64::try_from(most) {
            Ok(most @ 1..) => Ok(Some(most)),
            _ => refuse(
                "max_deliver",
                format!("{most} is neither 1 or more nor -1, which is without end"),
            ),
        },
    }
}

fn backoff(link: &[Period], own: &[Period]) -> Result<Vec<Duration>, SettingsError> {
    let told = if link.is_empty() { own } else { link };
    if told.len() > MAX_LIST {
        let problem = format!("{} entries, more than {MAX_LIST}", told.len());
        return refuse("backoff", problem);
    }
    let mut waits = Vec::with_capacity(told.len());
    for wait in told {
        waits.extend(period("backoff", Some(*wait), Duration::ZERO)?);
    }
    match waits.is_empty() {
        true => Ok(DEFAULT_BACKOFF.to_vec()),
        false => Ok(waits),
    }
}

#[cfg(test)]
mod tests {
    use trellis_provider::config::from_config;

    use super::*;

    fn consumer(
        link: &[(&str, &str)],
        own: &[(&str, &str)],
    ) -> Result<Option<ConsumerSettings>, String> {
        let read = |entries: &[(&str, &str)]| {
            let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
            let config = entries.iter().map(owned).collect();
            from_config::<MessagingConfig>("link", &config).map_err(|error| error.to_string())
        };
        let owner = Owner {
            lattice: &LatticeName::default(),
            component: &"shop-orders".parse().unwrap(),
            link: &LinkName::default(),
        };
        read(link)?
            .consumer(&read(own)?, owner)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_stream_is_enough() {
        let settings = consumer(&[("stream", "ORDERS")], &[]).unwrap().unwrap();
        assert_eq!(settings.consumer, "default-shop-orders-default");
        assert!(settings.create && settings.filters.is_empty() && settings.ack_wait.is_none());
        assert_eq!(settings.max_deliver, Some(5));
        assert_eq!(consumer(&[("subscriptions", "a")], &[]), Ok(None));
    }

    #[test]
    fn each_setting_is_read() {
        let link = [
            ("stream", "ORDERS"),
            ("consumer", "billing"),
            ("filter_subjects", "orders.new, orders.*.paid"),
            ("deliver_policy", "new"),
            ("ack_wait", "10s"),
            ("max_deliver", "-1"),
            ("backoff", "100ms, 2s,1m"),
            ("inactive_threshold", "1h"),
            ("max_ack_pending", "7"),
        ];
        let own = [("dead_letter_subject", "dead.orders"), ("max_deliver", "3")];
        let settings = consumer(&link, &own).unwrap().unwrap();
        assert_eq!(settings.consumer, "billing");
        assert_eq!(settings.filters, ["orders.new", "orders.*.paid"]);
        assert_eq!(settings.begin, Some(Begin::New));
        assert_eq!(settings.dead_letter.as_deref(), Some("dead.orders"));
        let waits = [1, 2, 3, 4, 1000].map(|deliveries| settings.wait_after(deliveries));
        let minute = Duration::from_secs(60);
        let first = [Duration::from_millis(100), Duration::from_secs(2)];
        assert_eq!(waits, [first[0], first[1], minute, minute, minute]);
        assert!(!settings.is_last(1_000_000));
        let three = consumer(&[("stream", "S")], &own).unwrap().unwrap();
        assert!(three.is_last(3) && three.is_last(4) && !three.is_last(2));
    }

    #[test]
    fn wrong_settings_are_named() {
        for (link, told) in [
            (
                &[("max_deliver", "3")][..],
                "field `stream`: is missing: `max_deliver` is about a stream",
            ),
            (
                &[("stream", "a.b")],
                "field `stream`: \"a.b\": such a name has no dots, wildcards, slashes or spaces, and at most 255 bytes",
            ),
            (
                &[("stream", "S"), ("max_deliver", "0")],
                "field `max_deliver`: 0 is neither 1 or more nor -1, which is without end",
            ),
            (
                &[("stream", "S"), ("ack_wait", "1ms")],
                "field `ack_wait`: 1ms is not from 1s to 7days",
            ),
            (
                &[("stream", "S"), ("ack_wait", "30")],
                "link: field `ack_wait`: \"30\" is not a length of time: write it as 500ms, 30s or 5m",
            ),
            (
                &[("stream", "S"), ("deliver_policy", "some")],
                "link: field `deliver_policy`: unknown variant `some`, expected one of `all`, `new`, `last`",
            ),
            (
                &[("stream", "S"), ("filter_subjects", "a b")],
                "field `filter_subjects`: subject \"a b\" has white space or control characters",
            ),
            (
                &[("stream", "S"), ("dead_letter_subject", "a.*")],
                "field `dead_letter_subject`: subject \"a.*\" has a wildcard, and only subscriptions can",
            ),
            (
                &[
                    ("stream", "S"),
                    ("create_consumer", "false"),
                    ("ack_wait", "9s"),
                ],
                "field `ack_wait`: is the consumer's, which `create_consumer: false` says to leave as it is: take one of them out",
            ),
        ] {
            assert_eq!(consumer(link, &[]).unwrap_err(), told);
        }
    }

    #[test]
    fn a_derived_name_fits_whatever_the_ids_are() {
        let owner = Owner {
            lattice: &LatticeName::default(),
            component: &"a/b".parse().unwrap_or_else(|_| "ab".parse().unwrap()),
            link: &LinkName::default(),
        };
        assert_eq!(check_name("consumer", &owner.consumer()), Ok(()));
    }
}
