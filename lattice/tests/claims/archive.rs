//! Provider archives.

use std::{collections::BTreeMap, io::Write};

use flate2::{Compression, write::GzEncoder};
use trellis_lattice::claims::{
    AccountKey, ArchiveError, ClaimsError, IssuerPolicy, ProviderDetails, ProviderKey, Validity,
    archive::{MAX_ENTRIES, MAX_PROVIDER_BYTES},
    sign_archive, this_target, verify_archive,
};

use crate::kit::{NOW, at};

const TARGET: &str = "x86_64-linux";

struct Maker {
    account: AccountKey,
    provider: ProviderKey,
}

impl Maker {
    fn new() -> Self {
        Self {
            account: AccountKey::generate(),
            provider: ProviderKey::generate(),
        }
    }

    fn policy(&self) -> IssuerPolicy {
        IssuerPolicy::trusting([self.account.public().as_str()]).unwrap()
    }

    fn sign(&self, binaries: &[(&str, &[u8])], gzip: bool) -> Vec<u8> {
        self.try_sign(binaries, &Validity::unlimited(*NOW), gzip)
            .unwrap()
    }

    fn try_sign(
        &self,
        binaries: &[(&str, &[u8])],
        validity: &Validity,
        gzip: bool,
    ) -> Result<Vec<u8>, ClaimsError> {
        let binaries: BTreeMap<_, _> = binaries
            .iter()
            .map(|(target, content)| ((*target).to_owned(), content.to_vec()))
            .collect();
        let details = ProviderDetails {
            name: Some("sample".into()),
            vendor: "example".into(),
            ..ProviderDetails::default()
        };
        sign_archive(
            &binaries,
            &self.account,
            &self.provider.public(),
            &details,
            validity,
            gzip,
        )
    }
}

/// The archive's token, as it stands in it.
fn token_of(archive: &[u8]) -> String {
    use trellis_lattice::claims::archive::{Keep, ProviderArchive};
    ProviderArchive::read(archive, Keep::None)
        .unwrap()
        .token
        .unwrap()
}

fn refusal(archive: &[u8], policy: &IssuerPolicy, named: &[&str]) -> &'static str {
    let error = verify_archive(archive, TARGET, policy, *NOW).unwrap_err();
    let message = error.to_string();
    for name in named {
        assert!(message.contains(name), "{name:?} is missing in: {message}");
    }
    error.code()
}

/// A tar of whatever entries.
fn tar(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        // Written as it is: the library's own setter refuses the names that a test is about.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

const FILE: tar::EntryType = tar::EntryType::Regular;

#[test]
fn what_is_signed_verifies_plain_and_gzipped() {
    let maker = Maker::new();
    for gzip in [false, true] {
        let archive = maker.sign(&[(TARGET, b"for x86"), ("aarch64-linux", b"for arm")], gzip);
        assert_eq!(archive.starts_with(&[0x1f, 0x8b]), gzip);
        for (target, content) in [(TARGET, "for x86"), ("aarch64-linux", "for arm")] {
            let verified =
                verify_archive(archive.as_slice(), target, &maker.policy(), *NOW).unwrap();
            assert_eq!(verified.executable, content.as_bytes());
            assert_eq!(verified.target, target);
            let claims = verified.claims.unwrap().claims;
            assert_eq!(claims.sub, maker.provider.public());
            assert_eq!(claims.wascap.vendor, "example");
            assert_eq!(claims.wascap.target_hashes[target], verified.sha256);
        }
    }
}

#[test]
fn the_same_content_makes_the_same_bytes() {
    let maker = Maker::new();
    for gzip in [false, true] {
        assert_eq!(
            maker.sign(&[(TARGET, b"x")], gzip),
            maker.sign(&[(TARGET, b"x")], gzip)
        );
    }
}

#[test]
fn this_machine_has_a_target() {
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    assert_eq!(this_target(), format!("{arch}-{os}"));
    let maker = Maker::new();
    let archive = maker.sign(&[("riscv64-linux", b"x")], false);
    let code = refusal(
        &archive,
        &maker.policy(),
        &["no binary for x86_64-linux", "riscv64-linux"],
    );
    assert_eq!(code, "bad-archive");
}

#[test]
fn a_changed_or_added_binary_is_tampered() {
    let maker = Maker::new();
    let token = token_of(&maker.sign(&[(TARGET, b"good")], false));
    let claims = ("claims.jwt", FILE, token.as_bytes());
    let changed = tar(&[claims, ("x86_64-linux.bin", FILE, b"evil")]);
    assert_eq!(
        refusal(&changed, &maker.policy(), &["x86_64-linux.bin", "altered"]),
        "tampered"
    );
    let added = tar(&[
        claims,
        ("x86_64-linux.bin", FILE, b"good"),
        ("x86_64-macos.bin", FILE, b"evil"),
    ]);
    assert_eq!(
        refusal(&added, &maker.policy(), &["x86_64-macos.bin"]),
        "tampered"
    );
    let twice = tar(&[
        claims,
        ("x86_64-linux.bin", FILE, b"good"),
        ("./x86_64-linux.bin", FILE, b"evil"),
    ]);
    assert_eq!(refusal(&twice, &maker.policy(), &["twice"]), "bad-archive");
    let good = tar(&[
        claims,
        ("./x86_64-linux.bin", FILE, b"good"),
        ("README", FILE, b"read me"),
    ]);
    assert!(verify_archive(good.as_slice(), TARGET, &maker.policy(), *NOW).is_ok());
}

#[test]
fn unsigned_untrusted_and_out_of_time() {
    let maker = Maker::new();
    let unsigned = tar(&[("x86_64-linux.bin", FILE, b"x")]);
    assert_eq!(
        refusal(&unsigned, &maker.policy(), &["archive", "not signed"]),
        "unsigned"
    );
    let development = IssuerPolicy {
        allow_unsigned: true,
        ..IssuerPolicy::default()
    };
    let verified = verify_archive(unsigned.as_slice(), TARGET, &development, *NOW).unwrap();
    assert!(verified.claims.is_none());
    let signed = maker.sign(&[(TARGET, b"x")], false);
    assert_eq!(
        refusal(&signed, &development, &["nobody"]),
        "untrusted-issuer"
    );
    let past = Validity {
        signed_at: at(1_000),
        not_before: None,
        expires: Some(at(2_000)),
    };
    let expired = maker.try_sign(&[(TARGET, b"x")], &past, false).unwrap();
    assert_eq!(refusal(&expired, &maker.policy(), &["1970"]), "expired");
}

#[test]
fn what_is_no_archive_is_refused() {
    let policy = IssuerPolicy {
        allow_unsigned: true,
        ..IssuerPolicy::default()
    };
    for bytes in [
        &b""[..],
        b"#!/bin/sh\n",
        &[0; 4096],
        &[0x1f, 0x8b, 1, 2, 3],
        &[0x1f],
        &[0xff; 4096],
    ] {
        assert_eq!(
            refusal(bytes, &policy, &["not a provider archive"]),
            "bad-archive"
        );
    }
}

#[test]
fn a_cut_archive_never_gives_a_cut_binary() {
    let maker = Maker::new();
    let content = [7; 3000];
    for gzip in [false, true] {
        let whole = maker.sign(&[(TARGET, &content)], gzip);
        assert!(verify_archive(&whole[..whole.len() / 2], TARGET, &maker.policy(), *NOW).is_err());
        for end in 0..whole.len() {
            // Only the padding at the end may be missing.
            if let Ok(verified) = verify_archive(&whole[..end], TARGET, &maker.policy(), *NOW) {
                assert_eq!(verified.executable, content, "gzip {gzip}, {end} bytes");
            }
        }
    }
}

#[test]
fn entries_that_have_no_place_are_refused() {
    let policy = IssuerPolicy {
        allow_unsigned: true,
        ..IssuerPolicy::default()
    };
    for name in [
        "../x86_64-linux.bin",
        "/x86_64-linux.bin",
        "a/x86_64-linux.bin",
        "..",
        "a\\b.bin",
    ] {
        let archive = tar(&[(name, FILE, b"x")]);
        assert_eq!(
            refusal(&archive, &policy, &["plain file name"]),
            "bad-archive",
            "{name}"
        );
    }
    for kind in [
        tar::EntryType::Symlink,
        tar::EntryType::Link,
        tar::EntryType::Fifo,
    ] {
        let archive = tar(&[("x86_64-linux.bin", kind, b"")]);
        assert_eq!(refusal(&archive, &policy, &["link"]), "bad-archive");
    }
    let claims = ("claims.jwt", FILE, &b"a.b.c"[..]);
    assert_eq!(
        refusal(&tar(&[claims, claims]), &policy, &["twice"]),
        "bad-archive"
    );
    let latin = tar(&[("claims.jwt", FILE, b"\xff\xfe")]);
    assert_eq!(refusal(&latin, &policy, &["not text"]), "bad-archive");
}

#[test]
fn everything_is_bounded() {
    let policy = IssuerPolicy {
        allow_unsigned: true,
        ..IssuerPolicy::default()
    };
    let claims = tar(&[("claims.jwt", FILE, &[b'x'; 70_000])]);
    assert_eq!(
        refusal(&claims, &policy, &["claims.jwt", "65536"]),
        "bad-archive"
    );
    let many: Vec<_> = (0..=MAX_ENTRIES).map(|n| format!("note-{n}")).collect();
    let many: Vec<_> = many
        .iter()
        .map(|name| (name.as_str(), FILE, &b""[..]))
        .collect();
    assert_eq!(
        refusal(&tar(&many), &policy, &["entries", "64"]),
        "bad-archive"
    );
    // A name of a megabyte is not taken into memory; what it would name is only skipped.
    let long = tar(&[
        (
            "././@LongLink",
            tar::EntryType::GNULongName,
            &[b'n'; 1024 * 1024],
        ),
        ("short", FILE, b""),
        ("x86_64-linux.bin", FILE, b"x"),
    ]);
    assert!(verify_archive(long.as_slice(), TARGET, &policy, *NOW).is_ok());
}

#[test]
fn a_small_file_that_unpacks_to_a_large_one_is_refused() {
    let policy = IssuerPolicy {
        allow_unsigned: true,
        ..IssuerPolicy::default()
    };
    let mut header = tar::Header::new_gnu();
    header.set_path("aarch64-linux.bin").unwrap();
    header.set_size(MAX_PROVIDER_BYTES + 1);
    header.set_cksum();
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1024 * 1024];
    for _ in 0..=MAX_PROVIDER_BYTES / zeros.len() as u64 {
        zipped.write_all(&zeros).unwrap();
    }
    let bomb = zipped.finish().unwrap();
    assert!((bomb.len() as u64) < MAX_PROVIDER_BYTES / 100);
    assert_eq!(
        refusal(&bomb, &policy, &["aarch64-linux.bin"]),
        "bad-archive"
    );
}

#[test]
fn targets_must_read_as_machine_kinds() {
    let maker = Maker::new();
    for target in [
        "",
        "x86_64",
        "x86_64-",
        "../x86_64-linux",
        "x86_64-linux-gnu",
        "x 86-linux",
    ] {
        let error = maker
            .try_sign(&[(target, b"x")], &Validity::unlimited(*NOW), false)
            .unwrap_err();
        assert!(
            matches!(error, ClaimsError::Archive(ArchiveError::BadEntry { .. })),
            "{target:?}: {error}"
        );
    }
    let none = maker
        .try_sign(&[], &Validity::unlimited(*NOW), false)
        .unwrap_err();
    assert!(
        matches!(none, ClaimsError::Archive(ArchiveError::Empty)),
        "{none}"
    );
}
