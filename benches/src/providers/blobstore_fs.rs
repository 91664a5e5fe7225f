//! blobstore-fs, beside the same files written and read with tokio: as durably, under another name first.

use std::{path::Path, sync::Arc};

use anyhow::{Result, ensure};
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;

use super::{
    Stand, Work,
    blobs::{BYTES, CONTAINER, Names, Store, content},
    host::Host,
};

const CLIENT: &str = "tokio::fs";

pub async fn begin(host: &Host) -> Result<Stand> {
    let root = host.folder().join("blobs");
    std::fs::create_dir(&root)?;
    let shown = root.display().to_string();
    let provider = host.run("wasi:blobstore", &[("root", &shown)]).await?;
    let store = Store::ready(provider).await?;
    let folder: Arc<Path> = Arc::from(root.join(CONTAINER));
    let (content, names) = (content(), Names::default());
    let (read, kept) = (store.clone(), folder.join("kept"));
    Ok(Stand {
        works: vec![
            Work::new(
                "1 MiB put",
                move || store.clone().put(),
                CLIENT,
                move || put(folder.clone(), content.clone(), names.next()),
            ),
            Work::new(
                "1 MiB get",
                move || read.clone().get(),
                CLIENT,
                move || {
                    let kept = kept.clone();
                    async move {
                        let read = tokio::fs::read(kept).await?;
                        ensure!(read.len() == BYTES, "{} bytes", read.len());
                        Ok(())
                    }
                },
            ),
        ],
        _keep: Box::new(()),
    })
}

async fn put(folder: Arc<Path>, content: Bytes, name: String) -> Result<()> {
    let begun = folder.join(format!("native-{name}.begun"));
    let mut file = tokio::fs::File::create(&begun).await?;
    file.write_all(&content).await?;
    file.sync_all().await?;
    tokio::fs::rename(begun, folder.join(format!("native-{name}"))).await?;
    Ok(())
}
