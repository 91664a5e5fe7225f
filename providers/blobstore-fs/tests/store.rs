//! The provider on a real file system, over a real NATS server.

use std::{os::unix::fs::symlink, path::Path};

use anyhow::{Result, ensure};
use tempfile::TempDir;
use trellis_blobstore_fs::BlobstoreFs;
use trellis_provider_testkit::{
    Host, NatsServer, Running, Side,
    blobstore::{
        Store, a_broken_upload_changes_nothing, containers_work, objects_are_copied_and_moved,
        objects_are_kept, objects_are_listed,
    },
};

const INTERFACE: &str = "wasi:blobstore/blobstore";

/// A provider with a link to a folder.
struct Stage {
    host: Host,
    running: Running,
    folder: TempDir,
    _nats: NatsServer,
}

impl Stage {
    async fn begin(more: &[(&str, &str)]) -> Result<Self> {
        let nats = NatsServer::without_jetstream().await?;
        let host = Host::on(&nats).await?;
        let folder = TempDir::new()?;
        let root = folder.path().join("root");
        std::fs::create_dir(&root)?;
        let root = root.to_string_lossy();
        let config: Vec<_> = [("root", &*root)]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        let link = Side {
            source: "album",
            target: "blobs",
            interface: INTERFACE,
            config: &config,
        };
        let data = host.data("blobs", &[], vec![link.link()])?;
        let running = Running::start::<BlobstoreFs>(&host, data).await?;
        Ok(Self {
            host,
            running,
            folder,
            _nats: nats,
        })
    }

    fn store(&self) -> Store<'_> {
        Store {
            host: &self.host,
            source: "album",
            provider: "blobs",
        }
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("root")
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path.to_string_lossy().into_owned()),
        }
    }
    Ok(found)
}

#[tokio::test]
async fn it_is_a_store_of_blobs() -> Result<()> {
    let stage = Stage::begin(&[]).await?;
    containers_work(stage.store()).await?;
    objects_are_kept(stage.store()).await?;
    objects_are_copied_and_moved(stage.store()).await?;
    objects_are_listed(stage.store()).await?;
    a_broken_upload_changes_nothing(stage.store()).await?;
    // Nothing that was begun is left.
    let left = files(&stage.root())?;
    ensure!(
        !left.iter().any(|file| file.contains(".trellis-")),
        "{left:?}"
    );
    stage.host.until_healthy("blobs", true).await?;
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn objects_are_files_and_files_are_objects() -> Result<()> {
    let stage = Stage::begin(&[]).await?;
    let store = stage.store();
    store.create("site").await?;
    store.write("site", "css/main.css", b"body {}").await?;
    let file = stage.root().join("site/css/main.css");
    ensure!(std::fs::read(&file)? == b"body {}");
    std::fs::write(stage.root().join("site/index.html"), "<p>")?;
    ensure!(store.read("site", "index.html").await? == b"<p>");
    ensure!(store.list("site", None, None).await? == ["css/main.css", "index.html"]);
    // A folder that holds nothing any more goes with its last object.
    store
        .call::<trellis_provider::rpc::interface::blobstore::DeleteObject, _>(
            trellis_provider::blobstore::ObjectId {
                container: "site".into(),
                object: "css/main.css".into(),
            },
        )
        .await?;
    ensure!(!stage.root().join("site/css").exists() && stage.root().join("site").exists());
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn no_path_and_no_link_leads_out() -> Result<()> {
    let stage = Stage::begin(&[]).await?;
    let store = stage.store();
    let outside = stage.folder.path().join("outside");
    std::fs::create_dir(&outside)?;
    std::fs::write(outside.join("secret"), "hush")?;
    store.create("c").await?;
    let container = stage.root().join("c");
    symlink(&outside, container.join("out"))?;
    symlink(outside.join("secret"), container.join("secret"))?;
    symlink("../../outside", container.join("up"))?;
    symlink(&outside, stage.root().join("linked"))?;
    for (container, object) in [
        ("c", "out/secret"),
        ("c", "secret"),
        ("c", "up/secret"),
        ("linked", "secret"),
        ("c", "../../outside/secret"),
        ("..", "outside/secret"),
        ("c/../..", "outside/secret"),
    ] {
        let read = store.read(container, object).await;
        ensure!(read.is_err(), "{container} {object}: {read:?}");
        // It may be refused, or take the place of a link: never what the link leads to.
        let _ = store.write(container, object, b"changed").await;
        if container != "c" {
            let listed = store.list(container, None, None).await;
            ensure!(listed.is_err(), "{container}: {listed:?}");
        }
    }
    let listed = store.list("c", None, None).await?;
    ensure!(!listed.iter().any(|name| name.contains('/')), "{listed:?}");
    store
        .call::<trellis_provider::rpc::interface::blobstore::DeleteContainer, _>("c".to_owned())
        .await?;
    ensure!(std::fs::read(outside.join("secret"))? == b"hush");
    ensure!(std::fs::read_dir(&outside)?.count() == 1);
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_may_only_be_read_stays_as_it_is() -> Result<()> {
    let stage = Stage::begin(&[("read_only", "true")]).await?;
    std::fs::create_dir(stage.root().join("c"))?;
    std::fs::write(stage.root().join("c/o"), "as it is")?;
    let store = stage.store();
    ensure!(store.read("c", "o").await? == b"as it is");
    for refused in [store.write("c", "o", b"new").await, store.create("d").await] {
        let error = refused.unwrap_err().to_string();
        ensure!(error.contains("read_only"), "{error}");
    }
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_object_has_at_most_the_bytes_that_the_link_allows() -> Result<()> {
    let stage = Stage::begin(&[("max_object_bytes", "1000")]).await?;
    let store = stage.store();
    store.create("c").await?;
    store.write("c", "o", &[1; 1000]).await?;
    let error = store.write("c", "o", &[2; 1001]).await.unwrap_err();
    ensure!(error.to_string().contains("max_object_bytes"), "{error}");
    ensure!(store.read("c", "o").await? == [1; 1000]);
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_folder_that_comes_later_is_found() -> Result<()> {
    let stage = Stage::begin(&[]).await?;
    let store = stage.store();
    std::fs::remove_dir(stage.root())?;
    let message = stage.host.until_healthy("blobs", false).await?;
    ensure!(message.contains("root"), "{message}");
    ensure!(store.create("c").await.is_err());
    std::fs::create_dir(stage.root())?;
    store.create("c").await?;
    stage.host.until_healthy("blobs", true).await?;
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_link_without_a_folder_is_refused_by_name() -> Result<()> {
    let stage = Stage::begin(&[]).await?;
    for (config, word) in [(&[][..], "missing"), (&[("root", "blobs")][..], "absolute")] {
        let wrong = Side {
            source: "other",
            target: "blobs",
            interface: INTERFACE,
            config,
        };
        stage.host.put("blobs", &wrong.link()).await?;
        let message = stage.host.until_healthy("blobs", false).await?;
        ensure!(
            message.contains("root") && message.contains(word),
            "{message}"
        );
        stage.host.delete("blobs", &wrong.link()).await?;
        stage.host.until_healthy("blobs", true).await?;
    }
    stage.running.stop().await?;
    Ok(())
}
