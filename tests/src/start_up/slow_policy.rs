//! Starts a function's built command while S3, which has its policy, does not answer. Lambda ends an init phase after ten
//! seconds; the command must be ready before that, and its invocations must report the failure until S3 answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::function::{Build, log_metric, sample};

/// The time limit of an init phase on Lambda.
const INIT_PHASE: Duration = Duration::from_secs(10);

/// The time-out of an invocation. It is shorter than all attempts of a call.
const INVOCATION: Duration = Duration::from_secs(10);

const POLICY: &str = "version: 1\n";

/// The failure of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It accepts connections and sends nothing.
    Silent,
    /// The object arrives one byte at a time.
    Slow,
    /// It throttles each request.
    Throttling,
}

/// A server in place of S3; dropping it ends it.
struct Store {
    endpoint: String,
    is_healthy: Arc<AtomicBool>,
    serving: JoinHandle<()>,
}

impl Drop for Store {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Store {
    async fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let is_healthy = Arc::<AtomicBool>::default();
        let healthy = Arc::clone(&is_healthy);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // The client may close the connection at any moment.
                tokio::spawn(serve(stream, fault, Arc::clone(&healthy)));
            }
        });
        Self { endpoint, is_healthy, serving }
    }
}

async fn serve(mut stream: TcpStream, fault: Fault, is_healthy: Arc<AtomicBool>) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let healthy = is_healthy.load(Ordering::Relaxed);
        match fault {
            _ if healthy => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{POLICY}", POLICY.len());
                stream.write_all(head.as_bytes()).await?;
            }
            Fault::Silent => std::future::pending().await,
            Fault::Slow => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await?;
                loop {
                    stream.write_all(b" ").await?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            Fault::Throttling => {
                let body = "<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>";
                let head = format!("HTTP/1.1 503 Slow Down\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(head.as_bytes()).await?;
            }
        }
    }
}

/// Starts the command of a function with each fault of S3, and invokes it with this sample event.
///
/// # Panics
/// Panics if the start takes too long, if an invocation without a policy is not reported, or if the policy is not loaded
/// once S3 answers.
pub async fn check(name: &'static str, binary: &str, event: &str) {
    let event = sample(name, event);
    let cases = [Fault::Silent, Fault::Slow, Fault::Throttling].map(|fault| {
        let event = &event;
        async move {
            let store = Store::start(fault).await;
            let build = Build::new(name, binary)
                .with("MESHWARDEN_POLICY", "s3://rules/policy.yaml")
                .with("AWS_ENDPOINT_URL_S3", &store.endpoint)
                // No other service answers.
                .with("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
                .with_time(INVOCATION);
            let mut function = build.start().await;
            let took = function.ready().await;
            assert!(took < INIT_PHASE, "{name}, {fault:?}: the start took {took:?}: {}", function.log());
            let error = function.answer(event).await.expect_err("without a policy, nothing is decided").to_string();
            assert!(error.contains("failed to load the policy"), "{name}, {fault:?}: {error}");
            let log = function.log_with("PolicyUnavailable").await;
            assert_eq!(log_metric(&log, "PolicyUnavailable"), 1, "{name}, {fault:?}: {log}");
            assert_eq!(log_metric(&log, "Invocations"), 0, "{name}, {fault:?}: {log}");
            store.is_healthy.store(true, Ordering::Relaxed);
            let answer = format!("{:?}", function.answer(event).await);
            assert!(!answer.contains("failed to load the policy"), "{name}, {fault:?}: {answer}");
            assert_eq!(log_metric(&function.log(), "PolicyUnavailable"), 1, "{name}, {fault:?}");
            println!("{name}: ready after {took:?} with S3 {fault:?}");
        }
    });
    futures::future::join_all(cases).await;
}
