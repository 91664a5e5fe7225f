//! Putting a manifest: a new application, or a new version of one.

use trellis_lattice::app::{AppResult, Deed, PutReply};

use super::{Api, Refusal, shorten};
use crate::{
    manifest::{self, Manifest, VERSION},
    store::{Change, StoredApp},
};

/// The longest warning, in bytes: it may name a field whose name is very long.
const MAX_WARNING: usize = 1024;

/// The end of the message about a version that was put before.
const THERE_ALREADY: &str = "is there already";

impl Api {
    pub(super) async fn put(
        &self,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<PutReply, Refusal> {
        check_content_type(content_type)?;
        let text = std::str::from_utf8(body)
            .map_err(|error| Refusal::Request(format!("the manifest is not UTF-8: {error}")))?;
        // Reading a large manifest takes a while: others are answered meanwhile.
        let text = text.to_owned();
        let (manifest, warnings) = tokio::task::spawn_blocking(move || manifest::parse(&text))
            .await
            .map_err(|error| Refusal::Request(format!("the manifest can't be read: {error}")))?
            .map_err(|errors| Refusal::Request(format!("the manifest is wrong:\n{errors}")))?;
        manifest
            .check_images()
            .map_err(|error| Refusal::Request(error.to_string()))?;
        let name = manifest.name().to_owned();
        let mut reply = self
            .store
            .apps
            .change(&name, |app| add(app, &manifest))
            .await??;
        reply.warnings = warnings
            .iter()
            .map(|warning| shorten(warning.to_string(), MAX_WARNING))
            .collect();
        if !reply.message.ends_with(THERE_ALREADY) {
            let version = Some(reply.current_version.as_str());
            self.store
                .notes
                .remember(&name, Deed::Put, version, None)
                .await;
        }
        tracing::info!(
            app = name,
            version = reply.current_version,
            "put a manifest"
        );
        Ok(reply)
    }
}

fn check_content_type(content_type: Option<&str>) -> Result<(), Refusal> {
    let Some(written) = content_type else {
        return Ok(());
    };
    let essence = written.split(';').next().unwrap_or_default().trim();
    let known = [
        "",
        "application/json",
        "application/yaml",
        "application/x-yaml",
        "text/yaml",
        "text/x-yaml",
        "text/plain",
    ];
    if known
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
    {
        return Ok(());
    }
    Err(Refusal::Request(format!(
        "Content-Type {written:?}: use application/json or application/yaml"
    )))
}

fn add(app: Option<StoredApp>, manifest: &Manifest) -> Result<Change<PutReply>, Refusal> {
    let is_new = app.is_none();
    let mut app = app.unwrap_or_default();
    let name = manifest.name();
    let reply = |app: &StoredApp, version: &str, message| PutReply {
        result: match is_new {
            true => AppResult::Created,
            false => AppResult::NewVersion,
        },
        total_versions: app.manifests.len(),
        current_version: version.to_owned(),
        message,
        name: name.to_owned(),
        warnings: Vec::new(),
    };
    let version = match manifest.version() {
        Some(version) => {
            match app.manifests.get(version) {
                None => {}
                Some(same) if same == manifest => {
                    let message = format!("Manifest {name} {version} {THERE_ALREADY}");
                    return Ok(Change::Keep(reply(&app, version, message)));
                }
                Some(_) => {
                    return Err(Refusal::Request(format!(
                        "version {version} of application {name} exists already, with other contents: give metadata.annotations.version another value, or leave it out"
                    )));
                }
            }
            version.to_owned()
        }
        None => {
            // The same again makes no version: tools that put before every deploy would push the others out.
            if let Some((version, newest)) = app.newest()
                && without_version(newest) == *manifest
            {
                let message = format!("Manifest {name} {version} {THERE_ALREADY}");
                return Ok(Change::Keep(reply(&app, version, message)));
            }
            ulid::Ulid::new().to_string()
        }
    };
    let mut manifest = manifest.clone();
    manifest
        .metadata
        .annotations
        .insert(VERSION.to_owned(), version.clone());
    app.add(version.clone(), manifest);
    let reply = reply(
        &app,
        &version,
        format!("Successfully put manifest {name} {version}"),
    );
    Ok(Change::Store(app, reply))
}

fn without_version(manifest: &Manifest) -> Manifest {
    let mut manifest = manifest.clone();
    manifest.metadata.annotations.remove(VERSION);
    manifest
}
