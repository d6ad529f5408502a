//! The tests of the plain template, which are written in Python.

use std::path::Path;
use std::process::{Command, Output};

#[test]
fn plain_template_passes_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join(".local/venv/bin/python");
    if !python.is_file() {
        println!("skipped: .local/venv/bin/python does not exist; `cargo xtask setup` installs it");
        return;
    }
    // `-B` writes no bytecode into the source folder.
    let Output { status, stderr, .. } = Command::new(python)
        .args(["-B", "-m", "unittest", "plain_template_test"])
        .current_dir(root.join("infra/dev/release"))
        .output()
        .unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
}
