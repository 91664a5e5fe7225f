//! Compiled actors on disk: used when this host wrote them, ignored otherwise.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use trellis_host::runtime::{Runtime, RuntimeConfig, RuntimeError};

use crate::kit::{Kit, get, guest};

fn config(folder: &Path) -> RuntimeConfig {
    RuntimeConfig {
        cache_dir: Some(folder.to_owned()),
        max_calls: 4,
        ..RuntimeConfig::default()
    }
}

/// Whether a new host on that folder finds the actor compiled. It answers in either case.
async fn found(folder: &Path, name: &str) -> bool {
    let kit = Kit::with(config(folder));
    let actor = kit.start(name).await;
    assert_eq!(get(&actor, "/ok").await.unwrap().status, 200);
    actor.module().is_from_cache()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "trellis-code")
        })
        .collect();
    entries.sort();
    entries
}

/// Puts another file in an entry's place, as only this user may open it.
fn replace(entry: &Path, bytes: &[u8]) {
    let other = entry.with_extension("other");
    fs::write(&other, bytes).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o400)).unwrap();
    fs::rename(&other, entry).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_second_host_finds_what_the_first_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("cache");
    assert!(!found(&folder, "http_hello").await);
    assert!(found(&folder, "http_hello").await);
    assert!(!found(&folder, "misbehave").await);
    let entries = entries(&folder);
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (mode(&folder), mode(&folder.join("key")), mode(&entries[0])),
        (0o700, 0o600, 0o400)
    );
}

#[tokio::test]
async fn what_was_changed_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("cache");
    found(&folder, "http_hello").await;
    let entry = entries(&folder).remove(0);
    let whole = fs::read(&entry).unwrap();
    let end = whole.len();
    for at in [0, 8, end / 2, end - 41, end - 40, end - 9, end - 8, end - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        replace(&entry, &changed);
        assert!(!found(&folder, "http_hello").await, "byte {at}");
        assert!(found(&folder, "http_hello").await, "byte {at} was mended");
    }
    for length in [0, 20, 40, whole.len() - 1] {
        replace(&entry, &whole[..length]);
        assert!(!found(&folder, "http_hello").await, "{length} bytes");
    }
}

#[tokio::test]
async fn an_entry_cannot_stand_in_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("cache");
    found(&folder, "http_hello").await;
    let hello = entries(&folder).remove(0);
    found(&folder, "misbehave").await;
    let misbehave = entries(&folder)
        .into_iter()
        .find(|entry| *entry != hello)
        .unwrap();
    replace(&hello, &fs::read(&misbehave).unwrap());
    assert!(!found(&folder, "http_hello").await);
}

#[tokio::test]
async fn entries_of_others_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("cache");
    found(&folder, "http_hello").await;
    let entry = entries(&folder).remove(0);

    fs::set_permissions(&entry, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!found(&folder, "http_hello").await, "others may read it");

    let elsewhere = folder.join("elsewhere");
    fs::rename(&entry, &elsewhere).unwrap();
    symlink(&elsewhere, &entry).unwrap();
    assert!(!found(&folder, "http_hello").await, "it is a link");

    assert!(found(&folder, "http_hello").await);
    fs::write(folder.join("key"), [7; 32]).unwrap();
    assert!(
        !found(&folder, "http_hello").await,
        "it was written under another key"
    );
    fs::set_permissions(folder.join("key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(
        !found(&folder, "http_hello").await,
        "others may have read the key"
    );
    assert_eq!(mode(&folder.join("key")), 0o600);
    assert!(found(&folder, "http_hello").await);
}

#[test]
fn a_folder_that_others_can_open_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let error = Runtime::new(config(folder.path())).unwrap_err();
    assert!(matches!(error, RuntimeError::Cache { .. }));
    assert!(error.to_string().contains("chmod 700"), "{error}");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(
        Runtime::new(config(&file)).unwrap_err(),
        RuntimeError::Cache { .. }
    ));
}

#[tokio::test]
async fn what_was_not_used_for_longest_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("cache");
    found(&folder, "http_hello").await;
    let hello = entries(&folder).remove(0);
    let hello_bytes = fs::metadata(&hello).unwrap().len();
    fs::File::open(&hello)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    let limited = RuntimeConfig {
        cache_bytes: hello_bytes + 1000,
        ..config(&folder)
    };
    let kit = Kit::with(limited);
    kit.runtime.load(guest("greeter")).await.unwrap();
    let left = entries(&folder);
    assert!(left.len() <= 1 && !left.contains(&hello), "{left:?}");
}
