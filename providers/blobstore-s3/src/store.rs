//! The store behind a link: its containers and objects, by requests to its server.

mod blobstore;

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderMap;
use md5::{Digest as _, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rusty_s3::Method;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use trellis_provider::{
    blobstore::{ObjectId, Words},
    config::SettingsError,
    rpc::ByteStream,
};

use crate::{
    answer,
    config::Settings,
    download,
    failure::{Failure, absent, shown},
    listing,
    names::{Container, Places},
    request::Request,
    server::Server,
    upload::{Target, UploadError},
};

/// How many objects are deleted at once: as many as S3 takes, and as a page of a listing has.
const DELETED_AT_ONCE: usize = 1000;
/// How long a server may take to say whether a link's settings will do.
const CHECK_LIMIT: Duration = Duration::from_secs(4);
/// How long uploads that broke off may take to be taken back at the end.
const UNDO_LIMIT: Duration = Duration::from_secs(5);

/// What stays as it is in the name of an object that is copied.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

/// A server with containers.
pub struct Store {
    server: Arc<Server>,
    uploads: Semaphore,
    undoing: TaskTracker,
    shown: String,
}

impl Store {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// Names the field that can't be used.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let place = match &settings.places {
            Places::Buckets { .. } => String::new(),
            Places::Folders { bucket, prefix, .. } => format!("/{bucket}/{prefix}"),
        };
        Ok(Self {
            shown: format!("{}{place}", shown(&settings)),
            uploads: Semaphore::new(settings.max_uploads),
            undoing: TaskTracker::new(),
            server: Server::new(settings)?,
        })
    }

    /// Where it is, without keys.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether the server takes the keys and has the bucket.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), Failure> {
        let ask = match &self.settings().places {
            Places::Folders { bucket, prefix, .. } => {
                let folder = Container {
                    name: String::new(),
                    bucket: bucket.clone(),
                    prefix: prefix.clone(),
                    is_bucket: false,
                };
                listing::request(&folder, None, 1)
            }
            Places::Buckets { .. } => Request::server(Method::Get),
        };
        match self.server.ask_within(&ask, CHECK_LIMIT).await {
            Ok(_) => Ok(()),
            // Keys that may do less than this may do enough.
            Err(failure) if failure.code() == "AccessDenied" && !failure.is_skewed() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Waits for what is still to be taken back.
    pub async fn end(&self) {
        self.undoing.close();
        if tokio::time::timeout(UNDO_LIMIT, self.undoing.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                store = self.shown,
                "uploads that broke off are not taken back yet: the server keeps their parts"
            );
        }
    }

    /// What it was made with.
    pub fn settings(&self) -> &Settings {
        self.server.settings()
    }

    fn may_change(&self) -> Result<(), Words> {
        match self.settings().read_only {
            true => Err("this store may only be read: its link says `read_only`".into()),
            false => Ok(()),
        }
    }

    fn container(&self, name: &str) -> Result<Container, Words> {
        self.settings().places.container(name)
    }

    fn object<'a>(&self, id: &'a ObjectId) -> Result<Object<'a>, Words> {
        let container = self.container(&id.container)?;
        let key = container.key(&id.object)?;
        Ok(Object {
            container,
            key,
            name: &id.object,
        })
    }

    /// A component's words for a failure.
    fn of(&self, container: &Container) -> impl Fn(Failure) -> Words + use<'_> {
        let container = container.clone();
        move |failure| failure.of_container(&container, self.settings())
    }

    fn of_object(&self, object: &Object<'_>) -> impl Fn(Failure) -> Words + use<'_> {
        let (container, name) = (object.container.clone(), object.name.to_owned());
        move |failure| failure.of_object(&container, &name, self.settings())
    }

    /// What is known of an object; nothing when there is none.
    async fn head(&self, object: &Object<'_>) -> Result<Option<HeaderMap>, Failure> {
        match self.server.ask(&object.request(Method::Head)).await {
            Ok(answer) => Ok(Some(answer.headers)),
            Err(failure) if failure.is_absent() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// What says that a folder is a container.
    async fn marker(&self, container: &Container) -> Result<Option<HeaderMap>, Failure> {
        let marker = Object {
            container: container.clone(),
            key: container.marker(),
            name: "",
        };
        self.head(&marker).await
    }

    async fn exists(&self, container: &Container) -> Result<bool, Failure> {
        if container.is_bucket {
            let head = Request::bucket(Method::Head, &container.bucket);
            return match self.server.ask(&head).await {
                Ok(_) => Ok(true),
                Err(failure) if failure.is_absent() => Ok(false),
                Err(failure) => Err(failure),
            };
        }
        if self.marker(container).await?.is_some() {
            return Ok(true);
        }
        // Others may have put something there.
        let page = listing::page(&self.server, container, None, 1).await?;
        Ok(!page.keys.is_empty())
    }

    /// A bucket that isn't there says so itself; a folder doesn't.
    async fn must_exist(&self, container: &Container) -> Result<(), Words> {
        if container.is_bucket || self.exists(container).await.map_err(self.of(container))? {
            return Ok(());
        }
        Err(no_container(container))
    }

    /// Deletes what is in a container.
    async fn clear(&self, container: &Container) -> Result<(), Words> {
        let mut token: Option<String> = None;
        loop {
            let most = DELETED_AT_ONCE as u64;
            let page = listing::page(&self.server, container, token.as_deref(), most).await;
            let mut page = page.map_err(self.of(container))?;
            // It is a container still when nothing is in it.
            page.keys.retain(|key| container.object(key).is_some());
            self.delete(container, page.keys).await?;
            token = page.next;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    async fn delete(&self, container: &Container, mut keys: Vec<String>) -> Result<(), Words> {
        // Nothing says in XML which these are.
        let odd: Vec<String> = keys
            .extract_if(.., |key| !answer::is_writable(key))
            .collect();
        for key in &odd {
            self.delete_one(container, key)
                .await
                .map_err(self.of(container))?;
        }
        for some in keys.chunks(DELETED_AT_ONCE) {
            if let [key] = some {
                self.delete_one(container, key)
                    .await
                    .map_err(self.of(container))?;
                continue;
            }
            let body = answer::delete(some);
            let sum = STANDARD.encode(Md5::digest(body.as_bytes()));
            let request = Request::bucket(Method::Post, &container.bucket)
                .query("delete", "")
                .header("content-md5", sum)
                .header("content-type", "application/xml")
                .body(body);
            let answer = self.server.ask(&request).await;
            let answer = answer.map_err(self.of(container))?;
            let deleted = answer::deleted(&answer.text)
                .map_err(|error| self.of(container)(Failure::from(error)))?;
            let failed = deleted
                .errors
                .iter()
                .find(|error| error.code != "NoSuchKey");
            if let Some(failed) = failed {
                let name = container.object(&failed.key);
                return Err(format!(
                    "object {:?} in container {:?} can't be deleted: {}: {}",
                    name.unwrap_or_default(),
                    container.name,
                    failed.code,
                    failed.message
                ));
            }
        }
        Ok(())
    }

    async fn delete_one(&self, container: &Container, key: &str) -> Result<(), Failure> {
        let delete = Request::object(Method::Delete, &container.bucket, key);
        match self.server.ask(&delete).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_absent() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Copies an object on the server; through this process, where the server doesn't copy anything that large.
    async fn copy_object(&self, from: &Object<'_>, to: &Object<'_>) -> Result<(), Words> {
        self.must_exist(&to.container).await?;
        let source = format!("/{}/{}", from.container.bucket, from.key);
        let source = utf8_percent_encode(&source, PLAIN).to_string();
        let copy = to.request(Method::Put).header("x-amz-copy-source", source);
        match self.server.ask(&copy).await {
            Ok(_) => Ok(()),
            Err(failure) if is_too_large(&failure) => self.copy_through(from, to).await,
            Err(failure) if failure.is_absent() && !failure.is_no_bucket() => {
                Err(absent(&from.container, from.name))
            }
            Err(failure) => Err(self.of(&to.container)(failure)),
        }
    }

    async fn copy_through(&self, from: &Object<'_>, to: &Object<'_>) -> Result<(), Words> {
        let bucket = &from.container.bucket;
        let content = download::open(&self.server, bucket, &from.key, 0, u64::MAX).await;
        self.put(to, content.map_err(self.of_object(from))?).await
    }

    async fn put(&self, object: &Object<'_>, content: ByteStream) -> Result<(), Words> {
        // It is never closed.
        let _permit = self.uploads.acquire().await;
        let target = Target {
            server: &self.server,
            container: &object.container,
            key: &object.key,
            undoing: &self.undoing,
        };
        target.write(content).await.map_err(|error| match error {
            UploadError::Server(failure) => self.of(&object.container)(failure),
            UploadError::Content(why) => why,
        })
    }
}

/// An object of a link.
struct Object<'a> {
    container: Container,
    key: String,
    name: &'a str,
}

impl Object<'_> {
    fn request(&self, method: Method) -> Request {
        Request::object(method, &self.container.bucket, &self.key)
    }

    fn is(&self, other: &Self) -> bool {
        self.container.bucket == other.container.bucket && self.key == other.key
    }
}

fn no_container(container: &Container) -> Words {
    format!("there is no container {:?}", container.name)
}

/// What S3 says when an object has more bytes than it copies at once (5 GiB).
fn is_too_large(failure: &Failure) -> bool {
    matches!(failure.code(), "EntityTooLarge" | "InvalidRequest")
}
