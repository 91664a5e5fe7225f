//! The socket's file, and who may come in by it.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::unistd::geteuid;
use rand::Rng as _;
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

use super::{
    Admission, Shared, SocketError,
    frames::ReadError,
    link::{self, LinkError},
};

/// The longest path that a socket's address holds, here as on other systems.
const MAX_PATH_BYTES: usize = 100;

/// A socket's file; removed with this.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and number: another's file in its place is left alone.
    identity: (u64, u64),
}

impl SocketFile {
    /// Makes the file, for our own user only from its first moment on.
    pub(super) fn bind(path: &Path) -> Result<(Self, UnixListener), SocketError> {
        let failed = |error| SocketError::Bind {
            path: path.to_owned(),
            error,
        };
        make_way(path)?;
        // Made in a folder that is closed to others, and then put in its place.
        let folder = path.parent().unwrap_or(Path::new("."));
        let private = folder.join(format!(".{:08x}", rand::rng().random::<u32>()));
        let made = private.join("s");
        if path.as_os_str().len().max(made.as_os_str().len()) > MAX_PATH_BYTES {
            return Err(SocketError::PathTooLong {
                path: path.to_owned(),
            });
        }
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&private)
            .map_err(failed)?;
        let bound = bind_in(&made, path);
        // Nothing is in it any more, or nothing that could be used.
        _ = fs::remove_file(&made);
        _ = fs::remove_dir(&private);
        let (listener, identity) = bound.map_err(failed)?;
        let path = path.to_owned();
        Ok((Self { path, identity }, listener))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            _ = fs::remove_file(&self.path);
        }
    }
}

fn bind_in(made: &Path, path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let listener = UnixListener::bind(made)?;
    fs::set_permissions(made, fs::Permissions::from_mode(0o600))?;
    fs::rename(made, path)?;
    Ok((listener, identity(path)?))
}

/// Sees to it that nothing is lost by taking the path.
fn make_way(path: &Path) -> Result<(), SocketError> {
    let taken = |why| SocketError::Taken {
        path: path.to_owned(),
        why,
    };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(SocketError::Bind {
                path: path.to_owned(),
                error,
            });
        }
    };
    if !metadata.file_type().is_socket() {
        return Err(taken("it is no socket"));
    }
    // What a dead process left behind refuses.
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        _ => Err(taken("another process listens there")),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Takes connections until it is dropped, and them with it.
pub(super) async fn listen(
    listener: UnixListener,
    _file: SocketFile,
    shared: Arc<Shared>,
    admission: Arc<dyn Admission>,
) {
    let mut connections = JoinSet::new();
    loop {
        let socket = tokio::select! {
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                report(ended);
                continue;
            }
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the socket could not be taken");
                    tokio::time::sleep(shared.options.accept_pause).await;
                    continue;
                }
            },
        };
        let most = shared.options.max_connections;
        if connections.len() >= most {
            tracing::warn!(
                most,
                "a connection to the socket was closed: there are too many"
            );
            continue;
        }
        if !is_ours(&socket) {
            tracing::warn!("a connection to the socket by another user was closed");
            continue;
        }
        let (shared, admission) = (shared.clone(), admission.clone());
        connections.spawn(async move {
            match link::accept(socket, &shared, &*admission).await {
                Ok(()) | Err(LinkError::Read(ReadError::Closed | ReadError::Io(_))) => {
                    tracing::debug!("a connection to the socket ended");
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the socket was ended");
                }
            }
        });
    }
}

/// Whether the process on the other end runs as our own user.
fn is_ours(socket: &UnixStream) -> bool {
    socket
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == geteuid().as_raw())
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection to the socket ended with a panic");
    }
}
