//! moto, which answers for ACM, its private CAs and Secrets Manager, as a child of this process.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// moto on a free port, until it is dropped.
#[derive(Debug)]
pub struct Moto {
    /// Where it answers.
    pub endpoint: String,
    child: Child,
}

/// How long moto may take to answer. It takes two seconds; a busy machine takes many more.
const READY_WITHIN: Duration = Duration::from_mins(1);

impl Moto {
    /// Starts it, or says why it can't be.
    pub async fn start() -> Option<Self> {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".local/venv/bin/python");
        if !python.is_file() {
            println!("skipped: {} is not there; `cargo xtask setup` installs it", python.display());
            return None;
        }
        let found = "import importlib.util, sys; sys.exit(importlib.util.find_spec('moto') is None)";
        if !Command::new(&python).args(["-c", found]).status().unwrap().success() {
            println!(
                "skipped: moto is not installed; `cargo xtask setup` installs what infra/local/requirements.txt names"
            );
            return None;
        }
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let child = Command::new(python)
            .args(["-m", "moto.server", "--host", "127.0.0.1", "--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut moto = Self { endpoint: format!("http://127.0.0.1:{port}"), child };
        let ready = format!("{}/moto-api/data.json", moto.endpoint);
        let give_up = Instant::now() + READY_WITHIN;
        while reqwest::get(&ready).await.is_err() {
            assert_eq!(moto.child.try_wait().unwrap(), None, "moto ended before it answered");
            assert!(Instant::now() < give_up, "moto does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(moto)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Nothing better can be done here about one that is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
