//! What a core wants done.

use trellis_lattice::{
    HostId,
    app::{AppEvent, AppStatus},
};

use crate::{
    command::Command,
    rollout::{GoBack, Happened, Rollout},
    store::{NotedHost, Owned},
};

/// Names an effect, so that what comes of it can be told. Never used twice by one core.
pub type Id = u64;

/// Something to do. What comes of it is told to the core as [`super::News`], once, in any order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Ask the lattice; told by [`super::News::Answer`].
    Ask(Id, Question),
    /// Command the lattice; told by [`super::News::Done`].
    Command(Id, Command),
    /// Note what an application has in the lattice; told by [`super::News::Noted`].
    NoteOwned(Id, String, Owned),
    /// Note and publish how an application is, or forget it; told by [`super::News::Noted`].
    NoteStatus(Id, String, Option<AppStatus>),
    /// Note how far an application's rollout is, or forget it; told by [`super::News::Noted`].
    NoteRollout(Id, String, Option<Rollout>),
    /// Note what a host of a PoP runs that counts as running when the PoP can't be seen, or forget it; told by
    /// [`super::News::Noted`].
    NoteHost(Id, HostId, Option<NotedHost>),
    /// Deploy an application's version before again; told by [`super::News::Noted`], done or not. That it is deployed is
    /// told by [`super::News::Catalog`].
    GoBack(Id, GoBack),
    /// Tell whoever listens what a rollout did. Nothing comes of it.
    TellRollout(Happened),
    /// Read all manifests anew; told by [`super::News::Catalog`], or not at all when it fails.
    ReadCatalog,
    /// Tell everyone of something; nothing comes of it.
    Event(AppEvent),
    /// Stop: another manager leads, or led with this number. Nothing comes after this.
    StepDown(u64),
}

/// Something to ask the lattice; never twice at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Who is there?
    Hosts,
    /// What does this host run?
    Inventory(HostId),
    /// The same, of a host that may be gone: it has [`super::Core::patience`] to answer.
    Probe(HostId),
    /// What links are there?
    Links,
    /// What does this configuration hold?
    Config(String),
}
