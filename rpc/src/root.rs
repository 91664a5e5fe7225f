//! Root values in several messages, put together again.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::error::CallError;

/// Parameters or results that arrive in parts.
#[derive(Debug)]
pub(crate) struct Root {
    limit: usize,
    first: Bytes,
    more: BytesMut,
    total: Option<usize>,
    next_sequence: u64,
    /// They are all there.
    pub(crate) complete: bool,
}

impl Root {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            first: Bytes::new(),
            more: BytesMut::new(),
            total: None,
            next_sequence: 0,
            complete: false,
        }
    }

    /// The first part of so many bytes in all.
    pub(crate) fn begin(&mut self, total: u64, first: Bytes) -> Result<(), CallError> {
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        self.check(total)?;
        self.total = Some(total);
        self.append(first)
    }

    /// The first part of nobody says how many bytes: a 1.x peer.
    pub(crate) fn start(&mut self, first: Bytes) -> Result<(), CallError> {
        self.append(first)
    }

    /// A further part, with its number if parts are numbered.
    pub(crate) fn add(&mut self, sequence: Option<u64>, part: Bytes) -> Result<(), CallError> {
        if let Some(sequence) = sequence {
            if sequence != self.next_sequence {
                return Err(CallError::lost(self.next_sequence, sequence));
            }
            self.next_sequence += 1;
        }
        self.append(part)
    }

    /// The values.
    pub(crate) fn take(self) -> Bytes {
        if self.more.is_empty() {
            self.first
        } else {
            self.more.freeze()
        }
    }

    fn append(&mut self, part: Bytes) -> Result<(), CallError> {
        let length = self.length() + part.len();
        self.check(length)?;
        if self.length() == 0 {
            self.first = part;
        } else {
            if self.more.is_empty() {
                // What was announced is within the bound, and most of what is announced comes.
                self.more.reserve(self.total.unwrap_or(length).max(length));
                self.more.put_slice(&std::mem::take(&mut self.first));
            }
            self.more.put_slice(&part);
        }
        match self.total {
            Some(total) if length > total => Err(CallError::Malformed(format!(
                "{length} bytes of values came where {total} were announced"
            ))),
            Some(total) => {
                self.complete = length == total;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn length(&self) -> usize {
        self.first.len() + self.more.len()
    }

    fn check(&self, bytes: usize) -> Result<(), CallError> {
        if bytes <= self.limit {
            return Ok(());
        }
        Err(CallError::TooLarge {
            what: "a call's values".into(),
            bytes,
            limit: self.limit,
        })
    }
}
