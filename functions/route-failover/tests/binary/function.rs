//! The built command as a child process, and the Lambda runtime that it asks for work.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

use crate::way::Way;

/// How long anything here may take that takes milliseconds on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What Lambda was answered: the report, or the error.
pub(crate) type Answer = Result<Value, Value>;

/// One process of the function. It ends with this.
pub(crate) struct Function {
    child: Child,
    events: mpsc::UnboundedSender<String>,
    answers: mpsc::UnboundedReceiver<Answer>,
    runtime: JoinHandle<()>,
}

/// What the process is told by its environment.
pub(crate) struct Environment<'a> {
    pub(crate) way: &'a Way,
    pub(crate) policy: &'a Path,
    pub(crate) table: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) credentials: bool,
}

impl Function {
    pub(crate) async fn start(environment: &Environment<'_>) -> Self {
        let (events, given) = mpsc::unbounded_channel();
        let (said, answers) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = tokio::spawn(async move {
            let desk = Desk { given: Arc::new(Mutex::new(given)), said };
            let app = Router::new()
                .route("/2018-06-01/runtime/invocation/next", get(next))
                .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
                .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
                .with_state(desk);
            axum::serve(listener, app).await.unwrap();
        });
        let credentials: &[(&str, &str)] = if environment.credentials {
            &[("AWS_ACCESS_KEY_ID", meshwarden_tests::stack::ACCOUNT), ("AWS_SECRET_ACCESS_KEY", "secret")]
        } else {
            // Nobody is asked outside of this machine.
            &[("AWS_EC2_METADATA_DISABLED", "true")]
        };
        let child = Command::new(env!("CARGO_BIN_EXE_route-failover"))
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "route-failover")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_REGION", meshwarden_tests::stack::REGION)
            .envs(credentials.iter().copied())
            .env("AWS_ENDPOINT_URL", &environment.way.services)
            .env("AWS_ENDPOINT_URL_APP_MESH", &environment.way.app_mesh)
            .env("MESHWARDEN_POLICY", environment.policy)
            .env("MESHWARDEN_TABLE", environment.table)
            .env("MESHWARDEN_TOPIC", environment.topic)
            .env("MESHWARDEN_BUS", "default")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, events, answers, runtime }
    }

    /// Hands the event over, and waits for what the process makes of it.
    pub(crate) async fn answer(&mut self, event: &Value) -> Answer {
        self.hand(event);
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await;
        answer.expect("the function gives no answer").expect("the runtime goes on")
    }

    /// Hands the event over and kills the process (SIGKILL) in the moment that `when` is over.
    pub(crate) async fn die(mut self, event: &Value, when: impl Future<Output = ()>) {
        self.hand(event);
        let struck = async {
            tokio::select! {
                () = when => {}
                answer = self.answers.recv() => panic!("it came to its end: {answer:?}"),
            }
        };
        tokio::time::timeout(PATIENCE, struck).await.expect("the function never comes so far");
        self.child.kill().await.unwrap();
    }

    fn hand(&self, event: &Value) {
        self.events.send(event.to_string()).unwrap();
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.runtime.abort();
    }
}

/// Where the process asks for work and leaves its answers.
#[derive(Clone)]
struct Desk {
    given: Arc<Mutex<mpsc::UnboundedReceiver<String>>>,
    said: mpsc::UnboundedSender<Answer>,
}

async fn next(State(desk): State<Desk>) -> Response {
    let Some(event) = desk.given.lock().await.recv().await else {
        // The test is over.
        return StatusCode::GONE.into_response();
    };
    let deadline = (Timestamp::now() + PATIENCE).as_millisecond().to_string();
    let headers: HeaderMap = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-deadline-ms", &deadline),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:123456789012:function:route-failover"),
    ]
    .into_iter()
    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
    .collect();
    (headers, event).into_response()
}

async fn response(State(desk): State<Desk>, body: Bytes) -> StatusCode {
    desk.said.send(Ok(serde_json::from_slice(&body).unwrap())).ok();
    StatusCode::ACCEPTED
}

async fn error(State(desk): State<Desk>, body: Bytes) -> StatusCode {
    desk.said.send(Err(serde_json::from_slice(&body).unwrap())).ok();
    StatusCode::ACCEPTED
}
