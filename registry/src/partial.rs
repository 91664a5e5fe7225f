//! A file that fills with content as it comes, and can go on from where it broke off.

use std::{
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};

use crate::Digest;

/// How much is read at once of what is there already.
const PIECE_BYTES: usize = 256 * 1024;

/// The file, and the hash of what is in it.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    length: u64,
}

impl Partial {
    /// Opens it, and hashes what is in it from before. More than `size` bytes can't be a beginning: then it is emptied.
    pub(crate) async fn open(path: &Path, size: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .await?;
        let mut partial = Self {
            path: path.to_owned(),
            file,
            hasher: Sha256::new(),
            length: 0,
        };
        if partial.file.metadata().await?.len() > size {
            partial.restart().await?;
        } else {
            partial.read_through().await?;
        }
        Ok(partial)
    }

    async fn read_through(&mut self) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = self.file.read(&mut piece).await?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(piece.get(..count).unwrap_or_default());
            self.length += count as u64;
        }
    }

    /// How much is there.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds what comes next.
    pub(crate) async fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what is there.
    pub(crate) async fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0).await?;
        self.file.seek(io::SeekFrom::Start(0)).await?;
        self.hasher = Sha256::new();
        self.length = 0;
        Ok(())
    }

    /// Writes out what may still be on its way to the file.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.file.flush().await
    }

    /// Makes it lasting, and gives the digest of what is in it.
    pub(crate) async fn finish(&mut self) -> io::Result<Digest> {
        self.flush().await?;
        self.file.sync_all().await?;
        Ok(Digest::from_hasher(self.hasher.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_on_where_it_broke_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        let mut partial = Partial::open(&path, 11).await.unwrap();
        partial.add(b"hello ").await.unwrap();
        partial.flush().await.unwrap();
        drop(partial);
        let mut partial = Partial::open(&path, 11).await.unwrap();
        assert_eq!(partial.length(), 6);
        partial.add(b"world").await.unwrap();
        assert_eq!(partial.finish().await.unwrap(), Digest::of(b"hello world"));
        assert_eq!(std::fs::read(&path).unwrap(), b"hello world");
    }

    #[tokio::test]
    async fn what_can_t_be_a_beginning_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        std::fs::write(&path, "far too long").unwrap();
        let mut partial = Partial::open(&path, 5).await.unwrap();
        assert_eq!(partial.length(), 0);
        partial.add(b"hello").await.unwrap();
        assert_eq!(partial.finish().await.unwrap(), Digest::of(b"hello"));
        assert_eq!(std::fs::read(&path).unwrap(), b"hello");
    }
}
