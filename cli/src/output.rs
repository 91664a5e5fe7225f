//! What is printed: one value a command, as text for people or as JSON for programs.

use std::{
    fmt,
    io::{self, Write as _},
};

use clap::ValueEnum;
use serde::Serialize;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON value.
    Json,
}

/// A result that can be printed: its fields are the JSON, its [`fmt::Display`] is the text.
pub trait Report: Serialize + fmt::Display {}

impl<T: Serialize + fmt::Display> Report for T {}

impl Format {
    /// The format that is asked for, as far as can be seen where the arguments as a whole make no sense.
    pub fn asked_for() -> Self {
        let arguments: Vec<_> = std::env::args_os().collect();
        let by_argument = arguments
            .iter()
            .enumerate()
            .rev()
            .find_map(
                |(index, argument)| match argument.to_str()?.strip_prefix("--output")? {
                    "" => arguments.get(index + 1)?.to_str(),
                    value => value.strip_prefix('='),
                },
            );
        let by_environment = std::env::var("TRELLIS_OUTPUT").ok();
        match by_argument.or(by_environment.as_deref()) {
            Some("json") => Self::Json,
            _ => Self::Text,
        }
    }

    /// Prints a result on standard output.
    ///
    /// # Errors
    /// Standard output can't be written. A reader that has gone (`| head`) is no error.
    pub fn print(self, report: &impl Report) -> io::Result<()> {
        let mut text = match self {
            Self::Text => report.to_string(),
            Self::Json => serde_json::to_string_pretty(report).map_err(io::Error::other)?,
        };
        if text.is_empty() {
            return Ok(());
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        write(text.as_bytes())
    }
}

/// Writes to standard output; a reader that has gone is no error.
///
/// # Errors
/// Standard output can't be written.
pub fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// A list of things, as JSON an array.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Listing<T: Row> {
    /// The things.
    pub items: Vec<T>,
}

/// A thing that is a line of a table.
pub trait Row: Serialize {
    /// The columns' names.
    const COLUMNS: &'static [&'static str];
    /// What is said where there is nothing.
    const NONE: &'static str;

    /// The line's cells, one a column.
    fn cells(&self) -> Vec<String>;
}

impl<T: Row> Listing<T> {
    /// A list of these.
    pub fn new(items: Vec<T>) -> Self {
        Self { items }
    }
}

impl<T: Row> fmt::Display for Listing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.items.is_empty() {
            return f.write_str(T::NONE);
        }
        table(f, "", T::COLUMNS, self.items.iter().map(Row::cells))
    }
}

/// Writes aligned columns, each line behind an indent.
///
/// # Errors
/// As the formatter.
pub fn table(
    f: &mut fmt::Formatter<'_>,
    indent: &str,
    columns: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> fmt::Result {
    let mut lines = vec![
        columns
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>(),
    ];
    lines.extend(rows);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for line in &lines {
        let mut text = indent.to_owned();
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        writeln!(f, "{}", text.trim_end())?;
    }
    Ok(())
}

/// Something that was done, with the fields that matter to a program.
#[derive(Serialize)]
pub struct Done {
    /// What was done, for people.
    pub message: String,
    /// What it was done to.
    #[serde(flatten)]
    pub about: serde_json::Value,
}

impl Done {
    /// Something done to something.
    pub fn new(message: impl Into<String>, about: serde_json::Value) -> Self {
        Self {
            message: message.into(),
            about,
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// `k=v, k=v`, or a dash for nothing.
pub fn pairs(map: &std::collections::BTreeMap<String, String>) -> String {
    or_dash(
        map.iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(", "),
    )
}

/// The text, or a dash for an empty one.
pub fn or_dash(text: impl Into<String>) -> String {
    let text = text.into();
    if text.is_empty() { "-".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Pair(&'static str, u32);

    impl Row for Pair {
        const COLUMNS: &'static [&'static str] = &["NAME", "N"];
        const NONE: &'static str = "nothing";

        fn cells(&self) -> Vec<String> {
            vec![self.0.into(), self.1.to_string()]
        }
    }

    #[test]
    fn columns_are_aligned() {
        let list = Listing::new(vec![Pair("a", 1), Pair("längerer", 20)]);
        assert_eq!(list.to_string(), "NAME      N\na         1\nlängerer  20\n");
        assert_eq!(
            serde_json::to_string(&list).unwrap(),
            r#"[["a",1],["längerer",20]]"#
        );
    }

    #[test]
    fn nothing_says_so_to_people_and_is_an_empty_list_to_programs() {
        let list = Listing::<Pair>::new(Vec::new());
        assert_eq!(list.to_string(), "nothing");
        assert_eq!(serde_json::to_string(&list).unwrap(), "[]");
    }
}
