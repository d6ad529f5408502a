//! The conformance suite of the API, through any replica.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::{ReplicaProcess, command};
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

/// The suite has checks of the corpus that no server of this release passes, such as host names with placeholders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: the conformance suite in Python takes minutes"]
async fn conformance_suite_passes_through_a_load_balancer_as_at_one_process() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.table("conformance").await;
    let mut single = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    single
        .args(["--account", ACCOUNT, "--region", REGION, "--quotas", "aws"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let single = ReplicaProcess::listening(single);
    let expected = passing(single.endpoint.clone()).await;
    let replica = || command(&stack, "conformance", &["--role", "replica", "--quotas", "aws"]);
    let replicas: Vec<_> = (0..3).map(|_| ReplicaProcess::listening(replica())).collect();
    let passed = passing(balance(&replicas).await).await;
    assert!(expected.len() > 50, "only {} checks pass at one process", expected.len());
    assert_eq!(passed, expected);
}
