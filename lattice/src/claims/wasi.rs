//! Which WASI a component was made for. Hosts run WASI 0.2.

use super::{error::ClaimsError, interface::InterfaceName};

/// The packages that make up a WASI release and share its version. Others in the namespace, such as
/// `wasi:keyvalue@0.2.0-draft`, are proposals with versions of their own.
const RELEASED: [&str; 7] = [
    "cli",
    "clocks",
    "filesystem",
    "http",
    "io",
    "random",
    "sockets",
];

/// What is supported, for messages.
pub const SUPPORTED: &str = "WASI 0.2 (wasi:*@0.2.0 and its patch releases)";

/// Whether imports or exports belong to a WASI version that hosts run.
///
/// # Errors
/// [`ClaimsError::UnsupportedWasi`] names the first that doesn't, and what is supported.
pub fn check_wasi_version<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<(), ClaimsError> {
    match names.into_iter().find(|name| !supported(name)) {
        Some(name) => Err(ClaimsError::UnsupportedWasi {
            name: name.to_owned(),
        }),
        None => Ok(()),
    }
}

fn supported(name: &str) -> bool {
    let Some(InterfaceName {
        namespace: "wasi",
        package,
        version: Some(version),
        ..
    }) = InterfaceName::parse(name)
    else {
        return true;
    };
    let line = (version.major, version.minor);
    if RELEASED.contains(&package) {
        // Release candidates of 0.2 differ from 0.2 in their types.
        line == (0, 2) && version.pre.is_empty()
    } else {
        line < (0, 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wasi_0_2_and_proposals_are_supported() {
        let names = [
            "wasi:http/incoming-handler@0.2.12",
            "wasi:keyvalue/store@0.2.0-draft",
            "wasi:logging/logging@0.1.0-draft",
            "wasi:logging/logging",
            "acme:shop/cart@3.0.0",
            "run",
        ];
        assert!(check_wasi_version(names).is_ok());
    }

    #[test]
    fn others_are_named() {
        for name in [
            "wasi:http/handler@0.3.0",
            "wasi:http/handler@0.3.0-rc-2026-01-06",
            "wasi:http/types@0.2.0-rc-2023-11-10",
            "wasi:cli/run@1.0.0",
            "wasi:keyvalue/store@0.3.0",
        ] {
            let error = check_wasi_version(["wasi:io/poll@0.2.0", name])
                .unwrap_err()
                .to_string();
            assert!(error.contains(name) && error.contains("0.2"), "{error}");
        }
    }
}
