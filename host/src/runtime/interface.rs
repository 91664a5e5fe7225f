//! Names of WIT interfaces and their functions, and what this runtime offers by itself.

use std::sync::Arc;

/// The name of an interface that a component imports or exports.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Interface {
    /// The whole, `namespace:package/interface@version`.
    pub(super) name: Arc<str>,
    pub(super) namespace: String,
    pub(super) package: String,
    pub(super) interface: String,
    /// Empty when the name has none.
    pub(super) version: String,
}

impl Interface {
    /// Reads a name; `None` when it is that of a plain function or type.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (path, version) = name.split_once('@').unwrap_or((name, ""));
        let (namespace, rest) = path.split_once(':')?;
        let (package, interface) = rest.split_once('/')?;
        Some(Self {
            name: name.into(),
            namespace: namespace.to_owned(),
            package: package.to_owned(),
            interface: interface.to_owned(),
            version: version.to_owned(),
        })
    }

    fn parts(&self) -> (&str, &str, &str) {
        (&self.namespace, &self.package, &self.interface)
    }
}

/// Interfaces with types of their own in this runtime, whose calls go over a link. The numbers are their places in an
/// actor's slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Typed {
    HttpOutgoing = 0,
    KeyvalueStore = 1,
    KeyvalueAtomics = 2,
    KeyvalueBatch = 3,
    MessagingConsumer = 4,
    /// All of `wasi:blobstore`: its containers go over the link of its `blobstore`.
    Blobstore = 5,
}

impl Typed {
    /// All of them, in the order of their places.
    pub(super) const ALL: [Self; 6] = [
        Self::HttpOutgoing,
        Self::KeyvalueStore,
        Self::KeyvalueAtomics,
        Self::KeyvalueBatch,
        Self::MessagingConsumer,
        Self::Blobstore,
    ];

    /// Namespace, package and interface, as links name them.
    pub(super) fn link_parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::HttpOutgoing => ("wasi", "http", "outgoing-handler"),
            Self::KeyvalueStore => ("wasi", "keyvalue", "store"),
            Self::KeyvalueAtomics => ("wasi", "keyvalue", "atomics"),
            Self::KeyvalueBatch => ("wasi", "keyvalue", "batch"),
            Self::MessagingConsumer => ("wasmcloud", "messaging", "consumer"),
            Self::Blobstore => ("wasi", "blobstore", "blobstore"),
        }
    }
}

/// How an import is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// By this runtime alone, or by it over a link for the interfaces of [`Typed`].
    BuiltIn,
    /// Over a link, by its types as the component states them.
    Dynamic,
}

/// The interfaces of a WASI 0.2 release that actors may import. File systems and sockets are there because every
/// program built with the standard library imports them; they grant nothing.
const WASI_0_2: &[(&str, &[&str])] = &[
    ("io", &["error", "poll", "streams"]),
    ("clocks", &["monotonic-clock", "wall-clock"]),
    ("random", &["random", "insecure", "insecure-seed"]),
    (
        "cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("filesystem", &["types", "preopens"]),
    (
        "sockets",
        &[
            "network",
            "instance-network",
            "ip-name-lookup",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
    ),
    ("http", &["types", "outgoing-handler"]),
];

/// Drafts that this runtime types itself: package, interface, the versions it offers.
const DRAFTS: &[(&str, &str, &[&str])] = &[
    ("keyvalue", "store", &["0.2.0-draft"]),
    ("keyvalue", "atomics", &["0.2.0-draft"]),
    ("keyvalue", "batch", &["0.2.0-draft"]),
    ("blobstore", "blobstore", &["0.2.0-draft"]),
    ("blobstore", "container", &["0.2.0-draft"]),
    ("blobstore", "types", &["0.2.0-draft"]),
    ("config", "store", &["0.2.0-draft", "0.2.0-rc.1"]),
    ("config", "runtime", &["0.2.0-draft"]),
    ("logging", "logging", &["0.1.0-draft"]),
];

/// How an import of that name is served.
///
/// # Errors
/// Why it cannot be, and what to do.
pub(super) fn serve_import(interface: &Interface) -> Result<Served, String> {
    let version = interface.version.as_str();
    if let ("wasi", package, name) = interface.parts() {
        if let Some((_, offered)) = WASI_0_2.iter().find(|(offered, _)| *offered == package) {
            if !is_0_2(version) {
                return Err(format!(
                    "WASI {} is not supported, only WASI 0.2: build the actor for the target wasm32-wasip2",
                    if version.is_empty() {
                        "without a version"
                    } else {
                        version
                    }
                ));
            }
            if !offered.contains(&name) {
                return Err(format!(
                    "this host offers only {} of wasi:{package}",
                    offered.join(", ")
                ));
            }
            return Ok(Served::BuiltIn);
        }
        if version.starts_with("0.3.") {
            return Err("WASI 0.3 is not supported, only WASI 0.2: build the actor for the target wasm32-wasip2".into());
        }
        let mut of_package = DRAFTS
            .iter()
            .filter(|(offered, ..)| *offered == package)
            .peekable();
        if of_package.peek().is_some() {
            return match of_package.find(|(_, offered, _)| *offered == name) {
                Some((.., versions)) if versions.contains(&version) => Ok(Served::BuiltIn),
                Some((.., versions)) => Err(format!(
                    "this host offers version {} of wasi:{package}/{name}: build the actor against that",
                    versions.join(" and ")
                )),
                None => Err(format!("this host does not offer {name} of wasi:{package}")),
            };
        }
    }
    match interface.parts() {
        ("wasmcloud", "messaging", "types" | "consumer") if version == "0.2.0" => {
            Ok(Served::BuiltIn)
        }
        ("wasmcloud", "bus", "lattice") => Ok(Served::BuiltIn),
        _ => Ok(Served::Dynamic),
    }
}

/// Whether it is WASI 0.2 or one of its patch releases; release candidates had other types.
pub(super) fn is_0_2(version: &str) -> bool {
    version
        .strip_prefix("0.2.")
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A function's name on the wire (`wasmcloud-v1.md`, Invocation): resources' functions lose their brackets.
pub(super) fn wire_name(name: &str) -> Arc<str> {
    match name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, rest)) => rest.into(),
        None => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(name: &str) -> Result<Served, String> {
        serve_import(&Interface::parse(name).unwrap())
    }

    #[test]
    fn wasi_0_2_is_built_in_and_unknown_interfaces_are_dynamic() {
        for name in [
            "wasi:io/poll@0.2.0",
            "wasi:http/types@0.2.12",
            "wasi:config/store@0.2.0-rc.1",
            "wasi:blobstore/container@0.2.0-draft",
        ] {
            assert_eq!(served(name), Ok(Served::BuiltIn), "{name}");
        }
        for name in [
            "acme:shop/cart@1.0.0",
            "acme:shop/cart",
            "wasi:sql/readwrite@0.2.0-draft",
        ] {
            assert_eq!(served(name), Ok(Served::Dynamic), "{name}");
        }
    }

    #[test]
    fn unsupported_imports_say_what_is_supported() {
        for (name, hint) in [
            ("wasi:http/handler@0.3.0", "0.2"),
            ("wasi:cli/stdout@0.2.0-rc-2023-12-05", "0.2"),
            ("wasi:blobstore/blobstore@0.3.0", "0.2"),
            ("wasi:cli/run@0.2.0", "environment"),
            ("wasi:keyvalue/store@0.2.0-draft2", "0.2.0-draft"),
            ("wasi:keyvalue/watcher@0.2.0-draft", "watcher"),
        ] {
            let why = served(name).unwrap_err();
            assert!(why.contains(hint), "{name}: {why}");
        }
    }

    #[test]
    fn functions_of_resources_lose_their_brackets() {
        assert_eq!(&*wire_name("[method]bucket.get"), "bucket.get");
        assert_eq!(&*wire_name("[constructor]bucket"), "bucket");
        assert_eq!(&*wire_name("greet"), "greet");
    }
}
