//! The command as an operator runs it: metrics on a separate address, JSON logs, settings from a file and from the
//! environment, snapshots while writes go on, and the stores of earlier releases.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::process::{Running, command, listening, refused, signal, start, wait};

const ACCOUNT: &str = "210987654321";

/// A folder, removed with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("operations-{}", Uuid::new_v4()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The status line with the headers, and the body.
fn request(addr: &str, method: &str, path: &str, body: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(addr).ok()?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

fn create(addr: &str, mesh: &str) -> bool {
    let body = json!({"meshName": mesh}).to_string();
    request(addr, "PUT", "/v20190125/meshes", &body).is_some_and(|(head, _)| head.starts_with("HTTP/1.1 200"))
}

/// The names of all meshes.
fn meshes(addr: &str) -> BTreeSet<String> {
    let (mut found, mut next) = (BTreeSet::new(), String::new());
    loop {
        let (_, body) = request(addr, "GET", &format!("/v20190125/meshes?limit=100{next}"), "").unwrap();
        let page: Value = serde_json::from_str(&body).unwrap();
        found.extend(
            page["meshes"].as_array().unwrap().iter().map(|mesh| mesh["meshName"].as_str().unwrap().to_owned()),
        );
        match page["nextToken"].as_str() {
            Some(token) => next = format!("&nextToken={token}"),
            None => return found,
        }
    }
}

/// Runs a command to its end, and returns whether it succeeded, its output, and its errors.
fn run(args: &[&str]) -> (bool, String, String) {
    let output = command(args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn metrics_are_served_on_a_separate_address_without_authentication() {
    let scratch = Scratch::new();
    let keys = scratch.file("keys.json");
    fs::write(&keys, r#"{"keys": [{"id": "AKIDTEST", "secret": "0123456789abcdef0123", "name": "test"}]}"#).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&keys, mode).unwrap();
    let mut command = command(&["--api-auth", "keys", "--api-keys", &keys, "--metrics", "0"]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let api = lines.next().unwrap().unwrap().strip_prefix("api http://").unwrap().to_owned();
    let metrics = lines.next().unwrap().unwrap().strip_prefix("metrics http://").unwrap().to_owned();
    let mut running = Running { child, addr: api };
    assert!(metrics.starts_with("127.0.0.1:"), "{metrics}");
    let (head, text) = request(&metrics, "GET", "/metrics", "").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/openmetrics-text"), "{head}");
    assert!(text.contains("meshwarden_build_info{version=") && text.ends_with("# EOF\n"), "{text}");
    for path in ["/healthz", "/readyz"] {
        assert!(request(&metrics, "GET", path, "").unwrap().0.starts_with("HTTP/1.1 200"), "{path}");
    }
    for path in ["/v20190125/meshes", "/proxies", "/certificates"] {
        assert!(request(&metrics, "GET", path, "").unwrap().0.starts_with("HTTP/1.1 404"), "{path}");
    }
    let (head, _) = request(&running.addr, "GET", "/metrics", "").unwrap();
    assert!(head.starts_with("HTTP/1.1 403"), "the API's address requires a signature: {head}");
    signal(&running.child, "TERM");
    assert_eq!(wait(&mut running.child), 0);
    assert!(TcpStream::connect(&metrics).is_err(), "the address is closed");
}

#[test]
fn log_lines_are_json_objects() {
    let mut command = command(&["--log-format", "json"]);
    let mut running = listening_with_log(&mut command);
    assert!(create(&running.addr, "shop"));
    request(&running.addr, "GET", &format!("/v20190125/{}", "x".repeat(2000)), "").unwrap();
    signal(&running.child, "TERM");
    assert_eq!(wait(&mut running.child), 0);
    let mut log = String::new();
    running.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let write = lines.iter().find(|line| line["message"] == "served write").unwrap();
    assert_eq!((&write["level"], &write["path"]), (&json!("INFO"), &json!("/v20190125/meshes")), "{write}");
    assert!(write["timestamp"].is_string(), "{write}");
}

fn listening_with_log(command: &mut Command) -> Running {
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim_end().strip_prefix("api http://").unwrap().to_owned();
    Running { child, addr }
}

#[test]
fn settings_come_from_a_file_the_environment_and_flags() {
    let scratch = Scratch::new();
    let file = scratch.file("settings.json");
    fs::write(&file, r#"{"account": "111111111111", "region": "eu-west-3", "quota": ["meshes-per-account=2"]}"#)
        .unwrap();
    let mut command = command(&["--account", ACCOUNT]);
    command.env("MESHWARDEN_CONFIG", &file).env("MESHWARDEN_REGION", "eu-north-1").stderr(Stdio::null());
    let running = listening(command);
    let (_, body) = request(&running.addr, "PUT", "/v20190125/meshes", r#"{"meshName": "a"}"#).unwrap();
    assert!(body.contains(&format!("arn:aws:appmesh:eu-north-1:{ACCOUNT}:mesh/a")), "{body}");
    assert!(create(&running.addr, "b"));
    assert!(!create(&running.addr, "c"), "the quota of the file applies");

    fs::write(&file, r#"{"acount": "111111111111"}"#).unwrap();
    let error = refused(&["--config", &file]);
    assert!(error.contains("unknown member `acount`") && error.contains(&file), "{error}");
    fs::write(&file, r#"{"account": "12"}"#).unwrap();
    let error = refused(&["--config", &file]);
    assert!(error.contains("12 digits") && error.contains(&format!("--account is set by {file}")), "{error}");
}

#[test]
fn lasting_store_is_refused_without_an_account() {
    let scratch = Scratch::new();
    for args in [["--data", &scratch.file("store")], ["--store", "dynamodb:mesh"], ["--store", "etcd:127.0.0.1:1"]] {
        let error = refused(&args);
        assert!(error.contains("--account is required"), "{args:?}: {error}");
    }
    assert!(!Path::new(&scratch.file("store")).exists(), "no folder is created");
}

#[test]
fn snapshot_of_a_running_process_restores_on_another_machine_while_writes_go_on() {
    let scratch = Scratch::new();
    let (store, file, other) = (scratch.file("store"), scratch.file("mesh.snapshot"), scratch.file("other"));
    let running = start(&["--account", ACCOUNT, "--region", "eu-north-1", "--data", &store]);
    for number in 0..20 {
        assert!(create(&running.addr, &format!("first-{number:02}")));
    }
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writer = std::thread::spawn({
        let (stop, written, addr) = (Arc::clone(&stop), Arc::clone(&written), running.addr.clone());
        move || {
            while !stop.load(Ordering::SeqCst) {
                let number = written.load(Ordering::SeqCst);
                assert!(create(&addr, &format!("later-{number:05}")));
                written.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    while written.load(Ordering::SeqCst) < 3 {
        std::thread::yield_now();
    }
    let before = written.load(Ordering::SeqCst);
    let (succeeded, out, error) = run(&["snapshot", &file, "--data", &store]);
    let after = written.load(Ordering::SeqCst);
    stop.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    assert!(succeeded, "{error}");
    assert!(out.starts_with(&format!("wrote {file}: ")) && out.contains(ACCOUNT), "{out}");

    let (succeeded, out, error) = run(&["restore", &file, "--data", &other]);
    assert!(succeeded && out.starts_with("restored "), "{out}{error}");
    let restored = start(&["--account", ACCOUNT, "--region", "eu-north-1", "--data", &other]);
    let found = meshes(&restored.addr);
    let later = found.iter().filter(|name| name.starts_with("later-")).count();
    assert_eq!(found.len() - later, 20);
    assert!((before..=after + 1).contains(&later), "{later} of {before} to {after}");
    assert!((0..later).all(|number| found.contains(&format!("later-{number:05}"))), "a write is missing in the middle");
    assert!(create(&restored.addr, "afterwards"));

    let (succeeded, _, error) = run(&["restore", &file, "--data", &other]);
    assert!(!succeeded && error.contains("it is not empty"), "{error}");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let (succeeded, _, error) = run(&["restore", &file, "--data", &scratch.file("third")]);
    assert!(!succeeded && error.contains("not a complete snapshot"), "{error}");
    assert!(!Path::new(&scratch.file("third")).exists(), "a damaged file creates no store");
}

#[test]
fn snapshot_is_taken_without_a_process_and_after_a_kill() {
    let scratch = Scratch::new();
    let (store, file) = (scratch.file("store"), scratch.file("mesh.snapshot"));
    let (succeeded, _, error) = run(&["snapshot", &file, "--data", &store]);
    assert!(!succeeded && error.contains("no store of a control plane"), "{error}");
    let mut running = start(&["--account", ACCOUNT, "--data", &store]);
    assert!(create(&running.addr, "shop"));
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let (succeeded, out, error) = run(&["snapshot", &file, "--data", &store]);
    assert!(succeeded && out.contains("1 resources"), "{out}{error}");
    // The socket of the killed process is replaced.
    let _running = start(&["--account", ACCOUNT, "--data", &store]);
    assert!(run(&["snapshot", &file, "--data", &store]).0);
}

#[test]
fn store_of_the_previous_release_is_started_on_and_can_be_restored() {
    let scratch = Scratch::new();
    let (store, file) = (scratch.file("store"), scratch.file("mesh.snapshot"));
    let mut bytes = Vec::new();
    let packed = &include_bytes!("../../src/storage/tests/format-1.redb.deflate")[..];
    flate2::read::DeflateDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    fs::create_dir(&store).unwrap();
    fs::write(Path::new(&store).join("meshwarden.redb"), bytes).unwrap();
    let running = start(&["--account", "123456789012", "--region", "eu-west-1", "--data", &store]);
    let found = meshes(&running.addr);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["m"]);
    assert!(create(&running.addr, "n"));
    let (succeeded, out, error) = run(&["snapshot", &file, "--data", &store]);
    assert!(succeeded && out.contains("5 resources"), "{out}{error}");
}
