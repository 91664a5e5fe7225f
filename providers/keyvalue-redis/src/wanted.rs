//! Of which changes a component is told.

use trellis_provider::{config::SettingsError, keyvalue::KeyPattern};

use crate::keys::Keys;

/// What a component is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    bucket: String,
    keys: Keys,
    patterns: Vec<Pattern>,
    enable_events: bool,
}

/// Some keys, and what of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    keys: KeyPattern,
    sets: bool,
    deletes: bool,
}

impl Wanted {
    /// What `watch` says of a bucket's keys.
    ///
    /// # Errors
    /// Names the field that doesn't fit.
    pub fn read(watch: &str, bucket: &str, enable_events: bool) -> Result<Self, SettingsError> {
        let mut patterns: Vec<Pattern> = Vec::new();
        for entry in KeyPattern::entries(watch)? {
            let read = Pattern::read(entry)?;
            // Redis takes a pattern once, so each may be there once.
            match patterns.iter_mut().find(|other| other.keys == read.keys) {
                Some(same) => {
                    same.sets |= read.sets;
                    same.deletes |= read.deletes;
                }
                None => patterns.push(read),
            }
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            keys: Keys::of(bucket),
            patterns,
            enable_events,
        })
    }

    /// In which bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Where its keys are.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Whether Redis' announcements may be turned on for it.
    pub fn enables_events(&self) -> bool {
        self.enable_events
    }

    /// The patterns of the wanted keys as Redis has them.
    pub fn full_patterns(&self) -> impl Iterator<Item = String> {
        let patterns = self.patterns.iter();
        patterns.map(|pattern| self.keys.matching(&pattern.keys.to_string()))
    }

    /// Which pattern a key is under: the first, for Redis says a change once for each.
    pub fn first(&self, key: &str) -> Option<usize> {
        self.patterns
            .iter()
            .position(|pattern| pattern.keys.matches(key))
    }

    /// Whether it wants to hear that a key is set, or deleted.
    pub fn wants(&self, key: &str, deleted: bool) -> bool {
        self.patterns.iter().any(|pattern| {
            let kind = if deleted {
                pattern.deletes
            } else {
                pattern.sets
            };
            kind && pattern.keys.matches(key)
        })
    }
}

impl Pattern {
    /// `orders.*`, or 1.x's `SET@key`, `DEL@key`.
    fn read(entry: &str) -> Result<Self, SettingsError> {
        let (sets, deletes, keys) = match entry.split_once('@') {
            Some((kind, keys)) if kind.trim().eq_ignore_ascii_case("set") => (true, false, keys),
            Some((kind, keys)) if kind.trim().eq_ignore_ascii_case("del") => (false, true, keys),
            _ => (true, true, entry),
        };
        Ok(Self {
            keys: KeyPattern::read(keys)?,
            sets,
            deletes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(watch: &str) -> Wanted {
        Wanted::read(watch, "default", false).unwrap()
    }

    #[test]
    fn a_key_under_several_patterns_belongs_to_the_first() {
        let wanted = wanted("SET@a*, *b, del@a*");
        assert_eq!(wanted.full_patterns().collect::<Vec<_>>(), ["a*", "*b"]);
        assert_eq!(wanted.first("ab"), Some(0));
        assert_eq!(wanted.first("b"), Some(1));
    }

    #[test]
    fn an_entry_of_1x_is_of_one_kind() {
        let wanted = wanted("SET@one, del@two, seT@both,*th");
        let wants = |key| (wanted.wants(key, false), wanted.wants(key, true));
        assert_eq!(wants("one"), (true, false));
        assert_eq!(wants("two"), (false, true));
        assert_eq!(wants("both"), (true, true));
        assert_eq!(wants("other"), (false, false));
        // Another word before the sign is a key's.
        assert_eq!(super::tests::wanted("me@home").first("me@home"), Some(0));
    }

    #[test]
    fn what_can_t_be_watched_names_the_field() {
        let error = |watch: &str| {
            let error = Wanted::read(watch, "default", false).unwrap_err();
            error.to_string()
        };
        for empty in [" ", "a,", ",a", "a,,b", "SET@", "DEL@ ,a"] {
            let told = error(empty);
            assert!(
                told.starts_with("field `watch`: it has an entry without a key"),
                "{told}"
            );
        }
        assert_eq!(wanted(&vec!["a"; 64].join(",")), wanted("a"));
        assert_eq!(wanted("a***b"), wanted("a*b"));
    }
}
