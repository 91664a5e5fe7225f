//! `trellis app events`: what the application manager does and what happens to applications, as it happens.

use std::fmt;

use clap::Args;
use futures::StreamExt as _;
use trellis_lattice::{app::AppEvent, event::CloudEvent};

use super::list::word;
use crate::{
    exit::NoAnswer,
    output::{self, Format},
    session::Options,
};

/// What to follow.
#[derive(Args, Debug)]
pub struct Events {
    /// The application [default: all].
    name: Option<String>,
    /// End after so many.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

impl Events {
    /// Prints events as they come, until Ctrl-C. JSON is one CloudEvent a line.
    ///
    /// # Errors
    /// NATS can't be reached, or ended the subscription.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let session = options.connect().await?;
        let subject = session.control.subjects().app_event(">");
        let nats = session.control.nats();
        let mut events = nats.subscribe(subject).await?;
        // From here on nothing is missed: whoever started this may act.
        nats.flush().await?;
        tracing::info!("following");
        let mut left = self.count;
        loop {
            let message = tokio::select! {
                ended = tokio::signal::ctrl_c() => return Ok(ended?),
                message = events.next() => message,
            };
            let Some(message) = message else {
                return Err(NoAnswer("NATS ended the subscription".into()).into());
            };
            let envelope = match CloudEvent::read(&message.payload) {
                Ok(envelope) => envelope,
                Err(error) => {
                    tracing::warn!(%error, "an event that can't be read");
                    continue;
                }
            };
            let event = AppEvent::read(&envelope);
            if let Some(name) = &self.name
                && !event.as_ref().is_some_and(|event| event.concerns(name))
            {
                continue;
            }
            let line = match session.output {
                Format::Json => serde_json::to_string(&envelope)?,
                Format::Text => Line { envelope, event }.to_string(),
            };
            output::write(format!("{line}\n").as_bytes())?;
            if let Some(left) = &mut left {
                *left -= 1;
                if *left == 0 {
                    return Ok(());
                }
            }
        }
    }
}

/// An event for people.
struct Line {
    envelope: CloudEvent,
    event: Option<AppEvent>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.envelope.time.as_deref().unwrap_or("-");
        // To the second: the rest only makes it hard to read.
        write!(f, "{}  ", time.get(..19).unwrap_or(time))?;
        match &self.event {
            None => write!(f, "{}  {}", self.envelope.ty, self.envelope.data),
            Some(event) => tell(f, event),
        }
    }
}

fn tell(f: &mut fmt::Formatter<'_>, event: &AppEvent) -> fmt::Result {
    match event {
        AppEvent::Deployed {
            app,
            version,
            before,
        } => {
            write!(f, "{app}: version {version} deployed")?;
            match before {
                Some(before) => write!(f, " in place of {before}"),
                None => Ok(()),
            }
        }
        AppEvent::Undeployed { app, before } => write!(f, "{app}: version {before} undeployed"),
        AppEvent::StatusChanged { app, status, .. } => {
            write!(f, "{app}: {}", word(status.ty))?;
            match status.message.as_str() {
                "" => Ok(()),
                message => write!(f, ": {}", one_line(message)),
            }
        }
        AppEvent::CommandFailed {
            app,
            command,
            failures,
            error,
            retry_in_ms,
            ..
        } => {
            write!(
                f,
                "{app}: {command} failed ({failures}): {}",
                one_line(error)
            )?;
            match retry_in_ms {
                Some(ms) => write!(f, "; tried again in {:.1} s", *ms as f64 / 1000.0),
                None => Ok(()),
            }
        }
        AppEvent::HostLost {
            host,
            host_name,
            apps,
        } => {
            write!(f, "host {host_name} ({host}) is lost")?;
            match apps.is_empty() {
                true => Ok(()),
                false => write!(f, "; it ran parts of {}", apps.join(", ")),
            }
        }
        AppEvent::PopUnseen { pop, hosts, apps } => {
            write!(f, "PoP {pop} can't be seen ({} host(s))", hosts.len())?;
            match apps.is_empty() {
                true => Ok(()),
                false => write!(f, "; it ran parts of {}", apps.join(", ")),
            }
        }
        AppEvent::PopSeen { pop, after_ms } => {
            write!(
                f,
                "PoP {pop} is seen again, after {:.1} s",
                *after_ms as f64 / 1000.0
            )
        }
        AppEvent::Rollout {
            app,
            version,
            phase,
            message,
        } => {
            write!(
                f,
                "{app}: rollout of {version}: {}",
                phase.replace('_', " ")
            )?;
            match message.as_str() {
                "" => Ok(()),
                message => write!(f, ": {}", one_line(message)),
            }
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}
