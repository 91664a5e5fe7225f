//! What is asked of a store of blobs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::{Result, anyhow, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use trellis_rpc::{
    Operation, Outgoing,
    codec::to_bytes,
    interface::blobstore::{
        BLOBSTORE, Content, CreateContainer, GET_CONTAINER_DATA, ObjectId, Outcome, RangeParams,
        Upload, WRITE_CONTAINER_DATA,
    },
};
use trellis_tests::wait::until;

use super::{MANY, host::Provider};

/// How large objects are.
pub const BYTES: usize = 1 << 20;
/// A host gives a provider what an actor writes in pieces of this size.
const PIECE: usize = 64 << 10;
/// The container, or bucket.
pub const CONTAINER: &str = "objects";

/// An object of that size.
pub fn content() -> Bytes {
    (0..BYTES).map(|at| (at % 251) as u8).collect()
}

/// Names that come again, so that a disk does not fill up; at no time do two calls have the same.
#[derive(Clone, Default)]
pub struct Names(Arc<AtomicU64>);

impl Names {
    /// The next one.
    pub fn next(&self) -> String {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        format!("o{}", number % (4 * MANY as u64))
    }
}

/// A store behind a provider.
#[derive(Clone)]
pub struct Store {
    provider: Provider,
    content: Bytes,
    names: Names,
}

impl Store {
    /// With its container, and one object in it.
    ///
    /// # Errors
    /// It doesn't come.
    pub async fn ready(provider: Provider) -> Result<Self> {
        let store = Self {
            provider,
            content: content(),
            names: Names::default(),
        };
        until("the container is there", || async {
            let params = CONTAINER.to_owned();
            let made = store.provider.invoke::<CreateContainer>(&params).await?;
            made.map_err(|why| anyhow!(why))
        })
        .await?;
        store.write("kept").await?;
        Ok(store)
    }

    /// Writes an object.
    ///
    /// # Errors
    /// The call's own, or the store's.
    pub async fn put(self) -> Result<()> {
        let name = self.names.next();
        self.write(&name).await
    }

    /// Reads an object.
    ///
    /// # Errors
    /// The call's own, the store's, or it is not what was written.
    pub async fn get(self) -> Result<()> {
        let params = RangeParams {
            id: id("kept"),
            start: 0,
            end: u64::MAX,
        };
        let operation = Operation::new(BLOBSTORE, GET_CONTAINER_DATA);
        let params = Outgoing::unary(to_bytes(&params));
        let answer = self.provider.call(operation, params).await?;
        let Content(mut content) = Content::from_result(answer)?.map_err(|why| anyhow!(why))?;
        let mut read = 0;
        while let Some(piece) = content.next().await {
            read += piece?.len();
        }
        ensure!(read == BYTES, "{read} bytes");
        Ok(())
    }

    async fn write(&self, name: &str) -> Result<()> {
        let pieces: Vec<_> = (0..BYTES / PIECE)
            .map(|at| Ok(self.content.slice(at * PIECE..(at + 1) * PIECE)))
            .collect();
        let upload = Upload {
            id: id(name),
            content: Box::pin(stream::iter(pieces)),
        };
        let operation = Operation::new(BLOBSTORE, WRITE_CONTAINER_DATA);
        let answer = self.provider.call(operation, upload.into_params()).await?;
        let Outcome(outcome) = Outcome::from_result(answer)?.map_err(|why| anyhow!(why))?;
        outcome.await?.map_err(|why| anyhow!(why))
    }
}

fn id(object: &str) -> ObjectId {
    ObjectId {
        container: CONTAINER.to_owned(),
        object: object.to_owned(),
    }
}
