//! Where a component's buckets and keys are in a NATS bucket, whose keys have few characters.
//!
//! The bucket `default` (or one of the link's own name, as 1.x has it) is the NATS bucket, and a key that NATS can hold
//! is held as it is, so 1.x's data is found. Any other key is written as `=enc=` and its escaped form; the keys of
//! any other bucket as `=bkt=`, the bucket, a dot and the key, both escaped.

const ENCODED: &str = "=enc=";
const NAMED: &str = "=bkt=";
/// The escaped form of an empty text, which would else be no token at all.
const EMPTY: &str = "=-";
/// Beyond this the subject gets near the longest line that NATS takes, past which it cuts the connection.
const MAX_ENCODED_BYTES: usize = 1024;

/// The keys of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// `=bkt=name.`, or empty for the default bucket.
    prefix: String,
}

/// A key that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key is too long: it has {0} bytes as NATS holds it, more than the {MAX_ENCODED_BYTES} allowed"
)]
pub struct TooLong(usize);

impl Keys {
    /// The keys of the bucket that a component calls `bucket`, over a link of that name.
    pub fn of(bucket: &str, link: &str) -> Self {
        let prefix = match bucket {
            "" | "default" => String::new(),
            name if name == link => String::new(),
            name => format!("{NAMED}{}.", escape(name)),
        };
        Self { prefix }
    }

    /// A key as NATS has it.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn encode(&self, key: &str) -> Result<String, TooLong> {
        let encoded = if !self.prefix.is_empty() {
            format!("{}{}", self.prefix, escape(key))
        } else if is_plain(key) {
            key.to_owned()
        } else {
            format!("{ENCODED}{}", escape(key))
        };
        if encoded.len() > MAX_ENCODED_BYTES {
            return Err(TooLong(encoded.len()));
        }
        Ok(encoded)
    }

    /// The component's name for one of NATS' keys; none when it is another bucket's.
    pub fn decode(&self, encoded: &str) -> Option<String> {
        if !self.prefix.is_empty() {
            return unescape(encoded.strip_prefix(&self.prefix)?);
        }
        if encoded.starts_with(NAMED) {
            return None;
        }
        match encoded.strip_prefix(ENCODED) {
            Some(escaped) => unescape(escaped),
            None => Some(encoded.to_owned()),
        }
    }

    /// The subject, without the NATS bucket's prefix, under which the keys are.
    pub fn filter(&self) -> String {
        // An escaped key has no dot: it is one token. A plain one may have several.
        if self.prefix.is_empty() {
            ">".to_owned()
        } else {
            format!("{}*", self.prefix)
        }
    }
}

/// Whether NATS can hold the key as it is, and it isn't one of ours.
fn is_plain(key: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-/_=.".contains(&b);
    !key.is_empty()
        && key.bytes().all(fits)
        && key.split('.').all(|token| !token.is_empty())
        && !key.starts_with(ENCODED)
        && !key.starts_with(NAMED)
}

/// Letters, digits, `-`, `_` and `/` stay; any other byte becomes `=` and two hexadecimal digits.
fn escape(text: &str) -> String {
    if text.is_empty() {
        return EMPTY.to_owned();
    }
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('=');
            for digit in [byte >> 4, byte & 0xf] {
                escaped.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    escaped
}

fn unescape(escaped: &str) -> Option<String> {
    if escaped == EMPTY {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'=' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            char::from(rest.next()?)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        bytes.push(digit()? << 4 | digit()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_nats_can_hold_is_held_as_it_is() {
        let keys = Keys::of("default", "default");
        for key in ["counter", "a/b=c.d-e_F9"] {
            assert_eq!(keys.encode(key).unwrap(), key);
            assert_eq!(keys.decode(key).as_deref(), Some(key));
        }
        assert_eq!(Keys::of("carts", "carts"), keys);
    }

    #[test]
    fn any_other_key_comes_back_as_it_was() {
        let odd = [
            "", ".", "a..b", "a b", "ключ", "=enc=x", "=bkt=a.b", "*", ">", "=", "=-", "\0\n",
        ];
        for bucket in ["default", "cart", "", "a.b", "=-", "карта"] {
            let keys = Keys::of(bucket, "default");
            for key in odd {
                let encoded = keys.encode(key).unwrap();
                assert!(
                    encoded
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"-/_=.".contains(&b)),
                    "{encoded}"
                );
                assert!(
                    encoded.split('.').all(|token| !token.is_empty()),
                    "{encoded}"
                );
                assert_eq!(
                    keys.decode(&encoded).as_deref(),
                    Some(key),
                    "{bucket} {encoded}"
                );
            }
        }
    }

    #[test]
    fn buckets_do_not_reach_into_each_other() {
        let (default, cart) = (Keys::of("default", "default"), Keys::of("cart", "default"));
        let inside = cart.encode("x").unwrap();
        assert_eq!(default.decode(&inside), None);
        assert_ne!(default.encode(&inside).unwrap(), inside);
        assert_eq!(Keys::of("car", "default").decode(&inside), None);
        assert_ne!(
            Keys::of("a.b", "default").encode("c"),
            Keys::of("a", "default").encode("b.c")
        );
    }

    #[test]
    fn a_key_has_a_bound() {
        let keys = Keys::of("default", "default");
        assert!(keys.encode(&"x".repeat(MAX_ENCODED_BYTES)).is_ok());
        assert_eq!(
            keys.encode(&" ".repeat(MAX_ENCODED_BYTES)),
            Err(TooLong(5 + 3 * MAX_ENCODED_BYTES))
        );
    }
}
