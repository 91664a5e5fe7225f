//! Bytes to values, and channels to streams and futures.

use bytes::Bytes;
use trellis_rpc::{
    ByteStream, CallError, Channels, Incoming,
    codec::{Decode, Decoder, Deferred, decode_chunks, decode_future, leb},
};

use super::{Carried, Content, Later};

/// The largest value of a future.
const MAX_LATER_BYTES: usize = 1 << 20;

/// The parameters or the result of a call as they are being read.
#[derive(Debug)]
pub struct Lifting {
    decoder: Decoder,
    path: Vec<u32>,
    channels: Channels,
}

impl Lifting {
    /// All is still to be read.
    pub fn new(values: Incoming) -> Self {
        Self {
            decoder: Decoder::new(values.root),
            path: Vec::new(),
            channels: values.channels,
        }
    }

    /// Ends the reading. Streams that were read from it go on.
    ///
    /// # Errors
    /// [`CallError::Malformed`]: there are more bytes than values.
    pub fn finish(self) -> Result<(), CallError> {
        Ok(self.decoder.finish()?)
    }

    /// Goes to a part: a parameter, a record's field, a tuple's item.
    pub fn enter(&mut self, index: u32) {
        self.path.push(index);
    }

    /// Comes back from [`Self::enter`].
    pub fn leave(&mut self) {
        self.path.pop();
    }

    /// A value without streams, futures or resources of the provider in it.
    ///
    /// # Errors
    /// [`CallError::Malformed`].
    pub fn value<T: Decode>(&mut self) -> Result<T, CallError> {
        Ok(T::decode(&mut self.decoder)?)
    }

    /// Whether an option has a value, or a result is an error.
    ///
    /// # Errors
    /// [`CallError::Malformed`].
    pub fn tag(&mut self) -> Result<bool, CallError> {
        self.value()
    }

    /// A variant's case.
    ///
    /// # Errors
    /// [`CallError::Malformed`].
    pub fn case(&mut self, what: &'static str) -> Result<u32, CallError> {
        Ok(leb::read_u32(&mut self.decoder, what)?)
    }

    /// The error for a case that a variant doesn't have.
    pub fn unknown_case(&self, what: &'static str, case: u32) -> CallError {
        self.decoder.unknown_case(what, case).into()
    }

    /// How many elements follow; no more than there can be in what is left.
    ///
    /// # Errors
    /// [`CallError::Malformed`].
    pub fn length(&mut self) -> Result<usize, CallError> {
        Ok(self.decoder.list_length(1)?)
    }

    /// A record or variant with streams or futures in it.
    ///
    /// # Errors
    /// [`CallError::Malformed`].
    pub fn carried<T: Carried>(&mut self) -> Result<T, CallError> {
        T::lift(self)
    }

    /// A stream of bytes.
    ///
    /// # Errors
    /// [`CallError::Malformed`].
    pub fn content(&mut self) -> Result<Content, CallError> {
        Ok(match self.value::<Deferred<Bytes>>()? {
            Deferred::Ready(bytes) => bytes.into(),
            Deferred::Pending => decode_chunks(self.channel("a stream")?).into(),
        })
    }

    /// A value that comes later.
    ///
    /// # Errors
    /// [`CallError::Malformed`].
    pub fn later<T: Decode + Send + 'static>(&mut self) -> Result<Later<T>, CallError> {
        Ok(match self.value::<Deferred<T>>()? {
            Deferred::Ready(value) => Later::new(async move { Ok(value) }),
            Deferred::Pending => {
                Later::new(decode_future(self.channel("a future")?, MAX_LATER_BYTES))
            }
        })
    }

    fn channel(&mut self, what: &str) -> Result<ByteStream, CallError> {
        self.channels.take(&self.path).ok_or_else(|| {
            CallError::Malformed(format!(
                "{what} was announced at {:?} and never came",
                self.path
            ))
        })
    }
}
