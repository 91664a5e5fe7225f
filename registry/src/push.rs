//! Pushing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use oci_client::{RegistryOperation, errors::OciDistributionError, secrets::RegistryAuth};
use reqwest::header::HeaderValue;

use crate::{
    Artefact, Client, Digest, Progress, Reference, RegistryError, answer::of_oci,
    client::check_pushed, manifest::OCI_MANIFEST,
};

/// How much is handed to the connection at once.
const PIECE_BYTES: usize = 128 * 1024;
/// How long a registry may take nothing, or keep its answer.
const SILENCE: Duration = Duration::from_secs(120);

/// What was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest's digest, by which exactly this can be pulled.
    pub manifest: Digest,
    /// The content's digest.
    pub content: Digest,
    /// The content's size in bytes.
    pub size: u64,
}

impl Client {
    /// Pushes to a tag. What the registry has already is not sent again.
    ///
    /// # Errors
    /// The reference has a digest, the registry can't be asked or refuses, or what it then has is something else.
    pub async fn push(
        &self,
        reference: &Reference,
        artefact: &Artefact,
        progress: Arc<dyn Progress>,
    ) -> Result<Pushed, RegistryError> {
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        if reference.digest().is_some() {
            return Err(RegistryError::PushToDigest {
                reference: reference.to_string(),
                repository,
            });
        }
        let size = artefact.content.len() as u64;
        if size > self.settings.max_bytes {
            return Err(RegistryError::TooLarge {
                reference: reference.to_string(),
                what: "content",
                size,
                limit: self.settings.max_bytes,
            });
        }
        progress.begins(size);
        let manifest = artefact.manifest();
        let mut tries = self.settings.retry.begin();
        loop {
            match self
                .push_once(reference, artefact, &manifest, &progress)
                .await
            {
                Ok(()) => break,
                Err(error) => tries.again(error, progress.as_ref()).await?,
            }
        }
        progress.is_at(size);
        let digest = Digest::of(&manifest);
        check_pushed(reference, digest, &self.resolve(reference).await?)?;
        Ok(Pushed {
            manifest: digest,
            content: Digest::of(&artefact.content),
            size,
        })
    }

    async fn push_once(
        &self,
        reference: &Reference,
        artefact: &Artefact,
        manifest: &Bytes,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), RegistryError> {
        let (auth, _) = self.log_in(reference, RegistryOperation::Push).await?;
        let silent: Arc<dyn Progress> = Arc::new(crate::Silent);
        self.push_blob(reference, &auth, &artefact.config, &silent)
            .await?;
        self.push_blob(reference, &auth, &artefact.content, progress)
            .await?;
        let content_type = HeaderValue::from_static(OCI_MANIFEST);
        let put = self
            .oci
            .push_manifest_raw(reference.as_oci(), manifest.clone(), content_type);
        // It has no address where there is nothing of it: a registry that says "not found" means the repository.
        in_time(reference, &auth, &AtomicU64::new(0), put).await?;
        Ok(())
    }

    async fn push_blob(
        &self,
        reference: &Reference,
        auth: &RegistryAuth,
        content: &Bytes,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), RegistryError> {
        let (oci, digest) = (reference.as_oci(), Digest::of(content).to_string());
        let moved = Arc::new(AtomicU64::new(0));
        let exists = self.oci.blob_exists(oci, &digest);
        if in_time(reference, auth, &moved, exists).await? {
            return Ok(());
        }
        let (content, told, counted) = (content.clone(), progress.clone(), moved.clone());
        let size = content.len();
        let pieces = (0..size).step_by(PIECE_BYTES).map(move |start| {
            told.is_at(start as u64);
            counted.store(start as u64, Ordering::Relaxed);
            Ok::<_, OciDistributionError>(
                content.slice(start..(start + PIECE_BYTES).min(content.len())),
            )
        });
        let push = self
            .oci
            .push_blob_stream(oci, stream::iter(pieces), &digest, Some(size as u64));
        in_time(reference, auth, &moved, push).await?;
        Ok(())
    }
}

/// Waits for an answer, for as long as something moves.
async fn in_time<T>(
    reference: &Reference,
    auth: &RegistryAuth,
    moved: &AtomicU64,
    answer: impl Future<Output = Result<T, OciDistributionError>>,
) -> Result<T, RegistryError> {
    let stalled = async {
        let mut before = None;
        loop {
            let now = Some(moved.load(Ordering::Relaxed));
            if now == before {
                return;
            }
            before = now;
            tokio::time::sleep(SILENCE).await;
        }
    };
    tokio::select! {
        answer = answer => answer.map_err(|error| of_oci(reference, auth, error)),
        () = stalled => Err(RegistryError::lost(reference, "the registry took too long")),
    }
}
