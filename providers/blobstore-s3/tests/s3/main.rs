//! The provider on a real S3 server, over a real NATS server.

mod broken;
mod confined;
mod large;
mod refused;
mod stage;
mod tls;

use anyhow::{Result, ensure};
use trellis_provider_testkit::blobstore::{
    a_broken_upload_changes_nothing, containers_work, objects_are_copied_and_moved,
    objects_are_kept, objects_are_listed,
};

use stage::Stage;

#[tokio::test]
async fn it_is_a_store_of_blobs_in_buckets() -> Result<()> {
    // A bucket has at least three characters.
    let containers = "photos,things,from,to=acme-to,many,safe";
    let stage = Stage::begin(&[("containers", containers)]).await?;
    containers_work(stage.store()).await?;
    objects_are_kept(stage.store()).await?;
    objects_are_copied_and_moved(stage.store()).await?;
    objects_are_listed(stage.store()).await?;
    a_broken_upload_changes_nothing(stage.store()).await?;
    ensure!(stage.server.files("safe")? == ["it"]);
    stage.host.until_healthy("blobs", true).await?;
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn it_is_a_store_of_blobs_in_folders_of_a_bucket() -> Result<()> {
    let stage = Stage::begin(&[("bucket", "acme"), ("prefix", "teams/blue")]).await?;
    containers_work(stage.store()).await?;
    objects_are_kept(stage.store()).await?;
    objects_are_copied_and_moved(stage.store()).await?;
    objects_are_listed(stage.store()).await?;
    a_broken_upload_changes_nothing(stage.store()).await?;
    let files = stage.server.files("acme")?;
    ensure!(
        files.iter().all(|file| file.starts_with("teams/blue/")),
        "{files:?}"
    );
    stage.host.until_healthy("blobs", true).await?;
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn odd_names_are_names() -> Result<()> {
    let stage = Stage::begin(&[("bucket", "acme")]).await?;
    let store = stage.store();
    store.create("odd ü+%").await?;
    let names = [
        "..a/b..",
        "a b",
        "a+b",
        "a%20b",
        "a&b=c?d#e",
        "deep/er/ü.txt",
        "quote'\"<>&amp;",
        "tilde~(1)!*",
        "日本語",
    ];
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    for name in names {
        store.write("odd ü+%", name, name.as_bytes()).await?;
    }
    for name in names {
        let read = store.read("odd ü+%", name).await?;
        ensure!(read == name.as_bytes(), "{name:?}: {read:?}");
        stage.copy(("odd ü+%", name), ("odd ü+%", "copy")).await?;
        let copied = store.read("odd ü+%", "copy").await?;
        ensure!(copied == name.as_bytes(), "{name:?}: {copied:?}");
    }
    stage.delete_all("odd ü+%", &["copy", "never"]).await?;
    ensure!(store.list("odd ü+%", None, None).await? == sorted);
    stage.delete_all("odd ü+%", &names).await?;
    ensure!(store.list("odd ü+%", None, None).await?.is_empty());
    for name in ["..", "../x", "a/../../x", "."] {
        let error = store.write("odd ü+%", name, b"x").await.unwrap_err();
        ensure!(error.to_string().contains("`..`"), "{name}: {error}");
    }
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn more_than_a_page_of_names_is_listed_and_cleared() -> Result<()> {
    let stage = Stage::begin(&[("bucket", "acme")]).await?;
    let store = stage.store();
    store.create("many").await?;
    // Beside the server: that takes less time, and it lists what is there.
    let folder = stage.server.data().join("acme/many");
    let mut names: Vec<String> = (0..2345).map(|number| format!("n{number:05}")).collect();
    for name in &names {
        std::fs::write(folder.join(name), b"")?;
    }
    let stage = stage.restarted().await?;
    let store = stage.store();
    let all = store.list("many", None, None).await?;
    ensure!(all == names, "{} of {}", all.len(), names.len());
    let some = store.list("many", Some(990), Some(1020)).await?;
    ensure!(some == names[990..2010], "{}", some.len());
    ensure!(store.list("many", Some(2345), None).await?.is_empty());
    stage.clear("many").await?;
    ensure!(store.list("many", None, None).await?.is_empty());
    names.truncate(1);
    store.write("many", &names[0], b"x").await?;
    ensure!(store.list("many", None, None).await? == names);
    stage.running.stop().await?;
    Ok(())
}
