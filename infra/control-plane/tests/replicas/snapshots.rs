//! Snapshots of shared stores while replicas write, their restoration, and a store of the previous release.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws::{TableItem, TableValue};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::cluster::{ReplicaProcess, until};
use crate::etcd::Etcd;
use crate::ministack::MiniStack;

/// A file of a snapshot, removed with the test.
pub(crate) struct SnapshotFile(pub(crate) PathBuf);

impl SnapshotFile {
    pub(crate) fn new() -> Self {
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.snapshot", uuid::Uuid::new_v4())))
    }
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Runs `snapshot` or `restore` on a table, and returns its error output if it fails.
async fn run(stack: &MiniStack, command: &str, file: &SnapshotFile, store: &[&str]) -> Result<String, String> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    program.arg(command).arg(&file.0).args(store).envs(stack.variables());
    let output = tokio::task::spawn_blocking(move || program.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

async fn create(http: &Client, replica: &ReplicaProcess, name: &str) {
    let reply = replica.send(http, Method::PUT, "/meshes", Some(json!({"meshName": name}))).await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
}

async fn meshes(http: &Client, replica: &ReplicaProcess) -> BTreeSet<String> {
    let reply = replica.send(http, Method::GET, "/meshes?limit=100", None).await.unwrap();
    assert!(reply.body["nextToken"].is_null(), "the test has less than a page of meshes");
    reply.body["meshes"].as_array().unwrap().iter().map(|mesh| mesh["meshName"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_in_use_is_copied_and_restored_into_a_new_one() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.table("first").await;
    stack.table("second").await;
    let (http, file) = (Client::new(), SnapshotFile::new());
    let error = run(&stack, "snapshot", &file, &["--store", "dynamodb:first"]).await.unwrap_err();
    assert!(error.contains("no store of a control plane"), "{error}");
    let replica = Arc::new(ReplicaProcess::start(&stack, "first"));
    create(&http, &replica, "first").await;

    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writing = tokio::spawn({
        let (stop, written, replica, http) = (stop.clone(), written.clone(), replica.clone(), http.clone());
        async move {
            for number in 0..80 {
                create(&http, &replica, &format!("later-{number:02}")).await;
                written.fetch_add(1, Ordering::SeqCst);
                if stop.load(Ordering::SeqCst) {
                    break;
                }
            }
        }
    });
    until("the replica writes", async || written.load(Ordering::SeqCst) >= 3).await;
    let before = written.load(Ordering::SeqCst);
    let out = run(&stack, "snapshot", &file, &["--store", "dynamodb:first"]).await.unwrap();
    let after = written.load(Ordering::SeqCst);
    stop.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    assert!(out.contains("resources of account 123456789012 in eu-west-1"), "{out}");
    let error = run(&stack, "restore", &file, &["--store", "dynamodb:first"]).await.unwrap_err();
    assert!(error.contains("it is not empty"), "{error}");

    run(&stack, "restore", &file, &["--store", "dynamodb:second"]).await.unwrap();
    let restored = ReplicaProcess::start(&stack, "second");
    let found = meshes(&http, &restored).await;
    let later = found.len() - 1;
    assert!(found.contains("first") && (before..=after + 1).contains(&later), "{later} of {before} to {after}");
    assert!((0..later).all(|number| found.contains(&format!("later-{number:02}"))), "a write is missing in the middle");
    create(&http, &restored, "afterwards").await;
    let error = run(&stack, "restore", &file, &["--store", "dynamodb:second"]).await.unwrap_err();
    assert!(error.contains("it is not empty"), "{error}");
    // The ids of the two stores differ, so neither's replicas nor receivers take one for the other.
    let id = async |table: &str| stack.existing(table).get("meta", "store").await.unwrap().unwrap().remove("log");
    assert_ne!(id("first").await, id("second").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_that_opened_the_empty_store_stops_after_its_restoration() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.table("first").await;
    stack.table("second").await;
    let (http, file) = (Client::new(), SnapshotFile::new());
    let replica = ReplicaProcess::start(&stack, "first");
    create(&http, &replica, "m").await;
    let early = ReplicaProcess::start(&stack, "second");
    run(&stack, "snapshot", &file, &["--store", "dynamodb:first"]).await.unwrap();
    run(&stack, "restore", &file, &["--store", "dynamodb:second"]).await.unwrap();
    until("the early replica is not ready", async || early.status(&http, "/readyz").await == 503).await;
    let late = ReplicaProcess::start(&stack, "second");
    assert!(meshes(&http, &late).await.contains("m"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_of_a_table_is_restored_into_etcd() {
    let Some(stack) = MiniStack::start().await else { return };
    let Some(etcd) = Etcd::start().await else { return };
    stack.table("first").await;
    let (http, file) = (Client::new(), SnapshotFile::new());
    let replica = ReplicaProcess::start(&stack, "first");
    create(&http, &replica, "m").await;
    run(&stack, "snapshot", &file, &["--store", "dynamodb:first"]).await.unwrap();
    let store = format!("etcd:{}", etcd.endpoints().join(","));
    let store = ["--store", store.as_str(), "--etcd-accept-old"];
    let restored = run(&stack, "restore", &file, &store).await.unwrap();
    assert!(restored.contains("1 resources"), "{restored}");
    let copied = SnapshotFile::new();
    let written = run(&stack, "snapshot", &copied, &store).await.unwrap();
    let digest = |text: &str| text.split("digest ").nth(1).unwrap().trim().to_owned();
    assert_eq!(digest(&written), digest(&restored));
}

/// The items of a table that the release before snapshots has written.
pub(crate) fn previous_items() -> Vec<TableItem> {
    let items: Vec<std::collections::BTreeMap<String, Value>> =
        serde_json::from_str(include_str!("format-1-items.json")).unwrap();
    let value = |value: &Value| {
        let bytes = |hexadecimal: &str| {
            let pairs = (0..hexadecimal.len()).step_by(2);
            pairs.map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap()).collect()
        };
        match (value["text"].as_str(), value["number"].as_u64(), value["bytes"].as_str()) {
            (Some(text), _, _) => TableValue::Text(text.to_owned()),
            (_, Some(number), _) => TableValue::Number(number),
            (_, _, Some(hexadecimal)) => TableValue::Bytes(bytes(hexadecimal)),
            _ => panic!("a value of another type: {value}"),
        }
    };
    items.iter().map(|item| item.iter().map(|(name, content)| (name.clone(), value(content))).collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_of_the_previous_release_is_started_on() {
    let Some(stack) = MiniStack::start().await else { return };
    let (http, file) = (Client::new(), SnapshotFile::new());
    let table = stack.table("previous").await;
    for item in previous_items() {
        table.put(&item).await.unwrap();
    }
    let replica = ReplicaProcess::start(&stack, "previous");
    assert_eq!(meshes(&http, &replica).await, BTreeSet::from(["m".to_owned()]));
    let node = replica.send(&http, Method::GET, "/meshes/m/virtualNodes/n", None).await.unwrap();
    assert_eq!(node.body["spec"]["listeners"][0]["portMapping"]["port"], 8080, "{node:?}");
    let mesh = replica.send(&http, Method::GET, "/meshes/m", None).await.unwrap();
    assert_eq!(
        (&mesh.body["metadata"]["version"], &mesh.body["spec"]["egressFilter"]["type"]),
        (&json!(2), &json!("ALLOW_ALL"))
    );
    // A creation with the client token of then gets the answer of then.
    let body = json!({"meshName": "m", "clientToken": "create-m", "spec": {"egressFilter": {"type": "DROP_ALL"}},
        "tags": [{"key": "team", "value": "shop"}]});
    let repeated = replica.send(&http, Method::PUT, "/meshes", Some(body)).await.unwrap();
    assert_eq!((repeated.status, &repeated.body["metadata"]["version"]), (200, &json!(1)), "{repeated:?}");
    create(&http, &replica, "n").await;
    let out = run(&stack, "snapshot", &file, &["--store", "dynamodb:previous"]).await.unwrap();
    assert!(out.contains("5 resources"), "{out}");
}
