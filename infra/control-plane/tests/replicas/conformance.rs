//! The conformance suite of the API, through any replica.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::{ReplicaProcess, command};
use crate::etcd::Etcd;
use crate::ministack::{ACCOUNT, MiniStack, REGION};

/// A load balancer that sends each new connection to the next replica. Returns its endpoint.
async fn balance(replicas: &[ReplicaProcess]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let targets: Vec<String> =
        replicas.iter().map(|replica| replica.endpoint.trim_start_matches("http://").to_owned()).collect();
    let turn = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let target = targets[turn.fetch_add(1, Ordering::SeqCst) % targets.len()].clone();
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(target).await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    endpoint
}

/// The checks of the suite that pass on a server.
async fn passing(endpoint: String) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let mut suite = Command::new(root.join(".local/venv/bin/python"));
    suite
        .arg(root.join("tests/python/appmesh_conformance.py"))
        .env("AWS_ENDPOINT_URL_APP_MESH", endpoint)
        .envs([("AWS_DEFAULT_REGION", REGION), ("AWS_ACCESS_KEY_ID", ACCOUNT), ("AWS_SECRET_ACCESS_KEY", "secret")])
        .stdout(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || suite.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{}", text.lines().last().unwrap_or_default());
    // Files of the corpus may have one name, so each has its number.
    let passed = text.lines().filter_map(|line| line.strip_prefix("ok ")).map(str::trim).enumerate();
    passed.map(|(number, name)| format!("{number} {name}")).collect()
}

fn single(more: &[&str]) -> ReplicaProcess {
    let mut single = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    single
        .args(["--account", ACCOUNT, "--region", REGION, "--quotas", "aws"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    ReplicaProcess::listening(single)
}

/// The checks that pass through a load balancer over three replicas.
async fn passing_at_three(replica: impl Fn() -> ReplicaProcess) -> BTreeSet<String> {
    let replicas: Vec<_> = (0..3).map(|_| replica()).collect();
    passing(balance(&replicas).await).await
}

/// The suite has checks of the corpus that no server of this release passes, such as host names with placeholders.
async fn expected() -> BTreeSet<String> {
    let expected = passing(single(&[]).endpoint.clone()).await;
    assert!(expected.len() > 50, "only {} checks pass at one process", expected.len());
    expected
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: the conformance suite in Python takes minutes"]
async fn conformance_suite_passes_through_a_load_balancer_as_at_one_process() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.table("conformance").await;
    let replica =
        || ReplicaProcess::listening(command(&stack, "conformance", &["--role", "replica", "--quotas", "aws"]));
    assert_eq!(passing_at_three(replica).await, expected().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: the conformance suite in Python takes minutes"]
async fn conformance_suite_passes_on_disk_and_on_etcd_as_in_memory() {
    let Some(etcd) = Etcd::start().await else { return };
    let folder = std::env::temp_dir().join(format!("meshwarden-conformance-{}", std::process::id()));
    let expected = expected().await;
    let disk = single(&["--data", folder.join("store").to_str().unwrap()]);
    assert_eq!(passing(disk.endpoint.clone()).await, expected);
    drop(disk);
    let _ = std::fs::remove_dir_all(folder);
    let store = format!("etcd:{}", etcd.endpoints().join(","));
    let replica = || single(&["--role", "replica", "--etcd-accept-old", "--store", &store]);
    assert_eq!(passing_at_three(replica).await, expected);
}
