//! A link's configuration, over the provider's own as its default. See the README for the table.

use std::{collections::HashSet, ops::RangeInclusive, path::PathBuf, time::Duration};

use serde::Deserialize;
use trellis_provider::{config::SettingsError, tls::Roots};
use uuid::Uuid;

use crate::{server::Server, subscription::Subscription, topics::check_topic};

/// Where the broker is when nobody says so.
const DEFAULT_URL: &str = "mqtt://127.0.0.1:1883";
const DEFAULT_RESPONSE_TOPIC: &str = "trellis/replies";
const MAX_SUBSCRIPTIONS: usize = 256;
const MAX_CLIENT_ID_BYTES: usize = 256;
/// What a packet has beside its message: the topic and the properties.
const PACKET_ROOM: u32 = 16 * 1024;
const HOUR_MS: u64 = 60 * 60 * 1000;

/// The configuration of a link, on either side, and of the provider.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttConfig {
    /// `mqtt://host[:port]`, `mqtts://host[:port]` for TLS.
    url: Option<String>,
    /// Who connects. May be given as a secret.
    #[serde(alias = "username")]
    user: Option<String>,
    /// With which password. Meant to be given as a secret.
    password: Option<String>,
    /// A certificate authority for `mqtts`.
    tls_ca_file: Option<PathBuf>,
    /// Whether those that this machine trusts are trusted, too.
    tls_system_roots: Option<bool>,
    /// What the broker knows the link by; `{host}` and `{random}` in it are filled in.
    client_id: Option<String>,
    /// How long connecting may take, in milliseconds.
    connect_timeout_ms: Option<u64>,
    /// After how many seconds without a word the broker is asked whether it is there.
    keep_alive_s: Option<u16>,
    /// The longest message that is taken from the broker, in bytes.
    max_message_bytes: Option<u32>,
    /// 0: at most once; 1: at least once.
    qos: Option<u8>,
    /// What a component is given, separated by commas.
    subscriptions: Vec<Subscription>,
    /// How long the broker keeps messages while the provider is away, in seconds.
    session_expiry_s: Option<u32>,
    /// How many messages a component handles at once.
    max_in_flight: Option<u16>,
    /// How long the component has for one message, in milliseconds.
    timeout_ms: Option<u64>,
    /// How often a component is given a message that it fails on.
    max_attempts: Option<u32>,
    /// How long after the first failure it is given it again, in milliseconds; twice as long after each further one.
    retry_delay_ms: Option<u64>,
    /// Where messages go that the component failed on for the last time.
    dead_letter_topic: Option<String>,
    /// How long a publication waits for the broker, in milliseconds.
    publish_timeout_ms: Option<u64>,
    /// Under which topic answers to requests come.
    response_topic: Option<String>,
}

/// What a link from the provider to a component says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiving {
    /// What the connection is made with: while it stays as it is, the connection does.
    pub session: ReceivingSession,
    /// What is subscribed to.
    pub subscriptions: Vec<Subscription>,
    /// How messages are given to the component.
    pub pace: Pace,
}

/// A session that the broker keeps for a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivingSession {
    /// The broker.
    pub server: Server,
    /// What it knows the link by.
    pub client_id: String,
    /// How long it keeps the session, in seconds.
    pub expiry_s: u32,
    /// How many messages it sends that are not acknowledged.
    pub max_in_flight: u16,
    /// Whether messages come at least once, or at most once.
    pub at_least_once: bool,
}

/// How messages are given to a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many at once.
    pub max_in_flight: usize,
    /// How long it has for one.
    pub timeout: Duration,
    /// How often it gets one that it fails on.
    pub max_attempts: u32,
    /// How long after the first failure.
    pub retry_delay: Duration,
    /// Where it goes after the last one.
    pub dead_letter_topic: Option<String>,
}

/// What a link from a component to the provider says. Links of equal settings share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sending {
    /// The broker.
    pub server: Server,
    /// What it knows the connection by, before what is to be filled in is.
    pub client_id: String,
    /// Whether a publication is acknowledged by the broker.
    pub at_least_once: bool,
    /// How long one waits for the broker.
    pub publish_timeout: Duration,
    /// Under which topic answers come.
    pub response_topic: String,
}

/// Who has the link: names for the broker come of it.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The lattice.
    pub lattice: &'a str,
    /// The provider.
    pub provider: &'a str,
    /// The host that runs this process of it.
    pub host: &'a str,
}

impl MqttConfig {
    /// Checks the provider's own configuration, each value for itself.
    ///
    /// # Errors
    /// Names the field.
    pub fn check_default(&self) -> Result<(), SettingsError> {
        if self.client_id.is_some() {
            let problem = "is for links: no two of them can have the same";
            return Err(wrong("client_id", problem));
        }
        let names = Names {
            lattice: "l",
            provider: "p",
            host: "h",
        };
        let none = Self::default();
        self.receiving(&none, names, "default")?;
        let sending = Self {
            subscriptions: Vec::new(),
            session_expiry_s: None,
            max_in_flight: None,
            timeout_ms: None,
            max_attempts: None,
            retry_delay_ms: None,
            dead_letter_topic: None,
            ..self.clone()
        };
        sending.sending(&none, names).map(drop)
    }

    /// The settings of a link from the provider to a component.
    ///
    /// # Errors
    /// Names the field that can't be used.
    pub fn receiving(
        &self,
        own: &Self,
        names: Names<'_>,
        link_name: &str,
    ) -> Result<Receiving, SettingsError> {
        let list = if self.subscriptions.is_empty() {
            own
        } else {
            self
        };
        let mut subscriptions = list.subscriptions.clone();
        if subscriptions.len() > MAX_SUBSCRIPTIONS {
            let problem = format!(
                "{} entries, more than {MAX_SUBSCRIPTIONS}",
                subscriptions.len()
            );
            return Err(wrong("subscriptions", problem));
        }
        let mut seen = HashSet::new();
        subscriptions.retain(|subscription| seen.insert(subscription.clone()));
        let max_in_flight = self.max_in_flight.or(own.max_in_flight).unwrap_or(64);
        let max_in_flight = within("max_in_flight", max_in_flight.into(), 1..=1024)?;
        let dead_letter_topic = self
            .dead_letter_topic
            .as_ref()
            .or(own.dead_letter_topic.as_ref());
        if let Some(topic) = dead_letter_topic {
            check_topic(topic).map_err(|error| wrong("dead_letter_topic", error.to_string()))?;
            if subscriptions
                .iter()
                .any(|subscription| subscription.matches(topic))
            {
                let problem = format!(
                    "{topic:?} is among the link's own subscriptions: its messages would go round"
                );
                return Err(wrong("dead_letter_topic", problem));
            }
        }
        let (lattice, provider) = (names.lattice, names.provider);
        let client_id = match &self.client_id {
            Some(given) => given.clone(),
            // Members of a group are processes on several hosts; else a process elsewhere takes the session over.
            None if subscriptions.iter().any(Subscription::is_shared) => {
                format!("trellis.{lattice}.{provider}.{link_name}.{{host}}")
            }
            None => format!("trellis.{lattice}.{provider}.{link_name}"),
        };
        let max_attempts = self.max_attempts.or(own.max_attempts).unwrap_or(5);
        let timeout = self.timeout_ms.or(own.timeout_ms).unwrap_or(30_000);
        let delay = self.retry_delay_ms.or(own.retry_delay_ms).unwrap_or(1000);
        Ok(Receiving {
            session: ReceivingSession {
                server: self.server(own)?,
                client_id: filled(&client_id, names.host)?,
                expiry_s: self
                    .session_expiry_s
                    .or(own.session_expiry_s)
                    .unwrap_or(3600),
                max_in_flight: u16::try_from(max_in_flight).unwrap_or(u16::MAX),
                at_least_once: self.at_least_once(own)?,
            },
            subscriptions,
            pace: Pace {
                max_in_flight: usize::try_from(max_in_flight).unwrap_or(usize::MAX),
                timeout: milliseconds("timeout_ms", timeout, 1..=HOUR_MS)?,
                max_attempts: u32::try_from(within("max_attempts", max_attempts.into(), 1..=1000)?)
                    .unwrap_or(u32::MAX),
                retry_delay: milliseconds("retry_delay_ms", delay, 1..=HOUR_MS)?,
                dead_letter_topic: dead_letter_topic.cloned(),
            },
        })
    }

    /// The settings of a link from a component to the provider.
    ///
    /// # Errors
    /// Names the field that can't be used, or that is for links in the other direction.
    pub fn sending(&self, own: &Self, names: Names<'_>) -> Result<Sending, SettingsError> {
        for (field, given) in [
            ("subscriptions", !self.subscriptions.is_empty()),
            ("session_expiry_s", self.session_expiry_s.is_some()),
            ("max_in_flight", self.max_in_flight.is_some()),
            ("timeout_ms", self.timeout_ms.is_some()),
            ("max_attempts", self.max_attempts.is_some()),
            ("retry_delay_ms", self.retry_delay_ms.is_some()),
            ("dead_letter_topic", self.dead_letter_topic.is_some()),
        ] {
            if given {
                return Err(wrong(
                    field,
                    "is for a link from the provider to a component",
                ));
            }
        }
        let (lattice, provider) = (names.lattice, names.provider);
        let client_id = self.client_id.clone();
        let client_id =
            client_id.unwrap_or_else(|| format!("trellis.{lattice}.{provider}.out.{{random}}"));
        filled(&client_id, names.host)?;
        let response_topic = self.response_topic.as_ref().or(own.response_topic.as_ref());
        let response_topic = response_topic.map_or(DEFAULT_RESPONSE_TOPIC, |topic| topic);
        check_topic(response_topic).map_err(|error| wrong("response_topic", error.to_string()))?;
        let timeout = self
            .publish_timeout_ms
            .or(own.publish_timeout_ms)
            .unwrap_or(10_000);
        Ok(Sending {
            server: self.server(own)?,
            client_id: client_id.replace("{host}", names.host),
            at_least_once: self.at_least_once(own)?,
            publish_timeout: milliseconds("publish_timeout_ms", timeout, 1..=HOUR_MS)?,
            response_topic: response_topic.to_owned(),
        })
    }

    fn at_least_once(&self, own: &Self) -> Result<bool, SettingsError> {
        match self.qos.or(own.qos) {
            None | Some(1) => Ok(true),
            Some(0) => Ok(false),
            Some(2) => Err(wrong(
                "qos",
                "2 is not offered: a component can be called twice for a message all the same",
            )),
            Some(other) => Err(wrong("qos", format!("{other} is neither 0 nor 1"))),
        }
    }

    fn server(&self, own: &Self) -> Result<Server, SettingsError> {
        // Another broker comes with its own credentials, not with the provider's for yet another.
        let elsewhere = self.url.is_some();
        let pick = |link: &Option<String>, own: &Option<String>| match link {
            Some(given) => Some(given.clone()),
            None if elsewhere => None,
            None => own.clone(),
        };
        let url = pick(&self.url, &own.url);
        let (host, port, tls) = Server::read_url(url.as_deref().unwrap_or(DEFAULT_URL))?;
        let (ca_file, system) = match elsewhere {
            true => (self.tls_ca_file.clone(), self.tls_system_roots),
            false => (
                self.tls_ca_file.clone().or_else(|| own.tls_ca_file.clone()),
                self.tls_system_roots.or(own.tls_system_roots),
            ),
        };
        if !tls && ca_file.is_some() {
            let problem = "is for TLS, and the `url` is not an mqtts:// one";
            return Err(wrong("tls_ca_file", problem));
        }
        let roots = Roots {
            system: system.unwrap_or(true),
            ca_file,
        };
        let keep_alive = self.keep_alive_s.or(own.keep_alive_s).unwrap_or(30);
        let keep_alive = within("keep_alive_s", keep_alive.into(), 1..=3600)?;
        // Beyond that a link that is put would itself be given up.
        let connect = self
            .connect_timeout_ms
            .or(own.connect_timeout_ms)
            .unwrap_or(3000);
        let bytes = self
            .max_message_bytes
            .or(own.max_message_bytes)
            .unwrap_or(1 << 20);
        let bytes = within("max_message_bytes", bytes.into(), 1..=64 << 20)?;
        Ok(Server {
            host,
            port,
            tls: tls.then_some(roots),
            user: pick(&self.user, &own.user),
            password: pick(&self.password, &own.password),
            connect_timeout: milliseconds("connect_timeout_ms", connect, 1..=8000)?,
            keep_alive_s: u16::try_from(keep_alive).unwrap_or(u16::MAX),
            max_packet_bytes: u32::try_from(bytes)
                .unwrap_or(u32::MAX)
                .saturating_add(PACKET_ROOM),
        })
    }
}

/// A client id with `{host}` and `{random}` filled in.
///
/// # Errors
/// It can't be one.
pub fn filled(client_id: &str, host: &str) -> Result<String, SettingsError> {
    let id = client_id.replace("{host}", host);
    let id = id.replace("{random}", &Uuid::new_v4().simple().to_string());
    if id.is_empty() || id.len() > MAX_CLIENT_ID_BYTES || id.contains(char::is_control) {
        let problem =
            format!("is empty, longer than {MAX_CLIENT_ID_BYTES} bytes or has control characters");
        return Err(wrong("client_id", problem));
    }
    Ok(id)
}

fn wrong(field: &'static str, problem: impl Into<String>) -> SettingsError {
    SettingsError {
        field,
        problem: problem.into(),
    }
}

fn within(
    field: &'static str,
    value: u64,
    bounds: RangeInclusive<u64>,
) -> Result<u64, SettingsError> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    let (least, most) = bounds.into_inner();
    Err(wrong(
        field,
        format!("{value} is not from {least} to {most}"),
    ))
}

fn milliseconds(
    field: &'static str,
    value: u64,
    bounds: RangeInclusive<u64>,
) -> Result<Duration, SettingsError> {
    within(field, value, bounds).map(Duration::from_millis)
}

#[cfg(test)]
mod tests;
