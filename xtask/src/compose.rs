//! `cargo xtask test compose`: the Dockerfile and docker-compose.yml, as they are, on a real Docker engine. The image is
//! built, the lattice comes up, its applications answer in every PoP; then a PoP's host, its NATS server and the hub are
//! stopped while requests go on to the others, of which none may fail.

mod http;
mod load;
mod project;
mod stand_in;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::layout::Layout;
use crate::process::probe;
use crate::progress::{Steps, say};
use crate::setup::Docker;
use load::{Count, Load, served};
use project::{Project, State};

/// Beside a lattice that somebody runs with `docker compose up`, only its ports are in the way.
const PROJECT: &str = "trellis-test";
/// The PoPs and the ports that docker-compose.yml publishes for them.
const POPS: [(&str, u16); 3] = [("fra", 8001), ("iad", 8002), ("sin", 8003)];
/// Where the application that counts in Redis answers.
const CORE: u16 = 8000;
/// Every service that goes on running.
const SERVICES: [&str; 10] = [
    "nats-hub",
    "wadm",
    "redis",
    "host-core",
    "nats-fra",
    "host-fra",
    "nats-iad",
    "host-iad",
    "nats-sin",
    "host-sin",
];
/// How long what was started may take.
const START: Duration = Duration::from_secs(120);
/// How long the rest is watched while something is gone.
const GONE: Duration = Duration::from_secs(10);

#[derive(Args)]
#[command(after_help = "Example:\n  cargo xtask test compose")]
pub struct Compose {
    /// Take the images that were built before
    #[arg(long)]
    no_build: bool,
    /// Leave the lattice running at the end, and say how to end it
    #[arg(long)]
    keep: bool,
}

impl Compose {
    pub fn run(self, layout: &Layout) -> Result<()> {
        let mut steps = Steps::begin();
        let docker = steps.step("setup: Docker engine", || Docker::find(layout))?;
        let stand_ins = steps.step("public images", || stand_in::ensure(layout, &docker))?;
        let project = Project::new(&docker, layout, PROJECT);
        // What a run before left that was cut off.
        project.down()?;
        if !self.no_build {
            steps.step("build", || project.build())?;
        }
        let outcome = lattice(&mut steps, &project);
        if outcome.is_err() {
            project.logs();
        }
        if self.keep && !docker.is_own() {
            say(format_args!(
                "the lattice goes on; end it with `docker compose --project-name {PROJECT} down --volumes`"
            ));
        } else {
            project.down()?;
        }
        outcome?;
        steps.end();
        for image in ["trellis", "trellis-toolbox"] {
            say(format_args!("image {image}: {}", size(&docker, image)?));
        }
        if !stand_ins.is_empty() {
            say(format_args!(
                "!! no registry could be reached: in place of the public images stood images of the same names \
                 that were made here: {}",
                stand_ins.join(", ")
            ));
        }
        Ok(())
    }
}

fn lattice(steps: &mut Steps, project: &Project) -> Result<()> {
    steps.step("up", || come_up(project))?;
    steps.step("every PoP serves", every_pop)?;
    steps.step("Redis counts", redis)?;
    steps.step("a PoP's host stops", || {
        gone(project, &["host-fra"], &["iad", "sin"])
    })?;
    steps.step("a PoP's NATS server stops", || {
        gone(project, &["nats-fra"], &["fra", "iad", "sin"])
    })?;
    steps.step("the hub and wadm stop", || {
        gone(project, &["wadm", "nats-hub"], &["fra", "iad", "sin"])
    })?;
    steps.step("a host that ended", || {
        restarted(project, "iad", "host-iad")
    })?;
    steps.step("up again", || again(project))
}

/// From nothing to the first answer of each PoP.
fn come_up(project: &Project) -> Result<()> {
    let began = Instant::now();
    project.up()?;
    let up = began.elapsed();
    for service in SERVICES {
        project.until(service, START, &State::Healthy)?;
    }
    let healthy = began.elapsed();
    project.until("deploy", START, &State::Ended(0))?;
    for (_, port) in POPS {
        answers(port, START)?;
    }
    say(format_args!(
        "`up` returned after {:.1} s, everything was healthy after {:.1} s, and every PoP answered after {:.1} s",
        up.as_secs_f64(),
        healthy.as_secs_f64(),
        began.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// A request that enters a PoP is answered in that PoP.
fn every_pop() -> Result<()> {
    for (pop, port) in POPS {
        for _ in 0..20 {
            let answer = served(port)?;
            let by = answer.served_by.as_deref().unwrap_or("nobody who says so");
            if !by.starts_with(&format!("{pop}/")) {
                bail!("port {port} is {pop}'s, but its request was served by {by}");
            }
        }
        say(format_args!("{pop}: {}", served(port)?.body.trim()));
    }
    Ok(())
}

fn redis() -> Result<()> {
    let count = || -> Result<u64> { Ok(served(CORE)?.body.trim().parse()?) };
    answers(CORE, START)?;
    let (first, second) = (count()?, count()?);
    if second != first + 1 {
        bail!("the count went from {first} to {second}");
    }
    say(format_args!("the core counts in Redis: {first}, {second}"));
    Ok(())
}

/// Stops services in turn, starts them again in the opposite order, and has requests answered in the meantime by PoPs
/// that they are nothing to.
fn gone(project: &Project, services: &[&str], bystanders: &[&str]) -> Result<()> {
    let load = Load::start(ports(bystanders));
    for service in services {
        project.stop(service)?;
        project.until(service, START, &State::Ended(0))?;
    }
    watch(GONE);
    for service in services.iter().rev() {
        project.start(service)?;
    }
    let began = Instant::now();
    for service in services.iter().rev() {
        project.until(service, START, &State::Healthy)?;
    }
    for (_, port) in POPS {
        answers(port, START)?;
    }
    let back = began.elapsed();
    none_failed(&load.end()?)?;
    say(format_args!(
        "{} back: healthy, and every PoP answers, after {:.1} s",
        services.join(" and "),
        back.as_secs_f64()
    ));
    Ok(())
}

/// A host that ends for any reason is started again by Docker, and is given its work again.
fn restarted(project: &Project, pop: &str, service: &str) -> Result<()> {
    let bystanders = POPS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| *name != pop);
    let load = Load::start(ports(&bystanders.collect::<Vec<_>>()));
    let before = project.restarts(service)?;
    let began = Instant::now();
    project.trellis(&["stop", "host", pop])?;
    while project.restarts(service)? == before {
        if began.elapsed() > START {
            bail!("{service} was told to end, and Docker did not start it again");
        }
        watch(Duration::from_millis(200));
    }
    project.until(service, START, &State::Healthy)?;
    for port in ports(&[pop]) {
        answers(port, START)?;
    }
    let back = began.elapsed();
    none_failed(&load.end()?)?;
    say(format_args!(
        "{service} was told to end; Docker started it again, and it served after {:.1} s",
        back.as_secs_f64()
    ));
    Ok(())
}

/// `up` over what is up changes nothing that runs.
fn again(project: &Project) -> Result<()> {
    let load = Load::start(ports(&["fra", "iad", "sin"]));
    project.up()?;
    project.until("deploy", START, &State::Ended(0))?;
    none_failed(&load.end()?)
}

fn ports(pops: &[&str]) -> Vec<u16> {
    POPS.into_iter()
        .filter(|(pop, _)| pops.contains(pop))
        .map(|(_, port)| port)
        .collect()
}

/// Waits until a port answers as it should.
fn answers(port: u16, within: Duration) -> Result<()> {
    let began = Instant::now();
    loop {
        match served(port) {
            Ok(_) => return Ok(()),
            Err(error) if began.elapsed() > within => {
                return Err(error).with_context(|| {
                    format!("no answer on port {port} within {} s", within.as_secs())
                });
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Lets time pass while something is gone: this is the length of the experiment.
fn watch(time: Duration) {
    std::thread::sleep(time);
}

fn none_failed(counts: &BTreeMap<u16, Count>) -> Result<()> {
    for (pop, port) in POPS {
        let Some(count) = counts.get(&port) else {
            continue;
        };
        say(format_args!(
            "{pop} went on: {} requests, {} failed",
            count.asked, count.failed
        ));
        if count.asked == 0 {
            bail!("{pop} was not asked at all");
        }
        if let Some(why) = &count.why {
            bail!(
                "{} requests to {pop} failed, the first one so: {why}",
                count.failed
            );
        }
    }
    Ok(())
}

fn size(docker: &Docker, image: &str) -> Result<String> {
    let said = probe(
        docker
            .client()
            .args(["image", "inspect", "--format", "{{.Size}}", image]),
    )
    .with_context(|| format!("no image {image}"))?;
    let bytes: f64 = said.parse()?;
    Ok(format!("{:.1} MB", bytes / 1e6))
}
