//! Writing an object from a stream of unknown length: a small one at once, a larger one in parts. What is held of it is one
//! part that is being filled and [`IN_FLIGHT`] that are being sent. Until its end the old object stays as it was, and what
//! was begun and not ended is taken back, also when nobody waits for it any more.

use std::{mem, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream::FuturesUnordered};
use http::header;
use rusty_s3::Method;
use tokio_util::task::TaskTracker;
use trellis_provider::rpc::ByteStream;

use crate::{answer, failure::Failure, names::Container, request::Request, server::Server};

/// How many parts of an object are sent at once.
const IN_FLIGHT: usize = 2;
/// The most parts that S3 takes.
const MAX_PARTS: usize = 10_000;

/// Why an object is not written.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The server.
    #[error(transparent)]
    Server(#[from] Failure),
    /// The content, in words for the component.
    #[error("{0}")]
    Content(String),
}

/// Where an object goes.
pub struct Target<'a> {
    /// To which server.
    pub server: &'a Arc<Server>,
    /// Into which container.
    pub container: &'a Container,
    /// Under which key.
    pub key: &'a str,
    /// Who takes back what was begun when nobody waits for it any more.
    pub undoing: &'a TaskTracker,
}

impl Target<'_> {
    /// Writes an object.
    ///
    /// # Errors
    /// Why not; nothing is changed then.
    pub async fn write(&self, content: ByteStream) -> Result<(), UploadError> {
        let settings = self.server.settings();
        let mut parts = Parts {
            content,
            filling: BytesMut::new(),
            read: 0,
            part_bytes: settings.part_bytes,
            max_bytes: settings.max_object_bytes,
            ended: false,
        };
        let first = parts.next().await?;
        if parts.ended {
            let put = self.request(Method::Put).body(first.unwrap_or_default());
            self.server.ask(&put).await?;
            return Ok(());
        }
        self.write_parts(first.unwrap_or_default(), parts).await
    }

    async fn write_parts(&self, first: Bytes, mut parts: Parts) -> Result<(), UploadError> {
        // Made twice, it would leave one that nobody knows of.
        let begin = self.request(Method::Post).query("uploads", "").once();
        let begun = self.server.ask(&begin).await?;
        let id = answer::upload_id(&begun.text).map_err(Failure::from)?;
        let unfinished = Unfinished {
            server: self.server.clone(),
            abort: self.request(Method::Delete).query("uploadId", &id),
            undoing: self.undoing.clone(),
            settled: false,
        };
        let written = async {
            let etags = self.send_parts(&id, first, &mut parts).await?;
            self.complete(&id, &etags, parts.read).await?;
            Ok(())
        };
        match written.await {
            Ok(()) => unfinished.keep(),
            Err(error) => {
                unfinished.undo().await;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Sends parts as they come, and gives what the server gave for each.
    async fn send_parts(
        &self,
        id: &str,
        first: Bytes,
        parts: &mut Parts,
    ) -> Result<Vec<String>, UploadError> {
        let mut etags: Vec<String> = vec![String::new()];
        let mut sending = FuturesUnordered::new();
        sending.push(self.send_part(id, 0, first));
        loop {
            tokio::select! {
                part = parts.next(), if !parts.ended && sending.len() < IN_FLIGHT => {
                    let Some(part) = part? else { continue };
                    let number = etags.len();
                    if number >= MAX_PARTS {
                        let part_bytes = parts.part_bytes;
                        return Err(UploadError::Content(format!(
                            "the object has more than {MAX_PARTS} parts of {part_bytes} bytes: raise the link's `part_bytes`"
                        )));
                    }
                    etags.push(String::new());
                    sending.push(self.send_part(id, number, part));
                }
                Some(sent) = sending.next() => {
                    let (number, etag) = sent?;
                    if let Some(known) = etags.get_mut(number) {
                        *known = etag;
                    }
                }
                else => return Ok(etags),
            }
        }
    }

    async fn send_part(
        &self,
        id: &str,
        number: usize,
        part: Bytes,
    ) -> Result<(usize, String), Failure> {
        let put = self.request(Method::Put).body(part);
        let put = put.query("partNumber", (number + 1).to_string());
        let sent = self.server.ask(&put.query("uploadId", id)).await?;
        let etag = sent.headers.get(header::ETAG);
        let etag = etag.and_then(|etag| etag.to_str().ok()).unwrap_or_default();
        Ok((number, etag.to_owned()))
    }

    async fn complete(&self, id: &str, etags: &[String], bytes: u64) -> Result<(), Failure> {
        let complete = self.request(Method::Post).query("uploadId", id);
        let complete = complete.body(answer::complete(etags));
        match self.server.ask(&complete).await {
            Ok(_) => Ok(()),
            // It was completed by an attempt whose answer was lost: nobody else knows the upload's id.
            Err(failure) if failure.code() == "NoSuchUpload" => {
                let head = self.server.send(&self.request(Method::Head)).await?;
                match head.headers().get(header::CONTENT_LENGTH) {
                    Some(length) if length.as_bytes() == bytes.to_string().as_bytes() => Ok(()),
                    _ => Err(failure),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    fn request(&self, method: Method) -> Request {
        Request::object(method, &self.container.bucket, self.key)
    }
}

/// Content, part by part.
struct Parts {
    content: ByteStream,
    filling: BytesMut,
    /// How many bytes came so far.
    read: u64,
    part_bytes: usize,
    max_bytes: u64,
    /// Whether there is no more.
    ended: bool,
}

impl Parts {
    /// The next part: whole, or the last. What is there of it stays when nobody waits for the rest.
    async fn next(&mut self) -> Result<Option<Bytes>, UploadError> {
        while self.filling.len() < self.part_bytes {
            let Some(chunk) = self.content.next().await else {
                self.ended = true;
                let last = mem::take(&mut self.filling);
                return Ok((!last.is_empty()).then(|| last.freeze()));
            };
            let chunk = chunk
                .map_err(|error| UploadError::Content(format!("the content broke off: {error}")))?;
            self.read = self.read.saturating_add(chunk.len() as u64);
            if self.read > self.max_bytes {
                let most = self.max_bytes;
                return Err(UploadError::Content(format!(
                    "the object has more than {most} bytes, which the link's `max_object_bytes` allows"
                )));
            }
            self.filling.extend_from_slice(&chunk);
        }
        // A part never holds on to the memory of the next.
        let rest = self.filling.split_off(self.part_bytes);
        let part = mem::replace(&mut self.filling, BytesMut::from(&rest[..]));
        Ok(Some(part.freeze()))
    }
}

/// An upload in parts that was begun. The server keeps its parts, and has them paid for, until somebody says that it is over.
struct Unfinished {
    server: Arc<Server>,
    abort: Request,
    undoing: TaskTracker,
    settled: bool,
}

impl Unfinished {
    /// It was completed.
    fn keep(mut self) {
        self.settled = true;
    }

    /// It is taken back.
    async fn undo(mut self) {
        let (server, abort) = (self.server.clone(), self.abort.clone());
        undo(server, abort).await;
        self.settled = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.settled {
            let (server, abort) = (self.server.clone(), self.abort.clone());
            self.undoing.spawn(undo(server, abort));
        }
    }
}

async fn undo(server: Arc<Server>, abort: Request) {
    match server.ask(&abort).await {
        Ok(_) => {}
        Err(failure) if failure.is_absent() => {}
        Err(failure) => tracing::warn!(
            bucket = abort.bucket,
            key = abort.key,
            %failure,
            "an upload that broke off could not be taken back: the server keeps its parts"
        ),
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn parts(chunks: &[&'static [u8]], part_bytes: usize, max_bytes: u64) -> Parts {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::from(*chunk))).collect();
        Parts {
            content: Box::pin(stream::iter(chunks)),
            filling: BytesMut::new(),
            read: 0,
            part_bytes,
            max_bytes,
            ended: false,
        }
    }

    #[tokio::test]
    async fn content_comes_in_parts_of_one_size() {
        let mut parts = parts(&[b"ab", b"cdefghi", b"", b"j"], 4, 100);
        let mut all = Vec::new();
        while let Some(part) = parts.next().await.unwrap() {
            all.push(part);
        }
        assert_eq!(all, [&b"abcd"[..], b"efgh", b"ij"]);
        assert!(parts.ended && parts.read == 10);
    }

    #[tokio::test]
    async fn an_end_right_after_a_part_is_no_part() {
        let mut parts = parts(&[b"abcd"], 4, 100);
        assert_eq!(parts.next().await.unwrap().unwrap(), &b"abcd"[..]);
        assert!(!parts.ended);
        assert_eq!(parts.next().await.unwrap(), None);
        assert!(parts.ended);
    }

    #[tokio::test]
    async fn too_much_is_refused_as_it_comes() {
        let mut parts = parts(&[b"abc", b"de"], 4, 4);
        let error = parts.next().await.unwrap_err().to_string();
        assert!(error.contains("max_object_bytes"), "{error}");
    }
}
