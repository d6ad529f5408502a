//! The conformance suite of the API, through any replica.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::ReplicaProcess;
use crate::ministack::MiniStack;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: the conformance suite in Python takes a minute"]
async fn conformance_suite_passes_through_a_load_balancer() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.table("conformance").await;
    let replicas: Vec<_> = (0..3).map(|_| ReplicaProcess::start(&stack, "conformance")).collect();
    let endpoint = balance(&replicas).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let mut suite = Command::new(root.join(".local/venv/bin/python"));
    suite
        .arg(root.join("tests/python/appmesh_conformance.py"))
        .env("AWS_ENDPOINT_URL_APP_MESH", endpoint)
        .envs(stack.variables())
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .stdout(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || suite.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{}", text.lines().last().unwrap_or_default());
    assert!(output.status.success(), "{text}");
}
