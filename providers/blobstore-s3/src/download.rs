//! Reading an object as it comes. A connection that breaks in the middle is made again from there on, as long as the object is
//! still the same one.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, StatusCode, header};
use reqwest::Response;
use rusty_s3::Method;
use trellis_provider::rpc::{ByteStream, CallError};

use crate::{
    failure::Failure,
    request::Request,
    server::{Server, pause},
};

/// From here on a range has no end for a server, which may count in 64 bits with a sign.
const NO_END: u64 = 1 << 62;

/// A part of an object, and how far it was read.
struct Download {
    server: Arc<Server>,
    bucket: String,
    key: String,
    /// The next byte, and the last one.
    at: u64,
    end: u64,
    response: Response,
    etag: Option<HeaderValue>,
    /// How often the connection broke since the last byte.
    broke: u32,
}

/// An object's content from `start` to `end`, both included; nothing, where it ends before.
///
/// # Errors
/// Why it can't be read.
pub async fn open(
    server: &Arc<Server>,
    bucket: &str,
    key: &str,
    start: u64,
    end: u64,
) -> Result<ByteStream, Failure> {
    let response = match server.send(&request(bucket, key, start, end)).await {
        Ok(response) => response,
        Err(failure) if failure.status() == Some(StatusCode::RANGE_NOT_SATISFIABLE) => {
            return Ok(Box::pin(stream::empty()));
        }
        Err(failure) => return Err(failure),
    };
    let etag = response.headers().get(header::ETAG).cloned();
    let download = Download {
        server: server.clone(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        // A server that knows no ranges gives it from the beginning: what comes before is left out.
        at: if is_whole(&response) { 0 } else { start },
        end,
        response,
        etag,
        broke: 0,
    };
    let state = Some((download, start));
    Ok(Box::pin(stream::unfold(state, |state| async move {
        let (mut download, start) = state?;
        match download.next(start).await {
            Ok(Some(chunk)) => Some((Ok(chunk), Some((download, start)))),
            Ok(None) => None,
            Err(why) => Some((Err(CallError::Failed(why)), None)),
        }
    })))
}

fn request(bucket: &str, key: &str, start: u64, end: u64) -> Request {
    let get = Request::object(Method::Get, bucket, key);
    match (start, end) {
        (0, NO_END..) => get,
        (start, NO_END..) => get.header("range", format!("bytes={start}-")),
        (start, end) => get.header("range", format!("bytes={start}-{end}")),
    }
}

/// Whether it is the object from its beginning on. Some servers give a part and call it a success like any other.
fn is_whole(response: &Response) -> bool {
    response.status() != StatusCode::PARTIAL_CONTENT
        && !response.headers().contains_key(header::CONTENT_RANGE)
}

impl Download {
    /// The next piece, from `start` on at the earliest.
    async fn next(&mut self, start: u64) -> Result<Option<Bytes>, String> {
        while self.at <= self.end {
            let mut chunk = match self.server.chunk(&mut self.response).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(None),
                Err(failure) => {
                    self.resume(failure).await?;
                    continue;
                }
            };
            self.broke = 0;
            let from = self.at;
            self.at = from.saturating_add(chunk.len() as u64);
            // Both fit: they are less than the chunk's length.
            if let Some(before) = start.checked_sub(from).filter(|before| *before > 0) {
                let before = usize::try_from(before).unwrap_or(usize::MAX);
                drop(chunk.split_to(before.min(chunk.len())));
            }
            if let Some(after) = self.at.checked_sub(self.end.saturating_add(1)) {
                let after = usize::try_from(after).unwrap_or(usize::MAX);
                chunk.truncate(chunk.len().saturating_sub(after));
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// Goes on where the connection broke.
    async fn resume(&mut self, failure: Failure) -> Result<(), String> {
        self.broke += 1;
        if self.broke >= self.server.settings().max_attempts {
            return Err(format!("reading broke off: {failure}"));
        }
        tracing::debug!(bucket = self.bucket, at = self.at, %failure, "reading on over another connection");
        tokio::time::sleep(pause(self.broke)).await;
        let rest = request(&self.bucket, &self.key, self.at, self.end);
        let response = self.server.send(&rest).await;
        let response = response.map_err(|error| format!("reading broke off: {error}"))?;
        let same =
            self.etag.is_some() && response.headers().get(header::ETAG) == self.etag.as_ref();
        if !same {
            return Err("reading broke off: the object was written meanwhile".to_owned());
        }
        if is_whole(&response) {
            return Err(format!(
                "reading broke off, and the server gives no parts of objects: {failure}"
            ));
        }
        self.response = response;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> Option<String> {
        let headers = request("b", "k", start, end).headers;
        headers.into_iter().next().map(|(_, value)| value)
    }

    #[test]
    fn a_range_is_asked_for_where_there_is_one() {
        assert_eq!(range(0, u64::MAX), None);
        assert_eq!(range(7, u64::MAX).as_deref(), Some("bytes=7-"));
        assert_eq!(range(0, 0).as_deref(), Some("bytes=0-0"));
    }
}
