//! nkeys: the Ed25519 keys that lattices know things by, and the files their seeds live in
//! (`wasmcloud-v1.md`, Ids and keys).

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    marker::PhantomData,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest seed file that is read; a seed is 58 characters.
const MAX_SEED_FILE_BYTES: u64 = 1024;

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// `A…`: an issuer, who signs.
    Account,
    /// `M…`: a component, the subject of claims.
    Component,
    /// `V…`: a provider, the subject of claims.
    Provider,
    /// `N…`: a host.
    Host,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Account, Self::Component, Self::Provider, Self::Host];

    /// The first letter of the public key.
    pub fn letter(self) -> char {
        match self {
            Self::Account => 'A',
            Self::Component => 'M',
            Self::Provider => 'V',
            Self::Host => 'N',
        }
    }

    fn of(pair: &KeyPair) -> Option<Self> {
        match pair.key_pair_type() {
            KeyPairType::Account => Some(Self::Account),
            KeyPairType::Module => Some(Self::Component),
            KeyPairType::Service => Some(Self::Provider),
            KeyPairType::Server => Some(Self::Host),
            _ => None,
        }
    }

    fn pair_type(self) -> KeyPairType {
        match self {
            Self::Account => KeyPairType::Account,
            Self::Component => KeyPairType::Module,
            Self::Provider => KeyPairType::Service,
            Self::Host => KeyPairType::Server,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account => "account",
            Self::Component => "component",
            Self::Provider => "provider",
            Self::Host => "host",
        })
    }
}

impl FromStr for KeyKind {
    type Err = KeyError;

    /// The kind by its name; 1.x's words `module` and `service` are understood too.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        match text.to_ascii_lowercase().as_str() {
            "account" => Ok(Self::Account),
            "component" | "module" => Ok(Self::Component),
            "provider" | "service" => Ok(Self::Provider),
            "host" | "server" => Ok(Self::Host),
            _ => Err(KeyError::UnknownKind {
                text: shorten(text),
            }),
        }
    }
}

/// A key that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No such kind of key.
    #[error("{text:?} is no kind of key: use account, component, provider or host")]
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
    fn letter(self) -> char {
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

/// A role in types: a function that wants an account's key can't be given a host's.
pub trait Role: Clone + fmt::Debug + Eq + Ord + std::hash::Hash + Send + Sync + 'static {
    /// The kind at run time.
    const KIND: KeyKind;
}

macro_rules! role {
    ($($name:ident: $doc:literal),*) => {$(
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {}

        impl Role for $name {
            const KIND: KeyKind = KeyKind::$name;
        }
    )*};
}

role!(Account: "An issuer's role.", Component: "A component's role.", Provider: "A provider's role.", Host: "A host's role.");

/// An issuer's key, which signs claims.
pub type AccountKey = SigningKey<Account>;
/// A component's key. Only its public half is used: claims are about it.
pub type ComponentKey = SigningKey<Component>;
/// A provider's key. Only its public half is used: claims are about it.
pub type ProviderKey = SigningKey<Provider>;
/// A host's key, whose public half is the host's id.
pub type HostKey = SigningKey<Host>;
/// Who signed: an account's public key.
pub type Issuer = PublicKey<Account>;

/// A public key, its prefix and checksum verified.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey<R: Role> {
    text: Arc<str>,
    role: PhantomData<R>,
}

impl<R: Role> PublicKey<R> {
    /// The key, checked.
    ///
    /// # Errors
    /// When it isn't a public key of this role.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let pair = public_pair(text)?;
        if KeyKind::of(&pair) != Some(R::KIND) {
            return Err(KeyError::WrongPublicKind {
                text: text.into(),
                expected: Article(R::KIND),
            });
        }
        Ok(Self {
            text: text.into(),
            role: PhantomData,
        })
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a signature of some bytes was made with this key's seed.
    pub fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        public_pair(&self.text).is_ok_and(|pair| pair.verify(bytes, signature).is_ok())
    }
}

fn public_pair(text: &str) -> Result<KeyPair, KeyError> {
    // A seed given by mistake must not end up in a message, and so in a log.
    if text.trim_start().starts_with(['S', 's']) {
        let problem = "it begins with S, as seeds do, which are secret; give the public key".into();
        return Err(KeyError::BadPublicKey {
            text: "S…".into(),
            problem,
        });
    }
    KeyPair::from_public_key(text).map_err(|error| KeyError::BadPublicKey {
        text: shorten(text),
        problem: error.to_string(),
    })
}

impl<R: Role> fmt::Display for PublicKey<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<R: Role> fmt::Debug for PublicKey<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<R: Role> FromStr for PublicKey<R> {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

impl<R: Role> Serialize for PublicKey<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, R: Role> Deserialize<'de> for PublicKey<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

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
        PublicKey {
            text: self.key.public_text().into(),
            role: PhantomData,
        }
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

/// At most this much of a foreign text is repeated in a message.
pub(super) fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}
