//! The folder behind a link.
//!
//! It is opened for each request: one that is mounted later, or mounted again, is found. An object is written to a file of
//! its own and takes the old one's place when it is whole and on the disk.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, OpenOptions},
};
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;
use trellis_provider::{
    blobstore::{Blobstore, ContainerMetadata, Content, Names, ObjectId, ObjectMetadata, Words},
    rpc::{ByteStream, CallContext, CallError},
};

use crate::{config::Settings, listing, names};

/// How much is read from a file at once.
const READ_BYTES: usize = 256 << 10;

/// A folder with containers.
pub struct Folder {
    settings: Settings,
    shown: String,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Folder").field(&self.shown).finish()
    }
}

impl Folder {
    /// Nothing is opened yet.
    pub fn new(settings: Settings) -> Self {
        let shown = settings.root.display().to_string();
        Self { settings, shown }
    }

    /// The folder's path.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether it is there.
    ///
    /// # Errors
    /// Why it can't be opened.
    pub async fn check(&self) -> Result<(), String> {
        let shown = self.shown.clone();
        self.on_disk(move |_| Ok(()))
            .await
            .map_err(|error| format!("folder {shown}: {error}"))
    }

    /// Does something with the root, where it may wait for the disk.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(Dir) -> Result<T, Words> + Send + 'static,
    ) -> Result<T, Words> {
        let root = self.settings.root.clone();
        let done = tokio::task::spawn_blocking(move || {
            let root = Dir::open_ambient_dir(&root, ambient_authority());
            work(root.map_err(|error| {
                format!("the store's folder can't be opened: {}", plain(&error))
            })?)
        });
        match done.await {
            Ok(result) => result,
            Err(_) => Err("the store's work was broken off".into()),
        }
    }

    fn may_change(&self) -> Result<(), Words> {
        match self.settings.read_only {
            true => Err("this store may only be read: its link says `read_only`".into()),
            false => Ok(()),
        }
    }

    /// Opens a new file for what is being written, and takes it away again unless it was put in place.
    async fn begin(&self) -> Result<Draft, Words> {
        let name = PathBuf::from(format!("{}{:032x}", names::OWN, rand::random::<u128>()));
        let (root, file, name) = self
            .on_disk(move |root| {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true);
                let file = root.open_with(&name, &options);
                let file = file.map_err(|error| format!("can't write: {}", plain(&error)))?;
                Ok((root, file.into_std(), name))
            })
            .await?;
        let draft = Arc::new(DraftFile { root, name });
        Ok(Draft {
            file: tokio::fs::File::from_std(file),
            draft,
        })
    }

    async fn fill(&self, draft: &mut Draft, mut content: ByteStream) -> Result<(), Words> {
        let failed = |error: io::Error| format!("can't write: {}", plain(&error));
        let mut written: u64 = 0;
        while let Some(chunk) = content.next().await {
            let chunk = chunk.map_err(|error| format!("the content broke off: {error}"))?;
            written = written.saturating_add(chunk.len() as u64);
            if written > self.settings.max_object_bytes {
                let most = self.settings.max_object_bytes;
                return Err(format!(
                    "the object has more than {most} bytes, which the link's `max_object_bytes` allows"
                ));
            }
            draft.file.write_all(&chunk).await.map_err(failed)?;
        }
        draft.file.flush().await.map_err(failed)?;
        draft.file.sync_all().await.map_err(failed)
    }
}

/// An object as it is being written.
struct Draft {
    file: tokio::fs::File,
    draft: Arc<DraftFile>,
}

struct DraftFile {
    root: Dir,
    name: PathBuf,
}

impl Drop for DraftFile {
    fn drop(&mut self) {
        // It is gone when it was put in place.
        let _ = self.root.remove_file(&self.name);
    }
}

impl Blobstore for Folder {
    async fn create_container(&self, _: &CallContext, name: &str) -> Result<(), Words> {
        self.may_change()?;
        let (folder, name) = (names::container(name)?.to_owned(), name.to_owned());
        self.on_disk(move |root| match root.create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && root.is_dir(&folder) => {
                Ok(())
            }
            made => made.map_err(|error| of_container(&name, &error)),
        })
        .await
    }

    async fn container_exists(&self, _: &CallContext, name: &str) -> Result<bool, Words> {
        let folder = names::container(name)?.to_owned();
        self.on_disk(move |root| Ok(root.is_dir(folder))).await
    }

    async fn container_info(
        &self,
        _: &CallContext,
        name: &str,
    ) -> Result<ContainerMetadata, Words> {
        let (folder, name) = (names::container(name)?.to_owned(), name.to_owned());
        self.on_disk(move |root| {
            let dir = root.open_dir(folder);
            let known = dir.and_then(|dir| dir.dir_metadata());
            let known = known.map_err(|error| of_container(&name, &error))?;
            let created_at = known.created().or_else(|_| known.modified());
            let created_at = created_at.map_or(0, |time| seconds(time.into_std()));
            Ok(ContainerMetadata { created_at })
        })
        .await
    }

    async fn delete_container(&self, _: &CallContext, name: &str) -> Result<(), Words> {
        self.may_change()?;
        let (folder, name) = (names::container(name)?.to_owned(), name.to_owned());
        self.on_disk(move |root| {
            absent_is_fine(root.remove_dir_all(folder)).map_err(|error| of_container(&name, &error))
        })
        .await
    }

    async fn clear_container(&self, _: &CallContext, name: &str) -> Result<(), Words> {
        self.may_change()?;
        let (folder, name) = (names::container(name)?.to_owned(), name.to_owned());
        self.on_disk(move |root| {
            let clear = || -> io::Result<()> {
                let dir = root.open_dir(&folder)?;
                for entry in dir.entries()? {
                    let entry = entry?;
                    match entry.file_type()?.is_dir() {
                        true => absent_is_fine(dir.remove_dir_all(entry.file_name()))?,
                        false => absent_is_fine(dir.remove_file(entry.file_name()))?,
                    }
                }
                Ok(())
            };
            clear().map_err(|error| of_container(&name, &error))
        })
        .await
    }

    async fn list(
        &self,
        _: &CallContext,
        container: &str,
        offset: u64,
        limit: Option<u64>,
    ) -> Result<Names, Words> {
        let (folder, name) = (
            names::container(container)?.to_owned(),
            container.to_owned(),
        );
        let dir = self
            .on_disk(move |root| {
                root.open_dir(folder)
                    .map_err(|error| of_container(&name, &error))
            })
            .await?;
        Ok(listing::names(dir, offset, limit))
    }

    async fn read(
        &self,
        _: &CallContext,
        id: &ObjectId,
        start: u64,
        end: u64,
    ) -> Result<Content, Words> {
        if end < start {
            return Err(format!(
                "the range from {start} to {end} ends before it begins"
            ));
        }
        let (path, shown) = located(id)?;
        let file = self
            .on_disk(move |root| {
                let file = root.open(path).map_err(|error| of_object(&shown, &error))?;
                match file.metadata() {
                    Ok(known) if known.is_file() => Ok(file.into_std()),
                    Ok(_) => Err(absent(&shown)),
                    Err(error) => Err(of_object(&shown, &error)),
                }
            })
            .await?;
        let mut file = tokio::fs::File::from_std(file);
        if start > 0 {
            let sought = file.seek(io::SeekFrom::Start(start)).await;
            sought.map_err(|error| of_object(id, &error))?;
        }
        let part = file.take((end - start).saturating_add(1));
        let chunks = ReaderStream::with_capacity(part, READ_BYTES);
        Ok(Content(Box::pin(chunks.map(|chunk| {
            chunk.map_err(|error| CallError::Failed(format!("can't read: {}", plain(&error))))
        }))))
    }

    async fn write(
        &self,
        _: &CallContext,
        id: &ObjectId,
        content: ByteStream,
    ) -> Result<(), Words> {
        self.may_change()?;
        let (path, shown) = located(id)?;
        let container = names::container(&id.container)?.to_owned();
        let is_there = self.on_disk(move |root| Ok(root.is_dir(container)));
        if !is_there.await? {
            return Err(format!("there is no container {:?}", id.container));
        }
        let mut draft = self.begin().await?;
        self.fill(&mut draft, content).await?;
        let draft = draft.draft;
        self.on_disk(move |root| {
            put(&root, &draft.name, &path).map_err(|error| of_object(&shown, &error))
        })
        .await
    }

    async fn object_info(&self, _: &CallContext, id: &ObjectId) -> Result<ObjectMetadata, Words> {
        let (path, shown) = located(id)?;
        self.on_disk(move |root| match root.metadata(path) {
            Ok(known) if known.is_file() => Ok(ObjectMetadata {
                created_at: written_at(&known),
                size: known.len(),
            }),
            Ok(_) => Err(absent(&shown)),
            Err(error) => Err(of_object(&shown, &error)),
        })
        .await
    }

    async fn has_object(&self, _: &CallContext, id: &ObjectId) -> Result<bool, Words> {
        let (path, _) = located(id)?;
        self.on_disk(move |root| Ok(root.is_file(path))).await
    }

    async fn delete_object(&self, _: &CallContext, id: &ObjectId) -> Result<(), Words> {
        self.may_change()?;
        let (path, shown) = located(id)?;
        self.on_disk(move |root| delete(&root, &path).map_err(|error| of_object(&shown, &error)))
            .await
    }

    async fn delete_objects(
        &self,
        _: &CallContext,
        container: &str,
        objects: &[String],
    ) -> Result<(), Words> {
        self.may_change()?;
        let ids = objects.iter().map(|object| ObjectId {
            container: container.to_owned(),
            object: object.clone(),
        });
        // All names first: a wrong one deletes nothing.
        let located: Vec<_> = ids.map(|id| located(&id)).collect::<Result<_, _>>()?;
        self.on_disk(move |root| {
            for (path, shown) in located {
                delete(&root, &path).map_err(|error| of_object(&shown, &error))?;
            }
            Ok(())
        })
        .await
    }

    async fn copy(&self, by: &CallContext, src: &ObjectId, dest: &ObjectId) -> Result<(), Words> {
        self.may_change()?;
        let Content(content) = self.read(by, src, 0, u64::MAX).await?;
        self.write(by, dest, content).await
    }

    async fn rename(&self, _: &CallContext, src: &ObjectId, dest: &ObjectId) -> Result<(), Words> {
        self.may_change()?;
        let ((from, shown), (to, _)) = (located(src)?, located(dest)?);
        let (container, name) = (names::container(&dest.container)?.to_owned(), dest.clone());
        self.on_disk(move |root| {
            if !root.is_file(&from) {
                return Err(absent(&shown));
            }
            if !root.is_dir(container) {
                return Err(format!("there is no container {:?}", name.container));
            }
            put(&root, &from, &to).map_err(|error| of_object(&name, &error))?;
            tidy(&root, &from);
            Ok(())
        })
        .await
    }
}

/// An object's file in the root, and its name for messages.
fn located(id: &ObjectId) -> Result<(PathBuf, ObjectId), Words> {
    let path = names::container(&id.container)?.join(names::object(&id.object)?);
    Ok((path, id.clone()))
}

/// Puts a file in another's place, with the folders on the way.
fn put(root: &Dir, from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().unwrap_or(Path::new(""));
    for _ in 0..3 {
        if !folder.as_os_str().is_empty() {
            root.create_dir_all(folder)?;
        }
        match root.rename(from, root, to) {
            // Who deletes takes empty folders with it: this one was, a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound && root.is_file(from) => {}
            done => return done,
        }
    }
    root.rename(from, root, to)
}

fn delete(root: &Dir, path: &Path) -> io::Result<()> {
    absent_is_fine(root.remove_file(path))?;
    tidy(root, path);
    Ok(())
}

/// Takes away the folders that held nothing but this file, up to the container's.
fn tidy(root: &Dir, path: &Path) {
    let folders = path.ancestors().skip(1);
    // The last two are the container and the root.
    let inside = folders.filter(|folder| folder.components().count() > 1);
    for folder in inside {
        if root.remove_dir(folder).is_err() {
            return;
        }
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// When a file was written, in seconds since 1970.
fn written_at(known: &Metadata) -> u64 {
    known.modified().map_or(0, |time| seconds(time.into_std()))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn absent(ObjectId { container, object }: &ObjectId) -> Words {
    format!("there is no object {object:?} in container {container:?}")
}

fn of_object(id: &ObjectId, error: &io::Error) -> Words {
    match error.kind() {
        io::ErrorKind::NotFound => absent(id),
        io::ErrorKind::NotADirectory => format!(
            "object {:?} in container {:?}: a part of its name before a slash is an object itself",
            id.object, id.container
        ),
        io::ErrorKind::IsADirectory | io::ErrorKind::DirectoryNotEmpty => format!(
            "object {:?} in container {:?}: there are objects whose names begin with it and a slash",
            id.object, id.container
        ),
        _ => format!(
            "object {:?} in container {:?}: {}",
            id.object,
            id.container,
            plain(error)
        ),
    }
}

fn of_container(name: &str, error: &io::Error) -> Words {
    match error.kind() {
        io::ErrorKind::NotFound => format!("there is no container {name:?}"),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            format!("container {name:?}: a file of that name is in its place")
        }
        _ => format!("container {name:?}: {}", plain(error)),
    }
}

/// What went wrong, without paths of this machine: components are to see none.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "not allowed".into(),
        io::ErrorKind::StorageFull => "the disk is full".into(),
        io::ErrorKind::NotFound => "not found".into(),
        kind => kind.to_string(),
    }
}
