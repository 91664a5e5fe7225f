//! Uploads that break off, and servers that do.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use anyhow::{Result, bail, ensure};
use futures::{StreamExt as _, stream};
use trellis_provider::rpc::CallError;
use trellis_tests::wait::until;

use crate::{
    large::content,
    stage::{BUCKET, Stage},
};

/// More than two parts.
const PARTS: usize = 20 << 20;

/// Until nothing of an upload is left beside the objects.
async fn until_only(stage: &Stage, expected: &[&str]) -> Result<()> {
    until("what was begun is taken back", || async {
        let files = stage.server.files(BUCKET)?;
        ensure!(files == expected, "{files:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn content_that_breaks_off_leaves_no_upload() -> Result<()> {
    let stage = Stage::begin(&[]).await?;
    let store = stage.store();
    store.write(BUCKET, "it", b"old").await?;
    let broken = CallError::Failed("the actor trapped".to_owned());
    let content = content(PARTS, Arc::default()).chain(stream::iter([Err(broken)]));
    let error = store.upload(BUCKET, "it", Box::pin(content)).await;
    ensure!(error.is_err());
    until_only(&stage, &["it"]).await?;
    ensure!(store.read(BUCKET, "it").await? == b"old");
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_upload_that_nobody_waits_for_leaves_nothing() -> Result<()> {
    let stage = Stage::begin(&[]).await?;
    let given = Arc::new(AtomicU64::new(0));
    // It never ends.
    let endless = content(PARTS, given.clone()).chain(stream::pending());
    let store = stage.store();
    let upload = store.upload(BUCKET, "it", Box::pin(endless));
    let begun = until("parts are on the server", || async {
        let files = stage.server.files(BUCKET)?;
        ensure!(
            !files.is_empty(),
            "{} bytes given",
            given.load(Ordering::Relaxed)
        );
        Ok(())
    });
    tokio::select! {
        ended = upload => bail!("it ended: {ended:?}"),
        begun = begun => begun?,
    }
    // The call is dropped here, and with it the content.
    until_only(&stage, &[]).await?;
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_link_s_bound_on_objects_holds_in_parts() -> Result<()> {
    let stage = Stage::begin(&[("max_object_bytes", "17000000")]).await?;
    let store = stage.store();
    let error = store.upload(BUCKET, "it", content(PARTS, Arc::default()));
    let error = error.await.unwrap_err().to_string();
    ensure!(error.contains("max_object_bytes"), "{error}");
    until_only(&stage, &[]).await?;
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_for_survives_the_server_s_crash() -> Result<()> {
    let mut stage = Stage::begin(&[]).await?;
    let mut written: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let (going, count) = (AtomicBool::new(true), AtomicU64::new(0));
    let (mut failed, mut after) = (0, 0);
    let Stage {
        host,
        running,
        server,
        ..
    } = &mut stage;
    let store = trellis_provider_testkit::blobstore::Store {
        host,
        source: "album",
        provider: "blobs",
    };
    let load = async {
        let mut number = 0_usize;
        while going.load(Ordering::Relaxed) {
            let names: Vec<String> = (0..8).map(|lane| format!("o{number}-{lane}")).collect();
            let writes = names.iter().map(|name| {
                let content = name.repeat(3000).into_bytes();
                async move { (name, store.write(BUCKET, name, &content).await, content) }
            });
            for (name, outcome, content) in futures::future::join_all(writes).await {
                match outcome {
                    Ok(()) => {
                        written.insert(name.clone(), content);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => failed += 1,
                }
            }
            number += 1;
        }
        Ok::<_, anyhow::Error>(())
    };
    let crash = async {
        until("there is something to lose", || async {
            let so_far = count.load(Ordering::Relaxed);
            ensure!(so_far >= 32, "{so_far} written");
            Ok(())
        })
        .await?;
        server.crash().await?;
        server.resume().await?;
        until("it is written to again", || async {
            store.write(BUCKET, "again", b"again").await
        })
        .await?;
        after += 1;
        going.store(false, Ordering::Relaxed);
        Ok::<_, anyhow::Error>(())
    };
    tokio::try_join!(load, crash)?;
    ensure!(
        after == 1 && written.len() > 8,
        "{} written, {failed} not",
        written.len()
    );
    for (name, content) in &written {
        ensure!(store.read(BUCKET, name).await? == *content, "{name}");
    }
    println!("{} written, {failed} not", written.len());
    host.until_healthy("blobs", true).await?;
    let _ = running;
    stage.running.stop().await?;
    Ok(())
}
