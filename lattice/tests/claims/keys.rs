//! Keys, and the files that their seeds live in.

use std::{fs, os::unix::fs::PermissionsExt};

use trellis_lattice::claims::{AccountKey, AnyKey, HostKey, Issuer, KeyKind, PublicKey};

#[test]
fn each_kind_has_its_letter() {
    for kind in KeyKind::ALL {
        let key = AnyKey::generate(kind);
        assert!(key.public_text().starts_with(kind.letter()), "{key:?}");
        assert!(key.seed().starts_with('S') && key.seed()[1..].starts_with(kind.letter()));
        let same = AnyKey::from_seed(&format!("  {}\n", key.seed())).unwrap();
        assert_eq!((same.kind(), same.public_text()), (kind, key.public_text()));
        assert_eq!(kind.to_string().parse::<KeyKind>().unwrap(), kind);
    }
    assert_eq!("module".parse::<KeyKind>().unwrap(), KeyKind::Component);
    assert!(
        "cluster"
            .parse::<KeyKind>()
            .unwrap_err()
            .to_string()
            .contains("account, component")
    );
}

#[test]
fn a_signature_is_its_key_s_alone() {
    let (key, other) = (AccountKey::generate(), AccountKey::generate());
    let signature = key.sign(b"text").unwrap();
    assert!(key.public().verifies(b"text", &signature));
    assert!(!key.public().verifies(b"test", &signature));
    assert!(!other.public().verifies(b"text", &signature));
    assert!(!key.public().verifies(b"text", b"short"));
}

#[test]
fn seed_files_are_private_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account.nk");
    let key = AccountKey::generate();
    key.write_file(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o600
    );
    assert_eq!(AccountKey::read_file(&path).unwrap().public(), key.public());
    let error = AccountKey::generate()
        .write_file(&path)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("account.nk") && error.contains("not overwritten"),
        "{error}"
    );
    assert_eq!(AccountKey::read_file(&path).unwrap().public(), key.public());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = AccountKey::read_file(&path).unwrap_err().to_string();
    assert!(
        error.contains("0644") && error.contains("chmod 600"),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account.nk");
    let first = AccountKey::read_or_create(&path).unwrap();
    assert_eq!(
        AccountKey::read_or_create(&path).unwrap().public(),
        first.public()
    );
    assert!(HostKey::read_or_create(&path).is_err(), "of another kind");
    let nowhere = folder.path().join("missing").join("account.nk");
    assert!(
        AccountKey::read_or_create(&nowhere)
            .unwrap_err()
            .to_string()
            .contains("missing")
    );
}

#[test]
fn a_seed_is_in_no_message() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.nk");
    let host = HostKey::generate();
    host.write_file(&path).unwrap();
    let seed = host.seed();
    let typo = format!("{}X", &seed[..57]);
    let texts = [
        format!("{host:?}"),
        format!("{:?}", AnyKey::from_seed(&seed).unwrap()),
        format!("{:?}", AccountKey::from_seed(&seed).unwrap_err()),
        AccountKey::from_seed(&seed).unwrap_err().to_string(),
        AccountKey::from_seed(&typo).unwrap_err().to_string(),
        AccountKey::read_file(&path).unwrap_err().to_string(),
        Issuer::new(&seed).unwrap_err().to_string(),
        format!("{:?}", Issuer::new(&seed.to_lowercase()).unwrap_err()),
        Issuer::new(&format!(" {typo}")).unwrap_err().to_string(),
    ];
    for text in texts {
        let text = text.to_uppercase();
        assert!(!text.contains(&seed[2..20]), "a secret in: {text}");
    }
    assert!(
        Issuer::new(&seed)
            .unwrap_err()
            .to_string()
            .contains("public key")
    );
}

#[test]
fn keys_of_another_kind_say_so() {
    let host = HostKey::generate();
    let error = Issuer::new(host.public().as_str()).unwrap_err().to_string();
    assert!(
        error.contains("not an account key") && error.contains("must be A"),
        "{error}"
    );
    let error = AccountKey::from_seed(&host.seed()).unwrap_err().to_string();
    assert!(error.contains("a host") && error.contains("SA"), "{error}");
    for text in [
        "",
        "A",
        "AAAA",
        "not a key",
        &"A".repeat(56),
        &"é".repeat(28),
        &"A".repeat(5000),
    ] {
        let error = PublicKey::<trellis_lattice::claims::keys::Account>::new(text).unwrap_err();
        assert!(error.to_string().len() < 300, "{error}");
    }
    for text in [
        "",
        "S",
        "SA",
        &"S".repeat(58),
        &"é".repeat(29),
        &"S".repeat(5000),
    ] {
        assert!(AnyKey::from_seed(text).is_err());
    }
}

#[test]
fn a_file_with_something_else_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.nk");
    fs::write(&path, "hello").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let error = AnyKey::read_file(&path).unwrap_err().to_string();
    assert!(
        error.contains("odd.nk") && error.contains("not a seed"),
        "{error}"
    );
    fs::write(&path, vec![b'S'; 1_000_000]).unwrap();
    assert!(AnyKey::read_file(&path).is_err());
}
