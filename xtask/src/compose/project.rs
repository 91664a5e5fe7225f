//! What docker-compose.yml describes, under a project's name of its own: its volumes and networks are nobody else's.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::layout::Layout;
use crate::process::{probe, run};
use crate::progress::say;
use crate::setup::Docker;

/// Between two looks at a container.
const LOOK: Duration = Duration::from_millis(250);

/// The services, up or not.
pub struct Project<'e> {
    docker: &'e Docker,
    layout: &'e Layout,
    name: &'static str,
}

/// How a service's container is.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// It was not made yet.
    None,
    /// It runs; its health check passes, or it has none.
    Healthy,
    /// It runs or starts; its health check does not pass yet.
    NotYet,
    /// It ended, with this code.
    Ended(i32),
}

impl<'e> Project<'e> {
    pub fn new(docker: &'e Docker, layout: &'e Layout, name: &'static str) -> Self {
        Self {
            docker,
            layout,
            name,
        }
    }

    fn compose(&self, arguments: &[&str]) -> Command {
        let mut command = self.docker.compose();
        command
            .current_dir(self.layout.root())
            .args(["--project-name", self.name])
            .args(arguments);
        command
    }

    pub fn build(&self) -> Result<()> {
        run(&mut self.compose(&["build"]))
    }

    pub fn up(&self) -> Result<()> {
        run(&mut self.compose(&["up", "--detach"]))
    }

    pub fn stop(&self, service: &str) -> Result<()> {
        run(&mut self.compose(&["stop", service]))
    }

    pub fn start(&self, service: &str) -> Result<()> {
        run(&mut self.compose(&["start", service]))
    }

    /// Removes containers, networks and volumes of this project.
    pub fn down(&self) -> Result<()> {
        run(&mut self.compose(&["down", "--volumes", "--remove-orphans"]))
    }

    /// What `trellis` says, run as the operator.
    pub fn trellis(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.compose(&["run", "--rm", "-T", "cli"]);
        command.args(arguments);
        probe(&mut command).with_context(|| format!("`trellis {}` failed", arguments.join(" ")))
    }

    /// The last lines of every service, for who looks why something failed.
    pub fn logs(&self) {
        for arguments in [&["ps"][..], &["logs", "--no-color", "--tail", "30"]] {
            if let Err(error) = run(&mut self.compose(arguments)) {
                say(format_args!("{error:#}"));
            }
        }
    }

    /// Waits until a service's container is as it should be.
    pub fn until(&self, service: &str, within: Duration, wanted: &State) -> Result<()> {
        let began = Instant::now();
        loop {
            let state = self.state(service)?;
            if state == *wanted {
                return Ok(());
            }
            if let (State::Ended(code), State::Healthy) = (&state, wanted) {
                bail!("{service} ended with {code}");
            }
            if began.elapsed() > within {
                bail!(
                    "{service} is {state:?}, not {wanted:?}, after {} s",
                    within.as_secs()
                );
            }
            std::thread::sleep(LOOK);
        }
    }

    pub fn state(&self, service: &str) -> Result<State> {
        let Some(container) = self.container(service)? else {
            return Ok(State::None);
        };
        let format = "{{.State.Status}} {{.State.ExitCode}} \
                      {{if .State.Health}}{{.State.Health.Status}}{{else}}healthy{{end}}";
        let said = self.ask(&["inspect", "--format", format, &container])?;
        state(&said).with_context(|| format!("{service}: docker says {said:?}"))
    }

    /// How often a service's container was started again by itself.
    pub fn restarts(&self, service: &str) -> Result<u32> {
        let container = self
            .container(service)?
            .with_context(|| format!("{service} has no container"))?;
        let said = self.ask(&["inspect", "--format", "{{.RestartCount}}", &container])?;
        Ok(said.parse()?)
    }

    fn container(&self, service: &str) -> Result<Option<String>> {
        let project = format!("label=com.docker.compose.project={}", self.name);
        let service = format!("label=com.docker.compose.service={service}");
        let said = self.ask(&["ps", "-aq", "--filter", &project, "--filter", &service])?;
        Ok(said.lines().next().map(str::to_owned))
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        probe(self.docker.client().args(arguments))
            .with_context(|| format!("`docker {}` failed", arguments.join(" ")))
    }
}

fn state(said: &str) -> Option<State> {
    let mut words = said.split(' ');
    let status = words.next()?;
    let code = words.next()?.parse().ok()?;
    let health = words.next()?;
    Some(match (status, health) {
        ("exited" | "dead", _) => State::Ended(code),
        ("running", "healthy") => State::Healthy,
        _ => State::NotYet,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_words_are_understood() {
        for (said, understood) in [
            ("running 0 healthy", Some(State::Healthy)),
            ("running 0 starting", Some(State::NotYet)),
            ("running 0 unhealthy", Some(State::NotYet)),
            ("created 0 healthy", Some(State::NotYet)),
            ("restarting 1 healthy", Some(State::NotYet)),
            ("exited 0 healthy", Some(State::Ended(0))),
            ("exited 137 unhealthy", Some(State::Ended(137))),
            ("", None),
        ] {
            assert_eq!(state(said), understood, "{said}");
        }
    }
}
