//! Running the binary.

use std::{
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

/// A folder of the test's own, in which the binary is run.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The binary in this folder, with nothing of the tester's own settings.
    pub fn trellis(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trellis"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path());
        command
    }

    /// What it prints, when it succeeds.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.trellis(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", err(&output));
        out(&output)
    }

    /// What it prints as JSON, when it succeeds.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.succeed(&[arguments, &["--output", "json"]].concat())).unwrap()
    }

    /// What it says when it fails with this code.
    pub fn fail(&self, with: i32, arguments: &[&str]) -> String {
        let output = self.trellis(arguments);
        let said = err(&output);
        assert_eq!(code(&output), with, "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
        assert_eq!(out(&output), "", "{arguments:?}: errors are not results");
        said
    }
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

pub fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
