//! Objects that are larger than anything that is held of them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use trellis_provider::rpc::{
    ByteStream, Call, CallContext, Operation, Outgoing,
    codec::to_bytes,
    interface::blobstore::{BLOBSTORE, Content, GET_CONTAINER_DATA, RangeParams},
};
use trellis_tests::wait::until;

use crate::stage::{Stage, id};

const CHUNK: usize = 256 << 10;
const LARGE: usize = 100 << 20;

/// Bytes of which each chunk says which it is.
pub fn content(bytes: usize, given: Arc<AtomicU64>) -> ByteStream {
    let chunks = (0..bytes / CHUNK).map(move |number| {
        given.fetch_add(CHUNK as u64, Ordering::Relaxed);
        Ok(chunk(number))
    });
    Box::pin(stream::iter(chunks))
}

fn chunk(number: usize) -> Bytes {
    Bytes::from(vec![(number % 251) as u8; CHUNK])
}

/// The process's memory that is not in files, in bytes.
fn memory() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("no RssAnon")? << 10)
}

async fn peak<T>(work: impl Future<Output = Result<T>>) -> Result<(T, u64)> {
    let before = memory()?;
    let mut most = before;
    tokio::pin!(work);
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(5));
    loop {
        tokio::select! {
            done = &mut work => return Ok((done?, most - before)),
            _ = tick.tick() => most = most.max(memory()?),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_takes_no_more_than_it_can_send() -> Result<()> {
    let stage = Stage::begin(&[("request_timeout_ms", "60000")]).await?;
    // From now on the server takes what the kernel takes for it, and answers nothing.
    stage.server.freeze(true)?;
    let given = Arc::new(AtomicU64::new(0));
    let store = stage.store();
    let upload = store.upload("acme", "it", content(LARGE, given.clone()));
    let mut seen = (0, 0);
    let full = until("no more of the content is taken", || {
        let now = given.load(Ordering::Relaxed);
        seen = if now == seen.0 {
            (now, seen.1 + 1)
        } else {
            (now, 0)
        };
        async move {
            // A second without a byte.
            ensure!(now > 0 && seen.1 > 50, "{now} bytes taken");
            Ok(now)
        }
    });
    let taken = tokio::select! {
        ended = upload => anyhow::bail!("it ended: {ended:?}"),
        taken = full => taken?,
    };
    // One part, and what is on the way to the provider.
    ensure!(taken < 24 << 20, "{taken} bytes");
    println!("{} MiB taken", taken >> 20);
    stage.server.freeze(false)?;
    stage.running.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_mebibytes_stream_up_and_down() -> Result<()> {
    let stage = Stage::begin(&[("bucket", "acme")]).await?;
    let store = stage.store();
    store.create("large").await?;
    let given = Arc::new(AtomicU64::new(0));
    let (_, up) = peak(store.upload("large", "it", content(LARGE, given.clone()))).await?;
    ensure!(given.load(Ordering::Relaxed) == LARGE as u64);
    let info = std::fs::metadata(stage.server.data().join("acme/large/it"))?;
    ensure!(info.len() == LARGE as u64, "{info:?}");
    let (read, down) = peak(read_on(&stage, "large", "it")).await?;
    ensure!(read == LARGE, "{read} bytes");
    // The provider, who calls it and the other tests are one process here: what is held of one object is bounded more tightly
    // above.
    ensure!(
        up < 96 << 20 && down < 64 << 20,
        "up {up} and down {down} bytes more"
    );
    println!("up {} MiB, down {} MiB", up >> 20, down >> 20);
    stage.running.stop().await?;
    Ok(())
}

/// Reads an object and forgets it piece by piece.
async fn read_on(stage: &Stage, container: &str, object: &str) -> Result<usize> {
    let params = RangeParams {
        id: id(container, object),
        start: 0,
        end: u64::MAX,
    };
    let call = Call {
        operation: Operation::new(BLOBSTORE, GET_CONTAINER_DATA),
        context: CallContext {
            source_id: Some("album".into()),
            link_name: Some("default".into()),
            ..CallContext::default()
        },
        params: Outgoing::unary(to_bytes(&params)),
    };
    let route = stage.host.rpc().route(&"blobs".parse()?);
    let answer = Content::from_result(route.call(call).await?)?;
    let Content(mut content) = answer.map_err(|why| anyhow::anyhow!(why))?;
    let mut read = 0;
    while let Some(piece) = content.next().await {
        let piece = piece?;
        for (offset, byte) in piece.iter().enumerate().step_by(CHUNK / 4) {
            let expected = ((read + offset) / CHUNK % 251) as u8;
            ensure!(*byte == expected, "at {}", read + offset);
        }
        read += piece.len();
    }
    Ok(read)
}
