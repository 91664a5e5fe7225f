//! A manifest's text as a tree that remembers where everything stands. YAML 1.2; JSON is a part of it.

use std::collections::{BTreeMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::problem::{ManifestErrors, Path, Position, Step};

/// The largest manifest, in bytes. Every version of an application lies in one message of at most 1 MiB.
pub const MAX_MANIFEST_BYTES: usize = 256 * 1024;

/// The deepest nesting; a real manifest has about a dozen levels.
const MAX_DEPTH: usize = 48;

/// The most values, aliases expanded: a few lines of aliases could otherwise stand for billions.
const MAX_NODES: usize = 100_000;

/// The most bytes of text that anchors and aliases may repeat: a long text named often enough would otherwise stand
/// for gigabytes.
const MAX_REPEATED_BYTES: usize = 4 * MAX_MANIFEST_BYTES;

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
    match Builder::default().build(text) {
        Ok(node) => Ok(node),
        // Some JSON is not YAML (tabs between tokens, for example): it has no positions then.
        Err(error) => match serde_json::from_str::<serde_json::Value>(text) {
            Ok(value) => Ok(Node::from_json(&value)),
            Err(_) => Err(error),
        },
    }
}

impl Node {
    /// A value without a text.
    pub(super) fn from_json(value: &serde_json::Value) -> Self {
        let value = match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(bool) => Value::Bool(*bool),
            serde_json::Value::Number(number) => Value::Number(number.to_string()),
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(items) => {
                Value::List(items.iter().map(Self::from_json).collect())
            }
            serde_json::Value::Object(fields) => Value::Map(
                fields
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        at: None,
                        node: Self::from_json(value),
                    })
                    .collect(),
            ),
        };
        Self { at: None, value }
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

// === building ===

/// A list or group that is not closed yet.
enum Open {
    List {
        at: Position,
        anchor: usize,
        items: Vec<Node>,
    },
    Map {
        at: Position,
        anchor: usize,
        fields: Vec<Entry>,
        /// The fields' names, to find one that stands there twice.
        names: HashSet<String>,
        key: Option<(String, Position)>,
    },
}

/// What a copy of a value costs.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    text: usize,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    /// Anchored values and what a copy of each costs.
    anchors: BTreeMap<usize, (Node, Size)>,
    nodes: usize,
    /// Bytes of text that were copied for anchors and aliases.
    repeated: usize,
}

impl Builder {
    fn build(mut self, text: &str) -> Result<Node, ManifestErrors> {
        let mut documents = 0;
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                ManifestErrors::whole(
                    Some(position(error.marker().line(), error.marker().col())),
                    format!("not YAML: {}", error.info()),
                )
            })?;
            let at = start(span);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(ManifestErrors::whole(
                            Some(at),
                            "a second document begins here: put one application at a time",
                        ));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    self.scalar(at, &text, style, anchor, tag.as_deref())?;
                }
                Event::SequenceStart(anchor, _) => {
                    self.push(
                        at,
                        Open::List {
                            at,
                            anchor,
                            items: Vec::new(),
                        },
                    )?;
                }
                Event::MappingStart(anchor, _) => {
                    self.push(
                        at,
                        Open::Map {
                            at,
                            anchor,
                            fields: Vec::new(),
                            names: HashSet::new(),
                            key: None,
                        },
                    )?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(at)?,
                Event::Alias(anchor) => self.alias(at, anchor)?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        self.root
            .ok_or_else(|| ManifestErrors::whole(None, "the manifest is empty"))
    }

    fn alias(&mut self, at: Position, anchor: usize) -> Result<(), ManifestErrors> {
        let size = self.anchors.get(&anchor).map(|(_, size)| *size);
        // Paid before it is copied.
        self.repeat(Some(at), size.unwrap_or_default())?;
        let Some((node, _)) = self.anchors.get(&anchor) else {
            return Err(ManifestErrors::whole(
                Some(at),
                "an alias of something that is not complete yet",
            ));
        };
        let value = node.value.clone();
        self.add(
            Node {
                at: Some(at),
                value,
            },
            0,
        )
    }

    fn scalar(
        &mut self,
        at: Position,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), ManifestErrors> {
        self.count(Some(at), 1)?;
        // A field's name is text, however it is written.
        if let Some(Open::Map { key, .. }) = self.open.last_mut()
            && key.is_none()
        {
            *key = Some((text.to_owned(), at));
            return Ok(());
        }
        let is_text = style != ScalarStyle::Plain
            || tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        let value = if is_text {
            Value::Text(text.to_owned())
        } else {
            plain(text)
        };
        self.add(
            Node {
                at: Some(at),
                value,
            },
            anchor,
        )
    }

    fn push(&mut self, at: Position, open: Open) -> Result<(), ManifestErrors> {
        self.count(Some(at), 1)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(ManifestErrors::whole(
                Some(at),
                format!("nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return Err(ManifestErrors::whole(
                Some(at),
                "a field's name must be text, not a list or a group of fields",
            ));
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self, at: Position) -> Result<(), ManifestErrors> {
        let (at, anchor, value) = match self.open.pop() {
            Some(Open::List { at, anchor, items }) => (at, anchor, Value::List(items)),
            Some(Open::Map {
                at, anchor, fields, ..
            }) => (at, anchor, Value::Map(fields)),
            None => {
                return Err(ManifestErrors::whole(
                    Some(at),
                    "an end without a beginning",
                ));
            }
        };
        self.add(
            Node {
                at: Some(at),
                value,
            },
            anchor,
        )
    }

    /// Puts a complete value where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), ManifestErrors> {
        let at = node.at;
        if anchor > 0 {
            let size = size(&node);
            // The copy that is kept counts too: anchors within anchors would multiply the whole text.
            self.repeat(at, size)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map {
                fields, names, key, ..
            }) => {
                let Some((name, key_at)) = key.take() else {
                    return Err(ManifestErrors::whole(
                        at,
                        "a field's name must be text, not an alias",
                    ));
                };
                if !names.insert(name.clone()) {
                    return Err(ManifestErrors::whole(
                        Some(key_at),
                        format!("field {name:?} stands here a second time"),
                    ));
                }
                fields.push(Entry {
                    key: name,
                    at: Some(key_at),
                    node,
                });
            }
        }
        Ok(())
    }

    /// Pays for a copy.
    fn repeat(&mut self, at: Option<Position>, size: Size) -> Result<(), ManifestErrors> {
        self.repeated = self.repeated.saturating_add(size.text);
        if self.repeated > MAX_REPEATED_BYTES {
            return Err(ManifestErrors::whole(
                at,
                format!(
                    "anchors and aliases stand for more than {MAX_REPEATED_BYTES} bytes of text: repeat less"
                ),
            ));
        }
        self.count(at, size.nodes)
    }

    fn count(&mut self, at: Option<Position>, nodes: usize) -> Result<(), ManifestErrors> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(ManifestErrors::whole(
                at,
                format!("more than {MAX_NODES} values, aliases expanded"),
            ));
        }
        Ok(())
    }
}

fn size(node: &Node) -> Size {
    let mut total = Size { nodes: 1, text: 0 };
    let mut add = |node: &Node| {
        let below = size(node);
        total.nodes += below.nodes;
        total.text += below.text;
    };
    match &node.value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(text) | Value::Text(text) => total.text = text.len(),
        Value::List(items) => items.iter().for_each(add),
        Value::Map(fields) => {
            fields.iter().for_each(|entry| add(&entry.node));
            total.text += fields.iter().map(|entry| entry.key.len()).sum::<usize>();
        }
    }
    total
}

fn start(span: Span) -> Position {
    position(span.start.line(), span.start.col())
}

fn position(line: usize, column: usize) -> Position {
    Position {
        line,
        column: column + 1,
    }
}

/// What an unquoted scalar is (YAML 1.2, core schema).
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        text if is_number(text) => Value::Number(text.to_owned()),
        text => Value::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    if let Some(hexadecimal) = text.strip_prefix("0x") {
        return digits(hexadecimal, 16);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, 8);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF")
        || matches!(text, ".nan" | ".NaN" | ".NAN")
        || (unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && unsigned
                .bytes()
                .all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
            && unsigned.parse::<f64>().is_ok())
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
}
