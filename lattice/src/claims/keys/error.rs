//! What can be wrong with a key. No message repeats a seed.

use std::{fmt, io, path::PathBuf};

use super::KeyKind;

/// A key that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No such kind of key.
    #[error("{text:?} is no kind of key: use account, component, provider, host or user")]
    UnknownKind {
        /// What was asked for.
        text: String,
    },
    /// Not a public key at all.
    #[error("{text:?} is not a public key: {problem}")]
    BadPublicKey {
        /// The text, shortened.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// A key, of another kind.
    #[error("{text} is not {expected} key: its first letter must be {}", expected.letter())]
    WrongPublicKind {
        /// The key.
        text: String,
        /// What it should be.
        expected: Article,
    },
    /// Not a seed. The text itself is never repeated: it may be a secret with a typing error.
    #[error("not a seed: {problem} (a seed is 58 letters and digits and begins with S)")]
    BadSeed {
        /// What is wrong.
        problem: String,
    },
    /// A seed, of another kind.
    #[error("a seed of {found}, where {expected} key's is needed (it begins with S{})", expected.letter())]
    WrongSeedKind {
        /// What it is.
        found: String,
        /// What it should be.
        expected: Article,
    },
    /// A seed file can't be read or written.
    #[error("seed file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A seed file holds no seed.
    #[error("seed file {}: {source}", path.display())]
    FileContent {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<KeyError>,
    },
    /// A seed file that other users can read or write.
    #[error("seed file {} has mode {mode:04o}: others than its owner can use it; run: chmod 600 {}", path.display(), path.display())]
    FileOpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Keys are never overwritten.
    #[error("seed file {} is there already and is not overwritten: choose another name, or move it away", path.display())]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// The key library refused.
    #[error("signing failed: {problem}")]
    Signing {
        /// What it said.
        problem: String,
    },
}

/// A kind with its article, for messages: "an account".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Article(pub KeyKind);

impl Article {
    pub(super) fn letter(self) -> char {
        self.0.letter()
    }
}

impl fmt::Display for Article {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let article = if self.0 == KeyKind::Account {
            "an"
        } else {
            "a"
        };
        write!(f, "{article} {}", self.0)
    }
}
