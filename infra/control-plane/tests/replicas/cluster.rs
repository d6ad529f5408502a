//! Replicas as processes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::Value;

use crate::ministack::{ACCOUNT, MiniStack, REGION};

/// A replica, which dropping it kills.
#[derive(Debug)]
pub(crate) struct ReplicaProcess {
    pub(crate) endpoint: String,
    pub(crate) child: Child,
}

/// A response of a replica.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) age: Option<u64>,
    pub(crate) outcome: Option<String>,
    pub(crate) body: Value,
}

pub(crate) fn command(stack: &MiniStack, table: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    command
        .args(["--account", ACCOUNT, "--region", REGION, "--store", &format!("dynamodb:{table}")])
        .args(more)
        .env_remove("MESHWARDEN_LOG")
        .envs(stack.variables())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

impl ReplicaProcess {
    /// Starts a replica that shares its store, and waits until it listens.
    pub(crate) fn start(stack: &MiniStack, table: &str) -> Self {
        Self::listening(command(stack, table, &["--role", "replica"]))
    }

    pub(crate) fn listening(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let endpoint = line.strip_prefix("api ").and_then(|rest| rest.strip_suffix('\n'));
        let endpoint = endpoint.unwrap_or_else(|| panic!("the first line is {line:?}")).to_owned();
        Self { endpoint, child }
    }

    /// Sends a request of the API. `None` without a response.
    pub(crate) async fn send(&self, http: &Client, method: Method, path: &str, body: Option<Value>) -> Option<Reply> {
        send(http, &self.endpoint, method, path, body).await
    }

    /// The status of an endpoint outside the API.
    pub(crate) async fn status(&self, http: &Client, path: &str) -> u16 {
        http.get(format!("{}{path}", self.endpoint)).send().await.map_or(0, |answer| answer.status().as_u16())
    }

    /// `GET /proxies`, with the unknown proxies.
    pub(crate) async fn proxies(&self, http: &Client) -> Value {
        let request = http.get(format!("{}/proxies", self.endpoint)).header("x-meshwarden-evidence", "2");
        match request.send().await {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    /// The states of all replicas as this one reports them, in order.
    pub(crate) async fn states(&self, http: &Client) -> Vec<String> {
        let report = self.proxies(http).await;
        let states = report["replicas"].as_array().into_iter().flatten();
        let mut states: Vec<String> =
            states.filter_map(|replica| replica["state"].as_str().map(str::to_owned)).collect();
        states.sort();
        states
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for ReplicaProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn send(
    http: &Client,
    endpoint: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Option<Reply> {
    let mut request = http.request(method, format!("{endpoint}/v20190125{path}"));
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let answer = request.send().await.ok()?;
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (status, age) = (answer.status().as_u16(), header("x-meshwarden-age").and_then(|age| age.parse().ok()));
    let outcome = header("x-meshwarden-outcome");
    let body = serde_json::from_str(&answer.text().await.ok()?).ok()?;
    Some(Reply { status, age, outcome, body })
}

/// Runs a command that must fail, and returns its error output.
pub(crate) fn refused(mut command: Command) -> String {
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(40);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!child.wait().unwrap().success(), "the command was not refused");
    let mut text = String::new();
    child.stderr.unwrap().read_to_string(&mut text).unwrap();
    text
}

/// Waits for a condition, which a loaded machine meets late.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
