//! What has to be said of a provider so that every row can be tried on it.

use std::{collections::BTreeSet, future::Future, net::SocketAddr};

use anyhow::{Context as _, Result};
use trellis_lattice::{Link, LinkName};
use trellis_tests::{
    actors,
    http::{Answer, Http},
    lattice::Lattice,
};

use super::{held::Held, stand::Stand};

/// The provider's id on every stand.
pub const PROVIDER: &str = "subject";
/// The id of the HTTP server before an actor that calls the provider.
pub const FRONT: &str = "front";
/// The id of the actor that callers reach by HTTP.
pub const CALLER: &str = "caller";

/// A provider and what is behind it: a real server, or what comes next to one.
///
/// Nothing here has a default: who adds a provider says all of it, and every row is tried.
pub trait Subject: Sized + Send + Sync + 'static {
    /// Its name in `builtin:NAME`.
    const NAME: &'static str;
    /// The actors, by their ids and their files; [`CALLER`] among them.
    const ACTORS: &'static [(&'static str, &'static str)];
    /// Whether what was acknowledged must be there after a crash of what is behind it.
    const DURABLE: bool;

    /// Starts what is behind the provider.
    fn start() -> impl Future<Output = Result<Self>> + Send;

    /// Where callers connect to the provider itself. `None`: they reach an actor by HTTP, and that one calls the provider.
    fn address(&self) -> Option<SocketAddr>;

    /// The links between the provider and its actors.
    fn links(&self, place: Place) -> Vec<Wanted>;

    /// The same with one value that can't be, and the field that has it.
    fn wrong(&self) -> (&'static str, Vec<Wanted>);

    /// Ends what is behind [`Place::Here`] at once, as `kill -9` would.
    fn crash(&self, lattice: &Lattice) -> impl Future<Output = Result<()>> + Send;

    /// Brings it back where it was.
    fn resume(&self, lattice: &Lattice) -> impl Future<Output = Result<()>> + Send;

    /// A part of what the provider's health says while it is away. `None`: the provider can't know what it is to be
    /// there for, and only calls say it.
    fn away(&self) -> Option<String>;

    /// One call, told from others by its number.
    fn call(&self, http: &Http, number: u32) -> impl Future<Output = Outcome> + Send;

    /// How many calls took effect there, looked at by another way than the provider.
    fn kept(&self, place: Place) -> impl Future<Output = Result<u64>> + Send;

    /// Begins calls that are under way in the provider until they are let go. The links are those of [`Place::Held`].
    fn hold(&self, stand: &Stand<Self>) -> impl Future<Output = Result<Held>> + Send;
}

/// Where links lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At first.
    Here,
    /// After they were replaced: another server, database, bucket or actor.
    There,
    /// To the same as at first, by a way where calls can be held up.
    Held,
}

impl Place {
    fn word(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::There => "there",
            Self::Held => "held",
        }
    }
}

/// A link, with its configuration as it stands.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub source: &'static str,
    pub target: &'static str,
    /// `default`, unless the source has two targets for one package.
    pub name: &'static str,
    pub package: &'static str,
    pub interfaces: &'static [&'static str],
    /// Of the provider's side.
    pub settings: Vec<(&'static str, String)>,
}

impl Wanted {
    /// The configuration's name: another one for other settings, so that a link that was not changed stays as it is.
    pub fn config_name(&self, place: Place) -> String {
        let package = self.package.replace(':', "-");
        format!("{}-{package}-{}-{}", self.source, self.target, place.word())
    }

    /// Whether the provider is the link's source.
    pub fn provider_calls(&self) -> bool {
        [PROVIDER, FRONT].contains(&self.source)
    }

    /// The link, for hosts, after its configuration was put.
    pub async fn link(&self, lattice: &Lattice, place: Place) -> Result<Link> {
        let link = Lattice::link(self.source, self.target, self.package, self.interfaces)?;
        let config = self.config_name(place);
        let settings = self.settings.iter();
        let settings: Vec<_> = settings
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        lattice.config(&config, &settings).await?;
        let (source_config, target_config) = match self.provider_calls() {
            true => (vec![config], Vec::new()),
            false => (Vec::new(), vec![config]),
        };
        Ok(Link {
            name: LinkName::new(self.name)?,
            source_config,
            target_config,
            ..link
        })
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Done,
    /// With an error that the caller was told: a status of 400 or more.
    Failed(String),
    /// In no way that a call may end: no answer, a broken one, or one that isn't true.
    Broken(String),
}

impl Outcome {
    /// An answer of 2xx is good when `right` says so.
    pub fn of(answer: Result<Answer>, right: impl FnOnce(&str) -> bool) -> Self {
        match answer {
            Ok(answer) if (200..300).contains(&answer.status) => match right(&answer.body) {
                true => Self::Done,
                false => Self::Broken(format!("{answer:?}")),
            },
            Ok(answer) if answer.status >= 400 => {
                Self::Failed(format!("{} {}", answer.status, answer.body.trim()))
            }
            Ok(answer) => Self::Broken(format!("{answer:?}")),
            Err(reason) => Self::Broken(format!("{reason:#}")),
        }
    }

    pub fn is_done(&self) -> bool {
        *self == Self::Done
    }
}

/// The names of the built-in providers, as the program itself tells them.
pub async fn builtin() -> Result<BTreeSet<String>> {
    let mut command = tokio::process::Command::new(actors::trellis()?);
    let output = command
        .args(["provider", "of-no-such-name"])
        .output()
        .await?;
    let said = String::from_utf8(output.stderr)?;
    let names = said.split_once("there is ").context("it names none")?.1;
    Ok(names.trim().split(", ").map(str::to_owned).collect())
}
