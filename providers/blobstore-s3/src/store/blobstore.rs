//! What a component asks a store for.

use std::{
    collections::HashSet,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, StatusCode, header};
use rusty_s3::Method;
use trellis_provider::{
    blobstore::{Blobstore, ContainerMetadata, Content, Names, ObjectId, ObjectMetadata, Words},
    rpc::{ByteStream, CallContext},
};

use super::{Store, no_container};
use crate::{answer, download, failure::absent, listing, request::Request};

/// How often a bucket is cleared that others write to while it is deleted.
const CLEARED: usize = 3;

impl Blobstore for Store {
    async fn create_container(&self, _: &CallContext, name: &str) -> Result<(), Words> {
        self.may_change()?;
        let container = self.container(name)?;
        let of = self.of(&container);
        if !container.is_bucket {
            if self.marker(&container).await.map_err(&of)?.is_none() {
                let marker = Request::object(Method::Put, &container.bucket, &container.marker());
                self.server.ask(&marker).await.map_err(of)?;
            }
            return Ok(());
        }
        let make = Request::bucket(Method::Put, &container.bucket);
        let make = make.body(answer::create_bucket(&self.settings().region));
        match self.server.ask(&make).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.code() == "BucketAlreadyOwnedByYou" => Ok(()),
            Err(failure) if failure.status() == Some(StatusCode::CONFLICT) => {
                // Ours, or somebody else's?
                match self.exists(&container).await {
                    Ok(true) => Ok(()),
                    _ => Err(of(failure)),
                }
            }
            Err(failure) => Err(of(failure)),
        }
    }

    async fn container_exists(&self, _: &CallContext, name: &str) -> Result<bool, Words> {
        let container = self.container(name)?;
        self.exists(&container).await.map_err(self.of(&container))
    }

    async fn container_info(
        &self,
        _: &CallContext,
        name: &str,
    ) -> Result<ContainerMetadata, Words> {
        let container = self.container(name)?;
        let of = self.of(&container);
        if !container.is_bucket {
            let marker = self.marker(&container).await.map_err(&of)?;
            if marker.is_none() && !self.exists(&container).await.map_err(of)? {
                return Err(no_container(&container));
            }
            let created_at = marker.map_or(0, |marker| written_at(&marker));
            return Ok(ContainerMetadata { created_at });
        }
        if !self.exists(&container).await.map_err(&of)? {
            return Err(no_container(&container));
        }
        // Only a list of all buckets tells, and not all keys may have that.
        let listed = self.server.ask(&Request::server(Method::Get)).await;
        let created = listed
            .ok()
            .and_then(|answer| answer::created(&answer.text, &container.bucket).ok()?)
            .and_then(|created| created.parse::<jiff::Timestamp>().ok());
        let created_at = created.map_or(0, |created| {
            u64::try_from(created.as_second()).unwrap_or_default()
        });
        Ok(ContainerMetadata { created_at })
    }

    async fn delete_container(&self, _: &CallContext, name: &str) -> Result<(), Words> {
        self.may_change()?;
        let container = self.container(name)?;
        if !container.is_bucket {
            self.clear(&container).await?;
            let marker = self.delete_one(&container, &container.marker()).await;
            return marker.map_err(self.of(&container));
        }
        for cleared in 1..=CLEARED {
            if !self.exists(&container).await.map_err(self.of(&container))? {
                return Ok(());
            }
            self.clear(&container).await?;
            let delete = Request::bucket(Method::Delete, &container.bucket);
            match self.server.ask(&delete).await {
                Ok(_) => return Ok(()),
                Err(failure) if failure.is_absent() => return Ok(()),
                Err(failure) if failure.code() == "BucketNotEmpty" && cleared < CLEARED => {}
                Err(failure) => return Err(self.of(&container)(failure)),
            }
        }
        Ok(())
    }

    async fn clear_container(&self, _: &CallContext, name: &str) -> Result<(), Words> {
        self.may_change()?;
        let container = self.container(name)?;
        self.must_exist(&container).await?;
        self.clear(&container).await
    }

    async fn list(
        &self,
        _: &CallContext,
        container: &str,
        offset: u64,
        limit: Option<u64>,
    ) -> Result<Names, Words> {
        let container = self.container(container)?;
        let left = limit.unwrap_or(u64::MAX);
        // One more: the container's own marker may be among them.
        let most = left.saturating_add(offset).saturating_add(1);
        let first = listing::page(&self.server, &container, None, most).await;
        let first = first.map_err(self.of(&container))?;
        if !container.is_bucket && first.keys.is_empty() && first.next.is_none() {
            return Err(no_container(&container));
        }
        let server = self.server.clone();
        Ok(listing::names(server, container, first, offset, left))
    }

    async fn read(
        &self,
        _: &CallContext,
        id: &ObjectId,
        start: u64,
        end: u64,
    ) -> Result<Content, Words> {
        if end < start {
            return Err(format!(
                "the range from {start} to {end} ends before it begins"
            ));
        }
        let object = self.object(id)?;
        let bucket = &object.container.bucket;
        let content = download::open(&self.server, bucket, &object.key, start, end).await;
        content.map(Content).map_err(self.of_object(&object))
    }

    async fn write(
        &self,
        _: &CallContext,
        id: &ObjectId,
        content: ByteStream,
    ) -> Result<(), Words> {
        self.may_change()?;
        let object = self.object(id)?;
        self.must_exist(&object.container).await?;
        self.put(&object, content).await
    }

    async fn object_info(&self, _: &CallContext, id: &ObjectId) -> Result<ObjectMetadata, Words> {
        let object = self.object(id)?;
        let known = self.head(&object).await.map_err(self.of_object(&object))?;
        let known = known.ok_or_else(|| absent(&object.container, object.name))?;
        let size = known.get(header::CONTENT_LENGTH);
        let size = size.and_then(|size| size.to_str().ok()?.parse().ok());
        Ok(ObjectMetadata {
            created_at: written_at(&known),
            size: size.ok_or("the server doesn't say how large the object is")?,
        })
    }

    async fn has_object(&self, _: &CallContext, id: &ObjectId) -> Result<bool, Words> {
        let object = self.object(id)?;
        let known = self.head(&object).await.map_err(self.of_object(&object))?;
        Ok(known.is_some())
    }

    async fn delete_object(&self, _: &CallContext, id: &ObjectId) -> Result<(), Words> {
        self.may_change()?;
        let object = self.object(id)?;
        let deleted = self.delete_one(&object.container, &object.key).await;
        deleted.map_err(self.of_object(&object))
    }

    async fn delete_objects(
        &self,
        _: &CallContext,
        container: &str,
        objects: &[String],
    ) -> Result<(), Words> {
        self.may_change()?;
        let container = self.container(container)?;
        // All names first: a wrong one deletes nothing. None twice: servers differ in what they make of that.
        let keys: HashSet<String> = objects
            .iter()
            .map(|object| container.key(object))
            .collect::<Result<_, _>>()?;
        self.delete(&container, keys.into_iter().collect()).await
    }

    async fn copy(&self, _: &CallContext, src: &ObjectId, dest: &ObjectId) -> Result<(), Words> {
        self.may_change()?;
        let (from, to) = (self.object(src)?, self.object(dest)?);
        if from.is(&to) {
            // Servers refuse what changes nothing.
            let known = self.head(&from).await.map_err(self.of_object(&from))?;
            return match known {
                Some(_) => Ok(()),
                None => Err(absent(&from.container, from.name)),
            };
        }
        self.copy_object(&from, &to).await
    }

    async fn rename(&self, by: &CallContext, src: &ObjectId, dest: &ObjectId) -> Result<(), Words> {
        self.copy(by, src, dest).await?;
        let (from, to) = (self.object(src)?, self.object(dest)?);
        if from.is(&to) {
            return Ok(());
        }
        let deleted = self.delete_one(&from.container, &from.key).await;
        deleted.map_err(|failure| {
            let why = self.of_object(&from)(failure);
            format!("it is copied, but not deleted where it was: {why}")
        })
    }
}

/// When an object was written, in seconds since 1970.
fn written_at(known: &HeaderMap) -> u64 {
    let modified = known.get(header::LAST_MODIFIED);
    let modified: Option<SystemTime> =
        modified.and_then(|time| httpdate::parse_http_date(time.to_str().ok()?).ok());
    modified
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_secs())
}
