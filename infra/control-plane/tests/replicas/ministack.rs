//! MiniStack as a child process. Its DynamoDB is the store of these tests.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws::{Aws, ItemTable};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const REGION: &str = "eu-west-1";

/// A MiniStack process, which dropping it ends.
#[derive(Debug)]
pub(crate) struct MiniStack {
    pub(crate) endpoint: String,
    child: Child,
    scratch: PathBuf,
}

impl MiniStack {
    /// Starts MiniStack. `None`, with the reason printed, if it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let python = root.join(".local/venv/bin/python");
        if !python.is_file() {
            println!("skipped: {} does not exist; `cargo xtask setup` installs it", python.display());
            return None;
        }
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let scratch = std::env::temp_dir().join(format!("meshwarden-replicas-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&scratch).unwrap();
        let mut child = Command::new(python)
            .arg(root.join("infra/dev/local/ministack_server.py"))
            .current_dir(&scratch)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs([("MINISTACK_HOST", "127.0.0.1"), ("MINISTACK_ACCOUNT_ID", ACCOUNT), ("MINISTACK_REGION", REGION)])
            .envs([("IOT_MTLS_ENABLED", "0"), ("SFTP_ENABLED", "0")])
            .env("TMPDIR", &scratch)
            .env("STATE_DIR", scratch.join("state"))
            .env("S3_DATA_DIR", scratch.join("s3"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let endpoint = format!("http://{}", line.trim_end().strip_prefix("listening ").unwrap());
        // A full pipe would block the server. This thread ends with it.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let stack = Self { endpoint, child, scratch };
        let deadline = Instant::now() + Duration::from_secs(90);
        let ready = format!("{}/_ministack/ready", stack.endpoint);
        while !is_ready(&ready).await {
            assert!(Instant::now() < deadline, "MiniStack does not respond");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(stack)
    }

    fn config(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                ACCOUNT, "secret", None, None, "tests",
            )))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(aws::retry_config())
            .sleep_impl(aws_smithy_async::rt::sleep::SharedAsyncSleep::new(
                aws_smithy_async::rt::sleep::TokioSleep::new(),
            ))
            .build()
    }

    /// A new table.
    pub(crate) async fn table(&self, name: &str) -> ItemTable {
        let table = self.existing(name);
        table.create().await.unwrap();
        table
    }

    /// A table that exists, or not.
    pub(crate) fn existing(&self, name: &str) -> ItemTable {
        Aws::with_config(self.config()).items(name)
    }

    /// The variables for a process that uses this MiniStack.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL_DYNAMODB", self.endpoint.as_str()),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ACCOUNT),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ]
    }

    /// Stops the process from answering, or lets it continue.
    pub(crate) fn freeze(&self, frozen: bool) {
        let signal = if frozen { "STOP" } else { "CONT" };
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

async fn is_ready(url: &str) -> bool {
    match reqwest::get(url).await {
        Ok(answer) => answer.text().await.is_ok_and(|text| text.contains("completed")),
        Err(_) => false,
    }
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}
