//! How things are written in NATS' configurations.

use std::fmt::Write as _;

use super::Rules;

/// A text in quotes. Without them some texts would be numbers, variables or several words.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A list of texts; longer ones a line each, `indent` deep.
pub(super) fn list(texts: &[String], indent: usize) -> String {
    if texts.len() < 3 {
        let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
        return format!("[{}]", texts.join(", "));
    }
    let mut list = "[\n".to_owned();
    for text in texts {
        // Writing to a string can't fail.
        let _ = writeln!(list, "{:indent$}  {}", "", quoted(text));
    }
    let _ = write!(list, "{:indent$}]", "");
    list
}

/// The inside of a `publish` or `subscribe` block.
pub(super) fn rules(rules: &Rules) -> String {
    let mut text = format!("\n            allow: {}\n", list(&rules.allow, 12));
    if !rules.deny.is_empty() {
        let _ = writeln!(text, "            deny: {}", list(&rules.deny, 12));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(quoted("$JS.API.>"), "\"$JS.API.>\"");
    }

    #[test]
    fn long_lists_have_a_line_each() {
        let texts = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(list(&texts[..2], 0), "[\"a\", \"b\"]");
        assert_eq!(list(&texts, 2), "[\n    \"a\"\n    \"b\"\n    \"c\"\n  ]");
    }
}
