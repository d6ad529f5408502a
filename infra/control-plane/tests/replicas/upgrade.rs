//! `control-plane store upgrade`, on a store that has the format before that of this release.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use aws::{ItemTable, TableItem, TableValue};
use reqwest::{Client, Method};
use serde_json::json;

use crate::cluster::{ReplicaProcess, until};
use crate::ministack::MiniStack;
use crate::snapshots::{SnapshotFile, previous_items};

/// A table in the format before that of this release.
async fn earlier(stack: &MiniStack, name: &str) -> ItemTable {
    let table = stack.table(name).await;
    for mut item in previous_items() {
        for format in ["f", "format"] {
            if let Some(TableValue::Number(number)) = item.get_mut(format) {
                *number -= 1;
            }
        }
        table.put(&item).await.unwrap();
    }
    table
}

async fn format(table: &ItemTable) -> u64 {
    let store = table.get("meta", "store").await.unwrap().unwrap();
    let Some(TableValue::Number(format)) = store.get("format") else { panic!("the store has no format") };
    *format
}

/// The format of the last entry.
async fn written(table: &ItemTable) -> u64 {
    let log = table.query("log", "").await.unwrap().items;
    let Some(TableValue::Number(format)) = log.last().unwrap().get("f") else { panic!("the entry has no format") };
    *format
}

async fn upgrade(stack: &MiniStack, more: &[&str]) -> Result<String, String> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    program.args(["store", "upgrade", "--store", "dynamodb:previous"]).args(more).envs(stack.variables());
    let output = tokio::task::spawn_blocking(move || program.output().unwrap()).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_is_upgraded_under_replicas_that_read_the_new_format() {
    let Some(stack) = MiniStack::start().await else { return };
    let table = earlier(&stack, "previous").await;
    let (http, file) = (Client::new(), SnapshotFile::new());
    let path = file.0.to_str().unwrap();
    let replica = ReplicaProcess::start(&stack, "previous");
    let create = async |name: &str| {
        let reply = replica.send(&http, Method::PUT, "/meshes", Some(json!({"meshName": name}))).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    };
    create("before").await;
    let (old, new) = (format(&table).await, format(&table).await + 1);
    assert_eq!(written(&table).await, old, "a release before still reads the entry");
    assert!(upgrade(&stack, &[]).await.unwrap_err().contains("--snapshot"));
    let planned = upgrade(&stack, &["--dry-run", "--snapshot", path]).await.unwrap();
    assert!(planned.contains(&format!("upgrade dynamodb:previous from format {old} to {new}")), "{planned}");
    assert_eq!((format(&table).await, file.0.exists()), (old, false), "a dry run changes nothing");
    let done = upgrade(&stack, &["--snapshot", path]).await.unwrap();
    assert!(done.contains("resources") && done.contains("done"), "{done}");
    assert_eq!((format(&table).await, file.0.exists()), (new, true));
    // The replica writes the new format after its next report.
    let mut number = 0;
    let mut is_new = async || {
        number += 1;
        create(&format!("after-{number}")).await;
        written(&table).await == new
    };
    until("the replica still writes the earlier format", async || is_new().await).await;
    let again = upgrade(&stack, &["--snapshot", path]).await.unwrap();
    assert!(again.contains("the newest of this release"), "{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: the reports of replicas are watched for 16 s"]
async fn upgrade_is_refused_while_a_replica_of_an_earlier_release_is_running() {
    let Some(stack) = MiniStack::start().await else { return };
    let table = Arc::new(earlier(&stack, "previous").await);
    let file = SnapshotFile::new();
    let path = file.0.to_str().unwrap();
    let old = format(&table).await;
    // A replica of a release that reads only the earlier format.
    let (reporting, id) = (Arc::clone(&table), uuid::Uuid::new_v4());
    let reports = tokio::spawn(async move {
        for beat in 1.. {
            let text = |text: &str| TableValue::Text(text.to_owned());
            let item = TableItem::from(
                [
                    ("pk", text("replica")),
                    ("sk", text(&id.to_string())),
                    ("state", text("live")),
                    ("beat", TableValue::Number(beat)),
                    ("sequence", TableValue::Number(1)),
                    ("release", text("0.0.9")),
                    ("reads", TableValue::Number(old)),
                ]
                .map(|(name, value)| (name.to_owned(), value)),
            );
            reporting.put(&item).await.unwrap();
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });
    until("the replica reports", async || !table.query("replica", "").await.unwrap().items.is_empty()).await;
    let error = upgrade(&stack, &["--snapshot", path]).await.unwrap_err();
    assert!(error.contains(&id.to_string()) && error.contains("0.0.9"), "{error}");
    assert_eq!((format(&table).await, file.0.exists()), (old, false));
    // Once it is silent, the operator learns that it stops if it continues.
    reports.abort();
    let done = upgrade(&stack, &["--snapshot", path]).await.unwrap();
    assert!(done.contains("ended without a report") && done.contains("done"), "{done}");
    assert_eq!(format(&table).await, old + 1);
}
