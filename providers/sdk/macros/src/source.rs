//! The WIT that a world is in.

use std::path::{Path, PathBuf};

use wit_parser::{Resolve, WorldId};

use crate::{options::Options, problem::Problem};

/// A world, with all that it is made of.
pub(crate) struct Source {
    pub(crate) resolve: Resolve,
    pub(crate) world: WorldId,
    /// What was read.
    pub(crate) files: Vec<PathBuf>,
}

impl Source {
    /// Reads the WIT from the folder of the package that is being compiled.
    pub(crate) fn read(options: &Options) -> Result<Self, Problem> {
        let folder = std::env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .ok_or_else(|| {
                Problem::new("CARGO_MANIFEST_DIR is not set: compile this with cargo")
            })?;
        Self::read_from(options, &folder)
    }

    pub(crate) fn read_from(options: &Options, folder: &Path) -> Result<Self, Problem> {
        let mut resolve = Resolve::default();
        let mut files = Vec::new();
        let mut packages = Vec::new();
        let mut paths: Vec<PathBuf> = options.paths.iter().map(|path| folder.join(path)).collect();
        let usual = folder.join("wit");
        if paths.is_empty() && (options.inline.is_none() || usual.exists()) {
            paths.push(usual);
        }
        for path in &paths {
            if !path.exists() {
                return Err(Problem::new(format_args!(
                    "there is no {}: `path` is counted from the package's folder",
                    path.display()
                )));
            }
            match resolve.push_path(path) {
                Ok((package, sources)) => {
                    // The last one's world is meant; the ones before are there to be used.
                    packages = vec![package];
                    files.extend(sources.paths().map(Path::to_owned));
                }
                Err(error) => return Err(Problem::new(resolve.render_error(&error))),
            }
        }
        if let Some(inline) = &options.inline {
            packages = match resolve.push_str("inline", inline) {
                Ok(package) => vec![package],
                Err(error) => return Err(Problem::new(resolve.render_error(&error))),
            };
        }
        let world = resolve
            .select_world(&packages, options.world.as_deref())
            .map_err(|error| Problem::new(format_args!("{error:#}")))?;
        Ok(Self {
            resolve,
            world,
            files,
        })
    }
}
