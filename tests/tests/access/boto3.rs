//! The same checks with boto3, which has a separate signing implementation.

use std::path::Path;
use std::process::Command;

use control_plane::ApiAuth;

use crate::plane::{GuardedControlPlane, KeyFile};

#[tokio::test(flavor = "multi_thread")]
async fn boto3_signatures_are_accepted_and_wrong_ones_denied() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join(".local/venv/bin/python");
    if !python.is_file() {
        eprintln!("skipped: {} does not exist; `cargo xtask setup` installs it", python.display());
        return;
    }
    let keys = r#"{"keys": [{"id": "AKIDBOTO", "secret": "boto/s+key", "name": "boto3"}]}"#;
    let keys = KeyFile::keys("boto3", keys);
    let plane = GuardedControlPlane::start(ApiAuth::Keys(keys.path().to_owned())).await;
    let mut command = Command::new(python);
    command.arg(root.join("tests/python/appmesh_access.py")).args([&plane.endpoint, "AKIDBOTO", "boto/s+key"]);
    let output = tokio::task::spawn_blocking(move || command.env_remove("AWS_PROFILE").output().unwrap());
    let output = output.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}
