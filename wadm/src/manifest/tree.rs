//! A manifest's text as a tree that remembers where everything stands. YAML 1.2; JSON is a part of it.

mod budget;
mod build;

use super::problem::{ManifestErrors, Path, Position, Step};
use budget::Budget;
use build::{Failure, build};

/// The largest manifest, in bytes. Every version of an application lies in one message of at most 1 MiB.
pub const MAX_MANIFEST_BYTES: usize = 256 * 1024;

/// A value and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Option<Position>,
    pub(super) value: Value,
}

/// A value. Numbers stay as written: what a number may be is the field's business.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A field.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Option<Position>,
    pub(super) node: Node,
}

/// Reads a text.
///
/// # Errors
/// Not YAML, too large, too deep, or not one document; with line and column.
pub(super) fn read(text: &str) -> Result<Node, ManifestErrors> {
    if text.len() > MAX_MANIFEST_BYTES {
        return Err(ManifestErrors::whole(
            None,
            format!(
                "the manifest has {} bytes, more than the {MAX_MANIFEST_BYTES} allowed",
                text.len()
            ),
        ));
    }
    match build(text) {
        Ok(node) => Ok(node),
        Err(Failure::Refused(errors)) => Err(errors),
        // Some JSON is not YAML (a character that is escaped in two halves, for example): it has no positions then.
        Err(Failure::NotYaml(errors)) => match serde_json::from_str::<serde_json::Value>(text) {
            Ok(value) => Node::from_json(value, 0, &mut Budget::default()),
            Err(_) => Err(errors),
        },
    }
}

impl Node {
    /// A value without a text, within so many lists and groups.
    fn from_json(
        value: serde_json::Value,
        depth: usize,
        budget: &mut Budget,
    ) -> Result<Self, ManifestErrors> {
        let value = match value {
            serde_json::Value::Array(items) => {
                budget.open(None, depth)?;
                let items = items
                    .into_iter()
                    .map(|item| Self::from_json(item, depth + 1, budget));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            serde_json::Value::Object(fields) => {
                budget.open(None, depth)?;
                let fields = fields.into_iter().map(|(key, value)| {
                    // As in YAML, a field's name counts too.
                    budget.count(None, 1)?;
                    Ok(Entry {
                        key,
                        at: None,
                        node: Self::from_json(value, depth + 1, budget)?,
                    })
                });
                Value::Map(fields.collect::<Result<_, _>>()?)
            }
            scalar => {
                budget.count(None, 1)?;
                match scalar {
                    serde_json::Value::Bool(bool) => Value::Bool(bool),
                    serde_json::Value::Number(number) => Value::Number(number.to_string()),
                    serde_json::Value::String(text) => Value::Text(text),
                    _ => Value::Null,
                }
            }
        };
        Ok(Self { at: None, value })
    }

    /// The value as JSON, for what is kept as it came.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(bool) => (*bool).into(),
            // What JSON can't hold (`.inf`, a hexadecimal number) stays text.
            Value::Number(number) => {
                serde_json::from_str(number).unwrap_or_else(|_| number.clone().into())
            }
            Value::Text(text) => text.clone().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(fields) => fields
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// What kind of value it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a group of fields",
        }
    }

    /// Where the value of that path stands, or the nearest thing above it that is there.
    pub(super) fn position(&self, path: &Path) -> Option<Position> {
        let mut node = self;
        let mut at = self.at;
        for step in path.steps() {
            match (step, &node.value) {
                (Step::Field(name), Value::Map(fields)) => {
                    match fields.iter().find(|entry| &entry.key == name) {
                        Some(entry) => {
                            node = &entry.node;
                            // A group or list begins on a line of its own: its name is the better place.
                            at = match node.value {
                                Value::Map(_) | Value::List(_) | Value::Null => entry.at,
                                _ => node.at,
                            };
                        }
                        None => return at,
                    }
                }
                (Step::Item(index), Value::List(items)) => match items.get(*index) {
                    Some(item) => {
                        node = item;
                        at = item.at;
                    }
                    None => return at,
                },
                _ => return at,
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    /// Few values, but each a long text: it would be a gigabyte.
    #[test]
    fn a_long_text_repeated_often_is_refused() {
        let long = "x".repeat(200 * 1024);
        let text = format!("a: &a {long}\nb: [{}]\n", "*a,".repeat(5_000));
        let error = refused(&text);
        assert!(error.contains("stand for more than"), "{error}");
        assert!(error.starts_with("line 2, column "), "{error}");
        // A field's name is text too.
        let text = format!("a: &a {{{long}: 1}}\nb: [{}]\n", "*a,".repeat(5_000));
        assert!(refused(&text).contains("stand for more than"));
        // Once, it is fine.
        read(&format!("a: &a {long}\nb: *a\n")).unwrap();
    }

    #[test]
    fn anchors_within_anchors_are_refused_once_they_hold_too_much() {
        let open: String = (0..40).map(|depth| format!("&a{depth} [")).collect();
        let (long, close) = ("x".repeat(200 * 1024), "]".repeat(40));
        let error = refused(&format!("a: {open}{long}{close}\n"));
        assert!(error.contains("stand for more than"), "{error}");
    }

    #[test]
    fn a_field_that_stands_there_twice_is_found_among_many() {
        let fields: String = (0..20_000).map(|field| format!("f{field}: 1\n")).collect();
        let Value::Map(read) = read(&fields).unwrap().value else {
            panic!("not a group of fields");
        };
        assert_eq!(read.len(), 20_000);
        let error = refused(&format!("{fields}f7: 2\n"));
        assert_eq!(
            error,
            "line 20001, column 1: field \"f7\" stands here a second time"
        );
    }
    /// A character that is escaped in two halves is JSON, but not YAML.
    #[test]
    fn json_that_is_not_yaml_has_the_same_bounds() {
        let json = |text: &str| format!("{{\"\\ud83d\\ude00\": {text}}}");
        let fine = json("[1, {\"b\": null}]");
        assert!(matches!(build(&fine), Err(Failure::NotYaml(_))));
        assert!(matches!(read(&fine).unwrap().value, Value::Map(fields) if fields.len() == 1));

        let nested = |levels: usize| json(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
        read(&nested(47)).unwrap();
        assert_eq!(refused(&nested(48)), "nested deeper than 48 levels");

        let many = |values: usize| json(&format!("[1{}]", ",1".repeat(values - 1)));
        // The group, its field's name and the list count too.
        read(&many(99_997)).unwrap();
        let error = refused(&many(99_998));
        assert_eq!(error, "more than 100000 values, aliases expanded");
    }

    /// A bound that YAML meets is not got round as JSON.
    #[test]
    fn json_that_is_yaml_too_is_refused_with_its_place() {
        let error = refused(&format!("[1{}]", ",1".repeat(100_000)));
        assert!(error.starts_with("line 1, column "), "{error}");
        let error = refused("{\"a\": 1, \"a\": 2}");
        assert!(error.contains("stands here a second time"), "{error}");
    }
}
