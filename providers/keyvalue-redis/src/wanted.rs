//! Of which changes a component is told.

use trellis_provider::config::SettingsError;

use crate::keys::Keys;

/// How many entries `watch` may have, and how long one may be.
const MOST: usize = 64;
const LONGEST_BYTES: usize = 1024;

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
    /// `*` stands for anything, also for nothing.
    text: String,
    sets: bool,
    deletes: bool,
}

impl Wanted {
    /// What `watch` says of a bucket's keys.
    ///
    /// # Errors
    /// Names the field that doesn't fit.
    pub fn read(watch: &str, bucket: &str, enable_events: bool) -> Result<Self, SettingsError> {
        let wrong = |problem| SettingsError {
            field: "watch",
            problem,
        };
        let mut patterns: Vec<Pattern> = Vec::new();
        for (n, entry) in watch.split(',').enumerate() {
            if n >= MOST {
                return Err(wrong(format!("it has more than {MOST} entries")));
            }
            let read = Pattern::read(entry).map_err(wrong)?;
            // Redis takes a pattern once, so each may be there once.
            match patterns.iter_mut().find(|other| other.text == read.text) {
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
        patterns.map(|pattern| self.keys.matching(&pattern.text))
    }

    /// Which pattern a key is under: the first, for Redis says a change once for each.
    pub fn first(&self, key: &str) -> Option<usize> {
        self.patterns.iter().position(|pattern| pattern.has(key))
    }

    /// Whether it wants to hear that a key is set, or deleted.
    pub fn wants(&self, key: &str, deleted: bool) -> bool {
        self.patterns.iter().any(|pattern| {
            let kind = if deleted {
                pattern.deletes
            } else {
                pattern.sets
            };
            kind && pattern.has(key)
        })
    }
}

impl Pattern {
    /// `orders.*`, or 1.x's `SET@key`, `DEL@key`.
    fn read(entry: &str) -> Result<Self, String> {
        let entry = entry.trim();
        let (sets, deletes, text) = match entry.split_once('@') {
            Some((kind, key)) if kind.trim().eq_ignore_ascii_case("set") => (true, false, key),
            Some((kind, key)) if kind.trim().eq_ignore_ascii_case("del") => (false, true, key),
            _ => (true, true, entry),
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(
                "it has an entry without a key: write it like orders.*,SET@config, or * for all"
                    .to_owned(),
            );
        }
        if text.len() > LONGEST_BYTES {
            let length = text.len();
            return Err(format!(
                "an entry has {length} bytes, more than {LONGEST_BYTES}"
            ));
        }
        let mut short = String::with_capacity(text.len());
        for c in text.chars() {
            // Several stars mean what one does, and cost Redis more.
            if c != '*' || !short.ends_with('*') {
                short.push(c);
            }
        }
        Ok(Self {
            text: short,
            sets,
            deletes,
        })
    }

    /// Whether a key is under it, exactly as Redis sees it.
    fn has(&self, key: &str) -> bool {
        let mut parts = self.text.split('*');
        let Some(mut rest) = parts
            .next()
            .and_then(|beginning| key.strip_prefix(beginning))
        else {
            return false;
        };
        let Some(end) = parts.next_back() else {
            return rest.is_empty();
        };
        for part in parts {
            match rest.split_once(part) {
                Some((_, behind)) => rest = behind,
                None => return false,
            }
        }
        rest.ends_with(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(watch: &str) -> Wanted {
        Wanted::read(watch, "default", false).unwrap()
    }

    #[test]
    fn a_star_stands_for_anything_and_nothing_else_does() {
        for (pattern, has, has_not) in [
            ("config", &["config"][..], &["confi", "config2", ""][..]),
            ("*", &["", "a", "a*b"], &[]),
            ("a*", &["a", "ab"], &["ba"]),
            ("*a", &["a", "ba", "aa"], &["ab"]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("a*bc*d", &["abcd", "a_bc_bc_d"], &["abd", "acbd"]),
            ("o[12]?", &["o[12]?"], &["o1x"]),
        ] {
            let wanted = wanted(pattern);
            for key in has {
                assert_eq!(wanted.first(key), Some(0), "{pattern} {key}");
            }
            for key in has_not {
                assert_eq!(wanted.first(key), None, "{pattern} {key}");
            }
        }
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
            assert_eq!(
                error(empty),
                "field `watch`: it has an entry without a key: write it like orders.*,SET@config, or * for all"
            );
        }
        assert_eq!(
            error(&"x".repeat(1025)),
            "field `watch`: an entry has 1025 bytes, more than 1024"
        );
        assert_eq!(
            error(&vec!["a"; 65].join(",")),
            "field `watch`: it has more than 64 entries"
        );
        assert_eq!(wanted(&vec!["a"; 64].join(",")), wanted("a"));
        assert_eq!(wanted("a***b"), wanted("a*b"));
    }
}
