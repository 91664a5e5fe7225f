//! What a manifest may cost: how deep, how many values, how much repeated text.

use super::{Node, Value};
use crate::manifest::problem::{ManifestErrors, Position};

/// The deepest nesting; a real manifest has about a dozen levels.
const MAX_DEPTH: usize = 48;

/// The most values, aliases expanded: a few lines of aliases could otherwise stand for billions.
const MAX_NODES: usize = 100_000;

/// The most bytes of text that anchors and aliases may repeat: a long text named often enough would otherwise stand
/// for gigabytes.
const MAX_REPEATED_BYTES: usize = 4 * super::MAX_MANIFEST_BYTES;

/// What a copy of a value costs.
#[derive(Clone, Copy, Default)]
pub(super) struct Size {
    nodes: usize,
    text: usize,
}

/// What was spent so far.
#[derive(Default)]
pub(super) struct Budget {
    nodes: usize,
    /// Bytes of text that were copied for anchors and aliases.
    repeated: usize,
}

impl Budget {
    /// Pays for values.
    pub(super) fn count(
        &mut self,
        at: Option<Position>,
        nodes: usize,
    ) -> Result<(), ManifestErrors> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(ManifestErrors::whole(
                at,
                format!("more than {MAX_NODES} values, aliases expanded"),
            ));
        }
        Ok(())
    }

    /// Pays for a list or group within so many others.
    pub(super) fn open(
        &mut self,
        at: Option<Position>,
        depth: usize,
    ) -> Result<(), ManifestErrors> {
        self.count(at, 1)?;
        if depth >= MAX_DEPTH {
            return Err(ManifestErrors::whole(
                at,
                format!("nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        Ok(())
    }

    /// Pays for a copy.
    pub(super) fn repeat(
        &mut self,
        at: Option<Position>,
        size: Size,
    ) -> Result<(), ManifestErrors> {
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
}

/// What a copy of a value costs.
pub(super) fn size(node: &Node) -> Size {
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
