//! "Did you mean": which of the possible words a mistyped one stands for.

/// The longest word that is compared, in bytes: comparing takes memory by the product of the lengths.
const MAX_WORD: usize = 128;

/// The possible word nearest to what was written, if one is near enough to be meant.
pub(super) fn nearest<'a>(
    written: &str,
    possible: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if written.len() > MAX_WORD {
        return None;
    }
    let lower = written.to_lowercase();
    possible
        .into_iter()
        .filter(|word| word.len() <= MAX_WORD)
        .map(|word| {
            let distance = strsim::damerau_levenshtein(&lower, &word.to_lowercase());
            (distance, word)
        })
        // A third of the letters may be wrong, but at most two: more is another word.
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).clamp(1, 2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// `; did you mean "x"?`, or nothing.
pub(super) fn hint<'a>(written: &str, possible: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(written, possible) {
        Some(word) => format!("; did you mean {word:?}?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_find_their_word() {
        let fields = ["image", "config", "instances", "id"];
        assert_eq!(nearest("instancse", fields), Some("instances"));
        assert_eq!(nearest("Image", fields), Some("image"));
        assert_eq!(nearest("replicas", fields), None);
        assert_eq!(nearest("", fields), None);
    }

    /// Comparing them would take terabytes.
    #[test]
    fn very_long_words_are_not_compared() {
        let (long, other) = ("x".repeat(1 << 20), "y".repeat(1 << 20));
        assert_eq!(nearest(&long, [other.as_str()]), None);
        assert_eq!(nearest("imgae", [other.as_str(), "image"]), Some("image"));
        assert_eq!(nearest(&long, ["image"]), None);
    }
}
