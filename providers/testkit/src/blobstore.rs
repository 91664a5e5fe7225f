//! What every provider of blobs must do, whatever is behind it.

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use futures::{StreamExt as _, stream};
use trellis_provider::{
    contract::{ComponentId, LinkName},
    rpc::{
        ByteStream, Call, CallError, Incoming, Operation, Outgoing,
        codec::{collect, to_bytes},
        interface::{
            Function,
            blobstore::{
                BLOBSTORE, ClearContainer, ContainerExists, Content, CopyObject, CreateContainer,
                DeleteContainer, DeleteObject, DeleteObjects, FromTo, GET_CONTAINER_DATA,
                GetContainerInfo, GetObjectInfo, HasObject, LIST_CONTAINER_OBJECTS, ListParams,
                MoveObject, Names, ObjectId, ObjectsParams, Outcome, RangeParams, Upload,
                WRITE_CONTAINER_DATA,
            },
        },
    },
};

use crate::host::{Host, context};

/// The largest object that is read whole here.
const MAX_BYTES: usize = 64 << 20;

/// A component's view of a store.
#[derive(Clone, Copy, Debug)]
pub struct Store<'a> {
    /// Who speaks to the provider.
    pub host: &'a Host,
    /// The component.
    pub source: &'a str,
    /// The provider.
    pub provider: &'a str,
}

/// Bytes of which each says where it stands.
pub fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

fn id(container: &str, object: &str) -> ObjectId {
    ObjectId {
        container: container.to_owned(),
        object: object.to_owned(),
    }
}

fn pieces(content: &[u8]) -> ByteStream {
    let pieces: Vec<_> = content
        .chunks(100_003)
        .map(|piece| Ok(piece.to_vec().into()))
        .collect();
    Box::pin(stream::iter(pieces))
}

/// The interface's own error is an error here, too.
fn flat<T>(answer: Result<Result<T, String>, CallError>) -> Result<T> {
    answer?.map_err(|why| anyhow!(why))
}

impl Store<'_> {
    /// Calls any function without streams.
    ///
    /// # Errors
    /// The call's own, or the interface's.
    pub async fn call<F: Function<Result = Result<T, String>>, T>(
        &self,
        params: F::Params,
    ) -> Result<T>
    where
        F::Params: Sync,
    {
        let (name, host) = (LinkName::default(), self.host);
        let called = host.call_over::<F>(&name, self.source, self.provider, &params);
        flat(called.await)
    }

    async fn send(&self, function: &str, params: Outgoing) -> Result<Incoming, CallError> {
        let malformed = |error| CallError::Malformed(format!("{error}"));
        let provider = ComponentId::new(self.provider).map_err(malformed)?;
        let call = Call {
            operation: Operation::new(BLOBSTORE, function),
            context: context(self.source, &LinkName::default()),
            params,
        };
        self.host.rpc().route(&provider).call(call).await
    }

    /// Makes a container.
    ///
    /// # Errors
    /// The call's own, or the interface's.
    pub async fn create(&self, container: &str) -> Result<()> {
        self.call::<CreateContainer, _>(container.to_owned()).await
    }

    /// Writes an object.
    ///
    /// # Errors
    /// The call's own, or the interface's.
    pub async fn write(&self, container: &str, object: &str, content: &[u8]) -> Result<()> {
        self.upload(container, object, pieces(content)).await
    }

    /// Writes an object from a stream.
    ///
    /// # Errors
    /// The call's own, or the interface's.
    pub async fn upload(&self, container: &str, object: &str, content: ByteStream) -> Result<()> {
        let upload = Upload {
            id: id(container, object),
            content,
        };
        let begun = self.send(WRITE_CONTAINER_DATA, upload.into_params()).await;
        let Outcome(outcome) = flat(begun.and_then(Outcome::from_result))?;
        flat(outcome.await)
    }

    /// Reads a part of an object, `end` included.
    ///
    /// # Errors
    /// The call's own, or the interface's.
    pub async fn range(
        &self,
        container: &str,
        object: &str,
        start: u64,
        end: u64,
    ) -> Result<Vec<u8>> {
        let id = id(container, object);
        let params = Outgoing::unary(to_bytes(&RangeParams { id, start, end }));
        let answer = self.send(GET_CONTAINER_DATA, params).await;
        let Content(content) = flat(answer.and_then(Content::from_result))?;
        Ok(collect(content, MAX_BYTES, "the object").await?.to_vec())
    }

    /// Reads an object.
    ///
    /// # Errors
    /// The call's own, or the interface's.
    pub async fn read(&self, container: &str, object: &str) -> Result<Vec<u8>> {
        self.range(container, object, 0, u64::MAX).await
    }

    /// Lists objects.
    ///
    /// # Errors
    /// The call's own, or the interface's.
    pub async fn list(
        &self,
        container: &str,
        offset: Option<u64>,
        limit: Option<u64>,
    ) -> Result<Vec<String>> {
        let params = ListParams {
            container: container.to_owned(),
            limit,
            offset,
        };
        let answer = self.send(LIST_CONTAINER_OBJECTS, Outgoing::unary(to_bytes(&params)));
        let Names(mut names) = flat(answer.await.and_then(Names::from_result))?;
        let mut all = Vec::new();
        while let Some(some) = names.next().await.transpose()? {
            all.extend(some);
        }
        Ok(all)
    }

    async fn has(&self, container: &str, object: &str) -> Result<bool> {
        self.call::<HasObject, _>(id(container, object)).await
    }
}

/// It failed, in words that name that.
fn refused<T>(answer: Result<T>, name: &str) -> Result<()> {
    match answer {
        Ok(_) => bail!("done that should have been refused, and {name:?} named"),
        Err(error) => {
            ensure!(error.to_string().contains(name), "{error}");
            Ok(())
        }
    }
}

/// Containers come and go.
///
/// # Errors
/// What the provider does otherwise.
pub async fn containers_work(store: Store<'_>) -> Result<()> {
    let exists = || store.call::<ContainerExists, _>("photos".to_owned());
    ensure!(!exists().await?);
    store.create("photos").await?;
    // Once more is no error.
    store.create("photos").await?;
    ensure!(exists().await?);
    let info = store.call::<GetContainerInfo, _>("photos".to_owned());
    info.await.context("a container's metadata")?;
    store.write("photos", "a", b"a").await?;
    store.call::<ClearContainer, _>("photos".to_owned()).await?;
    ensure!(store.list("photos", None, None).await?.is_empty());
    store.write("photos", "b", b"b").await?;
    let delete = || store.call::<DeleteContainer, _>("photos".to_owned());
    delete().await?;
    delete().await.context("what is gone is deleted")?;
    ensure!(!exists().await?);
    refused(store.write("photos", "a", b"a").await, "photos")?;
    ensure!(store.list("photos", None, None).await.is_err());
    Ok(())
}

/// Objects are what was written, whole and in part.
///
/// # Errors
/// What the provider does otherwise.
pub async fn objects_are_kept(store: Store<'_>) -> Result<()> {
    store.create("things").await?;
    for count in [0, 1, 1000, 12 << 20] {
        let content = bytes(count);
        store.write("things", "it", &content).await?;
        ensure!(
            store.read("things", "it").await? == content,
            "{count} bytes"
        );
        let info = store.call::<GetObjectInfo, _>(id("things", "it")).await?;
        ensure!(info.size == count as u64, "{info:?}");
    }
    let content = bytes(12 << 20);
    for (start, end) in [(0, 0), (1, 250), (5_000_000, 11_000_001)] {
        let part = store.range("things", "it", start, end).await?;
        ensure!(
            part == content[start as usize..=end as usize],
            "{start}-{end}"
        );
    }
    ensure!(
        store
            .range("things", "it", 1 << 30, u64::MAX)
            .await?
            .is_empty()
    );
    ensure!(store.range("things", "it", 2, 1).await.is_err());
    ensure!(store.has("things", "it").await? && !store.has("things", "other").await?);
    refused(store.read("things", "other").await, "other")?;
    ensure!(
        store
            .call::<GetObjectInfo, _>(id("things", "other"))
            .await
            .is_err()
    );
    store.call::<DeleteObject, _>(id("things", "it")).await?;
    store.call::<DeleteObject, _>(id("things", "it")).await?;
    ensure!(!store.has("things", "it").await?);
    Ok(())
}

/// Copies, moves, and several at once.
///
/// # Errors
/// What the provider does otherwise.
pub async fn objects_are_copied_and_moved(store: Store<'_>) -> Result<()> {
    store.create("from").await?;
    store.create("to").await?;
    store.write("from", "deep/a", b"first").await?;
    let src = || id("from", "deep/a");
    let dest = id("to", "other/b");
    let copy = FromTo { src: src(), dest };
    store.call::<CopyObject, _>(copy).await?;
    ensure!(store.read("to", "other/b").await? == b"first");
    ensure!(store.read("from", "deep/a").await? == b"first");
    store.write("from", "deep/a", b"second").await?;
    let dest = id("to", "other/b");
    let moved = FromTo { src: src(), dest };
    store.call::<MoveObject, _>(moved).await?;
    ensure!(store.read("to", "other/b").await? == b"second");
    ensure!(!store.has("from", "deep/a").await?);
    let dest = id("to", "c");
    let absent = FromTo { src: src(), dest };
    ensure!(store.call::<CopyObject, _>(absent.clone()).await.is_err());
    ensure!(store.call::<MoveObject, _>(absent).await.is_err());
    store.write("to", "c", b"c").await?;
    let several = ObjectsParams {
        container: "to".to_owned(),
        objects: vec!["c".to_owned(), "other/b".to_owned(), "never".to_owned()],
    };
    store.call::<DeleteObjects, _>(several).await?;
    ensure!(store.list("to", None, None).await?.is_empty());
    Ok(())
}

/// Listings, whole and in part.
///
/// # Errors
/// What the provider does otherwise.
pub async fn objects_are_listed(store: Store<'_>) -> Result<()> {
    store.create("many").await?;
    let names: Vec<String> = (0..25).map(|number| format!("n/{number:04}")).collect();
    for name in &names {
        store.write("many", name, b"x").await?;
    }
    let mut all = store.list("many", None, None).await?;
    all.sort();
    ensure!(all == names, "{all:?}");
    let mut paged = Vec::new();
    for offset in (0..30).step_by(7) {
        paged.extend(store.list("many", Some(offset), Some(7)).await?);
    }
    paged.sort();
    ensure!(paged == names, "{paged:?}");
    ensure!(store.list("many", None, Some(0)).await?.is_empty());
    Ok(())
}

/// Content that breaks off leaves what was there.
///
/// # Errors
/// What the provider does otherwise.
pub async fn a_broken_upload_changes_nothing(store: Store<'_>) -> Result<()> {
    store.create("safe").await?;
    store.write("safe", "it", b"old").await?;
    let broken = CallError::Failed("the actor trapped".to_owned());
    let content = pieces(&bytes(8 << 20)).chain(stream::iter([Err(broken)]));
    let error = store.upload("safe", "it", Box::pin(content)).await;
    ensure!(error.is_err());
    ensure!(store.read("safe", "it").await? == b"old");
    ensure!(store.list("safe", None, None).await? == ["it"]);
    Ok(())
}
