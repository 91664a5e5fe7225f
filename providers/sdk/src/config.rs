//! Configuration as a Rust type: a provider's own, or one side of a link's.
//!
//! On the wire a configuration is a flat object of strings (`wasmcloud-v1.md`, Control interface). Here it becomes
//! any type that derives `Deserialize`: numbers, booleans and enums are read from their text, a list from
//! comma-separated text, and what does not fit is an error that names the field and the value.

mod value;

use std::collections::{BTreeMap, BTreeSet};

use serde::{
    Deserialize,
    de::{DeserializeOwned, DeserializeSeed, MapAccess, Visitor},
};

use self::value::{Text, ValueError};

/// A configuration that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A field that must be there is not.
    #[error("{what}: field `{field}` is missing")]
    Missing {
        /// Whose configuration, for example `link http-server -(wasi:http)-> hello, source_config`.
        what: String,
        /// The field.
        field: String,
    },
    /// A field has a value that doesn't fit.
    #[error("{what}: field `{field}`: {problem}")]
    Field {
        /// Whose configuration.
        what: String,
        /// The field.
        field: String,
        /// What is wrong with its value.
        problem: String,
    },
    /// It doesn't fit as a whole.
    #[error("{what}: {problem}")]
    Whole {
        /// Whose configuration.
        what: String,
        /// What is wrong.
        problem: String,
    },
}

impl ConfigError {
    /// A field with a value that doesn't fit, found by the provider itself.
    pub fn field(
        what: impl Into<String>,
        field: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self::Field {
            what: what.into(),
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// The type of a configuration that a provider doesn't have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NoConfig {}

/// Reads a configuration. Fields that the type doesn't know are logged by name and left alone: 1.x's manifests may
/// hold some that only 1.x's providers know.
///
/// # Errors
/// [`ConfigError`] names the field that is missing or whose value doesn't fit.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     address: std::net::SocketAddr,
///     #[serde(default)]
///     timeout_ms: Option<u64>,
/// }
/// let config = [("address".to_owned(), "127.0.0.1:80".to_owned()), ("timeout_ms".to_owned(), "soon".to_owned())];
/// let error = trellis_provider::config::from_config::<Settings>("my link", &config.into()).err().unwrap();
/// assert_eq!(error.to_string(), "my link: field `timeout_ms`: \"soon\" is not a whole number from 0 on");
/// ```
pub fn from_config<T: DeserializeOwned>(
    what: &str,
    config: &BTreeMap<String, String>,
) -> Result<T, ConfigError> {
    let mut fields = Fields {
        entries: config.iter(),
        value: None,
        field: None,
        unknown: BTreeSet::new(),
    };
    let read = T::deserialize(&mut fields);
    if !fields.unknown.is_empty() {
        tracing::warn!(config = what, fields = ?fields.unknown, "configuration fields that have no meaning here");
    }
    let field = fields.field;
    read.map_err(|error| match (error, field) {
        (ValueError::Missing(field), _) => ConfigError::Missing {
            what: what.to_owned(),
            field: field.to_owned(),
        },
        (ValueError::Problem(problem), Some(field)) => ConfigError::Field {
            what: what.to_owned(),
            field,
            problem,
        },
        (ValueError::Problem(problem), None) => ConfigError::Whole {
            what: what.to_owned(),
            problem,
        },
    })
}

/// Walks through a configuration and remembers where it is, for the error.
struct Fields<'a> {
    entries: std::collections::btree_map::Iter<'a, String, String>,
    value: Option<(&'a str, &'a str)>,
    field: Option<String>,
    unknown: BTreeSet<String>,
}

impl<'de> serde::Deserializer<'de> for &mut Fields<'_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_map(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for &mut Fields<'_> {
    type Error = ValueError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ValueError> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some((key, value));
        seed.deserialize(Text::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ValueError> {
        let Some((key, value)) = self.value.take() else {
            return Err(ValueError::Problem("a value without its field".to_owned()));
        };
        let text = Text::new(value);
        let read = seed.deserialize(&text);
        if text.ignored() {
            self.unknown.insert(key.to_owned());
        }
        // Stays unset once all is read, so that an error of the whole isn't blamed on the last field.
        if read.is_err() {
            self.field = Some(key.to_owned());
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Address,
        Path,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Settings {
        #[serde(alias = "URL")]
        url: String,
        address: Option<SocketAddr>,
        #[serde(default)]
        retries: u32,
        #[serde(default)]
        verbose: bool,
        #[serde(default)]
        names: Vec<String>,
        mode: Option<Mode>,
    }

    fn read(entries: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let config = entries
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        from_config("link", &config)
    }

    #[test]
    fn texts_become_the_fields_types() {
        let settings = read(&[
            ("URL", "redis://h"),
            ("address", "127.0.0.1:80"),
            ("retries", " 3"),
            ("verbose", "true"),
            ("names", "a, b,c"),
            ("mode", "path"),
            ("only_1x_knows", "x"),
        ]);
        assert_eq!(
            settings,
            Ok(Settings {
                url: "redis://h".into(),
                address: Some(([127, 0, 0, 1], 80).into()),
                retries: 3,
                verbose: true,
                names: vec!["a".into(), "b".into(), "c".into()],
                mode: Some(Mode::Path),
            })
        );
    }

    #[test]
    fn an_error_names_the_field_and_the_problem() {
        let message = |entries: &[(&str, &str)]| read(entries).unwrap_err().to_string();
        assert_eq!(message(&[]), "link: field `url` is missing");
        assert_eq!(
            message(&[("url", "u"), ("retries", "-1")]),
            "link: field `retries`: \"-1\" is not a whole number from 0 on"
        );
        assert_eq!(
            message(&[("url", "u"), ("retries", "4294967296")]),
            "link: field `retries`: invalid value: integer `4294967296`, expected u32"
        );
        assert_eq!(
            message(&[("url", "u"), ("verbose", "yes")]),
            "link: field `verbose`: \"yes\" is neither true nor false"
        );
        assert!(
            message(&[("url", "u"), ("address", "here")]).starts_with("link: field `address`: ")
        );
        assert_eq!(
            message(&[("url", "u"), ("mode", "host")]),
            "link: field `mode`: unknown variant `host`, expected `address` or `path`"
        );
    }

    #[test]
    fn an_empty_value_is_no_value_where_one_is_optional() {
        assert_eq!(
            read(&[("url", "u"), ("address", "")]).unwrap().address,
            None
        );
    }
}
