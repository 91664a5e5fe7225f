//! `trellis new provider`: a capability provider that works, to be changed into one's own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::source::Source;
use crate::{exit::Usage, output::Done, session::Options};

/// The project's files, and what is in them. `{{name}}` and the like are filled in.
const FILES: &[(&str, &str)] = &[
    (".gitignore", include_str!("skeleton/gitignore")),
    ("Cargo.toml", include_str!("skeleton/Cargo.toml.in")),
    ("README.md", include_str!("skeleton/README.md")),
    ("app.yaml", include_str!("skeleton/app.yaml")),
    ("src/lib.rs", include_str!("skeleton/lib.rs.in")),
    ("src/main.rs", include_str!("skeleton/main.rs.in")),
    ("tests/provider.rs", include_str!("skeleton/test.rs.in")),
    ("wit/provider.wit", include_str!("skeleton/provider.wit")),
];

/// Words that can't be names in WIT or in Rust.
const WORDS: &str = "\
    abstract as async await become bool borrow box break char const constructor continue crate \
    do dyn else enum export extern f32 f64 false final flags fn for from func future gen if \
    impl import in include interface let list loop macro map match mod move mut option \
    override own package priv pub record ref resource result return s16 s32 s64 s8 self static \
    stream string struct super test trait true try tuple type typeof u16 u32 u64 u8 union \
    unsafe unsized use variant virtual where while with world yield";

/// The longest name.
const MAX_NAME: usize = 40;

/// What to write, where.
#[derive(Args, Debug)]
pub struct Provider {
    /// The provider's name: words of small letters and digits, with hyphens between them.
    #[arg(value_parser = name)]
    name: String,
    /// Where to write it [default: a folder of that name, here].
    #[arg(long, value_name = "FOLDER")]
    path: Option<PathBuf>,
    /// Where its crates come from: a folder with Trellis's source, or the URL of a git repository, with #TAG for one version
    /// of it [default: the source that this program was built from].
    #[arg(long, value_name = "FOLDER|URL")]
    trellis_source: Option<String>,
}

/// A name that is one for WIT, Cargo and Rust.
fn name(text: &str) -> Result<String, String> {
    let word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word
                .chars()
                .all(|one| one.is_ascii_lowercase() || one.is_ascii_digit())
    };
    if text.len() > MAX_NAME {
        return Err(format!("it has more than {MAX_NAME} letters"));
    }
    if !text.split('-').all(word) {
        return Err(
            "it is not of words of small letters and digits, each beginning with a letter, with hyphens between them, \
             such as `currency` or `parking-lots`"
                .to_owned(),
        );
    }
    if WORDS.split_whitespace().any(|word| word == text) {
        return Err("it is a word of WIT or Rust: call it something else".to_owned());
    }
    Ok(text.to_owned())
}

impl Provider {
    /// Writes it.
    ///
    /// # Errors
    /// Something is there already, there is no source, or a file can't be written; then none is.
    pub fn run(self, options: &Options) -> anyhow::Result<()> {
        let source = Source::find(self.trellis_source.as_deref())?;
        let folder = self
            .path
            .clone()
            .unwrap_or_else(|| self.name.clone().into());
        self.write(&source, &folder)?;
        let message = format!(
            "a provider in {0}: `cd {0} && cargo test` builds and tries it, README.md goes on from there",
            folder.display()
        );
        let about = json!({ "name": self.name, "folder": folder });
        Ok(options.output.print(&Done::new(message, about))?)
    }

    /// Writes it beside its place, and puts it there as a whole.
    fn write(&self, source: &Source, folder: &Path) -> anyhow::Result<()> {
        if folder.symlink_metadata().is_ok() {
            return Err(Usage(format!(
                "{} is there already, and nothing is overwritten: take another name, or another place with --path",
                folder.display()
            ))
            .into());
        }
        let beside = match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let new = tempfile::Builder::new()
            .prefix(".trellis-new-")
            .tempdir_in(beside)
            .with_context(|| format!("folder {}", beside.display()))?;
        for (file, text) in FILES {
            write(&new.path().join(file), &self.fill(text, source))?;
        }
        if let Some(lock) = source.lock() {
            write(&new.path().join("Cargo.lock"), &lock)?;
        }
        readable(new.path())?;
        fs::rename(new.path(), folder).with_context(|| format!("folder {}", folder.display()))?;
        // What it stood for is in its place now.
        let _ = new.keep();
        Ok(())
    }

    fn fill(&self, text: &str, source: &Source) -> String {
        let camel: String = self
            .name
            .split('-')
            .map(|word| {
                let (first, rest) = word.split_at(1);
                first.to_ascii_uppercase() + rest
            })
            .collect();
        text.replace("{{name}}", &self.name)
            .replace("{{snake}}", &self.name.replace('-', "_"))
            .replace("{{camel}}", &camel)
            .replace("{{sdk}}", &source.dependency("providers/sdk"))
            .replace("{{testkit}}", &source.dependency("providers/testkit"))
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let said = || format!("file {}", file.display());
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(said)?;
    }
    fs::write(file, text).with_context(said)
}

/// A temporary folder is its owner's alone; a project is as its owner has it elsewhere.
fn readable(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let source = folder.join("src");
    let mode = fs::metadata(&source)?.permissions().mode();
    Ok(fs::set_permissions(
        folder,
        fs::Permissions::from_mode(mode),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_say_what_is_wrong() {
        for good in ["currency", "parking-lots", "a1-b2"] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for (bad, said) in [
            ("", "small letters"),
            ("Currency", "small letters"),
            ("a_b", "small letters"),
            ("1st", "small letters"),
            ("a--b", "small letters"),
            ("../up", "small letters"),
            ("list", "a word of WIT or Rust"),
            (&"x".repeat(41), "more than 40"),
        ] {
            let error = name(bad).unwrap_err();
            assert!(error.contains(said), "{bad}: {error}");
        }
    }

    #[test]
    fn all_is_written_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("parking-lots");
        let provider = Provider {
            name: "parking-lots".to_owned(),
            path: None,
            trellis_source: None,
        };
        let source = Source::find(None).unwrap();
        provider.write(&source, &place).unwrap();
        for (file, _) in FILES {
            let text = fs::read_to_string(place.join(file)).unwrap();
            assert!(!text.contains("{{"), "{file}: {text}");
        }
        let lib = fs::read_to_string(place.join("src/lib.rs")).unwrap();
        assert!(
            lib.contains("ParkingLotsProvider") && lib.contains("acme::parking_lots"),
            "{lib}"
        );

        let mark = place.join("src/lib.rs");
        fs::write(&mark, "mine").unwrap();
        let error = provider.write(&source, &place).unwrap_err().to_string();
        assert!(error.contains("nothing is overwritten"), "{error}");
        assert_eq!(fs::read_to_string(&mark).unwrap(), "mine");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }
}
