//! What kind of statement it is, by its first word.

/// What a statement may leave behind on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Plain,
    /// Settings, locks, temporary tables, a subscription: it is not looked at any closer.
    Session,
    /// It begins or ends a transaction.
    Transaction,
}

/// What kind of statement it is.
pub fn kind(sql: &str) -> Kind {
    let rest = without_comments(sql);
    let end = rest.find(|c: char| !c.is_ascii_alphabetic());
    let word = &rest[..end.unwrap_or(rest.len())];
    match word.to_ascii_uppercase().as_str() {
        "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "WITH" | "VALUES" | "TABLE"
        | "EXPLAIN" | "" => Kind::Plain,
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE" => {
            Kind::Transaction
        }
        _ => Kind::Session,
    }
}

/// A statement from its first word on.
fn without_comments(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '(' | ';'));
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = after_comment(comment);
        } else {
            return rest;
        }
    }
}

/// What follows a comment, in which others may be.
fn after_comment(mut rest: &str) -> &str {
    let mut depth = 1;
    while depth > 0 {
        let (begin, end) = (rest.find("/*"), rest.find("*/"));
        let at = match (begin, end) {
            (Some(begin), Some(end)) if begin < end => {
                depth += 1;
                begin
            }
            (_, Some(end)) => {
                depth -= 1;
                end
            }
            _ => return "",
        };
        rest = &rest[at + 2..];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_says_it() {
        for (sql, expected) in [
            ("select 1", Kind::Plain),
            ("  (VALUES (1))", Kind::Plain),
            ("with x as (select 1) select * from x", Kind::Plain),
            ("SET role other", Kind::Session),
            ("create temp table x ()", Kind::Session),
            ("commit", Kind::Transaction),
            (";COMMIT;", Kind::Transaction),
            ("-- harmless\nCommit", Kind::Transaction),
            ("/* a /* nested */ one */ rollback", Kind::Transaction),
            ("/* select */", Kind::Plain),
            ("/* without an end commit", Kind::Plain),
            ("savepoint x", Kind::Transaction),
            ("", Kind::Plain),
        ] {
            assert_eq!(kind(sql), expected, "{sql}");
        }
    }
}
