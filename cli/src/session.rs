//! The options that all commands share, and the connection to the lattice they name.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::Args;
use trellis_lattice::{
    LatticeName,
    client::{ControlClient, ControlError},
    connect::NatsSettings,
    control::host::{Host, HostInventory},
};

use crate::{
    exit::{NoAnswer, NotFound, Usage},
    output::Format,
    state::{State, running},
};

/// Whom the control client names when any host may answer.
pub const ANY_HOST: &str = "any host";

/// Where NATS is when nobody says so.
const DEFAULT_URL: &str = "nats://127.0.0.1:4222";

/// The most that waiting for every host's answer takes; a shorter `--timeout` shortens it.
const PING_TIME: Duration = Duration::from_millis(500);

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub struct Options {
    /// The lattice.
    #[arg(
        long,
        global = true,
        env = "TRELLIS_LATTICE",
        default_value = "default",
        value_name = "NAME"
    )]
    pub lattice: LatticeName,

    /// NATS, several servers with commas [default: that of a `trellis up` in this directory, else
    /// nats://127.0.0.1:4222].
    #[arg(
        long,
        global = true,
        env = "TRELLIS_NATS_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub nats_url: Option<String>,

    /// A NATS credentials file.
    #[arg(long, global = true, env = "TRELLIS_NATS_CREDS", value_name = "FILE")]
    pub creds: Option<PathBuf>,

    /// A NATS user's JWT; needs the seed.
    #[arg(
        long,
        global = true,
        env = "TRELLIS_NATS_JWT",
        value_name = "JWT",
        hide_env_values = true
    )]
    pub nats_jwt: Option<String>,

    /// A NATS user's nkey seed.
    #[arg(
        long,
        global = true,
        env = "TRELLIS_NATS_SEED",
        value_name = "SEED",
        hide_env_values = true
    )]
    pub nats_seed: Option<String>,

    /// The file of a NATS user's nkey seed.
    #[arg(
        long,
        global = true,
        env = "TRELLIS_NATS_SEED_FILE",
        value_name = "FILE"
    )]
    pub nats_seed_file: Option<PathBuf>,

    /// Trust this authority (PEM) for NATS' TLS, beside the system's.
    #[arg(long, global = true, env = "TRELLIS_NATS_TLS_CA", value_name = "FILE")]
    pub nats_tls_ca: Option<PathBuf>,

    /// Begin NATS connections with TLS.
    #[arg(long, global = true, env = "TRELLIS_NATS_TLS_FIRST")]
    pub nats_tls_first: bool,

    /// How long to wait for an answer.
    #[arg(long, global = true, env = "TRELLIS_TIMEOUT", default_value = "5s", value_name = "TIME",
          value_parser = humantime::parse_duration)]
    pub timeout: Duration,

    /// The folder of keys and of what `trellis up` keeps.
    #[arg(
        long,
        global = true,
        env = "TRELLIS_STATE_DIR",
        default_value = ".trellis",
        value_name = "FOLDER"
    )]
    pub state_dir: PathBuf,

    /// Print text for people or JSON for programs.
    #[arg(
        long,
        global = true,
        env = "TRELLIS_OUTPUT",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub output: Format,
}

impl Options {
    /// The local state.
    pub fn state(&self) -> State {
        State::at(&self.state_dir)
    }

    /// Where NATS is and who we are there.
    pub fn nats(&self) -> NatsSettings {
        let named = self
            .nats_url
            .clone()
            .or_else(|| std::env::var("NATS_URL").ok());
        let (url, running_seed) = match named {
            Some(url) => (Some(url), None),
            None => running::find(&self.state())
                .map(|running| (running.nats_url, running.seed_file))
                .unzip(),
        };
        let mut settings = NatsSettings {
            url: url.unwrap_or_else(|| DEFAULT_URL.into()),
            credentials: self.creds.clone(),
            jwt: self.nats_jwt.clone(),
            seed: self.nats_seed.clone(),
            seed_file: self.nats_seed_file.clone(),
            tls_first: self.nats_tls_first,
            tls_ca: self.nats_tls_ca.clone(),
        };
        let nobody = settings.credentials.is_none()
            && settings.jwt.is_none()
            && settings.seed.is_none()
            && settings.seed_file.is_none();
        if nobody {
            settings.seed_file = running_seed.flatten();
        }
        settings
    }

    /// Connects to the lattice.
    ///
    /// # Errors
    /// NATS can't be reached in time or doesn't let us in.
    pub async fn connect(&self) -> anyhow::Result<Session> {
        let settings = self.nats();
        let client = tokio::time::timeout(self.timeout, settings.connect("trellis"))
            .await
            .map_err(|_| {
                NoAnswer(format!(
                    "no answer from NATS at {} within {}: start it (`trellis up`, or `nats-server -js`), or say \
                     where it is with --nats-url or TRELLIS_NATS_URL",
                    settings.servers(),
                    humantime::format_duration(self.timeout)
                ))
            })??;
        let control = ControlClient::new(client, self.lattice.clone())
            .with_timeout(self.timeout)
            .with_auction_timeout(PING_TIME.min(self.timeout));
        Ok(Session {
            control,
            timeout: self.timeout,
            output: self.output,
        })
    }
}

/// A connection to a lattice.
pub struct Session {
    /// Asks its hosts.
    pub control: ControlClient,
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// How to print.
    pub output: Format,
}

impl Session {
    /// The lattice.
    pub fn lattice(&self) -> &LatticeName {
        self.control.subjects().lattice()
    }

    /// The hosts of the lattice; at least one.
    ///
    /// # Errors
    /// There is none, or NATS failed.
    pub async fn hosts(&self) -> anyhow::Result<Vec<Host>> {
        let hosts = self.control.hosts().await?;
        if hosts.is_empty() {
            // The words for it are in one place.
            return Err(ControlError::NoResponder {
                what: ANY_HOST.into(),
                lattice: self.lattice().to_string(),
            }
            .into());
        }
        Ok(hosts)
    }

    /// The host that a text means: its id or name, or the beginning of one. No text: the only host there is.
    ///
    /// # Errors
    /// None fits, or more than one.
    pub async fn host(&self, text: Option<&str>) -> anyhow::Result<Host> {
        pick(self.hosts().await?, text, self.lattice())
    }

    /// What every host runs; at least one.
    ///
    /// # Errors
    /// No host at all, or NATS failed. A host that left in between is left out.
    pub async fn inventories(&self) -> anyhow::Result<Vec<HostInventory>> {
        self.inventories_of(self.hosts().await?).await
    }

    /// What these hosts run.
    ///
    /// # Errors
    /// NATS failed. A host that left in between is left out.
    pub async fn inventories_of(&self, hosts: Vec<Host>) -> anyhow::Result<Vec<HostInventory>> {
        let asked = hosts.iter().map(|host| self.control.inventory(&host.id));
        let mut inventories = Vec::new();
        for answer in futures::future::join_all(asked).await {
            match answer {
                Err(ControlError::NoResponder { .. }) => {}
                answer => inventories.push(answer?),
            }
        }
        Ok(inventories)
    }
}

/// The host that a text means, as [`Session::host`].
fn pick(mut hosts: Vec<Host>, text: Option<&str>, lattice: &LatticeName) -> anyhow::Result<Host> {
    let all = names(&hosts);
    let Some(text) = text else {
        return match <[Host; 1]>::try_from(hosts) {
            Ok([host]) => Ok(host),
            Err(_) => Err(Usage(format!(
                "several hosts are there: name one with --host ({all})"
            ))
            .into()),
        };
    };
    // It would be the beginning of every name: a variable that is not set, as a rule.
    if text.is_empty() {
        return Err(Usage(format!("the host's name is empty: there is {all}")).into());
    }
    let exact = |host: &Host| host.id.as_str() == text || host.friendly_name == text;
    if hosts.iter().any(exact) {
        hosts.retain(exact);
    } else {
        hosts.retain(|host| {
            host.id.as_str().starts_with(text) || host.friendly_name.starts_with(text)
        });
    }
    match hosts.len() {
        1 => hosts.pop().context("one host"),
        0 => Err(NotFound(format!(
            "no host {text:?} in lattice {lattice:?}: there is {all}"
        ))
        .into()),
        _ => Err(Usage(format!("{text:?} means several hosts: {}", names(&hosts))).into()),
    }
}

fn names(hosts: &[Host]) -> String {
    let names = hosts
        .iter()
        .map(|host| format!("{} ({})", host.friendly_name, host.id));
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "NAAOOQYCFXEZRNL6UW6EJ6R3JCTNYSS6RTMB2XUJTMLGH7CEE6ZGZMCK";
    const SECOND: &str = "NBADEQSG4FVIHNTDWCYRK5BT2IF3C4GHK5DZCOH5ZU2RL7GDOTXUKXQ4";

    fn host(id: &str, name: &str) -> Host {
        serde_json::from_value(serde_json::json!({
            "id": id, "friendly_name": name, "labels": {}, "lattice": "default",
            "uptime_human": "1s", "uptime_seconds": 1, "version": "1.0.0",
        }))
        .unwrap()
    }

    fn picked(text: Option<&str>) -> Result<String, String> {
        let hosts = vec![host(FIRST, "edge-1"), host(SECOND, "edge-12")];
        let lattice = LatticeName::new("default").unwrap();
        match pick(hosts, text, &lattice) {
            Ok(host) => Ok(host.friendly_name),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_host_is_meant_by_id_name_or_the_beginning_of_one() {
        for (text, name) in [
            (FIRST, "edge-1"),
            ("NB", "edge-12"),
            ("edge-12", "edge-12"),
            // Whole before begun.
            ("edge-1", "edge-1"),
        ] {
            assert_eq!(picked(Some(text)).as_deref(), Ok(name), "{text}");
        }
        let several = picked(Some("edge")).unwrap_err();
        assert!(
            several.contains("several")
                && several.contains("edge-1 (")
                && several.contains("edge-12 ("),
            "{several}"
        );
        for (text, word) in [
            (Some("pop"), "no host"),
            (Some(""), "empty"),
            (None, "--host"),
        ] {
            let refused = picked(text).unwrap_err();
            assert!(refused.contains(word), "{text:?}: {refused}");
        }
    }

    #[test]
    fn the_beginning_of_one_name_is_enough() {
        let hosts = vec![host(FIRST, "edge-1"), host(SECOND, "fog-1")];
        let lattice = LatticeName::new("default").unwrap();
        assert_eq!(
            pick(hosts, Some("fo"), &lattice).unwrap().friendly_name,
            "fog-1"
        );
    }
}
