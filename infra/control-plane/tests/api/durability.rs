//! The data folder: acknowledged writes survive any end of the process, and incomplete data is not served.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixture::{node, samples};
use crate::process::{Running, listening, refused, signal, start, wait};

/// The account of the stores.
const ACCOUNT: &str = "123456789012";

/// A data folder, removed with the test.
pub(crate) struct Data(PathBuf);

impl Data {
    fn new() -> Self {
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("data-{}/store", Uuid::new_v4())))
    }

    fn start(&self, more: &[&str]) -> Running {
        start(&[&["--account", ACCOUNT, "--data", self.0.to_str().unwrap()], more].concat())
    }

    fn store(&self) -> PathBuf {
        self.0.join("meshwarden.redb")
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        // Including the files next to the store.
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// The status and body of a response; `None` without one.
async fn send(http: &reqwest::Client, addr: &str, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let url = format!("http://{addr}/v20190125{path}");
    let response = http.request(method, url).body(body.to_string()).send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.json().await.ok()?))
}

#[tokio::test]
async fn a_mesh_is_unchanged_after_a_graceful_end_and_after_a_kill() {
    let data = Data::new();
    let http = reqwest::Client::new();
    let mut running = data.start(&[]);
    for sample in samples() {
        let mut body = sample.body();
        body["clientToken"] = "create".into();
        body["tags"] = json!([{"key": "team", "value": sample.kind}]);
        assert_eq!(send(&http, &running.addr, "PUT", sample.collection, &body).await.unwrap().0, 200);
        let body = json!({"spec": sample.other_spec, "clientToken": "update"});
        assert_eq!(send(&http, &running.addr, "PUT", &sample.uri(), &body).await.unwrap().0, 200);
    }
    let described = async |addr: &str| {
        let mut all = Vec::new();
        for sample in samples() {
            all.push(send(&http, addr, "GET", &sample.uri(), &json!(null)).await.unwrap());
            let arn =
                format!("/tags?resourceArn=arn:aws:appmesh:us-east-1:123456789012:{}", sample.path.replace(' ', "%20"));
            all.push(send(&http, addr, "GET", &arn, &json!(null)).await.unwrap());
            // Both are repetitions, answered like the first request.
            let body = json!({"spec": sample.other_spec, "clientToken": "update"});
            all.push(send(&http, addr, "PUT", &sample.uri(), &body).await.unwrap());
        }
        all
    };
    let before = described(&running.addr).await;
    assert!(before.iter().all(|(status, _)| *status == 200), "{before:?}");
    for end in ["TERM", "KILL"] {
        signal(&running.child, end);
        if end == "TERM" {
            assert_eq!(wait(&mut running.child), 0);
        } else {
            running.child.wait().unwrap();
        }
        running = data.start(&["--quota", "meshes-per-account=0"]);
        assert_eq!(described(&running.addr).await, before, "after {end}");
    }
}

/// The knowledge of a writer about its node.
#[derive(Debug, Clone, Default)]
struct Known {
    /// The last answer: version, uid and hostname. `None` after a deletion.
    node: Option<(u64, String, String)>,
    /// The write with an answer that did not arrive.
    unanswered: Option<Unanswered>,
}

#[derive(Debug, Clone)]
enum Unanswered {
    Written(u64, String),
    Deleted,
}

impl Known {
    /// Writes until the server ends or enough writes are acknowledged in total.
    async fn write(
        &mut self,
        http: &reqwest::Client,
        addr: &str,
        name: &str,
        acknowledged: &AtomicUsize,
        enough: usize,
    ) {
        let uri = format!("/meshes/shop/virtualNodes/{name}");
        let mut round: u32 = 0;
        while acknowledged.load(Ordering::Relaxed) < enough {
            round += 1;
            let hostname = format!("h-{}.local", Uuid::new_v4());
            let spec = node(&hostname);
            let (method, path, body, unanswered) = match &self.node {
                None => {
                    let body = json!({"virtualNodeName": name, "spec": spec, "clientToken": hostname[2..38]});
                    ("PUT", "/meshes/shop/virtualNodes", body, Unanswered::Written(1, hostname))
                }
                Some(_) if round.is_multiple_of(7) => ("DELETE", uri.as_str(), json!(null), Unanswered::Deleted),
                Some((version, ..)) => {
                    ("PUT", uri.as_str(), json!({"spec": spec}), Unanswered::Written(version + 1, hostname))
                }
            };
            self.unanswered = Some(unanswered.clone());
            let Some((status, body)) = send(http, addr, method, path, &body).await else {
                return;
            };
            assert_eq!(status, 200, "{body}");
            acknowledged.fetch_add(1, Ordering::Relaxed);
            self.unanswered = None;
            self.node = match unanswered {
                Unanswered::Deleted => None,
                Unanswered::Written(version, hostname) => {
                    assert_eq!(body["metadata"]["version"], version);
                    Some((version, body["metadata"]["uid"].as_str().unwrap().to_owned(), hostname))
                }
            };
        }
    }

    /// Passes if the server has the acknowledged write or the unanswered one.
    async fn check(&mut self, http: &reqwest::Client, addr: &str, name: &str) {
        let uri = format!("/meshes/shop/virtualNodes/{name}");
        let (status, body) = send(http, addr, "GET", &uri, &json!(null)).await.unwrap();
        let found = (status == 200).then(|| {
            let version = body["metadata"]["version"].as_u64().unwrap();
            let uid = body["metadata"]["uid"].as_str().unwrap().to_owned();
            (version, uid, body["spec"]["serviceDiscovery"]["dns"]["hostname"].as_str().unwrap().to_owned())
        });
        let is_unanswered = match (&self.unanswered, &found) {
            (Some(Unanswered::Deleted), None) => true,
            (Some(Unanswered::Written(version, hostname)), Some((found, uid, at))) => {
                let same = self.node.as_ref().is_none_or(|(_, known, _)| known == uid);
                version == found && hostname == at && same
            }
            _ => false,
        };
        assert!(found == self.node || is_unanswered, "{name}: found {found:?}, but expected {self:?}");
        *self = Self { node: found, unanswered: None };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_acknowledged_writes_survive_kills() {
    const WRITES: usize = 10_000;
    const WRITERS: usize = 16;
    let data = Data::new();
    let http = reqwest::Client::builder().pool_max_idle_per_host(WRITERS).build().unwrap();
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut known = vec![Known::default(); WRITERS];
    let mut running = data.start(&[]);
    send(&http, &running.addr, "PUT", "/meshes", &json!({"meshName": "shop"})).await.unwrap();
    for kill_after in [2_000, 5_000, 9_000, WRITES] {
        let addr = running.addr.clone();
        let writers: Vec<_> = known
            .into_iter()
            .enumerate()
            .map(|(n, mut known)| {
                let (http, addr, acknowledged) = (http.clone(), addr.clone(), Arc::clone(&acknowledged));
                // More writes than until the kill, so that it interrupts some.
                let enough = if kill_after == WRITES { WRITES } else { usize::MAX };
                tokio::spawn(async move {
                    known.write(&http, &addr, &format!("n{n}"), &acknowledged, enough).await;
                    known
                })
            })
            .collect();
        let deadline = Instant::now() + Duration::from_secs(50);
        while acknowledged.load(Ordering::Relaxed) < kill_after {
            assert!(Instant::now() < deadline, "only {acknowledged:?} writes");
            tokio::task::yield_now().await;
        }
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        known = Vec::new();
        for writer in writers {
            known.push(writer.await.unwrap());
        }
        running = data.start(&[]);
        for (n, known) in known.iter_mut().enumerate() {
            known.check(&http, &running.addr, &format!("n{n}")).await;
        }
    }
    assert!(acknowledged.load(Ordering::Relaxed) >= WRITES);
}

#[test]
fn a_second_process_is_refused() {
    let data = Data::new();
    let running = data.start(&[]);
    let folder = data.0.to_str().unwrap();
    let error = refused(&["--account", ACCOUNT, "--data", folder]);
    assert!(error.contains(folder) && error.contains("another process"), "{error}");
    drop(running);
    drop(data.start(&[]));
}

#[test]
fn an_unusable_folder_is_refused_with_a_remedy() {
    let data = Data::new();
    let folder = data.0.to_str().unwrap().to_owned();
    drop(data.start(&[]));
    let store = data.store();
    let error = refused(&["--data", &folder, "--account", "210987654321"]);
    assert!(error.contains("--account 123456789012 --region us-east-1"), "{error}");

    let whole = fs::read(&store).unwrap();
    for (damaged, remedy) in [
        (&whole[..whole.len() / 2], "Restore the folder"),
        (b"{}".as_slice(), "Move it away"),
        (b"", "Restore the folder"),
    ] {
        fs::write(&store, damaged).unwrap();
        let error = refused(&["--account", ACCOUNT, "--data", &folder]);
        assert!(error.contains(store.to_str().unwrap()) && error.contains(remedy), "{error}");
        assert_eq!(fs::read(&store).unwrap(), damaged, "the file is unchanged");
    }
    fs::write(&store, whole).unwrap();
    drop(data.start(&[]));

    fs::remove_file(&store).unwrap();
    fs::remove_file(data.0.join("meshwarden.acknowledged")).unwrap();
    fs::remove_file(data.0.with_file_name(".store.meshwarden")).unwrap();
    fs::create_dir(data.0.join("meshwarden.redb.new")).unwrap();
    let error = refused(&["--account", ACCOUNT, "--data", &folder]);
    assert!(
        error.contains("create") && error.to_lowercase().contains("is a directory"),
        "the cause is missing: {error}"
    );
    fs::write(&store, b"").unwrap();
    let error = refused(&["--account", ACCOUNT, "--data", store.to_str().unwrap()]);
    assert!(error.contains(store.to_str().unwrap()), "a file is not a folder: {error}");
}

/// Limits the size of the files that a process writes. `None` without the `prlimit` command.
fn limit(running: &Running, bytes: &str) -> Option<()> {
    let id = running.child.id().to_string();
    let set = Command::new("prlimit").args(["--pid", &id, &format!("--fsize={bytes}:")]).status();
    set.is_ok_and(|set| set.success()).then_some(())
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_loses_none() {
    let data = Data::new();
    // With the signal ignored, exceeding the limit is an error to the process instead of its end.
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "trap '' XFSZ; exec \"$0\" --account 123456789012 --data \"$1\"",
            env!("CARGO_BIN_EXE_control-plane"),
        ])
        .arg(&data.0);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).env_remove("MESHWARDEN_LOG");
    let mut running = listening(command);
    let addr = running.addr.clone();
    let http = reqwest::Client::new();
    let create = async |n: u32| {
        let body = json!({"meshName": format!("m{n}")});
        send(&http, &addr, "PUT", "/meshes", &body).await.unwrap().0
    };
    let list = async |addr: &str| send(&http, addr, "GET", "/meshes", &json!(null)).await.unwrap();
    let ready = async || http.get(format!("http://{addr}/readyz")).send().await.unwrap().status().as_u16();
    assert_eq!((create(0).await, create(1).await, ready().await), (200, 200, 200));
    let before = list(&addr).await;
    if limit(&running, "1000").is_none() {
        println!("skipped: the command prlimit is missing");
        return;
    }
    for n in 2..5 {
        assert_eq!(create(n).await, 503);
        assert_eq!((list(&addr).await, ready().await), (before.clone(), 503));
    }
    limit(&running, "unlimited").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while ready().await != 200 {
        assert!(Instant::now() < deadline, "the server does not recover");
    }
    assert_eq!(list(&addr).await, before);
    assert_eq!(create(5).await, 200);
    let before = list(&addr).await;
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    assert_eq!(list(&data.start(&[]).addr).await, before);
}
