//! Keys with their secret half, and the files that hold it.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    marker::PhantomData,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use nkeys::KeyPair;

use super::{Article, KeyError, KeyKind, PublicKey, Role};

/// The longest seed file that is read; a seed is 58 characters.
const MAX_SEED_FILE_BYTES: u64 = 1024;

/// A key with its secret half, of a kind known at run time.
pub struct AnyKey {
    kind: KeyKind,
    pair: KeyPair,
}

impl AnyKey {
    /// A new random key.
    pub fn generate(kind: KeyKind) -> Self {
        Self {
            kind,
            pair: KeyPair::new(kind.pair_type()),
        }
    }

    /// The key of a seed.
    ///
    /// # Errors
    /// When the text is no seed, or one of a kind that isn't used here.
    pub fn from_seed(seed: &str) -> Result<Self, KeyError> {
        let pair = KeyPair::from_seed(seed.trim()).map_err(|error| KeyError::BadSeed {
            problem: error.to_string(),
        })?;
        match KeyKind::of(&pair) {
            Some(kind) => Ok(Self { kind, pair }),
            None => Err(KeyError::BadSeed {
                problem: "a key of a kind that signs nothing here".into(),
            }),
        }
    }

    /// The key in a seed file: one line, readable by its owner alone.
    ///
    /// # Errors
    /// When the file can't be read, holds no seed, or is open to others than its owner.
    pub fn read_file(path: &Path) -> Result<Self, KeyError> {
        let file = File::open(path).map_err(file_error(path))?;
        // Of the open file, not of the path: what is checked is what is read.
        let mode = file.metadata().map_err(file_error(path))?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::FileOpenToOthers {
                path: path.into(),
                mode,
            });
        }
        let mut text = String::new();
        file.take(MAX_SEED_FILE_BYTES)
            .read_to_string(&mut text)
            .map_err(file_error(path))?;
        Self::from_seed(&text).map_err(|error| KeyError::FileContent {
            path: path.into(),
            source: Box::new(error),
        })
    }

    /// Writes the seed to a new file with mode 0600.
    ///
    /// # Errors
    /// When the file is there already (keys are never overwritten) or can't be written.
    pub fn write_file(&self, path: &Path) -> Result<(), KeyError> {
        let seed = self.seed();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => KeyError::FileExists { path: path.into() },
                _ => KeyError::File {
                    path: path.into(),
                    source,
                },
            })?;
        file.write_all(format!("{seed}\n").as_bytes())
            .map_err(file_error(path))?;
        file.sync_all().map_err(file_error(path))
    }

    /// The key in a seed file, or a new one that is written there when there is no such file.
    ///
    /// # Errors
    /// As [`Self::read_file`] and [`Self::write_file`].
    pub fn read_or_create(path: &Path, kind: KeyKind) -> Result<Self, KeyError> {
        match Self::read_file(path) {
            Err(KeyError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let key = Self::generate(kind);
        match key.write_file(path) {
            Ok(()) => Ok(key),
            // Another process was faster.
            Err(KeyError::FileExists { .. }) => Self::read_file(path),
            Err(error) => Err(error),
        }
    }

    /// What the key stands for.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public half, as text.
    pub fn public_text(&self) -> String {
        self.pair.public_key()
    }

    /// The seed. A secret: for a file or a pipe, never for a log.
    #[expect(clippy::expect_used, reason = "every AnyKey is made from a seed")]
    pub fn seed(&self) -> String {
        self.pair.seed().expect("made from a seed")
    }

    /// The key as one of a certain role.
    ///
    /// # Errors
    /// When it is of another kind.
    pub fn into_role<R: Role>(self) -> Result<SigningKey<R>, KeyError> {
        if self.kind != R::KIND {
            let found = Article(self.kind).to_string();
            return Err(KeyError::WrongSeedKind {
                found,
                expected: Article(R::KIND),
            });
        }
        Ok(SigningKey {
            key: self,
            role: PhantomData,
        })
    }
}

impl fmt::Debug for AnyKey {
    /// Shows the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyKey({})", self.public_text())
    }
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> KeyError + '_ {
    |source| KeyError::File {
        path: path.into(),
        source,
    }
}

/// A key with its secret half, of one role.
pub struct SigningKey<R: Role> {
    key: AnyKey,
    role: PhantomData<R>,
}

impl<R: Role> SigningKey<R> {
    /// A new random key.
    pub fn generate() -> Self {
        Self {
            key: AnyKey::generate(R::KIND),
            role: PhantomData,
        }
    }

    /// The key of a seed.
    ///
    /// # Errors
    /// When the text is no seed, or one of another kind.
    pub fn from_seed(seed: &str) -> Result<Self, KeyError> {
        AnyKey::from_seed(seed)?.into_role()
    }

    /// The key in a seed file.
    ///
    /// # Errors
    /// As [`AnyKey::read_file`]; also when the seed is of another kind.
    pub fn read_file(path: &Path) -> Result<Self, KeyError> {
        in_role(AnyKey::read_file(path)?, path)
    }

    /// The key in a seed file, or a new one that is written there when there is no such file.
    ///
    /// # Errors
    /// As [`AnyKey::read_or_create`]; also when the seed is of another kind.
    pub fn read_or_create(path: &Path) -> Result<Self, KeyError> {
        in_role(AnyKey::read_or_create(path, R::KIND)?, path)
    }

    /// Writes the seed to a new file with mode 0600.
    ///
    /// # Errors
    /// As [`AnyKey::write_file`].
    pub fn write_file(&self, path: &Path) -> Result<(), KeyError> {
        self.key.write_file(path)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey<R> {
        PublicKey::of(&self.key.pair)
    }

    /// The seed. A secret: for a file or a pipe, never for a log.
    pub fn seed(&self) -> String {
        self.key.seed()
    }

    /// Signs some bytes.
    ///
    /// # Errors
    /// When the key library refuses, which a key with its seed gives no reason for.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.key
            .pair
            .sign(bytes)
            .map_err(|error| KeyError::Signing {
                problem: error.to_string(),
            })
    }
}

fn in_role<R: Role>(key: AnyKey, path: &Path) -> Result<SigningKey<R>, KeyError> {
    key.into_role().map_err(|error| KeyError::FileContent {
        path: path.into(),
        source: Box::new(error),
    })
}

impl<R: Role> fmt::Debug for SigningKey<R> {
    /// Shows the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.key.public_text())
    }
}
