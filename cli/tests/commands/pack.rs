//! Provider archives are made, and read as 1.x reads them.

use std::{fs, io::Read as _, process::Command};

use crate::program::Folder;

fn folder() -> Folder {
    let folder = Folder::new();
    fs::write(folder.path().join("amd"), "#!/bin/sh\necho amd\n").unwrap();
    fs::write(folder.path().join("arm"), [0x7f, b'E', b'L', b'F', 1]).unwrap();
    folder
}

const PACK: [&str; 10] = [
    "provider",
    "pack",
    "--name",
    "rates",
    "--vendor",
    "acme",
    "--binary",
    "x86_64-linux=amd",
    "--binary",
    "aarch64-linux=arm",
];

#[test]
fn several_machines_binaries_are_in_one_signed_archive() {
    let folder = folder();
    let packed = folder.json(&[&PACK[..], &["--version", "1.2.0", "--revision", "3"]].concat());
    assert_eq!(packed["file"], "rates.par.gz");
    let seen = folder.json(&["inspect", "--check", "rates.par.gz"]);
    assert_eq!(seen["kind"], "provider-archive");
    assert_eq!(seen["verified"], true);
    let claims = &seen["claims"];
    assert_eq!(claims["name"], "rates");
    assert_eq!(claims["vendor"], "acme");
    assert_eq!(claims["version"], "1.2.0");
    assert_eq!(claims["revision"], 3);
    assert_eq!(claims["subject"], packed["subject"]);
    for machine in ["x86_64-linux", "aarch64-linux"] {
        let hash = &seen["binaries"][machine]["sha256"];
        assert_eq!(hash, &packed["binaries"][machine]);
        // As 1.x has it: in the claims, by machine, in upper-case hexadecimal.
        assert_eq!(&claims["content"]["wascap"]["target_hashes"][machine], hash);
    }
    // The next release is about the same provider.
    let next = folder.json(&[&PACK[..], &["--version", "1.3.0", "--out", "next.par.gz"]].concat());
    assert_eq!(next["subject"], packed["subject"]);
}

#[test]
fn any_tar_reads_it() {
    let folder = folder();
    folder.succeed(&[&PACK[..], &["--plain", "--out", "plain.par"]].concat());
    folder.succeed(&[&PACK[..], &["--out", "zipped.par.gz"]].concat());
    for archive in ["plain.par", "zipped.par.gz"] {
        let listed = Command::new("tar")
            .args(["-t", "-f", archive])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let names = String::from_utf8(listed.stdout).unwrap();
        let names: Vec<_> = names.lines().collect();
        assert_eq!(
            names,
            ["claims.jwt", "aarch64-linux.bin", "x86_64-linux.bin"],
            "{archive}"
        );
    }
    let mut plain = Vec::new();
    let mut file = fs::File::open(folder.path().join("plain.par")).unwrap();
    file.read_to_end(&mut plain).unwrap();
    assert_eq!(&plain[257..262], b"ustar");
}

#[test]
fn what_can_t_be_packed_is_told() {
    let folder = folder();
    let pack = ["provider", "pack", "--name", "rates", "--binary"];
    for (binary, with, said) in [
        ("x86_64-linux=none", 1, "none: No such file"),
        ("x86_64=amd", 1, "x86_64-linux"),
        ("amd", 2, "x86_64-linux=target"),
    ] {
        let error = folder.fail(with, &[&pack[..], &[binary]].concat());
        assert!(error.contains(said), "{binary}: {error}");
    }
    let twice = [
        &pack[..],
        &["x86_64-linux=amd", "--binary", "x86_64-linux=arm"],
    ]
    .concat();
    assert!(folder.fail(2, &twice).contains("given twice"));
    assert!(
        folder
            .fail(2, &["provider", "pack", "--name", "rates"])
            .contains("--binary")
    );
}
