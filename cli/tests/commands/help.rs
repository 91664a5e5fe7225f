//! `--help` is how people learn the binary.

use std::io::Read as _;

use crate::program::{Folder, code, err};

/// The subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn walk(folder: &Folder, path: &[String], seen: &mut usize) {
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = folder.succeed(&arguments);
    let line = format!("trellis {}", path.join(" "));
    let example = help
        .split_once("Example:\n")
        .unwrap_or_else(|| panic!("{line}: no example in\n{help}"))
        .1;
    assert!(
        example.trim_start().starts_with(line.trim_end()),
        "{line}: {example}"
    );
    *seen += 1;
    for name in subcommands(&help) {
        walk(folder, &[path, &[name]].concat(), seen);
    }
}

#[test]
fn each_command_s_help_shows_an_example_of_it() {
    let folder = Folder::new();
    let mut seen = 0;
    walk(&folder, &[], &mut seen);
    assert!(seen > 30, "only {seen} commands were found");
}

#[test]
fn each_provider_explains_its_configuration() {
    let folder = Folder::new();
    for (name, key) in [
        ("blobstore-fs", "`root`"),
        ("blobstore-s3", "`endpoint`"),
        ("http-client", "`allowed_hosts`"),
        ("http-server", "`address`"),
        ("keyvalue-nats", "`placement`"),
        ("keyvalue-redis", "`url`"),
        ("messaging-mqtt", "`max_in_flight`"),
        ("messaging-nats", "`subscriptions`"),
        ("sqldb-postgres", "`tls_required`"),
    ] {
        let text = folder.succeed(&["provider", name, "--explain"]);
        assert!(text.starts_with(&format!("# {name}\n")), "{text}");
        assert!(text.contains(key), "{name} has no {key}: {text}");
        let json = folder.succeed(&["provider", name, "--explain", "--output", "json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["readme"], text);
    }
}

/// The parser names the argument; who set a variable in a file somewhere looks for that.
#[test]
fn a_wrong_value_of_the_environment_is_told_as_such() {
    let folder = Folder::new();
    for value in ["", "xml"] {
        let output = folder
            .command(&["get", "hosts"])
            .env("TRELLIS_OUTPUT", value)
            .output();
        let output = output.unwrap();
        let said = err(&output);
        assert_eq!(code(&output), 2, "{said}");
        assert!(said.contains("environment: see TRELLIS_OUTPUT"), "{said}");
    }
    let mut typed = folder.command(&["get", "hosts", "--output", "xml"]);
    let said = err(&typed.env("TRELLIS_OUTPUT", "json").output().unwrap());
    assert!(
        said.contains("--output") && !said.contains("environment"),
        "{said}"
    );
}

#[test]
fn the_exit_codes_are_told() {
    let help = Folder::new().succeed(&["--help"]);
    for line in [
        "0  done",
        "2  the arguments",
        "3  there is nothing",
        "4  no answer",
    ] {
        assert!(help.contains(line), "{help}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = Folder::new();
    let mut command = folder.command(&["completions", "bash"]);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert_eq!(said, "");
}

#[test]
fn mistyped_commands_and_options_are_usage_errors() {
    let folder = Folder::new();
    for arguments in [
        vec!["gett", "hosts"],
        vec!["get", "hosts", "--outputt", "json"],
        vec!["get", "hosts", "--output", "yaml"],
        vec!["get", "hosts", "--timeout", "soon"],
        vec!["get", "hosts", "--lattice", "a.b"],
        vec!["link", "put", "a", "b", "store"],
        vec!["config", "put", "x", "novalue"],
        vec!["keys", "gen", "emperor"],
    ] {
        let said = folder.fail(2, &arguments);
        assert!(said.starts_with("error:"), "{said}");
    }
}
