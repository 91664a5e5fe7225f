//! Objects and listings that a guest reads, as they come.

use std::collections::VecDeque;

use futures::StreamExt as _;
use trellis_rpc::{
    ByteStream,
    codec::collect,
    interface::blobstore::{GetObjectInfo, Names, RangeParams},
};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynInputStream;

use super::{Answer, container, types};
use crate::runtime::{dynamic::stream, state::CallState};

/// The most names that a guest gets at once.
const MAX_NAMES: u64 = 10_000;

/// A part of an object that is read.
pub struct IncomingValue {
    pub(super) range: RangeParams,
    pub(super) content: ByteStream,
}

/// The names of a container's objects.
pub struct ObjectNames {
    names: Names,
    /// Come and not read.
    ahead: VecDeque<String>,
    ended: bool,
}

impl ObjectNames {
    pub(super) fn new(names: Names) -> Self {
        Self {
            names,
            ahead: VecDeque::new(),
            ended: false,
        }
    }

    /// The next names, that many at most, and whether they are the last.
    async fn take(&mut self, count: u64) -> Result<(Vec<String>, bool), String> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        // One more than asked for tells whether there are more.
        while self.ahead.len() <= count && !self.ended {
            match self.names.0.next().await {
                Some(Ok(names)) => self.ahead.extend(names),
                Some(Err(error)) => {
                    self.ended = true;
                    return Err(error.to_string());
                }
                None => self.ended = true,
            }
        }
        let names = self.ahead.drain(..count.min(self.ahead.len())).collect();
        Ok((names, self.ended && self.ahead.is_empty()))
    }
}

impl types::Host for CallState {}

impl types::HostIncomingValue for CallState {
    async fn incoming_value_consume_sync(
        &mut self,
        value: Resource<IncomingValue>,
    ) -> Answer<Vec<u8>> {
        let IncomingValue { content, .. } = self.table.delete(value)?;
        // More than its memory holds the actor can't take.
        let limit = self.actor().limits.memory_bytes;
        let whole = collect(content, limit, "the object").await;
        Ok(whole.map(Into::into).map_err(|error| error.to_string()))
    }

    async fn incoming_value_consume_async(
        &mut self,
        value: Resource<IncomingValue>,
    ) -> Answer<Resource<DynInputStream>> {
        let IncomingValue { content, .. } = self.table.delete(value)?;
        Ok(Ok(self.table.push(stream::reader(content))?))
    }

    async fn size(&mut self, value: Resource<IncomingValue>) -> wasmtime::Result<u64> {
        let RangeParams { id, start, end } = self.table.get(&value)?.range.clone();
        let info = self.ask_blobs::<GetObjectInfo, _>(id).await;
        let info = info.map_err(|error| wasmtime::format_err!("the object's size: {error}"))?;
        Ok(info.size.min(end.saturating_add(1)).saturating_sub(start))
    }

    async fn drop(&mut self, value: Resource<IncomingValue>) -> wasmtime::Result<()> {
        self.table.delete(value)?;
        Ok(())
    }
}

impl container::HostStreamObjectNames for CallState {
    async fn read_stream_object_names(
        &mut self,
        names: Resource<ObjectNames>,
        len: u64,
    ) -> Answer<(Vec<String>, bool)> {
        let names = self.table.get_mut(&names)?;
        Ok(names.take(len.min(MAX_NAMES)).await)
    }

    async fn skip_stream_object_names(
        &mut self,
        names: Resource<ObjectNames>,
        num: u64,
    ) -> Answer<(u64, bool)> {
        let names = self.table.get_mut(&names)?;
        let mut skipped = 0;
        loop {
            let most = (num - skipped).min(MAX_NAMES);
            match names.take(most).await {
                Ok((some, ended)) => {
                    skipped += some.len() as u64;
                    if ended || skipped >= num {
                        return Ok(Ok((skipped, ended)));
                    }
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    async fn drop(&mut self, names: Resource<ObjectNames>) -> wasmtime::Result<()> {
        self.table.delete(names)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use trellis_rpc::CallError;

    use super::*;

    fn listing(chunks: Vec<Result<Vec<&str>, CallError>>) -> ObjectNames {
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let chunks: Vec<_> = chunks.into_iter().map(|chunk| chunk.map(owned)).collect();
        ObjectNames::new(Names(Box::pin(stream::iter(chunks))))
    }

    #[tokio::test]
    async fn the_last_names_say_that_they_are() {
        let mut names = listing(vec![Ok(vec!["a", "b"]), Ok(vec!["c"])]);
        assert_eq!(names.take(0).await, Ok((vec![], false)));
        assert_eq!(
            names.take(2).await,
            Ok((vec!["a".into(), "b".into()], false))
        );
        assert_eq!(names.take(9).await, Ok((vec!["c".into()], true)));
        assert_eq!(names.take(9).await, Ok((vec![], true)));
    }

    #[tokio::test]
    async fn a_listing_that_breaks_off_says_so() {
        let broken = CallError::Failed("gone".to_owned());
        let mut names = listing(vec![Ok(vec!["a"]), Err(broken)]);
        assert!(names.take(9).await.unwrap_err().contains("gone"));
    }
}
