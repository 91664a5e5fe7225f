//! What can't be generated, with its place in the WIT.

use std::fmt;

use wit_parser::{Resolve, Span};

/// Why nothing is generated.
#[derive(Debug)]
pub(crate) struct Problem(String);

impl Problem {
    /// Something about the whole.
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }

    /// Something at a place: the file, the line, and whose type it is.
    pub(crate) fn at(resolve: &Resolve, span: Span, whose: &str, what: impl fmt::Display) -> Self {
        Self(format!(
            "{}: {whose}: {what}",
            resolve.render_location(span)
        ))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
