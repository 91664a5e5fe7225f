//! What a host asks for images: a reference is resolved, its content pulled once however many ask, and kept.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncReadExt as _, sync::OnceCell};

use crate::{
    Cache, CacheError, Client, Content, Digest, Held, Kind, Reference, RegistryError, Resolved,
    Settings, Silent,
};

/// How long a registry is asked what a reference means, where it is known what it meant.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// How much of a file is hashed at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Images of registries, kept in a cache.
#[derive(Debug)]
pub struct Images {
    settings: Settings,
    allow_latest: bool,
    cache: Arc<Cache>,
    /// Made when it is first needed: a machine that uses no registry needs no certificates.
    client: OnceCell<Client>,
    /// One pull at a time of the same content.
    turns: Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>,
}

/// An image that was pulled and verified. It is kept for as long as anyone has this.
#[derive(Clone, Debug)]
pub struct Image {
    reference: Reference,
    resolved: Resolved,
    held: Arc<Held>,
}

impl Images {
    /// Images with these settings. `allow_latest`: take references of no certain version, too.
    pub fn new(settings: Settings, allow_latest: bool, cache: Arc<Cache>) -> Self {
        Self {
            settings,
            allow_latest,
            cache,
            client: OnceCell::new(),
            turns: Mutex::default(),
        }
    }

    /// Whether a text is a reference that is taken here.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, reference: &str) -> Result<Reference, RegistryError> {
        let reference: Reference = reference.parse()?;
        if reference.is_latest() && !self.allow_latest {
            return Err(RegistryError::Latest {
                reference: reference.to_string(),
            });
        }
        Ok(reference)
    }

    /// Gets an image of that kind, of at most so many bytes. A tag's registry is asked what it means every time; when it
    /// can't be reached, what it meant the last time counts. A digest always means the same, so nobody is asked again.
    ///
    /// # Errors
    /// It is not to be had, is something else, or there is no room for it.
    pub async fn get(
        &self,
        reference: &str,
        kind: Kind,
        limit: u64,
    ) -> Result<Image, RegistryError> {
        let reference = self.check(reference)?;
        let resolved = self.resolve(&reference).await?;
        let content = &resolved.content;
        if content.kind != kind {
            return Err(RegistryError::WrongKind {
                reference: reference.to_string(),
                found: content.kind,
                wanted: kind,
            });
        }
        if content.size > limit {
            return Err(RegistryError::TooLarge {
                reference: reference.to_string(),
                what: "content",
                size: content.size,
                limit,
            });
        }
        let turn = self.turn(content.digest);
        let _turn = turn.lock().await;
        let held = self.hold(&reference, content).await?;
        if !self.is_good(&reference, &held, content).await? {
            let from = reference.with_digest(resolved.manifest);
            let client = self.client(&reference).await?;
            client
                .pull(&from, content, &held.partial(), &Silent)
                .await?;
            held.keep()
                .map_err(|source| cache_error(&reference, source))?;
            tracing::info!(image = %reference, digest = %content.digest, bytes = content.size, "pulled");
        }
        Ok(Image {
            reference,
            resolved,
            held: Arc::new(held),
        })
    }

    async fn resolve(&self, reference: &Reference) -> Result<Resolved, RegistryError> {
        let known = self.cache.recall(reference);
        if reference.digest().is_some()
            && let Some(known) = known
        {
            return Ok(known);
        }
        let client = self.client(reference).await?;
        let asked = match &known {
            None => client.resolve(reference).await,
            Some(_) => tokio::time::timeout(ASK_AGAIN, client.resolve(reference))
                .await
                .unwrap_or_else(|_| Err(RegistryError::lost(reference, "it took too long"))),
        };
        match (asked, known) {
            (Ok(resolved), _) => {
                self.cache.remember(reference, &resolved);
                Ok(resolved)
            }
            (Err(error), Some(known)) if error.may_pass() => {
                tracing::warn!(
                    image = %reference, %error, digest = %known.manifest,
                    "the registry can't be asked: what the tag meant the last time is taken"
                );
                Ok(known)
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn client(&self, reference: &Reference) -> Result<&Client, RegistryError> {
        let made = self.client.get_or_try_init(|| async {
            let settings = self.settings.clone();
            tokio::task::spawn_blocking(move || Client::new(settings))
                .await
                .unwrap_or_else(|error| Err(RegistryError::lost(reference, error)))
        });
        made.await
    }

    /// Makes room, which may take removing files.
    async fn hold(&self, reference: &Reference, content: &Content) -> Result<Held, RegistryError> {
        let (cache, digest, size) = (self.cache.clone(), content.digest, content.size);
        let held = tokio::task::spawn_blocking(move || cache.hold(digest, size)).await;
        held.map_err(|error| RegistryError::lost(reference, error))?
            .map_err(|source| cache_error(reference, source))
    }

    /// Whether the content is there and still what it was.
    async fn is_good(
        &self,
        reference: &Reference,
        held: &Held,
        content: &Content,
    ) -> Result<bool, RegistryError> {
        if !held.is_there() {
            return Ok(false);
        }
        let failed = |source| RegistryError::File {
            reference: reference.to_string(),
            path: held.path().to_owned(),
            source,
        };
        if hash(held.path()).await.map_err(failed)? == content.digest {
            return Ok(true);
        }
        tracing::warn!(image = %reference, file = %held.path().display(), "it was changed in the cache: pulled again");
        held.discard()
            .map_err(|source| cache_error(reference, source))?;
        Ok(false)
    }

    /// What is locked while content is pulled.
    fn turn(&self, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&digest).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        turns.insert(digest, Arc::downgrade(&turn));
        turn
    }
}

impl Image {
    /// The file with its content.
    pub fn path(&self) -> &Path {
        self.held.path()
    }

    /// What its reference meant.
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// The reference that means exactly this, also when its tag means something else by now.
    pub fn exact(&self) -> String {
        self.reference
            .with_digest(self.resolved.manifest)
            .to_string()
    }

    /// Reads its content, which is verified once more.
    ///
    /// # Errors
    /// The file can't be read, or was changed.
    pub async fn read(&self) -> Result<Vec<u8>, RegistryError> {
        let read = tokio::fs::read(self.path()).await;
        let bytes = read.map_err(|source| RegistryError::File {
            reference: self.reference.to_string(),
            path: self.path().to_owned(),
            source,
        })?;
        let (bytes, found) = tokio::task::spawn_blocking(move || {
            let found = Digest::of(&bytes);
            (bytes, found)
        })
        .await
        .map_err(|error| RegistryError::lost(&self.reference, error))?;
        let expected = self.resolved.content.digest;
        if found == expected {
            return Ok(bytes);
        }
        Err(RegistryError::Mismatch {
            reference: self.reference.to_string(),
            what: "content",
            expected,
            found: found.to_string(),
        })
    }
}

fn cache_error(reference: &Reference, source: CacheError) -> RegistryError {
    RegistryError::Cache {
        reference: reference.to_string(),
        source,
    }
}

/// The digest of a file's content.
async fn hash(path: &Path) -> std::io::Result<Digest> {
    let mut file = tokio::fs::File::open(path).await?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece).await? {
            0 => return Ok(Digest::from_hasher(hasher)),
            count => hasher.update(piece.get(..count).unwrap_or_default()),
        }
    }
}
