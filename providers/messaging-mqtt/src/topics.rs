//! Which topics and filters MQTT takes. A component's subjects are topics as they are: parts stand between slashes.

/// Far below MQTT's own limit of 65,535: nobody writes such a topic, and brokers keep each one.
const MAX_BYTES: usize = 1024;

/// A topic or a filter that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("topic {topic:?} {problem}")]
pub struct TopicError {
    topic: String,
    problem: &'static str,
}

impl TopicError {
    pub(crate) fn new(topic: &str, problem: &'static str) -> Self {
        Self {
            topic: topic.chars().take(80).collect(),
            problem,
        }
    }
}

/// Checks a topic to publish to.
///
/// # Errors
/// MQTT does not have it, or it is the broker's own (`$SYS/…`).
pub fn check_topic(topic: &str) -> Result<(), TopicError> {
    check_text(topic)?;
    if topic.contains(['+', '#']) {
        let problem = "has a wildcard ('+', '#'), and only subscriptions can";
        return Err(TopicError::new(topic, problem));
    }
    if topic.starts_with('$') {
        let problem = "begins with '$': such topics are the broker's own";
        return Err(TopicError::new(topic, problem));
    }
    Ok(())
}

/// Checks a filter to subscribe to, without `$share/`.
///
/// # Errors
/// MQTT does not have it.
pub fn check_filter(filter: &str) -> Result<(), TopicError> {
    check_text(filter)?;
    let refused = |problem| Err(TopicError::new(filter, problem));
    let levels: Vec<&str> = filter.split('/').collect();
    for (index, level) in levels.iter().enumerate() {
        match *level {
            "#" if index + 1 < levels.len() => return refused("has a '#' before its end"),
            "#" | "+" => {}
            level if level.contains(['+', '#']) => {
                return refused("has a '+' or '#' beside other characters");
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), TopicError> {
    let refused = |problem| Err(TopicError::new(text, problem));
    if text.is_empty() {
        return refused("is empty");
    }
    if text.len() > MAX_BYTES {
        return refused("is longer than 1024 bytes");
    }
    if text.contains(char::is_control) {
        return refused("has control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mqtt_can_not_publish_to_is_refused() {
        for topic in [
            "",
            "a/+/b",
            "a/#",
            "$SYS/uptime",
            "$share/g/a",
            "a\0b",
            "a\nb",
            &"x".repeat(1025),
        ] {
            assert!(check_topic(topic).is_err(), "{topic:?}");
        }
        for topic in ["a", "/", "a//b", "a b", "a.b.c", "räume/1"] {
            assert_eq!(check_topic(topic), Ok(()), "{topic:?}");
        }
    }

    #[test]
    fn wildcards_stand_alone() {
        for filter in ["", "a+/b", "a/#/b", "a#", "x\u{7}"] {
            assert!(check_filter(filter).is_err(), "{filter:?}");
        }
        for filter in ["#", "+", "a/+/c/#", "+/+", "$SYS/#", "/a"] {
            assert_eq!(check_filter(filter), Ok(()), "{filter:?}");
        }
    }
}
