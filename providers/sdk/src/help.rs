//! `--help`: how the program is started, and every key of its configuration.

use std::{ffi::OsString, fmt::Write as _, path::Path};

use serde::de::DeserializeOwned;

use crate::{config, provider::Provider};

/// What is to be printed, if the arguments ask for it. A host gives none.
pub(crate) fn asked<P: Provider>(arguments: impl IntoIterator<Item = OsString>) -> Option<String> {
    let mut arguments = arguments.into_iter();
    let program = arguments.next().unwrap_or_default();
    let asks = arguments.any(|argument| argument == "--help" || argument == "-h");
    asks.then(|| text::<P>(Path::new(&program)))
}

fn text<P: Provider>(program: &Path) -> String {
    let name = P::NAME;
    let file = std::path::absolute(program).unwrap_or_else(|_| program.to_owned());
    let mut text = format!(
        "{name}: a capability provider for a lattice of Trellis or wasmCloud 1.x\n\n\
         A host starts it, and writes its host data to standard input: one line of base64. Where `trellis host` or\n\
         `trellis up` runs with --allow-unsigned, this has it started:\n\n  \
         trellis start provider ID file://{}\n\n\
         To have it signed and in a registry, see `trellis provider pack --help` and `trellis push --help`.\n",
        file.display()
    );
    let keys = [
        (
            "The provider's configuration (`--config` of `trellis start provider`)",
            keys::<P::Config>(),
        ),
        (
            "A link's from the provider to a component (`--source-config` of `trellis link put`)",
            keys::<P::SourceConfig>(),
        ),
        (
            "A link's from a component to the provider (`--target-config`)",
            keys::<P::TargetConfig>(),
        ),
    ];
    for (what, keys) in keys {
        if !keys.is_empty() {
            // Writing to a string can't fail.
            let _ = write!(text, "\n{what}:\n  {}\n", keys.join(", "));
        }
    }
    if !P::ABOUT.is_empty() {
        let _ = write!(text, "\n{}\n", P::ABOUT.trim());
    }
    text
}

/// The names of a configuration's fields, each once however it may be written: small where it may be both.
fn keys<C: DeserializeOwned>() -> Vec<&'static str> {
    let mut keys: Vec<&str> = Vec::new();
    for field in config::names::<C>() {
        let same = |known: &&mut &str| known.eq_ignore_ascii_case(field);
        match keys.iter_mut().find(same) {
            // Small letters come after capitals.
            Some(known) => *known = (*known).max(field),
            None => keys.push(field),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{Lattice, StartError, config::NoConfig};

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its fields' names are looked at")]
    struct Own {
        #[serde(alias = "URL")]
        url: String,
        timeout_ms: Option<u64>,
    }

    struct Silent;

    impl Provider for Silent {
        const NAME: &'static str = "silent";
        const ABOUT: &'static str = "It says nothing.";
        type Config = Own;
        type SourceConfig = NoConfig;
        type TargetConfig = Own;

        async fn start(_: Own, _: Lattice) -> Result<Self, StartError> {
            Ok(Self)
        }
    }

    fn arguments(arguments: &[&str]) -> Vec<OsString> {
        arguments.iter().map(OsString::from).collect()
    }

    #[test]
    fn help_has_every_key_and_is_given_when_it_is_asked_for() {
        let help = asked::<Silent>(arguments(&["/opt/silent", "--help"])).unwrap();
        assert!(help.starts_with("silent: a capability provider"), "{help}");
        assert!(
            help.contains("start provider ID file:///opt/silent"),
            "{help}"
        );
        assert_eq!(help.matches("\n  url, timeout_ms\n").count(), 2, "{help}");
        assert!(!help.contains("--source-config"), "{help}");
        assert!(help.ends_with("\nIt says nothing.\n"), "{help}");
        assert_eq!(asked::<Silent>(arguments(&["silent"])), None);
    }
}
