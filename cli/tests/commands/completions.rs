//! Completions for every shell there is a generator for.

use crate::program::Folder;

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = folder.succeed(&["completions", shell]);
        for word in ["inventory", "undeploy", "completions"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
}
