//! Where a local lattice logs: `lattice.log` for the host and the application manager, a file for each
//! component and provider, and warnings on standard error (with `--verbose`, everything).

use std::{
    collections::HashMap,
    fmt::Write as _,
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::{dynamic_filter_fn, filter_fn},
    fmt,
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

use super::rotating::RotatingFile;
use crate::log;

/// Events that a component made, by what it logs or writes to its standard streams.
const ACTOR: &str = "trellis::actor";
/// Lines that a provider wrote to its standard streams.
const PROVIDER: &str = "provider";
/// The most sources with a file of their own; more share one.
const MAX_FILES: usize = 128;
/// The file that they share.
const SHARED: &str = "others";

/// Starts logging into a folder.
///
/// # Errors
/// The log can't be opened.
pub fn start(folder: &Path, verbose: bool) -> anyhow::Result<Logs> {
    let path = folder.join("lattice.log");
    let own = RotatingFile::open(&path).with_context(|| format!("log {}", path.display()))?;
    let of_lattice = filter_fn(|metadata| !matches!(metadata.target(), ACTOR | PROVIDER));
    let lattice = fmt::layer()
        .with_writer(Mutex::new(own))
        .with_ansi(false)
        .with_filter(of_lattice);
    let ending = Arc::new(AtomicBool::new(false));
    let (level, quiet) = (
        if verbose { Level::TRACE } else { Level::WARN },
        ending.clone(),
    );
    let shown = dynamic_filter_fn(move |metadata, _| {
        *metadata.level() <= level && (verbose || !quiet.load(Ordering::Relaxed))
    });
    let terminal = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(shown);
    let sources = Sources {
        folder: folder.to_owned(),
        files: Mutex::default(),
    };
    tracing_subscriber::registry()
        .with(log::filter("info,async_nats=warn"))
        .with(lattice)
        .with(sources)
        .with(terminal)
        .try_init()?;
    Ok(Logs { ending })
}

/// What is logged from now on.
pub struct Logs {
    ending: Arc<AtomicBool>,
}

impl Logs {
    /// What breaks while a lattice is being ended is no news to who looks at the terminal.
    pub fn ending(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }
}

/// Writes what components and providers say, each into its file.
struct Sources {
    folder: PathBuf,
    files: Mutex<HashMap<String, RotatingFile>>,
}

impl<S: Subscriber> Layer<S> for Sources {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if !matches!(metadata.target(), ACTOR | PROVIDER) {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        // A provider's lines have their time already.
        let text = if metadata.target() == PROVIDER {
            format!("{}{}\n", line.message, line.rest)
        } else {
            let now = OffsetDateTime::now_utc()
                .format(&Rfc3339)
                .unwrap_or_default();
            format!(
                "{now} {:>5} {}{}\n",
                metadata.level(),
                line.message,
                line.rest
            )
        };
        self.write(&line.source, &text);
    }
}

impl Sources {
    fn write(&self, source: &str, text: &str) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let name = if files.len() < MAX_FILES || files.contains_key(source) {
            source
        } else {
            SHARED
        };
        if !files.contains_key(name) {
            // Ids have neither points nor white space; a slash is a letter to them.
            let path = self.folder.join(format!("{}.log", name.replace('/', "_")));
            // A log that can't be written must not stop what is logged.
            let Ok(file) = RotatingFile::open(&path) else {
                return;
            };
            files.insert(name.to_owned(), file);
        }
        if let Some(file) = files.get_mut(name) {
            let _ = file.write_all(text.as_bytes());
        }
    }
}

/// An event's fields: whom it is from, what it says, and what else there is.
#[derive(Default)]
struct Line {
    source: String,
    message: String,
    rest: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "actor" | "provider" => value.clone_into(&mut self.source),
            "message" => value.clone_into(&mut self.message),
            "stream" => {}
            name => {
                let _ = write!(self.rest, " {name}={value:?}");
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "actor" | "provider" => self.source = format!("{value:?}"),
            "message" => self.message = format!("{value:?}"),
            name => {
                let _ = write!(self.rest, " {name}={value:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_file() {
        let folder = tempfile::TempDir::new().unwrap();
        let sources = Sources {
            folder: folder.path().to_owned(),
            files: Mutex::default(),
        };
        let subscriber = tracing_subscriber::registry().with(sources);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "trellis::actor", actor = %"shop-cart", stream = "stdout", "hello");
            tracing::warn!(target: "provider", provider = %"shop-kv", stream = "stderr", "slow");
            tracing::info!("of the host");
        });
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(
            read("shop-cart.log").ends_with(" INFO hello\n"),
            "{}",
            read("shop-cart.log")
        );
        assert_eq!(read("shop-kv.log"), "slow\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
