//! Runs a function's built command as a child process, and serves the Lambda runtime API that it polls for events.
//!
//! ```text
//! runtime API (the test) ◀── the function, a child process ──▶ the relay (counts, strikes) ──▶ local services
//! ```

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::stack::{ACCOUNT, REGION};
use crate::template::STACK;
use crate::way::Way;

/// The time-out for operations that take milliseconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A sample event of a function in `events/`.
#[must_use]
pub fn sample(function: &str, event: &str) -> Value {
    let path = format!("{}/../events/{function}/{event}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The answer to Lambda: the report, or the error.
pub type Answer = Result<Value, Value>;

/// A function's command and its environment. The function inherits no variable of the test's own environment.
#[derive(Clone, Debug)]
pub struct Build {
    binary: PathBuf,
    name: &'static str,
    variables: Vec<(String, String)>,
    credentials: bool,
    time: Duration,
}

impl Build {
    /// Creates the build of the function with this name: `env!("CARGO_BIN_EXE_<name>")`.
    pub fn new(name: &'static str, binary: impl Into<PathBuf>) -> Self {
        // The alarms of the template have the name of the stack among their dimensions.
        let variables = vec![("MESHWARDEN_STACK".to_owned(), STACK.to_owned())];
        Self { binary: binary.into(), name, variables, credentials: true, time: PATIENCE }
    }

    /// Makes the function call its services through this relay.
    #[must_use]
    pub fn calls(mut self, way: &Way) -> Self {
        self.variables.extend_from_slice(way.variables());
        self
    }

    /// Adds one more variable to its environment.
    #[must_use]
    pub fn with(mut self, variable: &str, value: impl Into<String>) -> Self {
        self.variables.push((variable.to_owned(), value.into()));
        self
    }

    /// The value of a variable of its environment.
    #[must_use]
    pub fn variable(&self, variable: &str) -> Option<&str> {
        // A later value replaces an earlier one.
        let (_, value) = self.variables.iter().rev().find(|(known, _)| known == variable)?;
        Some(value)
    }

    /// Sets the time-out of each invocation.
    #[must_use]
    pub const fn with_time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Removes the credentials and every source of them.
    #[must_use]
    pub const fn without_credentials(mut self) -> Self {
        self.credentials = false;
        self
    }

    /// Starts a process.
    pub async fn start(&self) -> Function {
        Function::start(self).await
    }
}

/// One process of a function. Dropping it ends the process.
#[derive(Debug)]
pub struct Function {
    child: Child,
    events: mpsc::UnboundedSender<String>,
    answers: mpsc::UnboundedReceiver<Answer>,
    runtime: JoinHandle<()>,
    log: Arc<StdMutex<String>>,
    copying: Vec<JoinHandle<()>>,
    /// The times at which the newest event was received and answered.
    times: Arc<StdMutex<(Option<Instant>, Option<Instant>)>>,
    /// When the process was started, and when it first requested an event.
    begun: Instant,
    ready: Arc<StdMutex<Option<Instant>>>,
}

impl Function {
    async fn start(build: &Build) -> Self {
        let (events, queued) = mpsc::unbounded_channel();
        let (results, answers) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let times = Arc::<StdMutex<(Option<Instant>, Option<Instant>)>>::default();
        let ready = Arc::<StdMutex<Option<Instant>>>::default();
        let state = RuntimeState {
            function: build.name,
            time: build.time,
            queued: Arc::new(Mutex::new(queued)),
            results,
            times: Arc::clone(&times),
            ready: Arc::clone(&ready),
        };
        let runtime = tokio::spawn(async move {
            let app = Router::new()
                .route("/2018-06-01/runtime/invocation/next", get(next))
                .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
                .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
                .with_state(state);
            axum::serve(listener, app).await.unwrap();
        });
        let credentials: &[(&str, &str)] = if build.credentials {
            &[("AWS_ACCESS_KEY_ID", ACCOUNT), ("AWS_SECRET_ACCESS_KEY", "secret")]
        } else {
            // The SDK must not query a service outside of this machine.
            &[("AWS_EC2_METADATA_DISABLED", "true")]
        };
        let begun = Instant::now();
        let mut child = Command::new(&build.binary)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", build.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_REGION", REGION)
            .envs(credentials.iter().copied())
            .envs(build.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = Arc::<StdMutex<String>>::default();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let copying = vec![tokio::spawn(copy(stdout, Arc::clone(&log))), tokio::spawn(copy(stderr, Arc::clone(&log)))];
        Self { child, events, answers, runtime, log, copying, times, begun, ready }
    }

    /// Sends the event, and waits for the answer of the process.
    pub async fn answer(&mut self, event: &Value) -> Answer {
        self.send_event(event);
        tokio::select! {
            answer = self.answers.recv() => answer.expect("the runtime API is running"),
            status = self.child.wait() => unreachable!("the function ended with {status:?}: {}", self.log()),
            // The function has all of its time, and answers within it.
            () = tokio::time::sleep(PATIENCE * 2) => unreachable!("the function did not answer: {}", self.log()),
        }
    }

    /// Works like [`Self::answer`] for a process that may fail to start, which Lambda counts as a failed invocation.
    pub async fn answer_or_end(&mut self, event: &Value) -> Answer {
        self.send_event(event);
        tokio::select! {
            answer = self.answers.recv() => answer.expect("the runtime API is running"),
            status = self.child.wait() => {
                // The whole output of the process is read before a test checks it.
                for copying in self.copying.drain(..) {
                    copying.await.unwrap();
                }
                Err(Value::from(format!("the process ended: {status:?}")))
            }
            () = tokio::time::sleep(PATIENCE * 2) => unreachable!("the function did not answer: {}", self.log()),
        }
    }

    /// Waits until the process requests its first event, which ends its init phase. Returns the duration of that phase.
    pub async fn ready(&self) -> Duration {
        loop {
            if let Some(ready) = *self.ready.lock().unwrap() {
                return ready.duration_since(self.begun);
            }
            assert!(self.begun.elapsed() < PATIENCE, "the function requests no event: {}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The duration of the newest invocation, from its event to its answer; `None` without one.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        let (taken, answered) = *self.times.lock().unwrap();
        Some(answered?.duration_since(taken?))
    }

    /// The peak resident memory of the process, in bytes, as Linux reports it.
    #[must_use]
    pub fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
    }

    /// The output of the process so far: its log and the standard error.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The log of the process once it contains this text. A line that was written before an answer may arrive after it.
    pub async fn log_with(&self, text: &str) -> String {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            assert!(Instant::now() < give_up, "{text} was not logged in time: {log}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Sends the event and kills the process (SIGKILL) as soon as `when` completes.
    pub async fn die(mut self, event: &Value, when: impl Future<Output = ()>) {
        self.send_event(event);
        let reached = async {
            tokio::select! {
                () = when => {}
                answer = self.answers.recv() => panic!("the function answered before the expected point: {answer:?}"),
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the function did not reach the expected point in time");
        self.child.kill().await.unwrap();
    }

    fn send_event(&self, event: &Value) {
        self.events.send(event.to_string()).unwrap();
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.runtime.abort();
    }
}

/// The sum of a metric over all lines of a log.
#[must_use]
pub fn log_metric(log: &str, name: &str) -> u64 {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line.get("_aws").is_some()).filter_map(|line| line[name].as_u64()).sum()
}

async fn copy(output: impl AsyncRead + Unpin, log: Arc<StdMutex<String>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut log = log.lock().unwrap();
        log.push_str(&line);
        log.push('\n');
    }
}

/// The runtime API from which the process receives events, and to which it sends answers.
#[derive(Clone)]
struct RuntimeState {
    function: &'static str,
    time: Duration,
    queued: Arc<Mutex<mpsc::UnboundedReceiver<String>>>,
    results: mpsc::UnboundedSender<Answer>,
    times: Arc<StdMutex<(Option<Instant>, Option<Instant>)>>,
    ready: Arc<StdMutex<Option<Instant>>>,
}

async fn next(State(state): State<RuntimeState>) -> Response {
    state.ready.lock().unwrap().get_or_insert_with(Instant::now);
    let Some(event) = state.queued.lock().await.recv().await else {
        // The test is over.
        return StatusCode::GONE.into_response();
    };
    *state.times.lock().unwrap() = (Some(Instant::now()), None);
    let deadline = (Timestamp::now() + state.time).as_millisecond().to_string();
    let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", state.function);
    let headers: HeaderMap = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-deadline-ms", &deadline),
        ("lambda-runtime-invoked-function-arn", &arn),
    ]
    .into_iter()
    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
    .collect();
    (headers, event).into_response()
}

async fn response(State(state): State<RuntimeState>, body: Bytes) -> StatusCode {
    state.times.lock().unwrap().1 = Some(Instant::now());
    state.results.send(Ok(serde_json::from_slice(&body).unwrap())).ok();
    StatusCode::ACCEPTED
}

async fn error(State(state): State<RuntimeState>, body: Bytes) -> StatusCode {
    state.times.lock().unwrap().1 = Some(Instant::now());
    state.results.send(Err(serde_json::from_slice(&body).unwrap())).ok();
    StatusCode::ACCEPTED
}
