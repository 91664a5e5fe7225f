//! The file that has what runs.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use trellis_lattice::{
    HostId, LatticeName,
    control::{component::ScaleComponent, provider::StartProvider},
    from_json,
};

/// The file's name, in the host's data folder.
const FILE: &str = "runs.json";
/// The largest file that is read or written.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What a host runs, as requests that start it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Runs {
    /// The host that ran it.
    pub(super) host_id: HostId,
    /// Its lattice.
    pub(super) lattice: LatticeName,
    /// Components.
    pub(super) components: Vec<ScaleComponent>,
    /// Providers.
    pub(super) providers: Vec<StartProvider>,
}

impl Runs {
    pub(super) fn is_empty(&self) -> bool {
        self.components.is_empty() && self.providers.is_empty()
    }
}

/// Writes down what runs. A host without a key of its own has none: nothing is written.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    file: Option<Arc<LedgerFile>>,
    changed: Notify,
}

#[derive(Debug)]
struct LedgerFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the file has.
    written: Option<Vec<u8>>,
    /// The host leaves: nothing is written any more.
    closed: bool,
}

impl Ledger {
    /// The ledger in that folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let file = LedgerFile {
            path: folder.join(FILE),
            state: Mutex::default(),
        };
        Self {
            file: Some(Arc::new(file)),
            changed: Notify::new(),
        }
    }

    /// Something was started, stopped or changed.
    pub(crate) fn note(&self) {
        self.changed.notify_one();
    }

    /// Waits for a change since the last one that was waited for.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What that host ran in that lattice when it was killed, if it was.
    pub(super) async fn read(&self, host: &HostId, lattice: &LatticeName) -> Option<Runs> {
        let file = self.file.clone()?;
        let read = tokio::task::spawn_blocking(move || file.read()).await;
        let runs = match read {
            Ok(Ok(runs)) => runs?,
            Ok(Err(error)) => {
                tracing::warn!(%error, "what ran here before can't be read; it is not started again");
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, "what ran here before was not read");
                return None;
            }
        };
        (&runs.host_id == host && &runs.lattice == lattice).then_some(runs)
    }

    /// Writes what runs now.
    pub(super) async fn write(&self, runs: Runs) {
        let Some(file) = self.file.clone() else {
            return;
        };
        let written = tokio::task::spawn_blocking(move || file.write(&runs)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(io::Error::other(error).into())) {
            tracing::warn!(%error, "what runs here is not written down; a host that is killed won't come back with it");
        }
    }

    /// Forgets it all: the host leaves in order.
    pub(crate) async fn close(&self) {
        let Some(file) = self.file.clone() else {
            return;
        };
        let closed = tokio::task::spawn_blocking(move || file.close()).await;
        if let Err(error) = closed.unwrap_or_else(|error| Err(io::Error::other(error).into())) {
            tracing::warn!(%error, "what ran here is not forgotten; the host may start it when it comes back");
        }
    }
}

/// The file can't be read or written.
#[derive(Debug, thiserror::Error)]
enum LedgerError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Content {
        path: PathBuf,
        source: trellis_lattice::DecodeError,
    },
    #[error("it has more than the {MAX_BYTES} bytes allowed")]
    TooLarge,
    #[error(transparent)]
    Other(#[from] io::Error),
}

impl LedgerFile {
    fn read(&self) -> Result<Option<Runs>, LedgerError> {
        let mut content = Vec::new();
        let read = fs::File::open(&self.path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut content));
        match read {
            Ok(_) if content.len() as u64 > MAX_BYTES => Err(LedgerError::TooLarge),
            Ok(_) => from_json("runs", &content)
                .map(Some)
                .map_err(|source| LedgerError::Content {
                    path: self.path.clone(),
                    source,
                }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn write(&self, runs: &Runs) -> Result<(), LedgerError> {
        let content = serde_json::to_vec(runs).map_err(io::Error::from)?;
        if content.len() as u64 > MAX_BYTES {
            return Err(LedgerError::TooLarge);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed || state.written.as_ref() == Some(&content) {
            return Ok(());
        }
        self.replace(&content).map_err(|error| self.failed(error))?;
        state.written = Some(content);
        Ok(())
    }

    /// Whoever reads finds the old content or the new one, whole.
    fn replace(&self, content: &[u8]) -> io::Result<()> {
        let new = self.path.with_extension("json.new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(new, &self.path)
    }

    fn close(&self) -> Result<(), LedgerError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed(error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, source: io::Error) -> LedgerError {
        LedgerError::File {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn runs(host: &str) -> Runs {
        Runs {
            host_id: HostId::new(host).unwrap(),
            lattice: LatticeName::default(),
            components: Vec::new(),
            providers: vec![StartProvider {
                provider_id: trellis_lattice::ComponentId::new("kv").unwrap(),
                provider_ref: "builtin:keyvalue-nats".into(),
                host_id: HostId::new(host).unwrap(),
                config: vec!["c".into()],
                annotations: None,
            }],
        }
    }

    const HOST: &str = "NBQI4KQWCYBPJA3DHESESOKOU4GP6DOXYXHZ5BA6DQ3QPNXGIKVJVZCB";

    #[tokio::test]
    async fn it_is_there_until_the_host_leaves_and_nothing_is_written_after() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::in_folder(folder.path());
        let (host, lattice) = (HostId::new(HOST).unwrap(), LatticeName::default());
        assert_eq!(ledger.read(&host, &lattice).await, None);
        ledger.write(runs(HOST)).await;
        let mode = fs::metadata(folder.path().join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Ledger::in_folder(folder.path());
        assert_eq!(again.read(&host, &lattice).await, Some(runs(HOST)));
        ledger.close().await;
        ledger.write(runs(HOST)).await;
        assert_eq!(again.read(&host, &lattice).await, None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_another_host_ran_or_cannot_be_read_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::in_folder(folder.path());
        let lattice = LatticeName::default();
        ledger.write(runs(HOST)).await;
        let other =
            HostId::new("NDWZOTDVHNKDSHGOICV5IZBSZ4TMR24OZCJ7PVXR3ERZNXV7FM5CAGNE").unwrap();
        assert_eq!(ledger.read(&other, &lattice).await, None);
        let elsewhere = LatticeName::new("other").unwrap();
        let host = HostId::new(HOST).unwrap();
        assert_eq!(ledger.read(&host, &elsewhere).await, None);
        fs::write(folder.path().join(FILE), b"{\"host_id\":").unwrap();
        assert_eq!(ledger.read(&host, &lattice).await, None);
    }
}
