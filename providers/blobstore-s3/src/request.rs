//! What is asked of a server, and its signature (AWS Signature Version 4, in the URL's query). Nothing is sent here.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rusty_s3::{Bucket, BucketError, Method, UrlStyle, signing};
use url::Url;

use crate::config::Settings;

/// How long a signed request can be sent: as long as S3 takes one that is signed in its headers.
const VALID_FOR: Duration = Duration::from_secs(900);

/// Whether a request can be made again when nobody knows what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It does the same when it is done twice.
    Always,
    /// Only when the server did not get it, or said that it did nothing.
    Refused,
}

/// What is asked of a server.
#[derive(Clone, Debug)]
pub struct Request {
    /// How.
    pub method: Method,
    /// In which bucket; none: of the server itself.
    pub bucket: Option<String>,
    /// Of which object; none: of the bucket.
    pub key: Option<String>,
    /// More of the URL.
    pub query: Vec<(&'static str, String)>,
    /// Headers, in lower case. Those that begin with `x-amz-` are signed, as S3 wants it.
    pub headers: Vec<(&'static str, String)>,
    /// What goes with it.
    pub body: Bytes,
    /// Whether it can be made again.
    pub again: Again,
}

impl Request {
    /// Something about a bucket.
    pub fn bucket(method: Method, bucket: &str) -> Self {
        Self {
            bucket: Some(bucket.to_owned()),
            ..Self::server(method)
        }
    }

    /// Something about an object.
    pub fn object(method: Method, bucket: &str, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..Self::bucket(method, bucket)
        }
    }

    /// Something about the server.
    pub fn server(method: Method) -> Self {
        Self {
            method,
            bucket: None,
            key: None,
            query: Vec::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            again: Again::Always,
        }
    }

    /// With more in its URL.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// With a header, its name in lower case.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With something that goes with it.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Not to be made again when nobody knows what became of it.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.again = Again::Refused;
        self
    }

    /// The URL that asks it, signed now. It is as good as the keys for a while: it never gets into a log or an error.
    ///
    /// # Errors
    /// The bucket can't be in a host's name.
    pub fn url(&self, settings: &Settings) -> Result<Url, BucketError> {
        let url = match &self.bucket {
            None => settings.endpoint.clone(),
            Some(bucket) => {
                let style = match settings.path_style {
                    true => UrlStyle::Path,
                    false => UrlStyle::VirtualHost,
                };
                let (endpoint, region) = (settings.endpoint.clone(), settings.region.clone());
                let bucket = Bucket::new(endpoint, style, bucket.clone(), region)?;
                match &self.key {
                    Some(key) => bucket.object_url(key),
                    None => bucket.base_url().clone(),
                }
            }
        };
        let mut query: Vec<(&str, &str)> = self
            .query
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        query.sort_unstable();
        let mut headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .filter(|(name, _)| name.starts_with("x-amz-"))
            .map(|(name, value)| (*name, &**value))
            .collect();
        headers.sort_unstable();
        let Some(keys) = &settings.keys else {
            return Ok(unsigned(url, &query));
        };
        Ok(signing::sign(
            &Timestamp::now(),
            self.method,
            url,
            &keys.id,
            &keys.secret,
            keys.token.as_deref(),
            &settings.region,
            VALID_FOR.as_secs(),
            query.into_iter(),
            headers.into_iter(),
        ))
    }
}

/// For a server that needs no names.
fn unsigned(mut url: Url, query: &[(&str, &str)]) -> Url {
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::S3Config;

    fn settings(path_style: bool, keys: bool) -> Settings {
        let config = serde_config(path_style, keys);
        config.settings(&S3Config::default()).unwrap()
    }

    fn serde_config(path_style: bool, keys: bool) -> S3Config {
        let mut entries = vec![
            ("endpoint", "https://s3.example.com/store".to_owned()),
            ("path_style", path_style.to_string()),
        ];
        if keys {
            entries.push(("access_key_id", "me".to_owned()));
            entries.push(("secret_access_key", "hush".to_owned()));
        }
        let entries = entries.into_iter().map(|(k, v)| (k.to_owned(), v));
        trellis_provider::config::from_config("link", &entries.collect()).unwrap()
    }

    #[test]
    fn a_bucket_is_in_the_path_or_in_the_host() {
        let request = Request::object(Method::Get, "photos", "a b/ü+%.txt");
        let url = request.url(&settings(true, true)).unwrap();
        assert_eq!(url.host_str(), Some("s3.example.com"));
        assert_eq!(url.path(), "/store/photos/a%20b/%C3%BC%2B%25.txt");
        let url = request.url(&settings(false, true)).unwrap();
        assert_eq!(url.host_str(), Some("photos.s3.example.com"));
        assert_eq!(url.path(), "/store/a%20b/%C3%BC%2B%25.txt");
    }

    #[test]
    fn what_is_asked_is_signed() {
        let request = Request::bucket(Method::Get, "photos")
            .query("prefix", "a b")
            .query("list-type", "2")
            .header("range", "bytes=1-")
            .header("x-amz-copy-source", "/a/b");
        let url = request.url(&settings(true, true)).unwrap();
        let query = url.query().unwrap();
        for part in [
            "X-Amz-Signature=",
            "X-Amz-SignedHeaders=host%3Bx-amz-copy-source",
            "prefix=a%20b",
        ] {
            assert!(query.contains(part), "{query}");
        }
        assert!(!url.as_str().contains("hush"));
        let unsigned = request.url(&settings(true, false)).unwrap();
        assert!(!unsigned.as_str().contains("X-Amz"), "{unsigned}");
    }
}
