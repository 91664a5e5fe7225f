//! The request as the actor reads it.

use crate::bindings::wasi::http::types::{IncomingRequest, Method};
use crate::body::BodyReader;
use crate::query;

/// A request on its way in; its body has not been read.
pub struct Request {
    inner: IncomingRequest,
    target: String,
}

impl Request {
    pub(crate) fn new(inner: IncomingRequest) -> Self {
        let target = inner.path_with_query().unwrap_or_default();
        Self { inner, target }
    }

    /// The method's name, in capitals.
    pub fn method(&self) -> String {
        match self.inner.method() {
            Method::Get => "GET".into(),
            Method::Head => "HEAD".into(),
            Method::Post => "POST".into(),
            Method::Put => "PUT".into(),
            Method::Delete => "DELETE".into(),
            Method::Connect => "CONNECT".into(),
            Method::Options => "OPTIONS".into(),
            Method::Trace => "TRACE".into(),
            Method::Patch => "PATCH".into(),
            Method::Other(name) => name,
        }
    }

    /// The path, with its leading slash, without the query; not decoded.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The decoded value of the query's first parameter of that name.
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        query::parameter(query, name)
    }

    /// The value of the first header of that name (any case), if it is text.
    pub fn header(&self, name: &str) -> Option<String> {
        let value = self.inner.headers().get(name).into_iter().next()?;
        String::from_utf8(value).ok()
    }

    /// The body. `None` when it was taken before.
    pub fn body(&self) -> Option<BodyReader> {
        let body = self.inner.consume().ok()?;
        let stream = body.stream().ok()?;
        Some(BodyReader::new(stream, body))
    }
}
