//! What every key-value provider must do, whatever is behind it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use trellis_provider::{
    contract::LinkName,
    rpc::{
        CallError,
        interface::{
            Function,
            keyvalue::{
                Delete, DeleteMany, Error, Exists, Get, GetMany, Increment, IncrementParams,
                KeyParams, KeysParams, ListKeys, ListParams, Set, SetMany, SetManyParams,
                SetParams,
            },
        },
    },
};

use trellis_tests::wait::until;

use crate::host::Host;

/// A component's view of a bucket.
#[derive(Clone, Copy, Debug)]
pub struct Bucket<'a> {
    /// Who speaks to the provider.
    pub host: &'a Host,
    /// The component.
    pub source: &'a str,
    /// The provider.
    pub provider: &'a str,
    /// The bucket's name.
    pub name: &'a str,
}

impl Bucket<'_> {
    /// Calls any function.
    ///
    /// # Errors
    /// The call's own, not the interface's.
    pub async fn call<F: Function>(&self, params: &F::Params) -> Result<F::Result, CallError>
    where
        F::Params: Sync,
    {
        self.host
            .call_over::<F>(&LinkName::default(), self.source, self.provider, params)
            .await
    }

    fn key(&self, key: &str) -> KeyParams {
        KeyParams {
            bucket: self.name.to_owned(),
            key: key.to_owned(),
        }
    }

    fn keys(&self, keys: &[&str]) -> KeysParams {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        KeysParams {
            bucket: self.name.to_owned(),
            keys,
        }
    }

    /// A key's value as text.
    ///
    /// # Errors
    /// The call's own or the interface's.
    pub async fn get(&self, key: &str) -> Result<Option<String>> {
        let value = self.call::<Get>(&self.key(key)).await??;
        value
            .map(|value| String::from_utf8(value.to_vec()).context("not text"))
            .transpose()
    }

    /// Sets a key.
    ///
    /// # Errors
    /// The call's own or the interface's.
    pub async fn set(&self, key: &str, value: &str) -> Result<()> {
        let params = SetParams {
            bucket: self.name.to_owned(),
            key: key.to_owned(),
            value: value.to_owned().into(),
        };
        Ok(self.call::<Set>(&params).await??)
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// The call's own or the interface's.
    pub async fn delete(&self, key: &str) -> Result<()> {
        Ok(self.call::<Delete>(&self.key(key)).await??)
    }

    /// Adds to a number.
    ///
    /// # Errors
    /// The call's own or the interface's.
    pub async fn increment(&self, key: &str, delta: u64) -> Result<u64> {
        let params = IncrementParams {
            bucket: self.name.to_owned(),
            key: key.to_owned(),
            delta,
        };
        Ok(self.call::<Increment>(&params).await??)
    }

    /// All keys, page by page, sorted.
    ///
    /// # Errors
    /// The call's own or the interface's; the pages don't end.
    pub async fn list(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        let mut cursor = None;
        for _ in 0..1000 {
            let params = ListParams {
                bucket: self.name.to_owned(),
                cursor,
            };
            let page = self.call::<ListKeys>(&params).await??;
            all.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                all.sort();
                return Ok(all);
            }
        }
        anyhow::bail!("the pages don't end")
    }
}

/// Values are set, read, listed and deleted, whatever a key looks like.
///
/// # Errors
/// The first thing that is not as it should be.
pub async fn values_are_kept(bucket: Bucket<'_>) -> Result<()> {
    let names = [
        "plain",
        "a/b=c_d-e.f",
        "with space",
        "ключ",
        ".dot.",
        "a*b>c",
        "=3D",
        "line\nbreak",
    ];
    for name in names {
        ensure!(
            bucket.get(name).await?.is_none(),
            "{name:?} is there already"
        );
        ensure!(!bucket.call::<Exists>(&bucket.key(name)).await??);
        bucket.set(name, name).await?;
        ensure!(bucket.get(name).await?.as_deref() == Some(name), "{name:?}");
        ensure!(bucket.call::<Exists>(&bucket.key(name)).await??);
    }
    bucket.set("plain", "").await?;
    ensure!(
        bucket.get("plain").await?.as_deref() == Some(""),
        "an empty value is a value"
    );
    ensure!(bucket.call::<Exists>(&bucket.key("plain")).await??);
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    let listed = bucket.list().await?;
    ensure!(listed == sorted, "listed {listed:?}");
    for name in names {
        bucket.call::<Delete>(&bucket.key(name)).await??;
        // Once more: one that isn't there is no error.
        bucket.call::<Delete>(&bucket.key(name)).await??;
        ensure!(bucket.get(name).await?.is_none(), "{name:?} is still there");
    }
    ensure!(bucket.list().await?.is_empty());
    Ok(())
}

/// Several keys at once.
///
/// # Errors
/// The first thing that is not as it should be.
pub async fn batches_work(bucket: Bucket<'_>) -> Result<()> {
    let key_values = vec![("x".to_owned(), "1".into()), ("y y".to_owned(), "2".into())];
    let pairs = SetManyParams {
        bucket: bucket.name.to_owned(),
        key_values,
    };
    bucket.call::<SetMany>(&pairs).await??;
    let got = bucket
        .call::<GetMany>(&bucket.keys(&["y y", "none", "x"]))
        .await??;
    let wanted = vec![
        Some(("y y".to_owned(), "2".into())),
        None,
        Some(("x".to_owned(), "1".into())),
    ];
    ensure!(got == wanted, "got {got:?}");
    ensure!(bucket.call::<GetMany>(&bucket.keys(&[])).await??.is_empty());
    bucket
        .call::<DeleteMany>(&bucket.keys(&["x", "none", "y y"]))
        .await??;
    bucket.call::<DeleteMany>(&bucket.keys(&[])).await??;
    ensure!(bucket.list().await?.is_empty());
    Ok(())
}

/// Numbers are counted, also by many at once.
///
/// # Errors
/// The first thing that is not as it should be.
pub async fn numbers_are_counted(bucket: Bucket<'_>) -> Result<()> {
    ensure!(bucket.increment("count me", 5).await? == 5);
    ensure!(bucket.increment("count me", 0).await? == 5);
    ensure!(bucket.get("count me").await?.as_deref() == Some("5"));
    let added = try_join_all((0..50).map(|_| bucket.increment("count me", 1))).await?;
    let mut added: Vec<u64> = added;
    added.sort_unstable();
    ensure!(
        added == (6..=55).collect::<Vec<u64>>(),
        "every sum is given once: {added:?}"
    );
    bucket.set("text", "not a number").await?;
    let params = IncrementParams {
        bucket: bucket.name.to_owned(),
        key: "text".to_owned(),
        delta: 1,
    };
    let error = bucket.call::<Increment>(&params).await?;
    ensure!(matches!(error, Err(Error::Other(_))), "{error:?}");
    bucket
        .call::<DeleteMany>(&bucket.keys(&["count me", "text"]))
        .await??;
    Ok(())
}

/// Values end when their time is over, a set begins it again, and so for numbers and batches. The link's `ttl` is given, and
/// has to be long enough for some calls.
///
/// # Errors
/// The first thing that is not as it should be.
pub async fn values_end(bucket: Bucket<'_>, ttl: Duration) -> Result<()> {
    let begun = Instant::now();
    bucket.set("set", "1").await?;
    ensure!(bucket.increment("count", 2).await? == 2);
    let pairs = SetManyParams {
        bucket: bucket.name.to_owned(),
        key_values: vec![("a".to_owned(), "1".into()), ("b".to_owned(), "2".into())],
    };
    bucket.call::<SetMany>(&pairs).await??;
    ensure!(bucket.increment("count", 3).await? == 5);
    let there = bucket.list().await?;
    let late = begun.elapsed() >= ttl;
    ensure!(late || there == ["a", "b", "count", "set"], "{there:?}");
    // Set again and again for longer than a value lasts: each time it lasts anew.
    while begun.elapsed() < ttl * 2 {
        let again = Instant::now();
        bucket.set("kept", "x").await?;
        tokio::time::sleep(ttl / 8).await;
        let kept = bucket.get("kept").await?.is_some();
        ensure!(kept || again.elapsed() >= ttl, "it ended too early");
    }
    until("every value has ended", || async {
        let left = bucket.list().await?;
        ensure!(left.is_empty(), "{left:?} after {:?}", begun.elapsed());
        Ok(())
    })
    .await?;
    // A number begins anew.
    ensure!(bucket.increment("count", 1).await? == 1);
    Ok(())
}
