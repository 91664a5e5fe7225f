//! Configuration as a Rust type: a provider's own, or one side of a link's.
//!
//! On the wire a configuration is a flat object of strings (`wasmcloud-v1.md`, Control interface). Here it becomes
//! any type that derives `Deserialize`: numbers, booleans and enums are read from their text, a list from
//! comma-separated text, and what does not fit is an error that names the field and the value.

mod fields;
mod value;

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};

use self::{fields::Fields, value::ValueError};

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
    /// A field that the configuration doesn't have.
    #[error("{what}: there is no field `{field}`{}", meant(nearest.as_deref()))]
    Unknown {
        /// Whose configuration.
        what: String,
        /// The field.
        field: String,
        /// The field that is likely meant.
        nearest: Option<String>,
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

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |field| format!("; did you mean `{field}`?"))
}

/// A field that was read and is refused by the provider: its name and what is wrong with it.
/// [`LinkConfig::config_error`](crate::LinkConfig::config_error) makes a link's error of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}`: {problem}")]
pub struct SettingsError {
    /// The field.
    pub field: &'static str,
    /// What is wrong with it; never its value where that may hold a password.
    pub problem: String,
}

/// The type of a configuration that a provider doesn't have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NoConfig {}

/// Reads a configuration. A field's name may be written in capitals, as for 1.x's providers.
///
/// Fields that the type doesn't know are logged by name and left alone: 1.x's manifests may hold some that only 1.x's
/// providers know. With `#[serde(deny_unknown_fields)]` they are refused instead; one that is to be left alone
/// nevertheless is then a field of the type [`serde::de::IgnoredAny`].
///
/// # Errors
/// [`ConfigError`] names the field that is missing, unknown, or has a value that doesn't fit.
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
    let mut fields = Fields::new(config);
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
        (ValueError::Unknown { field, nearest }, _) => ConfigError::Unknown {
            what: what.to_owned(),
            field,
            nearest: nearest.map(str::to_owned),
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

/// The names of a configuration's fields, with those that serde's `alias` gives them. A type that is no struct has none.
pub(crate) fn names<T: DeserializeOwned>() -> &'static [&'static str] {
    let nothing = BTreeMap::new();
    let mut fields = Fields::new(&nothing);
    // An error is expected: there may be fields that must be there.
    let _ = T::deserialize(&mut fields);
    fields.known
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
    fn a_field_s_name_may_be_in_capitals() {
        let settings = read(&[("Url", "u"), ("RETRIES", "3")]).unwrap();
        assert_eq!((settings.url.as_str(), settings.retries), ("u", 3));
        // The one that is written as it should be goes before.
        let settings = read(&[("url", "u"), ("RETRIES", "3"), ("retries", "4")]).unwrap();
        assert_eq!(settings.retries, 4);
    }

    #[test]
    fn unknown_fields_are_refused_where_the_type_says_so() {
        #[derive(Debug, Default, PartialEq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Strict {
            address: String,
            readonly_mode: serde::de::IgnoredAny,
        }
        let read = |field: &str| {
            from_config::<Strict>("link", &[(field.to_owned(), "x".to_owned())].into())
                .map_err(|error| error.to_string())
        };
        assert_eq!(read("address").unwrap().address, "x");
        assert_eq!(read("Address").unwrap().address, "x");
        assert_eq!(read("readonly_mode"), Ok(Strict::default()));
        assert_eq!(
            read("adress").unwrap_err(),
            "link: there is no field `adress`; did you mean `address`?"
        );
        assert_eq!(
            read("colour").unwrap_err(),
            "link: there is no field `colour`"
        );
        let long = read(&"x".repeat(1 << 20)).unwrap_err();
        assert!(long.len() < 200, "{}", long.len());
    }

    #[test]
    fn an_empty_value_is_no_value_where_one_is_optional() {
        assert_eq!(
            read(&[("url", "u"), ("address", "")]).unwrap().address,
            None
        );
    }
}
