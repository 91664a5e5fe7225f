//! blobstore-s3: rclone, which serves a folder as S3. Elsewhere is another bucket.

use std::{fs, net::SocketAddr, sync::Arc};

use anyhow::{Result, ensure};
use bytes::Bytes;
use tokio::sync::Mutex;
use trellis_tests::{gate::Gate, http::Http, lattice::Lattice, s3::S3Server, wait::until};

use super::{
    super::{
        held::{HELD, Held},
        stand::Stand,
        subject::{CALLER, Outcome, Place, Subject, Wanted},
    },
    blobstore_fs::{CONTAINER, blobstore, hold_uploads, put},
};

/// What an object is sent in: the least that S3 takes.
const PART_BYTES: usize = 5 << 20;

pub struct Objects {
    server: Mutex<S3Server>,
    url: String,
    gate: Arc<Gate>,
}

impl Subject for Objects {
    const NAME: &'static str = "blobstore-s3";
    const ACTORS: &'static [(&'static str, &'static str)] = &[(CALLER, "http_files")];
    const DURABLE: bool = true;

    async fn start() -> Result<Self> {
        let server = S3Server::start().await?;
        for place in [Place::Here, Place::There] {
            // The actor makes the container and then writes: a link that is replaced between the two is no fault of the
            // provider's.
            let container = server.make_bucket(bucket(place))?.join(CONTAINER);
            fs::create_dir(&container)?;
            fs::write(container.join(".trellis-container"), "")?;
        }
        let at = SocketAddr::from(([127, 0, 0, 1], server.port()));
        Ok(Self {
            gate: Arc::new(Gate::before(at).await?),
            url: server.url(),
            server: Mutex::new(server),
        })
    }

    fn address(&self) -> Option<SocketAddr> {
        None
    }

    fn links(&self, place: Place) -> Vec<Wanted> {
        let endpoint = match place {
            Place::Here | Place::There => self.url.clone(),
            Place::Held => format!("http://{}", self.gate.address()),
        };
        blobstore(vec![
            ("endpoint", endpoint),
            ("bucket", bucket(place).to_owned()),
            ("access_key_id", S3Server::KEY.to_owned()),
            ("secret_access_key", S3Server::SECRET.to_owned()),
            ("part_bytes", PART_BYTES.to_string()),
        ])
    }

    fn wrong(&self) -> (&'static str, Vec<Wanted>) {
        let mut links = self.links(Place::Here);
        for link in &mut links {
            link.settings[0].1 = "a server".to_owned();
        }
        ("endpoint", links)
    }

    async fn crash(&self, _: &Lattice) -> Result<()> {
        self.server.lock().await.crash().await
    }

    async fn resume(&self, _: &Lattice) -> Result<()> {
        self.server.lock().await.resume().await
    }

    fn away(&self) -> Option<String> {
        Some(self.url.replace("http://", ""))
    }

    async fn call(&self, http: &Http, number: u32) -> Outcome {
        put(http, number).await
    }

    async fn kept(&self, place: Place) -> Result<u64> {
        let files = self.server.lock().await.files(bucket(place))?;
        let calls = format!("{CONTAINER}/n");
        Ok(files.iter().filter(|file| file.starts_with(&calls)).count() as u64)
    }

    async fn hold(&self, stand: &Stand<Self>) -> Result<Held> {
        let before = self.gate.asked();
        // A part goes to the server when it is whole, and is what is seen of an upload.
        let held = hold_uploads(stand, Bytes::from(vec![b'x'; PART_BYTES + 1]))?;
        until("a part of each is at the server", || async {
            let sent = self.gate.asked() - before;
            ensure!(sent > u64::from(HELD) * PART_BYTES as u64, "{sent} bytes");
            Ok(())
        })
        .await?;
        Ok(held)
    }
}

fn bucket(place: Place) -> &'static str {
    match place {
        Place::Here | Place::Held => "here",
        Place::There => "there",
    }
}
