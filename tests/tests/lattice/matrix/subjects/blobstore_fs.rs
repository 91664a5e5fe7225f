//! blobstore-fs: a folder. It has no server that could end: instead the folder is taken away, as a disk is that is not
//! mounted, and put back. Elsewhere is another folder.

use std::{fs, net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Method;
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinSet};
use trellis_tests::{http::Http, lattice::Lattice, upload::Upload, wait::until};

use super::super::{
    held::{HELD, Held},
    stand::Stand,
    subject::{CALLER, Outcome, PROVIDER, Place, Subject, Wanted},
};

/// The container that every call writes to.
pub const CONTAINER: &str = "calls";

pub struct Folder {
    directory: TempDir,
}

impl Subject for Folder {
    const NAME: &'static str = "blobstore-fs";
    const ACTORS: &'static [(&'static str, &'static str)] = &[(CALLER, "http_files")];
    const DURABLE: bool = true;

    async fn start() -> Result<Self> {
        let directory = TempDir::new()?;
        for place in ["here", "there"] {
            // The actor makes the container and then writes: a link that is replaced between the two is no fault of the
            // provider's.
            fs::create_dir_all(directory.path().join(place).join(CONTAINER))?;
        }
        Ok(Self { directory })
    }

    fn address(&self) -> Option<SocketAddr> {
        None
    }

    fn links(&self, place: Place) -> Vec<Wanted> {
        blobstore(vec![("root", self.root(place).display().to_string())])
    }

    fn wrong(&self) -> (&'static str, Vec<Wanted>) {
        ("root", blobstore(vec![("root", "here".to_owned())]))
    }

    async fn crash(&self, _: &Lattice) -> Result<()> {
        Ok(fs::rename(self.root(Place::Here), self.away_root())?)
    }

    async fn resume(&self, _: &Lattice) -> Result<()> {
        Ok(fs::rename(self.away_root(), self.root(Place::Here))?)
    }

    fn away(&self) -> Option<String> {
        Some(self.root(Place::Here).display().to_string())
    }

    async fn call(&self, http: &Http, number: u32) -> Outcome {
        put(http, number).await
    }

    async fn kept(&self, place: Place) -> Result<u64> {
        Ok(fs::read_dir(self.root(place).join(CONTAINER))?.count() as u64)
    }

    async fn hold(&self, stand: &Stand<Self>) -> Result<Held> {
        let root = self.root(Place::Held);
        let before = fs::read_dir(&root)?.count();
        let held = hold_uploads(stand, "one half".into())?;
        until("each has begun to write", || async {
            let begun = fs::read_dir(&root)?.count() - before;
            ensure!(begun >= HELD as usize, "{begun} of {HELD}");
            Ok(())
        })
        .await?;
        Ok(held)
    }
}

impl Folder {
    fn root(&self, place: Place) -> PathBuf {
        self.directory.path().join(match place {
            Place::Here | Place::Held => "here",
            Place::There => "there",
        })
    }

    fn away_root(&self) -> PathBuf {
        self.directory.path().join("away")
    }
}

/// The link to a provider of stores of blobs.
pub fn blobstore(settings: Vec<(&'static str, String)>) -> Vec<Wanted> {
    vec![Wanted {
        source: CALLER,
        target: PROVIDER,
        name: "default",
        package: "wasi:blobstore",
        interfaces: &["blobstore", "container", "types"],
        settings,
    }]
}

/// Each call writes an object of its own.
pub async fn put(http: &Http, number: u32) -> Outcome {
    let path = format!("/{CONTAINER}/n{number}");
    let stored = http.put(&path, format!("call {number}")).await;
    Outcome::of(stored, |body| body == "stored\n")
}

/// Begins uploads; what follows their first part waits to be let go.
pub fn hold_uploads<S: Subject>(stand: &Stand<S>, first: Bytes) -> Result<Held> {
    let (go, may_go) = watch::channel(false);
    let mut calls = JoinSet::new();
    for number in 0..HELD {
        let path = format!("/{CONTAINER}/held-{number}");
        let upload = Upload::begin(stand.at, Method::PUT, &path, first.clone())?;
        let mut may_go = may_go.clone();
        calls.spawn(async move {
            let finished = async {
                may_go.wait_for(|go| *go).await.context("the test ended")?;
                upload.finish(", and the rest".into()).await
            };
            Outcome::of(finished.await, |body| body == "stored\n")
        });
    }
    Ok(Held::new(calls, move || {
        go.send_replace(true);
    }))
}
