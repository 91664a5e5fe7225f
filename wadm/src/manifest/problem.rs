//! What is wrong with a manifest, and where.

use std::fmt;

/// A place in the manifest's text, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One step from the manifest's root to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a field of that name.
    Field(String),
    /// Into the item of that index of a list.
    Item(usize),
}

/// The way from the manifest's root to a field, written like `spec.components[0].name`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl Path {
    /// The path to a field below this one.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.then(Step::Field(name.to_owned()))
    }

    /// The path to an item of this list.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.then(Step::Item(index))
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if index == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Item(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}

/// One thing that is wrong with a manifest, or looks so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field; empty for the manifest as a whole.
    pub path: Path,
    /// Where it stands; a manifest that did not come as text has no positions.
    pub at: Option<Position>,
    /// What is wrong and what to do.
    pub text: String,
}

/// Something that is probably a mistake but stops nothing.
pub type Warning = Problem;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at {
            write!(f, "{at}: ")?;
        }
        if !self.path.steps().is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text)
    }
}

/// What is wrong with a manifest, in the order of its text. Of very many problems only some are told, and the last
/// says how many more there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestErrors(pub Vec<Problem>);

impl ManifestErrors {
    /// One problem of the manifest as a whole.
    pub(crate) fn whole(at: Option<Position>, text: impl Into<String>) -> Self {
        Self(vec![Problem {
            path: Path::default(),
            at,
            text: text.into(),
        }])
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestErrors {}

/// The most problems of a kind that are told. Nobody reads more, and an answer must hold them.
const MAX_TOLD: usize = 50;

/// Problems of one kind: the first ones found, and how many more there are.
#[derive(Default)]
pub(super) struct Problems {
    told: Vec<Problem>,
    more: usize,
}

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        if self.is_full() {
            self.more += 1;
        } else {
            self.told.push(problem);
        }
    }

    /// Whether further problems are only counted: their texts need no care.
    pub(super) fn is_full(&self) -> bool {
        self.told.len() >= MAX_TOLD
    }

    /// All of them in the order of the text, and where each stands.
    pub(super) fn sorted(self, position: impl Fn(&Path) -> Option<Position>) -> Vec<Problem> {
        let mut problems = self.told;
        for problem in &mut problems {
            if problem.at.is_none() {
                problem.at = position(&problem.path);
            }
        }
        // A stable sort: what has no position keeps its order, first.
        problems.sort_by_key(|problem| problem.at);
        if self.more > 0 {
            problems.push(Problem {
                path: Path::default(),
                at: None,
                text: format!("and {} more", self.more),
            });
        }
        problems
    }
}

/// Errors and warnings as they are found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) errors: Problems,
    pub(super) warnings: Problems,
}

impl Findings {
    /// Notes an error; its position is looked up by its path later.
    pub(super) fn error(&mut self, path: &Path, text: impl Into<String>) {
        self.errors.push(Problem {
            path: path.clone(),
            at: None,
            text: text.into(),
        });
    }

    /// Notes a warning; its position is looked up by its path later.
    pub(super) fn warn(&mut self, path: &Path, text: impl Into<String>) {
        self.warnings.push(Problem {
            path: path.clone(),
            at: None,
            text: text.into(),
        });
    }
}
