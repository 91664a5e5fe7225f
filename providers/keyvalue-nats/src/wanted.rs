//! What a link wants to hear of: the keys of one bucket, by patterns.

use trellis_provider::{config::SettingsError, keyvalue::KeyPattern};

use crate::keys::Keys;

/// The bucket where a link names none.
const DEFAULT_BUCKET: &str = "default";

/// The keys that a component is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    bucket: String,
    keys: Keys,
    patterns: Vec<KeyPattern>,
}

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
        let entries = KeyPattern::entries(watch)?;
        let patterns: Result<_, _> = entries.into_iter().map(KeyPattern::read).collect();
        let patterns: Vec<KeyPattern> = patterns?;
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
