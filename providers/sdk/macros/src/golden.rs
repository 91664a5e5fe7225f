//! What is generated, kept as files: a review shows how it changed. `TRELLIS_BLESS=1 cargo test` writes them anew.

use std::{fs, path::Path};

use crate::{modules, options::Options, source::Source};

/// Interfaces with a function for every kind of type, answered; with a resource, called; both at once.
const EVERYTHING: &str = "
    package golden:everything;
    world provider {
        export trellis:test/types@0.1.0;
        import trellis:test/resources@0.1.0;
        import trellis:test/relay@0.1.0;
        export trellis:test/relay@0.1.0;
    }
";

/// A resource, streams and futures, answered; streams in records, called.
const LIVING: &str = "
    package golden:living@1.0.0;

    interface types {
        /// A text that comes bit by bit.
        ///
        /// ```
        /// page { title, content }
        /// ```
        record page {
            title: string,
            content: stream<u8>,
            checksum: future<u64>,
        }

        variant found {
            nothing,
            page(page),
            redirect(string),
        }

        type pages = list<string>;
    }

    /// Searches.
    interface search {
        use types.{page, found, pages};
        use wasi:io/streams@0.2.12.{input-stream};

        resource index {
            constructor(pages: pages);
            /// The first page that has the word in it.
            find: func(word: string) -> result<found, string>;
            merge: static func(a: index, b: borrow<index>) -> option<index>;
        }

        /// `context` and `self` are names in Rust.
        read: func(context: string, %type: u32) -> result<input-stream, string>;
        split: func(index: index) -> tuple<list<index>, u32>;
    }

    interface reader {
        use types.{page};
        use wasi:io/streams@0.2.12.{input-stream};
        read: func(page: page) -> input-stream;
        ping: func();
    }

    world provider {
        export search;
        import reader;
    }
";

fn generated(paths: &[&str], inline: &str) -> Result<String, String> {
    let options = Options {
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
        world: None,
        inline: Some(inline.to_owned()),
    };
    let source = Source::read_from(&options, Path::new(env!("CARGO_MANIFEST_DIR")))
        .map_err(|problem| problem.to_string())?;
    let code =
        modules::all(&source.resolve, source.world).map_err(|problem| problem.to_string())?;
    let file = syn::parse2(code.clone()).map_err(|error| format!("{error}: {code}"))?;
    Ok(prettyplease::unparse(&file))
}

fn check(name: &str, code: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(format!("{name}.rs"));
    if std::env::var_os("TRELLIS_BLESS").is_some() {
        return fs::write(&path, code).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let different = kept
        .lines()
        .zip(code.lines())
        .position(|(kept, now)| kept != now);
    assert!(
        kept == code,
        "golden/{name}.rs is not what is generated now, from line {} on; `TRELLIS_BLESS=1 cargo test` writes it anew",
        different.map_or_else(
            || kept.lines().count().min(code.lines().count()),
            |at| at + 1
        )
    );
}

#[test]
fn every_type_of_wit_is_generated_as_kept() {
    let code = generated(&["../../../wit/trellis-test"], EVERYTHING);
    check(
        "everything",
        &code.unwrap_or_else(|problem| panic!("{problem}")),
    );
}

#[test]
fn resources_and_streams_are_generated_as_kept() {
    let code = generated(&["../../../wit/wasi-io"], LIVING);
    check(
        "living",
        &code.unwrap_or_else(|problem| panic!("{problem}")),
    );
}

#[test]
fn what_is_not_supported_is_named_with_its_place() {
    let refused = |interface: &str| {
        let wit = format!(
            "package a:b@1.0.0;
             interface other {{ resource elsewhere; }}
             interface i {{ {interface} }}
             world w {{ export other; export i; }}"
        );
        generated(&["../../../wit/wasi-io"], &wit).expect_err("it is refused")
    };
    for (interface, place, why) in [
        (
            "f: func(x: stream<string>);",
            "function `f`, parameter `x`",
            "only `stream<u8>`",
        ),
        (
            "f: func() -> list<stream<u8>>;",
            "function `f`, result",
            "in a list",
        ),
        ("f: async func();", "function", "leave `async` out"),
        ("f: func(x: list<u8, 4>);", "parameter `x`", "fixed length"),
        (
            "f: func(x: map<string, u8>);",
            "parameter `x`",
            "list of tuples",
        ),
        (
            "f: func(x: error-context);",
            "parameter `x`",
            "error-context",
        ),
        (
            "use wasi:io/streams@0.2.12.{output-stream}; f: func(x: output-stream);",
            "parameter `x`",
            "`output-stream`",
        ),
        (
            "use wasi:io/streams@0.2.12.{input-stream}; f: func(x: borrow<input-stream>);",
            "parameter `x`",
            "give it away",
        ),
        (
            "resource r; record holder { r: r } f: func(x: holder);",
            "type `holder`",
            "`r`, which lives in this provider",
        ),
        (
            "use other.{elsewhere}; f: func(x: elsewhere);",
            "parameter `x`",
            "another interface",
        ),
        (
            "record answers { a: u8 } f: func(x: answers);",
            "type `answers`",
            "`Answers` is taken",
        ),
        (
            "f: func(x: tuple<u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8,u8>);",
            "parameter `x`",
            "a tuple of 13",
        ),
    ] {
        let said = refused(interface);
        assert!(
            said.contains("inline:3:"),
            "{interface}: no line in {said:?}"
        );
        assert!(
            said.contains("a:b/i@1.0.0"),
            "{interface}: no interface in {said:?}"
        );
        assert!(said.contains(place), "{interface}: {said:?}");
        assert!(said.contains(why), "{interface}: {said:?}");
    }
    for (world, why) in [
        ("world w { export f: func(); }", "put it into an interface"),
        (
            "world w { export i: interface { f: func(); } }",
            "write it outside",
        ),
        ("world w { export missing; }", "missing"),
        (
            "interface i { f: func(x: nothing); } world w { export i; }",
            "nothing",
        ),
        ("world w {} world v {}", "multiple worlds"),
    ] {
        let said = generated(&[], &format!("package a:b; {world}")).expect_err("it is refused");
        assert!(said.contains(why), "{world}: {said:?}");
    }
    let missing = generated(&["not-there"], "package a:b; world w {}").unwrap_err();
    assert!(
        missing.contains("there is no") && missing.contains("not-there"),
        "{missing}"
    );
}
