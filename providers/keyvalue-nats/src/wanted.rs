//! What a link wants to hear of: the keys of one bucket, by patterns.

use trellis_provider::config::SettingsError;

use crate::keys::Keys;

/// At most so many patterns, and so many bytes in one.
const MAX_PATTERNS: usize = 64;
const MAX_PATTERN_BYTES: usize = 1024;
/// The bucket where a link names none.
const DEFAULT_BUCKET: &str = "default";

/// The keys that a component is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    bucket: String,
    keys: Keys,
    patterns: Vec<Pattern>,
}

/// A key, or what keys look like: what stands between its `*`s, of which there is one fewer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern(Vec<String>);

impl Wanted {
    /// What the fields `watch` and `watch_bucket` say, if they say something.
    ///
    /// # Errors
    /// Names the field that doesn't fit.
    pub fn read(watch: Option<&str>, bucket: Option<&str>) -> Result<Option<Self>, SettingsError> {
        let Some(watch) = watch else {
            return match bucket {
                None => Ok(None),
                Some(_) => refuse(
                    "watch_bucket",
                    "says in which bucket, and `watch` does not say which keys: add `watch`, for example `*`, or leave both out",
                ),
            };
        };
        let patterns: Vec<Pattern> = watch
            .split(',')
            .map(|entry| Pattern::read(entry.trim()))
            .collect::<Result<_, _>>()?;
        if patterns.len() > MAX_PATTERNS {
            return refuse(
                "watch",
                format!(
                    "has {} patterns, more than the {MAX_PATTERNS} allowed: write several in one with `*`",
                    patterns.len()
                ),
            );
        }
        let bucket = bucket.unwrap_or(DEFAULT_BUCKET).to_owned();
        let keys = Keys::of(&bucket, DEFAULT_BUCKET);
        if keys.encode("").is_err() {
            return refuse("watch_bucket", "is too long for a bucket's name");
        }
        Ok(Some(Self {
            bucket,
            keys,
            patterns,
        }))
    }

    /// The bucket, by the name that the component knows.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The component's name for one of NATS' keys, if it is to be told of it.
    pub fn key(&self, encoded: &str) -> Option<String> {
        let key = self.keys.decode(encoded)?;
        let wanted = self.patterns.iter().any(|pattern| pattern.matches(&key));
        wanted.then_some(key)
    }

    /// The subjects, without the NATS bucket's prefix, under which everything wanted is: what else is there, too, is left
    /// out by [`Self::key`].
    pub fn filters(&self) -> Vec<String> {
        let keys = self.patterns.iter().map(|pattern| {
            let key = self.keys.encode(pattern.only()?);
            key.ok()
        });
        let Some(mut keys) = keys.collect::<Option<Vec<_>>>() else {
            return vec![self.keys.filter()];
        };
        // NATS takes no two that mean the same.
        keys.sort();
        keys.dedup();
        keys
    }
}

impl Pattern {
    fn read(text: &str) -> Result<Self, SettingsError> {
        if text.is_empty() {
            return refuse(
                "watch",
                "has an empty entry: write keys with commas between them, and `*` for anything",
            );
        }
        if text.len() > MAX_PATTERN_BYTES {
            return refuse(
                "watch",
                format!(
                    "has an entry of {} bytes, more than the {MAX_PATTERN_BYTES} allowed",
                    text.len()
                ),
            );
        }
        Ok(Self(text.split('*').map(str::to_owned).collect()))
    }

    /// The one key that it stands for, if it is only one.
    fn only(&self) -> Option<&str> {
        match &*self.0 {
            [key] => Some(key),
            _ => None,
        }
    }

    fn matches(&self, key: &str) -> bool {
        let [first, between @ .., last] = &*self.0 else {
            return self.only() == Some(key);
        };
        let inside = key
            .strip_prefix(&**first)
            .and_then(|key| key.strip_suffix(&**last));
        let Some(mut rest) = inside else {
            return false;
        };
        // The first place that fits leaves the most for the others.
        for part in between {
            match rest.split_once(&**part) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        true
    }
}

fn refuse<T>(field: &'static str, problem: impl Into<String>) -> Result<T, SettingsError> {
    Err(SettingsError {
        field,
        problem: problem.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(watch: &str) -> Wanted {
        Wanted::read(Some(watch), None).unwrap().unwrap()
    }

    #[test]
    fn a_star_stands_for_anything() {
        let told = |watch: &str, key: &str| wanted(watch).key(key).is_some();
        for (watch, key, is_told) in [
            ("*", "config", true),
            ("config", "config", true),
            ("config", "config.x", false),
            ("orders.*", "orders.", true),
            ("orders.*", "orders.7.lines", true),
            ("orders.*", "orders", false),
            ("*.new", "orders.new", true),
            ("*.new", "orders.new.x", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            // Nothing is used twice.
            ("ab*ba", "aba", false),
            ("a**b", "ab", true),
            ("config, orders.*", "orders.1", true),
            ("config, orders.*", "order", false),
        ] {
            assert_eq!(told(watch, key), is_told, "{watch:?} and {key:?}");
        }
    }

    #[test]
    fn keys_are_matched_as_the_component_writes_them() {
        let keys = Keys::of("default", "default");
        for key in ["with space", "ключ", "a*b>c", ""] {
            let held = keys.encode(key).unwrap();
            assert_eq!(wanted("*").key(&held).as_deref(), Some(key));
        }
        let held = keys.encode("ключ 1").unwrap();
        assert_eq!(wanted("ключ*").key(&held).as_deref(), Some("ключ 1"));
        // Another bucket's.
        let cart = Keys::of("cart", "default").encode("x").unwrap();
        assert_eq!(wanted("*").key(&cart), None);
        let of_cart = Wanted::read(Some("*"), Some("cart")).unwrap().unwrap();
        assert_eq!(
            (of_cart.bucket(), of_cart.key(&cart)),
            ("cart", Some("x".to_owned()))
        );
        assert_eq!(of_cart.key("x"), None);
    }

    #[test]
    fn nats_sends_no_more_than_can_be_meant() {
        assert_eq!(wanted("config").filters(), ["config"]);
        assert_eq!(wanted("b, a, b, a b").filters(), ["=enc=a=20b", "a", "b"]);
        assert_eq!(wanted("config, orders.*").filters(), [">"]);
        let cart = |watch| Wanted::read(Some(watch), Some("cart")).unwrap().unwrap();
        assert_eq!(cart("*").filters(), ["=bkt=cart.*"]);
        assert_eq!(cart("x").filters(), ["=bkt=cart.x"]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |watch, bucket| Wanted::read(watch, bucket).unwrap_err();
        assert_eq!(Wanted::read(None, None), Ok(None));
        assert_eq!(refused(None, Some("cart")).field, "watch_bucket");
        let long = "x".repeat(2000);
        assert_eq!(refused(Some("*"), Some(&long)).field, "watch_bucket");
        let many = vec!["x"; 65].join(",");
        for watch in ["", " ", "a,", "a,,b", &long, &many] {
            assert_eq!(refused(Some(watch), None).field, "watch", "{watch:?}");
        }
        assert!(Wanted::read(Some(&vec!["x"; 64].join(",")), None).is_ok());
    }
}
