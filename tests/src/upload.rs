//! A request whose body is under way for as long as a test wants.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::{StreamExt as _, channel::mpsc};
use http::{Method, Request};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::task::JoinSet;

use crate::{http::Answer, wait::DEADLINE};

/// A request that has begun. Dropping it breaks it off.
#[derive(Debug)]
pub struct Upload {
    body: mpsc::UnboundedSender<Bytes>,
    answer: JoinSet<Result<Answer>>,
}

impl Upload {
    /// Sends a request's head and the first part of its body.
    ///
    /// # Errors
    /// The path is none.
    pub fn begin(at: SocketAddr, method: Method, path: &str, first: Bytes) -> Result<Self> {
        let (body, pieces) = mpsc::unbounded();
        // The receiver is in the request, just below.
        let _ = body.unbounded_send(first);
        let pieces = pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{at}{path}"))
            .body(StreamBody::new(pieces))?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut answer = JoinSet::new();
        answer.spawn(async move {
            let answered = async {
                let response = client.request(request).await?;
                let status = response.status().as_u16();
                let body = response.into_body().collect().await?.to_bytes();
                Ok(Answer {
                    status,
                    body: String::from_utf8_lossy(&body).into_owned(),
                })
            };
            tokio::time::timeout(DEADLINE, answered)
                .await
                .context("no answer")?
        });
        Ok(Self { body, answer })
    }

    /// Sends the rest of the body, and waits for the answer.
    ///
    /// # Errors
    /// No whole answer came.
    pub async fn finish(mut self, rest: Bytes) -> Result<Answer> {
        // Where nobody takes it any more, the answer says why.
        let _ = self.body.unbounded_send(rest);
        self.body.close_channel();
        self.answer.join_next().await.context("no request")??
    }
}
