//! A length of time in a configuration: `30s`, `1m 30s`, `500ms`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

/// A length of time, with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let period = humantime::parse_duration(text.trim());
        period.map(Self).map_err(|_| {
            let shown: String = text.chars().take(80).collect();
            D::Error::custom(format!(
                "{shown:?} is not a length of time: write it as 500ms, 30s or 5m"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::de::{IntoDeserializer as _, value::Error};

    use super::*;

    fn read(text: &str) -> Result<Period, Error> {
        Period::deserialize(text.into_deserializer())
    }

    #[test]
    fn a_length_of_time_has_a_unit() {
        assert_eq!(read(" 1m 30s"), Ok(Period(Duration::from_secs(90))));
        assert_eq!(read("500ms"), Ok(Period(Duration::from_millis(500))));
        let error = read("30").unwrap_err().to_string();
        assert_eq!(
            error,
            "\"30\" is not a length of time: write it as 500ms, 30s or 5m"
        );
        assert!(read("soon").is_err() && read("-1s").is_err());
    }
}
