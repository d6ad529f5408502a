//! Runs `meshwarden import`, `apply`, `diff` and `export` against a control plane: exit codes, output, and the end of
//! the process in the middle.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "folder/mod.rs"]
mod folder;

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use folder::Folder;
use meshwarden_tests::stack::ControlPlane;
use serde_json::{Value, json};

/// The maximum time of a state that a test waits for.
const SOON: Duration = Duration::from_secs(50);

const MESH: &str = r#"{"meshName": "shop", "spec": {}}"#;

fn node(name: &str) -> String {
    let spec = json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "serviceDiscovery": {"dns": {"hostname": format!("{name}.internal")}}});
    json!({"meshName": "shop", "virtualNodeName": name, "spec": spec}).to_string()
}

/// The command, with the settings of a control plane without authentication.
fn command(plane: &ControlPlane, folder: &Folder, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshwarden"));
    command
        .args(args)
        .args(["--endpoint", &plane.endpoint])
        .current_dir(&folder.0)
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the command to its end: exit code, standard output and standard error.
async fn meshwarden(plane: &ControlPlane, folder: &Folder, args: &[&str]) -> (i32, String, String) {
    let mut command = command(plane, folder, args);
    // The control plane serves on this thread's runtime.
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let Output { status, stdout, stderr } = output.unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

async fn nodes(plane: &ControlPlane) -> usize {
    let meshes = plane.get("/v20190125/meshes").await;
    if meshes["meshes"].as_array().unwrap().is_empty() {
        return 0;
    }
    let nodes = plane.get("/v20190125/meshes/shop/virtualNodes?limit=100").await;
    nodes["virtualNodes"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_have_the_documented_exit_codes() {
    let plane = ControlPlane::start().await;
    let node = node("a");
    let typo = node.replace("portMapping", "portMaping");
    let folder = Folder::new(&[
        ("mesh/mesh.json", MESH),
        ("mesh/a.json", &node),
        ("typo/a.json", &typo),
        ("empty/x.json", "{}"),
    ]);
    let table: [(&[&str], i32, &str); 13] = [
        (&["diff", "mesh"], 1, "create  mesh/shop/virtualNode/a"),
        (&["import", "mesh", "--dry-run"], 0, "plan: 2 to create"),
        (&["import", "typo"], 2, "typo/a.json:1: virtualNode a: spec.listeners[0].portMaping: "),
        (&["import", "typo"], 2, "nothing was written"),
        (&["import", "empty"], 2, "no App Mesh resource was read"),
        (&["import", "mesh/a.json"], 2, "--create-meshes"),
        (&["diff", "mesh"], 1, "plan: 2 to create"),
        (&["import", "mesh"], 0, "written: 2 of 2 steps"),
        (&["diff", "mesh"], 0, "plan: 0 to create, 0 to update, 0 to tag, 0 to delete, 2 unchanged"),
        (&["import", "mesh/mesh.json"], 0, "not in the files and kept"),
        (&["import", "mesh/mesh.json", "--prune"], 1, "pass --yes"),
        (&["export", "other"], 2, "mesh `other` does not exist; the meshes are: shop"),
        (&["import", "mesh/mesh.json", "--prune", "--yes"], 0, "delete  mesh/shop/virtualNode/a"),
    ];
    for (args, expected, part) in table {
        let (code, stdout, stderr) = meshwarden(&plane, &folder, args).await;
        assert_eq!(code, expected, "{args:?}: {stdout}{stderr}");
        assert!(format!("{stdout}{stderr}").contains(part), "{args:?}: {part}: {stdout}{stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_report_has_each_step_and_member() {
    let plane = ControlPlane::start().await;
    let node = node("a");
    let folder = Folder::new(&[("mesh.json", MESH), ("a.json", &node), ("bad.json", &node.replace("8080", "80800"))]);
    let (code, stdout, _) = meshwarden(&plane, &folder, &["import", "mesh.json", "a.json", "--format", "json"]).await;
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    assert_eq!((code, &report["plan"]["steps"][1]["action"]), (0, &json!("create")));
    assert_eq!(report["execution"]["done"], json!(["applied", "applied"]));
    let rows = report["carriedOver"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["outcome"] == "carried"), "{rows:?}");
    assert!(rows.iter().any(|row| row["member"] == "spec.listeners[0].portMapping.port" && row["inApi"] == 8080));
    let (code, stdout, _) = meshwarden(&plane, &folder, &["import", "bad.json", "--format", "json"]).await;
    let refused: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    assert_eq!((code, &refused["refused"][0]["file"]), (2, &json!("bad.json")));
}

#[tokio::test(flavor = "multi_thread")]
async fn export_is_applied_to_another_control_plane() {
    let (first, second) = (ControlPlane::start().await, ControlPlane::start().await);
    let node = node("a");
    let folder = Folder::new(&[("mesh/mesh.json", MESH), ("mesh/a.json", &node)]);
    assert_eq!(meshwarden(&first, &folder, &["import", "mesh"]).await.0, 0);
    assert_eq!(meshwarden(&first, &folder, &["export", "shop", "--output", "shop.json"]).await.0, 0);
    assert_eq!(meshwarden(&second, &folder, &["apply", "shop.json"]).await.0, 0);
    assert_eq!(meshwarden(&second, &folder, &["diff", "mesh", "--prune"]).await.0, 0);
    for (format, file) in [("cloudformation", "template.json"), ("terraform", "main.tf")] {
        assert_eq!(meshwarden(&first, &folder, &["export", "shop", "--format", format, "--output", file]).await.0, 0);
        let (code, stdout, stderr) = meshwarden(&second, &folder, &["diff", file, "--prune"]).await;
        assert_eq!(code, 0, "{format}: {stdout}{stderr}");
    }
    let (code, _, stderr) = meshwarden(&second, &folder, &["apply", "template.json"]).await;
    assert_eq!(code, 2);
    assert!(stderr.contains("template.json: contains a CloudFormation template, and `apply` reads only API JSON"));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_import_is_completed_by_the_same_command() {
    const NODES: usize = 60;
    let plane = ControlPlane::start().await;
    let resources: Vec<String> =
        std::iter::once(MESH.to_owned()).chain((0..NODES).map(|number| node(&format!("n{number}")))).collect();
    let folder = Folder::new(&[("mesh.json", &format!("{{\"resources\": [{}]}}", resources.join(", ")))]);
    let mut killed = 0;
    for least in [1, 10, 30] {
        let mut child = command(&plane, &folder, &["import", "mesh.json"]).spawn().unwrap();
        let deadline = Instant::now() + SOON;
        while nodes(&plane).await < least && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "no node was created");
        }
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed > 0, "each import ended before it was killed");
    let (code, stdout, stderr) = meshwarden(&plane, &folder, &["import", "mesh.json"]).await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert_eq!(nodes(&plane).await, NODES);
    assert_eq!(meshwarden(&plane, &folder, &["diff", "mesh.json", "--prune"]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_settings_are_named() {
    let plane = ControlPlane::start().await;
    let folder = Folder::new(&[("mesh.json", MESH)]);
    let run = |change: fn(&mut Command)| {
        let mut command = command(&plane, &folder, &["diff", "mesh.json"]);
        change(&mut command);
        tokio::task::spawn_blocking(move || command.output())
    };
    let no_region = run(|command| {
        command.env_remove("AWS_REGION").env("AWS_CONFIG_FILE", "/dev/null").env("AWS_EC2_METADATA_DISABLED", "true");
    });
    let output = no_region.await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        stderr,
        "meshwarden: the region of the control plane is unknown; set AWS_REGION, for example to eu-west-1\n"
    );
}
