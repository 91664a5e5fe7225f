//! Header and trailer fields.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Names with their values, each name once, as they stand on the wire.
pub type Fields = Vec<(String, Vec<Bytes>)>;

/// A field that HTTP does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header {name:?} has a {part} that HTTP does not allow")]
pub struct InvalidFields {
    /// The field.
    pub name: String,
    /// `name` or `value`.
    pub part: &'static str,
}

/// The fields of a header map.
pub fn fields_of(headers: &HeaderMap) -> Fields {
    headers
        .keys()
        .map(|name| {
            let values = headers.get_all(name).iter();
            (
                name.as_str().to_owned(),
                values
                    .map(|value| Bytes::copy_from_slice(value.as_bytes()))
                    .collect(),
            )
        })
        .collect()
}

/// The header map of fields.
///
/// # Errors
/// [`InvalidFields`] for a name or value that HTTP does not allow, such as one with a line break.
pub fn header_map(fields: Fields) -> Result<HeaderMap, InvalidFields> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, values) in fields {
        let invalid = |part| InvalidFields {
            name: name.clone(),
            part,
        };
        let parsed = HeaderName::try_from(name.as_str()).map_err(|_| invalid("name"))?;
        for value in values {
            let value = HeaderValue::from_maybe_shared(value).map_err(|_| invalid("value"))?;
            headers
                .try_append(&parsed, value)
                .map_err(|_| invalid("number of values"))?;
        }
    }
    Ok(headers)
}
