//! The names in a container, page by page, as they are read on.

use std::sync::Arc;

use futures::stream;
use rusty_s3::Method;
use trellis_provider::{blobstore::Names, rpc::CallError};

use crate::{
    answer::{self, Page},
    failure::Failure,
    names::Container,
    request::Request,
    server::Server,
};

/// The most keys that a page has: S3's own bound.
const PAGE: u64 = 1000;

/// A page of a container's keys, from the beginning or where another one ended. `most` is at most a thousand.
///
/// # Errors
/// Why there is none.
pub async fn page(
    server: &Server,
    container: &Container,
    token: Option<&str>,
    most: u64,
) -> Result<Page, Failure> {
    let answer = server.ask(&request(container, token, most)).await?;
    Ok(answer::page(&answer.text)?)
}

/// What asks for a page.
pub fn request(container: &Container, token: Option<&str>, most: u64) -> Request {
    let list = Request::bucket(Method::Get, &container.bucket)
        .query("list-type", "2")
        // Not every character of a key can be written in XML.
        .query("encoding-type", "url")
        .query("max-keys", most.clamp(1, PAGE).to_string());
    let list = match container.prefix.is_empty() {
        true => list,
        false => list.query("prefix", &container.prefix),
    };
    match token {
        Some(token) => list.query("continuation-token", token),
        None => list,
    }
}

/// The names of a container's objects, sorted, without the first `skip`, and at most `left`. The first page is there already;
/// the next are asked for when somebody reads on.
pub fn names(
    server: Arc<Server>,
    container: Container,
    first: Page,
    skip: u64,
    left: u64,
) -> Names {
    let walk = Walk {
        server,
        container,
        page: Some(first),
        skip,
        left,
    };
    Names(Box::pin(stream::unfold(Some(walk), |walk| async move {
        let mut walk = walk?;
        match walk.next().await {
            Ok(Some(names)) => Some((Ok(names), Some(walk))),
            Ok(None) => None,
            Err(error) => {
                let why = error.of_container(&walk.container, walk.server.settings());
                Some((Err(CallError::Failed(why)), None))
            }
        }
    })))
}

struct Walk {
    server: Arc<Server>,
    container: Container,
    page: Option<Page>,
    skip: u64,
    left: u64,
}

impl Walk {
    async fn next(&mut self) -> Result<Option<Vec<String>>, Failure> {
        loop {
            let Some(Page { keys, next }) = self.page.take() else {
                return Ok(None);
            };
            let names = self.chosen(&keys);
            if let Some(token) = next.filter(|_| self.left > 0) {
                // One that is read on is asked for only when these have been taken.
                if !names.is_empty() {
                    self.page = Some(Page {
                        keys: Vec::new(),
                        next: Some(token),
                    });
                    return Ok(Some(names));
                }
                // The container's own marker may be among them.
                let most = self.left.saturating_add(self.skip).saturating_add(1);
                let next = page(&self.server, &self.container, Some(&token), most).await?;
                self.page = Some(next);
                continue;
            }
            return Ok((!names.is_empty()).then_some(names));
        }
    }

    fn chosen(&mut self, keys: &[String]) -> Vec<String> {
        let mut names = Vec::new();
        for name in keys.iter().filter_map(|key| self.container.object(key)) {
            if self.skip > 0 {
                self.skip -= 1;
            } else if self.left > 0 {
                self.left -= 1;
                names.push(name);
            }
        }
        names
    }
}
