//! Which keys a component is told of: the field `watch` of a link.

use std::fmt;

use crate::config::SettingsError;

/// How many entries `watch` may have, and how long one may be.
const MAX_ENTRIES: usize = 64;
const MAX_ENTRY_BYTES: usize = 1024;

/// A key, or what keys look like: `*` stands for anything, also for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    /// What stands between the `*`s, of which there is one fewer.
    parts: Vec<String>,
}

impl KeyPattern {
    /// The entries of `watch`, which has commas between them.
    ///
    /// # Errors
    /// There are too many.
    pub fn entries(watch: &str) -> Result<Vec<&str>, SettingsError> {
        let entries: Vec<&str> = watch.split(',').map(str::trim).collect();
        if entries.len() > MAX_ENTRIES {
            return Err(refused(format!(
                "it has {} entries, more than {MAX_ENTRIES}: write several in one with `*`",
                entries.len()
            )));
        }
        Ok(entries)
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// It is empty, or too long.
    pub fn read(entry: &str) -> Result<Self, SettingsError> {
        let text = entry.trim();
        if text.is_empty() {
            let why = "it has an entry without a key: write keys with commas between them, and `*` for anything";
            return Err(refused(why.to_owned()));
        }
        if text.len() > MAX_ENTRY_BYTES {
            return Err(refused(format!(
                "an entry has {} bytes, more than {MAX_ENTRY_BYTES}",
                text.len()
            )));
        }
        let last = text.split('*').count() - 1;
        let parts = text.split('*').enumerate();
        // Several stars in a row mean what one does.
        let parts = parts.filter(|(at, part)| *at == 0 || *at == last || !part.is_empty());
        Ok(Self {
            parts: parts.map(|(_, part)| part.to_owned()).collect(),
        })
    }

    /// The one key that it stands for, if it is only one.
    pub fn only(&self) -> Option<&str> {
        match &*self.parts {
            [key] => Some(key),
            _ => None,
        }
    }

    /// Whether it stands for a key.
    pub fn matches(&self, key: &str) -> bool {
        let [first, between @ .., last] = &*self.parts else {
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

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parts.join("*"))
    }
}

fn refused(problem: String) -> SettingsError {
    SettingsError {
        field: "watch",
        problem,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> KeyPattern {
        KeyPattern::read(text).unwrap()
    }

    #[test]
    fn a_star_stands_for_anything_and_nothing_else_does() {
        for (text, has, has_not) in [
            ("config", &["config"][..], &["confi", "config2", ""][..]),
            ("*", &["", "a", "a*b"], &[]),
            ("a*", &["a", "ab"], &["ba"]),
            ("*a", &["a", "ba", "aa"], &["ab"]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("a*bc*d", &["abcd", "a_bc_bc_d"], &["abd", "acbd"]),
            ("o[12]?", &["o[12]?"], &["o1x"]),
            ("orders.*", &["orders.", "orders.7.lines"], &["orders"]),
        ] {
            for key in has {
                assert!(pattern(text).matches(key), "{text} {key}");
            }
            for key in has_not {
                assert!(!pattern(text).matches(key), "{text} {key}");
            }
        }
        assert_eq!(pattern("a***b"), pattern("a*b"));
        assert_eq!(pattern("**").to_string(), "*");
        assert_eq!(pattern(" a*b* ").to_string(), "a*b*");
        assert_eq!(
            (pattern("a").only(), pattern("a*").only()),
            (Some("a"), None)
        );
    }

    #[test]
    fn what_is_no_pattern_names_the_field() {
        for empty in ["", " "] {
            assert_eq!(
                KeyPattern::read(empty).unwrap_err().to_string(),
                "field `watch`: it has an entry without a key: write keys with commas between them, and `*` for anything"
            );
        }
        let long = KeyPattern::read(&"x".repeat(1025)).unwrap_err();
        assert_eq!(
            long.to_string(),
            "field `watch`: an entry has 1025 bytes, more than 1024"
        );
        let many = KeyPattern::entries(&vec!["a"; 65].join(",")).unwrap_err();
        assert_eq!(
            many.to_string(),
            "field `watch`: it has 65 entries, more than 64: write several in one with `*`"
        );
        assert_eq!(KeyPattern::entries("a, b,").unwrap(), ["a", "b", ""]);
    }

    proptest! {
        /// What was put in a star's place is found there, whatever it is.
        #[test]
        fn it_has_what_it_was_made_of(parts in prop::collection::vec("[a-c]{0,3}", 1..5), fills in prop::collection::vec("[a-c*]{0,3}", 4)) {
            let text = parts.join("*");
            prop_assume!(!text.is_empty());
            let mut key = parts[0].clone();
            for (part, fill) in parts[1..].iter().zip(&fills) {
                key.push_str(fill);
                key.push_str(part);
            }
            prop_assert!(pattern(&text).matches(&key), "{} {}", text, key);
        }
    }
}
