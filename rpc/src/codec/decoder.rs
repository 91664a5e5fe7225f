//! Reading with bounds: nothing is allocated for bytes that are not there.

use bytes::{Buf as _, Bytes};

use super::leb;
use crate::error::CallError;

/// Bounds on what one decoding may build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How deep dynamic values may nest.
    pub depth: u32,
    /// How many list elements and other dynamic values may be built in all. A `list<u8>` counts as one.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 64,
            values: 1 << 20,
        }
    }
}

/// Bytes that are not what their type says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// There are fewer bytes than the value needs.
    #[error("the bytes end at {at} in the middle of {what}, which needs {needed} more")]
    Ended {
        /// What was being read.
        what: &'static str,
        /// Where, in bytes from the start.
        at: usize,
        /// How many bytes are missing at least.
        needed: usize,
    },
    /// The bytes have no meaning for the type.
    #[error("{what} at byte {at}: {found}")]
    Invalid {
        /// What was being read.
        what: &'static str,
        /// What is there.
        found: String,
        /// Where, in bytes from the start.
        at: usize,
    },
    /// A bound was passed.
    #[error("{what} at byte {at} goes past the limit of {limit}")]
    Limit {
        /// Which bound.
        what: &'static str,
        /// The bound.
        limit: usize,
        /// Where, in bytes from the start.
        at: usize,
    },
    /// The values end before the bytes do.
    #[error("{bytes} bytes follow the values")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

impl From<WireError> for CallError {
    fn from(error: WireError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// A bounded reader; what it hands out as [`Bytes`] shares the message's memory.
#[derive(Debug)]
pub struct Decoder {
    bytes: Bytes,
    total: usize,
    limits: Limits,
    depth: u32,
    values: usize,
}

impl Decoder {
    /// A reader with the default [`Limits`].
    pub fn new(bytes: Bytes) -> Self {
        Self::with_limits(bytes, Limits::default())
    }

    /// A reader with limits of one's own.
    pub fn with_limits(bytes: Bytes, limits: Limits) -> Self {
        let total = bytes.len();
        Self {
            bytes,
            total,
            limits,
            depth: 0,
            values: 0,
        }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.total - self.bytes.len()
    }

    /// One byte.
    ///
    /// # Errors
    /// [`WireError::Ended`].
    pub fn byte(&mut self, what: &'static str) -> Result<u8, WireError> {
        if self.bytes.is_empty() {
            return Err(WireError::Ended {
                what,
                at: self.position(),
                needed: 1,
            });
        }
        Ok(self.bytes.get_u8())
    }

    /// The next bytes, without a copy.
    ///
    /// # Errors
    /// [`WireError::Ended`].
    pub fn take(&mut self, length: usize, what: &'static str) -> Result<Bytes, WireError> {
        if length > self.bytes.len() {
            let needed = length - self.bytes.len();
            return Err(WireError::Ended {
                what,
                at: self.total,
                needed,
            });
        }
        Ok(self.bytes.split_to(length))
    }

    /// The next bytes as an array, for floats.
    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], WireError> {
        let mut array = [0; N];
        array.copy_from_slice(&self.take(N, what)?);
        Ok(array)
    }

    /// A byte that must be 0 or 1.
    pub(crate) fn flag(&mut self, what: &'static str) -> Result<bool, WireError> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.invalid(what, format!("{other:#04x} where only 0 or 1 can stand"))),
        }
    }

    /// A list's count, refused when its elements, of `min_bytes` each at least, cannot be in what is left.
    /// Counts towards [`Limits::values`].
    ///
    /// # Errors
    /// [`WireError::Ended`] and [`WireError::Limit`], before anything is allocated.
    pub fn list_length(&mut self, min_bytes: usize) -> Result<usize, WireError> {
        let count = leb::read_u32(self, "a list's length")? as usize;
        let needed = count.saturating_mul(min_bytes.max(1));
        if needed > self.remaining() {
            let needed = needed - self.remaining();
            return Err(WireError::Ended {
                what: "a list",
                at: self.total,
                needed,
            });
        }
        self.count_values(count)?;
        Ok(count)
    }

    /// A string's or byte list's length, and its bytes.
    pub(crate) fn sized(&mut self, what: &'static str) -> Result<Bytes, WireError> {
        let length = leb::read_u32(self, what)? as usize;
        self.take(length, what)
    }

    /// A string.
    pub(crate) fn string(&mut self) -> Result<String, WireError> {
        let bytes = self.sized("a string")?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(self.invalid("a string", format!("not UTF-8: {error}"))),
        }
    }

    /// A character: its UTF-8 bytes, whose first tells how many they are.
    pub(crate) fn char(&mut self) -> Result<char, WireError> {
        let first = self.byte("a char")?;
        let more = match first {
            0x00..=0x7f => 0,
            0xc0..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf7 => 3,
            _ => return Err(self.invalid("a char", format!("{first:#04x} does not start UTF-8"))),
        };
        let mut bytes = [first, 0, 0, 0];
        bytes[1..=more].copy_from_slice(&self.take(more, "a char")?);
        std::str::from_utf8(&bytes[..=more])
            .ok()
            .and_then(|text| text.chars().next())
            .ok_or_else(|| self.invalid("a char", "not UTF-8"))
    }

    /// Goes one level deeper; [`Decoder::leave`] comes back.
    pub(crate) fn enter(&mut self) -> Result<(), WireError> {
        if self.depth >= self.limits.depth {
            let limit = self.limits.depth as usize;
            return Err(WireError::Limit {
                what: "nesting",
                limit,
                at: self.position(),
            });
        }
        self.depth += 1;
        Ok(())
    }

    /// Comes back from [`Decoder::enter`].
    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Counts values towards the limit.
    pub(crate) fn count_values(&mut self, count: usize) -> Result<(), WireError> {
        self.values = self.values.saturating_add(count);
        if self.values > self.limits.values {
            let limit = self.limits.values;
            return Err(WireError::Limit {
                what: "the number of values",
                limit,
                at: self.position(),
            });
        }
        Ok(())
    }

    /// An error about the byte just read.
    pub(crate) fn invalid(&self, what: &'static str, found: impl Into<String>) -> WireError {
        WireError::Invalid {
            what,
            found: found.into(),
            at: self.position().saturating_sub(1),
        }
    }

    /// The error for a case index that the type does not have; what `wire_variant!` returns.
    pub fn unknown_case(&self, what: &'static str, case: u32) -> WireError {
        self.invalid(what, format!("there is no case {case}"))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`WireError::Trailing`] when bytes are left.
    pub fn finish(self) -> Result<(), WireError> {
        match self.bytes.len() {
            0 => Ok(()),
            bytes => Err(WireError::Trailing { bytes }),
        }
    }
}

/// What to reserve for a list that says it has so many elements: the rest comes as they prove to be there.
pub(crate) fn first_capacity(count: usize) -> usize {
    count.min(1024)
}
