//! Keys are made, kept to their owner, and never overwritten.

use std::os::unix::fs::PermissionsExt as _;

use crate::program::Folder;

#[test]
fn each_kind_has_its_letter() {
    let folder = Folder::new();
    for (kind, letter) in [
        ("account", 'A'),
        ("component", 'M'),
        ("module", 'M'),
        ("provider", 'V'),
        ("service", 'V'),
        ("host", 'N'),
    ] {
        let key = folder.json(&["keys", "gen", kind]);
        assert!(
            key["public_key"].as_str().unwrap().starts_with(letter),
            "{key}"
        );
        assert!(
            key["seed"]
                .as_str()
                .unwrap()
                .starts_with(&format!("S{letter}")),
            "{key}"
        );
    }
}

#[test]
fn a_seed_in_a_file_is_its_owner_s_alone_and_not_printed() {
    let folder = Folder::new();
    let printed = folder.succeed(&["keys", "gen", "account", "--file", "a.nk"]);
    let seed = std::fs::read_to_string(folder.path().join("a.nk")).unwrap();
    assert!(!printed.contains(seed.trim()), "{printed}");
    let mode = std::fs::metadata(folder.path().join("a.nk"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let said = folder.fail(1, &["keys", "gen", "account", "--file", "a.nk"]);
    assert!(said.contains("a.nk"), "{said}");
    assert_eq!(
        std::fs::read_to_string(folder.path().join("a.nk")).unwrap(),
        seed
    );

    let listed = folder.json(&["keys", "list", "."]);
    assert_eq!(listed[0]["file"], "a.nk");
    assert!(printed.contains(listed[0]["public_key"].as_str().unwrap()));
}

#[test]
fn where_no_key_is_there_none_is_listed() {
    let folder = Folder::new();
    assert_eq!(folder.json(&["keys", "list"]), serde_json::json!([]));
    assert!(
        folder
            .fail(1, &["keys", "list", "nowhere"])
            .contains("nowhere")
    );
}
