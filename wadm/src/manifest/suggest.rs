//! "Did you mean": which of the possible words a mistyped one stands for.

/// The possible word nearest to what was written, if one is near enough to be meant.
pub(super) fn nearest<'a>(
    written: &str,
    possible: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = written.to_lowercase();
    possible
        .into_iter()
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
}
