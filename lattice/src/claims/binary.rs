//! A WebAssembly binary's sections: the tokens in it, its hash, and how a token is put there
//! (`wasmcloud-v1.md`, Claims).
//!
//! The hash covers the binary *re-encoded*: its sections copied one by one at every depth, each length
//! written in its shortest form, the sections that carry tokens dropped. Two binaries that differ only in how
//! a length is written have the same hash; every engine reads the same program in them.

use sha2::{Digest, Sha256};
use wasm_encoder::Encode;
use wasmparser::{Encoding, Parser, Payload};

use super::error::ClaimsError;

/// The custom section a token is put in.
pub const TOKEN_SECTION: &str = "wasmcloud_jwt";
/// The section that older tools put it in.
pub const OLD_TOKEN_SECTION: &str = "jwt";
/// The largest component that is looked at.
pub const MAX_BINARY_BYTES: usize = 256 * 1024 * 1024;
/// How deep components may be nested. Tools make two or three levels; each level costs a copy.
pub const MAX_DEPTH: usize = 64;

const CUSTOM_SECTION: u8 = 0;
const MODULE_IN_COMPONENT: u8 = 1;
const COMPONENT_IN_COMPONENT: u8 = 4;

/// A binary taken apart.
#[derive(Debug)]
pub struct Binary<'a> {
    /// Whether it is a component; otherwise a core module.
    pub is_component: bool,
    /// The binary re-encoded without tokens.
    pub stripped: Vec<u8>,
    /// The tokens of the outermost level, in order. A signed binary has one.
    pub tokens: Vec<&'a [u8]>,
}

impl<'a> Binary<'a> {
    /// Takes a binary apart.
    ///
    /// # Errors
    /// [`ClaimsError::NotWasm`], [`ClaimsError::BrokenWasm`] or [`ClaimsError::TooLarge`]. Never panics,
    /// whatever the bytes.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ClaimsError> {
        if bytes.len() > MAX_BINARY_BYTES {
            return Err(ClaimsError::TooLarge {
                bytes: bytes.len(),
                limit: MAX_BINARY_BYTES,
            });
        }
        if !bytes.starts_with(b"\0asm") {
            return Err(ClaimsError::NotWasm);
        }
        let mut tokens = Vec::new();
        let mut level = Level::default();
        let mut parents: Vec<Level> = Vec::new();
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(broken)?;
            match &payload {
                Payload::Version { encoding, .. } => level.begin(*encoding)?,
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                    if parents.len() == MAX_DEPTH {
                        return Err(broken(format!("nested deeper than {MAX_DEPTH} levels")));
                    }
                    let expected = match payload {
                        Payload::ModuleSection { .. } => Encoding::Module,
                        _ => Encoding::Component,
                    };
                    parents.push(std::mem::replace(&mut level, Level::nested(expected)));
                }
                Payload::End(_) => {
                    let Some(mut parent) = parents.pop() else {
                        break;
                    };
                    let id = if level.is_component {
                        COMPONENT_IN_COMPONENT
                    } else {
                        MODULE_IN_COMPONENT
                    };
                    append_section(&mut parent.bytes, id, &level.bytes);
                    level = parent;
                }
                Payload::CustomSection(section)
                    if [TOKEN_SECTION, OLD_TOKEN_SECTION].contains(&section.name()) =>
                {
                    if parents.is_empty() {
                        tokens.push(section.data());
                    }
                }
                other => {
                    if let Some((id, range)) = other.as_section() {
                        let content = bytes
                            .get(range)
                            .ok_or_else(|| broken("a section ends beyond the file"))?;
                        append_section(&mut level.bytes, id, content);
                    }
                }
            }
        }
        Ok(Self {
            is_component: level.is_component,
            stripped: level.bytes,
            tokens,
        })
    }

    /// The hash claims carry: SHA-256 of the stripped binary in upper-case hexadecimal.
    pub fn hash(&self) -> String {
        sha256(&self.stripped)
    }

    /// The one token, as text.
    ///
    /// # Errors
    /// When there are several, of which each reader might take another, or it isn't text.
    pub fn token(&self) -> Result<Option<&'a str>, ClaimsError> {
        match self.tokens.as_slice() {
            [] => Ok(None),
            [token] => {
                std::str::from_utf8(token)
                    .map(Some)
                    .map_err(|_| ClaimsError::MalformedToken {
                        problem: "it is not text".into(),
                    })
            }
            several => Err(ClaimsError::MalformedToken {
                problem: format!("the binary carries {} tokens instead of one", several.len()),
            }),
        }
    }

    /// The stripped binary with a token at its end.
    pub fn with_token(mut self, token: &str) -> Vec<u8> {
        let mut content = Vec::with_capacity(TOKEN_SECTION.len() + 1 + token.len());
        TOKEN_SECTION.encode(&mut content);
        content.extend_from_slice(token.as_bytes());
        append_section(&mut self.stripped, CUSTOM_SECTION, &content);
        self.stripped
    }
}

/// One module or component while it is copied.
#[derive(Default)]
struct Level {
    expected: Option<Encoding>,
    is_component: bool,
    bytes: Vec<u8>,
}

impl Level {
    fn nested(expected: Encoding) -> Self {
        Self {
            expected: Some(expected),
            ..Self::default()
        }
    }

    /// Writes the header. The section's number says what is inside; were another thing accepted, the copy
    /// would hide the change.
    fn begin(&mut self, encoding: Encoding) -> Result<(), ClaimsError> {
        if self.expected.is_some_and(|expected| expected != encoding) {
            return Err(broken("a nested section is not what its number says"));
        }
        self.is_component = encoding == Encoding::Component;
        self.bytes.extend_from_slice(match encoding {
            Encoding::Component => &wasm_encoder::Component::HEADER,
            Encoding::Module => &wasm_encoder::Module::HEADER,
        });
        Ok(())
    }
}

/// The encoder can't take more than 4 GiB; [`MAX_BINARY_BYTES`] keeps it far below.
fn append_section(bytes: &mut Vec<u8>, id: u8, content: &[u8]) {
    bytes.push(id);
    content.encode(bytes);
}

fn broken(problem: impl ToString) -> ClaimsError {
    ClaimsError::BrokenWasm {
        problem: problem.to_string(),
    }
}

/// SHA-256 in upper-case hexadecimal, as claims write it.
pub fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXUPPER.encode(&Sha256::digest(bytes))
}
