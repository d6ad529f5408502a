//! The time from a process's start to its first request for an event, and its memory after the first event.

use std::error::Error;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::{Notify, Semaphore};

use crate::{Row, median};

/// The number of starts of each program. The programs alternate, so that a slow phase of the machine affects
/// all of them.
const STARTS: usize = 15;

/// The time limit of a start. A program that exceeds it is broken.
const TIMEOUT: Duration = Duration::from_secs(20);

struct Start {
    milliseconds: f64,
    kilobytes: f64,
}

/// Starts the programs alternately.
pub(crate) async fn measure(echo: &Path, sdk_echo: &Path, function: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let programs = [echo, sdk_echo, function];
    let mut starts: [Vec<Start>; 3] = Default::default();
    for _ in 0..STARTS {
        for (program, starts) in programs.iter().zip(&mut starts) {
            starts.push(start(program).await?);
        }
    }
    let [bare, clients, failover] = starts;
    let time = |starts: &[Start]| median(starts.iter().map(|start| start.milliseconds).collect());
    let memory = |starts: &[Start]| median(starts.iter().map(|start| start.kilobytes / 1024.0).collect());
    let size = |path: &Path| std::fs::metadata(path).map(|file| file.len());
    Ok(vec![
        Row {
            what: "cold start of route-failover, process start to first `/next`",
            figure: format!("{:.1} ms", time(&failover)),
            relation: format!(
                "{:.2} x a bare echo ({:.1} ms), {:.2} x an echo with the same SDK clients ({:.1} ms)",
                time(&failover) / time(&bare),
                time(&bare),
                time(&failover) / time(&clients),
                time(&clients)
            ),
        },
        Row {
            what: "peak memory after a first event",
            figure: format!("{:.1} MB", memory(&failover)),
            relation: format!("bare echo {:.1} MB, echo with the clients {:.1} MB", memory(&bare), memory(&clients)),
        },
        Row {
            what: "binary",
            figure: format!("{} KB", size(function)? / 1024),
            relation: format!(
                "bare echo {} KB, echo with the clients {} KB",
                size(echo)? / 1024,
                size(sdk_echo)? / 1024
            ),
        },
    ])
}

/// Runs one program with a stand-in of the Lambda runtime API: waits for its first request for an event, sends it one
/// event, and ends it.
async fn start(program: &Path) -> Result<Start, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let requested = Arc::new(Notify::new());
    let answered = Arc::new(Notify::new());
    let events = Arc::new(Semaphore::new(1));
    let server = tokio::spawn(serve(listener, Arc::clone(&requested), Arc::clone(&answered), events));

    let began = Instant::now();
    let mut process = Command::new(program)
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        // Every call of the first event gets an error that is not retried.
        .env("AWS_ENDPOINT_URL", format!("http://{address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    tokio::time::timeout(TIMEOUT, requested.notified()).await?;
    let milliseconds = began.elapsed().as_secs_f64() * 1000.0;
    tokio::time::timeout(TIMEOUT, answered.notified()).await?;
    let kilobytes = peak(process.id())?;
    process.kill().await?;
    server.abort();
    Ok(Start { milliseconds, kilobytes })
}

async fn serve(listener: TcpListener, requested: Arc<Notify>, answered: Arc<Notify>, events: Arc<Semaphore>) {
    let next = get(move || {
        let (requested, events) = (Arc::clone(&requested), Arc::clone(&events));
        async move {
            requested.notify_one();
            // The second request waits until the process is ended.
            if let Ok(permit) = events.acquire().await {
                permit.forget();
            }
            let tick = r#"{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}"#;
            (headers(), tick)
        }
    });
    let done = any(move || {
        let answered = Arc::clone(&answered);
        async move {
            answered.notify_one();
            StatusCode::ACCEPTED
        }
    });
    let app = Router::new()
        .route("/2018-06-01/runtime/invocation/next", next)
        .route("/2018-06-01/runtime/invocation/{id}/{end}", done)
        .fallback(|| async { (StatusCode::BAD_REQUEST, "no such service here").into_response() });
    // It ends with its task.
    axum::serve(listener, app).await.ok();
}

fn headers() -> HeaderMap {
    let in_ten_seconds = (jiff::Timestamp::now() + Duration::from_secs(10)).as_millisecond();
    [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        ("lambda-runtime-deadline-ms", in_ten_seconds.to_string()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:123456789012:function:bench".to_owned()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?)))
    .collect()
}

/// The peak memory of the process (`VmHWM`, in KB).
fn peak(process: Option<u32>) -> Result<f64, Box<dyn Error>> {
    let process = process.ok_or("the program ended before it was stopped")?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim_end_matches("kB").trim().parse()?)
}
