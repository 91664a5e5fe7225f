//! Building a tree from YAML, with where everything stands.

use std::collections::{BTreeMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{
    Entry, Node, Value,
    budget::{Budget, Size, size},
};
use crate::manifest::problem::{ManifestErrors, Position};

/// Why there is no tree.
pub(super) enum Failure {
    /// The text is no YAML; it may be something else.
    NotYaml(ManifestErrors),
    /// It is YAML, but not what a manifest may be.
    Refused(ManifestErrors),
}

impl From<ManifestErrors> for Failure {
    fn from(errors: ManifestErrors) -> Self {
        Self::Refused(errors)
    }
}

/// Builds a tree.
pub(super) fn build(text: &str) -> Result<Node, Failure> {
    Builder::default().build(text)
}

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

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    /// Anchored values and what a copy of each costs.
    anchors: BTreeMap<usize, (Node, Size)>,
    budget: Budget,
}

impl Builder {
    fn build(mut self, text: &str) -> Result<Node, Failure> {
        let mut documents = 0;
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                Failure::NotYaml(ManifestErrors::whole(
                    Some(position(error.marker().line(), error.marker().col())),
                    format!("not YAML: {}", error.info()),
                ))
            })?;
            let at = start(span);
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Failure::Refused(ManifestErrors::whole(
                            Some(at),
                            "a second document begins here: put one application at a time",
                        )));
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
            .ok_or_else(|| Failure::Refused(ManifestErrors::whole(None, "the manifest is empty")))
    }

    fn alias(&mut self, at: Position, anchor: usize) -> Result<(), ManifestErrors> {
        let size = self.anchors.get(&anchor).map(|(_, size)| *size);
        // Paid before it is copied.
        self.budget.repeat(Some(at), size.unwrap_or_default())?;
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
        self.budget.count(Some(at), 1)?;
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
        self.budget.open(Some(at), self.open.len())?;
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
            self.budget.repeat(at, size)?;
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
