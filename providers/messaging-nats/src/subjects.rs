//! Which subjects a component may use. On the lattice's own connection those that the lattice itself lives on are closed
//! to it: else an actor could command hosts, answer other actors' calls or read the lattice's buckets.

use trellis_provider::contract::LatticeName;

/// Beyond this NATS comes near the longest line it takes, past which it cuts the connection.
const MAX_SUBJECT_BYTES: usize = 1024;

/// A subject that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("subject {subject:?} {problem}")]
pub struct SubjectError {
    subject: String,
    problem: &'static str,
}

impl SubjectError {
    pub(crate) fn new(subject: &str, problem: &'static str) -> Self {
        Self {
            subject: subject.chars().take(80).collect(),
            problem,
        }
    }
}

/// Checks a subject to publish to.
///
/// # Errors
/// NATS would not take it.
pub fn check_subject(subject: &str) -> Result<(), SubjectError> {
    check_pattern(subject)?;
    if subject.split('.').any(|token| token == "*" || token == ">") {
        return Err(SubjectError::new(
            subject,
            "has a wildcard, and only subscriptions can",
        ));
    }
    Ok(())
}

/// Checks a subject to subscribe to.
///
/// # Errors
/// NATS would not take it.
pub fn check_pattern(subject: &str) -> Result<(), SubjectError> {
    let refused = |problem| Err(SubjectError::new(subject, problem));
    if subject.len() > MAX_SUBJECT_BYTES {
        return refused("is longer than 1024 bytes");
    }
    if subject.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return refused("has white space or control characters");
    }
    let tokens: Vec<&str> = subject.split('.').collect();
    for (index, token) in tokens.iter().enumerate() {
        match *token {
            "" => return refused("is empty, or has an empty part between dots"),
            ">" if index + 1 < tokens.len() => return refused("has a '>' before its end"),
            ">" | "*" => {}
            token if token.contains(['*', '>']) => {
                return refused("has a '*' or '>' beside other characters");
            }
            _ => {}
        }
    }
    Ok(())
}

/// The subjects that a lattice lives on.
#[derive(Clone, Debug)]
pub struct Reserved {
    patterns: Vec<String>,
}

const RESERVED: &str = "is the lattice's own: give the link a NATS of its own (`cluster_uris`), or use another subject";

impl Reserved {
    /// Those of that lattice.
    pub fn of(lattice: &LatticeName) -> Self {
        let calls = format!("{lattice}.*.wrpc.>");
        Self {
            patterns: vec!["wasmbus.>".to_owned(), "wadm.>".to_owned(), calls],
        }
    }

    /// Checks a subject to publish to. An inbox is allowed: its name is known only to whom it was given, and it is what
    /// requests are answered at.
    ///
    /// # Errors
    /// It is the lattice's own.
    pub fn check_publish(&self, subject: &str) -> Result<(), SubjectError> {
        if subject.starts_with('$') || self.meets(subject) {
            return Err(SubjectError::new(subject, RESERVED));
        }
        Ok(())
    }

    /// Checks a subject to ask at, or to subscribe to: also one with wildcards that only reaches into what is reserved.
    ///
    /// # Errors
    /// It is the lattice's own.
    pub fn check_subscribe(&self, subject: &str) -> Result<(), SubjectError> {
        let anything = subject.starts_with(['*', '>', '$']);
        if anything || subject.split('.').next() == Some("_INBOX") || self.meets(subject) {
            return Err(SubjectError::new(subject, RESERVED));
        }
        Ok(())
    }

    fn meets(&self, subject: &str) -> bool {
        self.patterns
            .iter()
            .any(|pattern| overlap(pattern, subject))
    }
}

/// Whether some subject matches both patterns.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserved() -> Reserved {
        Reserved::of(&LatticeName::default())
    }

    #[test]
    fn the_lattice_s_own_subjects_are_closed() {
        for subject in [
            "wasmbus.ctl.v1.default.host.ping",
            "wadm.api.default.model.list",
            "$JS.API.STREAM.LIST",
            "$KV.CONFIGDATA_default.x",
            "default.shop.wrpc.0.0.1.wasi:http/incoming-handler.handle",
        ] {
            assert!(reserved().check_publish(subject).is_err(), "{subject}");
            assert!(reserved().check_subscribe(subject).is_err(), "{subject}");
        }
        for pattern in [
            "_INBOX.>",
            ">",
            "*.ctl.>",
            "default.>",
            "default.*.>",
            "default.shop.wrpc.>",
            "wasmbus.*",
        ] {
            assert!(reserved().check_subscribe(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn everything_else_is_open() {
        for subject in [
            "orders",
            "orders.new",
            "default.shop.orders",
            "wasmbus",
            "other.a.wrpc.b",
        ] {
            assert_eq!(reserved().check_publish(subject), Ok(()), "{subject}");
            assert_eq!(reserved().check_subscribe(subject), Ok(()), "{subject}");
        }
        assert_eq!(reserved().check_publish("_INBOX.abc.def"), Ok(()));
        assert_eq!(reserved().check_subscribe("orders.>"), Ok(()));
    }

    #[test]
    fn what_would_end_a_nats_line_is_refused() {
        for subject in [
            "a b",
            "a\r\nPUB b 0",
            "",
            "a.",
            "a*",
            &"x".repeat(2000),
            "a.*",
            ">",
        ] {
            assert!(check_subject(subject).is_err(), "{subject:?}");
        }
        assert_eq!(check_subject("a.b-c"), Ok(()));
        assert_eq!(check_pattern("a.*.>"), Ok(()));
    }

    #[test]
    fn patterns_overlap_when_a_subject_matches_both() {
        assert!(overlap("a.*.c", "a.b.*") && overlap("a.>", "*.b") && overlap("a", "a"));
        assert!(!overlap("a.>", "a") && !overlap("a.b", "a.b.c") && !overlap("a.*.c", "a.b.d"));
    }
}
