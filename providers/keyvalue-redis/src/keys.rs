//! Where a bucket's keys are in Redis.
//!
//! The bucket `default` (1.x knows no other) has its keys as they are, so that data of a 1.x lattice stays where it is.
//! Any other bucket's keys stand behind a prefix of ours, which the default bucket can't reach into.

/// What the keys of named buckets begin with.
const NAMED: &str = "trellis:bucket:";

/// A bucket's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    prefix: String,
}

/// A key of the default bucket that would be a named bucket's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved;

impl Keys {
    /// The keys of a bucket by its name.
    pub fn of(bucket: &str) -> Self {
        let prefix = match bucket {
            "" | "default" => String::new(),
            // Without the escape, bucket `a` key `b:c` and bucket `a:b` key `c` would be the same.
            name => format!("{NAMED}{}:", name.replace('%', "%25").replace(':', "%3A")),
        };
        Self { prefix }
    }

    /// A key as Redis has it.
    ///
    /// # Errors
    /// [`Reserved`].
    pub fn full(&self, key: &str) -> Result<String, Reserved> {
        if self.prefix.is_empty() && key.starts_with(NAMED) {
            return Err(Reserved);
        }
        Ok(format!("{}{key}", self.prefix))
    }

    /// The bucket's name for one of Redis' keys; none when the key isn't this bucket's, or isn't text.
    pub fn own(&self, full: &[u8]) -> Option<String> {
        let full = std::str::from_utf8(full).ok()?;
        if self.prefix.is_empty() && full.starts_with(NAMED) {
            return None;
        }
        full.strip_prefix(&self.prefix).map(str::to_owned)
    }

    /// The pattern that finds the bucket's keys; none: look at all.
    pub fn pattern(&self) -> Option<String> {
        (!self.prefix.is_empty()).then(|| self.matching("*"))
    }

    /// The pattern that finds those of the bucket's keys that one stands for in which only `*` has a meaning.
    pub fn matching(&self, pattern: &str) -> String {
        let mut full = String::with_capacity(self.prefix.len() + pattern.len());
        let prefix = self.prefix.chars().map(|c| (c, true));
        let pattern = pattern.chars().map(|c| (c, c != '*'));
        for (c, literal) in prefix.chain(pattern) {
            if literal && matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
                full.push('\\');
            }
            full.push(c);
        }
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_bucket_has_1x_s_layout() {
        assert_eq!(Keys::of("default").full("counter").unwrap(), "counter");
        assert_eq!(Keys::of(""), Keys::of("default"));
        assert_eq!(Keys::of("default").pattern(), None);
    }

    #[test]
    fn buckets_do_not_reach_into_each_other() {
        let full = Keys::of("a:b").full("c").unwrap();
        assert_ne!(full, Keys::of("a").full("b:c").unwrap());
        assert_eq!(Keys::of("a:b").own(full.as_bytes()).as_deref(), Some("c"));
        assert_eq!(Keys::of("a").own(full.as_bytes()), None);
        assert_eq!(Keys::of("default").own(full.as_bytes()), None);
        assert_eq!(Keys::of("default").full(&full), Err(Reserved));
        assert_eq!(Keys::of("default").own(b"\xff"), None);
    }

    #[test]
    fn a_name_is_not_a_pattern() {
        assert_eq!(
            Keys::of("a*[x]").pattern().unwrap(),
            r"trellis:bucket:a\*\[x\]:*"
        );
        assert_eq!(
            Keys::of("a*").matching(r"o[1]?\^*"),
            r"trellis:bucket:a\*:o\[1\]\?\\\^*"
        );
        assert_eq!(Keys::of("default").matching("*"), "*");
    }
}
