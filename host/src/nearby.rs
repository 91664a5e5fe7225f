//! Calls between this host and the providers that it started, without NATS: one socket, and a token for each of them.

use std::{io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use dashmap::DashMap;
use data_encoding::HEXLOWER;
use rand::Rng as _;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use trellis_lattice::{ComponentId, provider::LocalSocket};
use trellis_rpc::{
    CallCounts, Handler, Route, ServeOptions,
    socket::{Admission, Serving, SocketError, SocketOptions, SocketRpc},
};

/// The socket's file in its folder.
const FILE: &str = "calls.sock";
/// How long a token is: it can't be guessed, and none is made twice.
const TOKEN_BYTES: usize = 32;

/// The host's socket. Without one, if none could be made, calls go the other ways.
#[derive(Debug, Default)]
pub(crate) struct Nearby {
    socket: Option<Socket>,
    tokens: Arc<Tokens>,
}

#[derive(Debug)]
struct Socket {
    rpc: SocketRpc,
    at: std::path::PathBuf,
    /// Where the host's own folder can't hold it: removed with it.
    _folder: Option<TempDir>,
}

/// The tokens of the providers that run, by their hashes: what the time of a look-up tells is of no use to a guesser.
#[derive(Debug, Default)]
struct Tokens {
    holders: DashMap<[u8; 32], ComponentId>,
}

/// A provider's right to connect, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Ticket {
    tokens: Arc<Tokens>,
    token: String,
}

impl Nearby {
    /// Listens in the host's folder, or in a new one where that is taken or its path too long for a socket.
    pub(crate) fn listen(folder: &Path) -> Self {
        let tokens = Arc::new(Tokens::default());
        let socket = match listen(folder, &tokens) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, "calls to and from this host's providers go over NATS, which is slower");
                None
            }
        };
        Self { socket, tokens }
    }

    /// Lets a run of a provider connect: what it is told, and its right to.
    pub(crate) fn admit(&self, provider: &ComponentId) -> Option<(LocalSocket, Ticket)> {
        let socket = self.socket.as_ref()?;
        let token = HEXLOWER.encode(&rand::rng().random::<[u8; TOKEN_BYTES]>());
        self.tokens.holders.insert(hash(&token), provider.clone());
        let told = LocalSocket {
            path: socket.at.clone(),
            token: token.clone(),
        };
        let tokens = self.tokens.clone();
        Some((told, Ticket { tokens, token }))
    }

    /// The way to a target: over the socket while a provider beside this host serves it, else `otherwise`.
    pub(crate) fn route(
        &self,
        target: &ComponentId,
        otherwise: Arc<dyn Route>,
        counts: Option<&Arc<CallCounts>>,
    ) -> Arc<dyn Route> {
        match &self.socket {
            Some(socket) => socket.rpc.route_counted(target, otherwise, counts.cloned()),
            None => otherwise,
        }
    }

    /// Serves a component to the providers beside this host.
    pub(crate) fn serve(
        &self,
        id: &ComponentId,
        handler: Arc<dyn Handler>,
        options: ServeOptions,
    ) -> Option<Serving> {
        let socket = self.socket.as_ref()?;
        Some(socket.rpc.serve(id, handler, options))
    }
}

fn listen(folder: &Path, tokens: &Arc<Tokens>) -> Result<Socket, SocketError> {
    let at = folder.join(FILE);
    let options = SocketOptions::default;
    match SocketRpc::listen(&at, tokens.clone(), options()) {
        Ok(rpc) => Ok(Socket {
            rpc,
            at,
            _folder: None,
        }),
        Err(SocketError::Taken { .. } | SocketError::PathTooLong { .. }) => {
            let folder = private_folder().map_err(|error| SocketError::Bind {
                path: std::env::temp_dir(),
                error,
            })?;
            let at = folder.path().join(FILE);
            let rpc = SocketRpc::listen(&at, tokens.clone(), options())?;
            Ok(Socket {
                rpc,
                at,
                _folder: Some(folder),
            })
        }
        Err(error) => Err(error),
    }
}

/// A new folder that only this user may look into.
fn private_folder() -> io::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("trellis-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir()
}

impl Admission for Tokens {
    fn admit(&self, token: &str) -> Option<ComponentId> {
        self.holders.get(&hash(token)).map(|holder| holder.clone())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tokens.holders.remove(&hash(&self.token));
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_good_for_its_provider_while_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let nearby = Nearby::listen(folder.path());
        let (kv, http) = (
            ComponentId::new("kv").unwrap(),
            ComponentId::new("http").unwrap(),
        );
        let (first, ticket) = nearby.admit(&kv).unwrap();
        let (second, _ticket) = nearby.admit(&http).unwrap();
        assert_ne!(first.token, second.token);
        assert_eq!(nearby.tokens.admit(&first.token), Some(kv));
        assert_eq!(nearby.tokens.admit(&second.token), Some(http));
        assert_eq!(nearby.tokens.admit("a guess"), None);
        drop(ticket);
        assert_eq!(nearby.tokens.admit(&first.token), None);
    }

    #[tokio::test]
    async fn a_folder_that_is_taken_or_too_deep_is_no_hindrance() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let hosts = [
            Nearby::listen(folder.path()),
            Nearby::listen(folder.path()),
            Nearby::listen(&deep),
        ];
        let paths: std::collections::HashSet<_> = hosts
            .iter()
            .map(|host| host.socket.as_ref().unwrap().at.clone())
            .collect();
        assert_eq!(paths.len(), 3, "{paths:?}");
    }
}
