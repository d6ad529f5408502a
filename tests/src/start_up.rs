//! Starts a function's built command with one invalid setting after the other, and checks its error.

pub mod slow_policy;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::function::PATIENCE;
use crate::stack::{ACCOUNT, REGION};

/// A change to a valid environment, and the expected error.
#[derive(Clone, Debug)]
pub struct Case {
    set: Vec<(&'static str, OsString)>,
    unset: Vec<&'static str>,
    expected: Vec<String>,
}

impl Case {
    /// A case with an invalid value of one variable, which the error must name and explain.
    #[must_use]
    pub fn variable(name: &'static str, value: &str, expected: &str) -> Self {
        let quoted = if value.is_empty() { String::new() } else { format!("`{value}`") };
        let expected = vec![name.to_owned(), quoted, expected.to_owned()];
        Self { set: vec![(name, value.into())], unset: Vec::new(), expected }
    }

    fn with(self, name: &'static str, value: impl Into<OsString>) -> Self {
        let mut case = self;
        case.set.push((name, value.into()));
        case
    }

    fn without(self, names: &[&'static str]) -> Self {
        Self { unset: names.to_vec(), ..self }
    }

    fn expecting(expected: &[&str]) -> Self {
        Self { set: Vec::new(), unset: Vec::new(), expected: expected.iter().map(|text| (*text).to_owned()).collect() }
    }
}

/// A folder of files that dropping it deletes.
struct Folder(PathBuf);

impl Folder {
    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Cases for the settings that every function reads.
fn common(folder: &Folder) -> Vec<Case> {
    let broken = folder.file("broken.yaml", b"version: 1\nfailover:\n  dwell: soon\n");
    let binary = folder.file("binary.yaml", &[0xff, 0xfe, 0x00]);
    let absent = folder.0.join("absent.yaml");
    let policy = |path: &Path, expected: &[&str]| Case::expecting(expected).with("MESHWARDEN_POLICY", path.as_os_str());
    let not_text = || OsString::from_vec(vec![b'x', 0xff]);
    vec![
        Case::variable("MESHWARDEN_POLICY", "s3://rules", "write `s3://bucket/key`"),
        Case::variable("MESHWARDEN_TABLE", "mesh warden", "expected a table's name"),
        Case::variable("MESHWARDEN_BUS", "my bus", "the ARN of an event bus"),
        Case::variable("MESHWARDEN_TOPIC", "alarms", "`arn:aws:sns:REGION:ACCOUNT:NAME`"),
        Case::variable("MESHWARDEN_REPORTS", "s3://", "names no bucket"),
        Case::variable("MESHWARDEN_CONTROL_PLANE_AUDIENCE", "my mesh", "audience of a control plane"),
        Case::variable("MESHWARDEN_LOG", "a=chatty", "expected a level"),
        Case::expecting(&["invalid MESHWARDEN_TABLE", "UTF-8"]).with("MESHWARDEN_TABLE", not_text()),
        policy(&absent, &["failed to load the policy", "absent.yaml", "not found", "Check MESHWARDEN_POLICY"]),
        policy(&folder.0, &["failed to load the policy", "Check MESHWARDEN_POLICY"]),
        policy(&binary, &["failed to load the policy", "binary.yaml", "UTF-8"]),
        policy(&broken, &["failed to load the policy", "line 3, column", "`failover.dwell`", "write it like"]),
        Case::expecting(&["no region", "set AWS_REGION"]).without(&["AWS_REGION"]),
        Case::variable("AWS_REGION", "", "set AWS_REGION").with("AWS_EC2_METADATA_DISABLED", "true"),
        Case::variable("AWS_REGION", "EU (Ireland)", "expected a region such as `eu-west-1`"),
        Case::variable("AWS_ENDPOINT_URL_APP_MESH", "mesh.internal", "expected a URL"),
        Case::variable("AWS_ENDPOINT_URL", "localhost:4566", "expected a URL"),
        Case::expecting(&["no credentials", "give the function a role"])
            .with("MESHWARDEN_POLICY", "s3://rules/policy.yaml")
            .without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
        Case::expecting(&["AWS_LAMBDA_RUNTIME_API is not set", "cargo lambda watch"])
            .without(&["AWS_LAMBDA_RUNTIME_API"]),
        Case::expecting(&["AWS_LAMBDA_FUNCTION_NAME is not set"]).without(&["AWS_LAMBDA_FUNCTION_NAME"]),
    ]
}

/// Starts the command once for each invalid setting. It must exit with an error, print one line about it without Rust's
/// debug text, and report the same to Lambda.
pub async fn check(name: &str, binary: &str, own: &[Case]) {
    let folder = Folder(std::env::temp_dir().join(format!("meshwarden-start-up-{name}-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).unwrap();
    let reported = Arc::<Mutex<Vec<Value>>>::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let runtime = listener.local_addr().unwrap().to_string();
    let recorder = Arc::clone(&reported);
    let error = move |body: Bytes| async move {
        recorder.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
        StatusCode::ACCEPTED
    };
    let app = Router::new().route("/2018-06-01/runtime/init/error", post(error));
    let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    for case in common(&folder).iter().chain(own) {
        let output = start(name, binary, &runtime, case).await;
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(!output.status.success(), "{name} {case:?}: {stdout}{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{name} {case:?}: {stderr}");
        assert!(stderr.starts_with(&format!("{name}: failed to start: ")), "{name} {case:?}: {stderr}");
        for part in &case.expected {
            assert!(stderr.contains(part.as_str()), "{name} {case:?} lacks {part}: {stderr}");
        }
        for part in ["Error", " { ", "Some(", "None", "panicked", "Box<"] {
            assert!(!stderr.contains(part), "{name} {case:?}: {stderr}");
        }
        assert!(!stdout.contains("panicked"), "{name} {case:?}: {stdout}");
        let reports: Vec<Value> = std::mem::take(&mut *reported.lock().unwrap());
        if !case.unset.contains(&"AWS_LAMBDA_RUNTIME_API") {
            assert_eq!(reports.len(), 1, "{name} {case:?}: {reports:?}");
            assert_eq!(reports[0]["errorMessage"], stderr.trim_end(), "{name} {case:?}");
        }
    }
    serving.abort();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn start(name: &str, binary: &str, runtime: &str, case: &Case) -> Output {
    let good = [
        ("AWS_LAMBDA_RUNTIME_API", runtime),
        ("AWS_LAMBDA_FUNCTION_NAME", name),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", ACCOUNT),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        // The SDK must not query a service outside of this machine for a region or credentials.
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let mut command = Command::new(binary);
    command.env_clear().envs(good.into_iter().filter(|(name, _)| !case.unset.contains(name)));
    command.envs(case.set.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, command.spawn().unwrap().wait_with_output()).await;
    ended.unwrap_or_else(|_| unreachable!("{name} started despite {case:?}")).unwrap()
}
