//! Reading messages from outside: an error names the message and the field.

use serde::de::DeserializeOwned;

/// A message that isn't what it should be.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or not of this message's form.
    #[error("{message}: field `{field}`: {problem}")]
    Field {
        /// What was read, for example `link.put request`.
        message: &'static str,
        /// The path to the field, for example `interfaces[2]`; `.` is the whole message.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Larger than any such message can be.
    #[error("{message}: {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// What was read.
        message: &'static str,
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
}

/// The largest control message that is looked at. NATS' own default bound for any message is the same.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// Reads one JSON message.
///
/// # Errors
/// Names the message, the field and the problem; never panics, whatever the bytes.
pub fn from_json<T: DeserializeOwned>(
    message: &'static str,
    bytes: &[u8],
) -> Result<T, DecodeError> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(DecodeError::TooLarge {
            message,
            bytes: bytes.len(),
            limit: MAX_MESSAGE_BYTES,
        });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        DecodeError::Field {
            message,
            field: error.path().to_string(),
            problem: error.inner().to_string(),
        }
    })?;
    deserializer.end().map_err(|error| DecodeError::Field {
        message,
        field: ".".into(),
        problem: error.to_string(),
    })?;
    Ok(value)
}
