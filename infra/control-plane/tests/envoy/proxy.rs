//! A real Envoy for one test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stage::{MESH, Stage, TIMEOUT};

/// The kind of resource that an Envoy serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Node,
    Gateway,
}

impl Kind {
    pub(crate) const fn member(self) -> &'static str {
        match self {
            Self::Node => "virtualNode",
            Self::Gateway => "virtualGateway",
        }
    }
}

/// An Envoy that runs until it is dropped.
pub(crate) struct Envoy {
    pub(crate) admin: String,
    child: Child,
}

impl Envoy {
    fn program() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.local/venv/bin/envoy")
    }

    pub(crate) fn is_there() -> bool {
        Self::program().is_file()
    }

    /// Starts it with the bootstrap that the control plane prints, and waits until it has its complete configuration.
    pub(crate) async fn start(stage: &Stage, kind: Kind, name: &str) -> Self {
        Self::start_with(stage, kind, name, &[]).await
    }

    /// The same with more arguments for the bootstrap.
    pub(crate) async fn start_with(stage: &Stage, kind: Kind, name: &str, args: &[&str]) -> Self {
        let id = format!("mesh/{MESH}/{}/{name}", kind.member());
        let envoy = Self::start_as(stage, &id, args).await;
        stage.until_up_to_date(kind, name).await;
        envoy.until_active(stage).await;
        envoy
    }

    /// Starts it with a node id, and more arguments for the bootstrap.
    pub(crate) async fn start_as(stage: &Stage, id: &str, args: &[&str]) -> Self {
        Self::start_amended(stage, id, args, |_| {}).await
    }

    /// The same with a changed bootstrap.
    pub(crate) async fn start_amended(stage: &Stage, id: &str, args: &[&str], amend: impl FnOnce(&mut Value)) -> Self {
        let output = Command::new(env!("CARGO_BIN_EXE_control-plane"))
            .args(["bootstrap", "--xds", &stage.xds, "--node", id])
            .args(if args.contains(&"--admin") { &[][..] } else { &["--admin", "127.0.0.1:0"] })
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let unique = uuid::Uuid::new_v4();
        let bootstrap = stage.scratch.file(&format!("{unique}.json"));
        let mut config: Value = serde_json::from_slice(&output.stdout).unwrap();
        amend(&mut config);
        std::fs::write(&bootstrap, config.to_string()).unwrap();
        let admin_file = stage.scratch.file(&format!("{unique}.admin"));
        let log = std::fs::File::create(stage.scratch.file(&format!("{unique}.log"))).unwrap();
        let mut child = Command::new(Self::program())
            .arg("--config-path")
            .arg(&bootstrap)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Ok(admin) = std::fs::read_to_string(&admin_file)
                && !admin.is_empty()
            {
                return Self { admin: format!("http://{}", admin.trim()), child };
            }
            if let Some(status) = child.try_wait().unwrap() {
                let log = std::fs::read_to_string(stage.scratch.file(&format!("{unique}.log"))).unwrap();
                panic!("Envoy ended with {status}: {log}");
            }
            assert!(Instant::now() < deadline, "Envoy does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until its first configuration is active.
    async fn until_active(&self, stage: &Stage) {
        let deadline = Instant::now() + TIMEOUT;
        while self.get(stage, "/ready").await.0 != 200 {
            assert!(Instant::now() < deadline, "Envoy is not ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A response of its admin interface.
    pub(crate) async fn get(&self, stage: &Stage, path: &str) -> (u16, String) {
        match stage.client.get(format!("{}{path}", self.admin)).send().await {
            Ok(response) => (response.status().as_u16(), response.text().await.unwrap_or_default()),
            Err(_) => (0, String::new()),
        }
    }

    /// One of its statistics; 0 if it does not exist.
    pub(crate) async fn statistic(&self, stage: &Stage, name: &str) -> u64 {
        let (_, text) = self.get(stage, &format!("/stats?filter=^{}$", name.replace('.', "%5C."))).await;
        text.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))?.parse().ok()).unwrap_or_default()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
