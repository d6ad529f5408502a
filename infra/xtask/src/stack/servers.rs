//! The servers: the control plane, `MiniStack`, and moto.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::endpoints::{self, ACCOUNT, Endpoints, REGION};
use super::folder::Folder;
use crate::failure::{Failure, Result};
use crate::http::Client;
use crate::interrupt;
use crate::process::{Record, log_file};
use crate::workspace::Workspace;

/// Each is ready within a second on an idle machine; a busy one gets this.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Where the control plane answers.
#[derive(Debug)]
pub(super) struct ControlPlane {
    /// The App Mesh API.
    pub(super) api: String,
    /// Envoys: `127.0.0.1:41235`.
    pub(super) xds: String,
}

/// The loopback ports that proxies and applications are given. Below the range that systems hand out by themselves.
const PROXY_PORTS: &str = "explicit:21000-29999";

/// The names by which the demo mesh calls secrets, and the bundles that they are: `infra/local/demo-policy.yaml` has the
/// same ones.
const BUNDLES: [&str; 5] = [
    "catalog=shop/catalog",
    "recommendations-calls=shop/recommendations-calls",
    "storefront-calls=shop/storefront-calls",
    "shop-roots=shop/roots#trust",
    // Called by no name of the mesh: it has the key of an imported certificate.
    "storefront=shop/storefront",
];

/// Starts it on ports of its own choice, and returns where it answers. `certificates` is where it fetches those; it looks
/// for new ones every second, so that nobody has to wait.
pub(super) fn start_control_plane(program: &Path, folder: &Folder, certificates: &str) -> Result<ControlPlane> {
    let mut command = Command::new(program);
    command.args(["--api", "127.0.0.1:0", "--xds", "127.0.0.1:0", "--listeners", PROXY_PORTS]);
    command.args(["--account", ACCOUNT, "--region", REGION]);
    command.args(["--certificates", "aws", "--certificate-refresh", "1s", "--sds", "ads"]);
    command.args(BUNDLES.iter().flat_map(|bundle| ["--bundle", bundle]));
    command.envs(endpoints::of_certificates(certificates)).envs(endpoints::identity());
    let record = Record::start("control-plane", command, folder.path())?;
    let log = log_file(folder.path(), &record.name);
    until_ready(&record, &log, || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        Some(ControlPlane { api: told(&text, "api ")?, xds: told(&text, "xds ")? })
    })
}

/// What a program said after a word at the beginning of a line. A line is whole once it has its end.
fn told(text: &str, word: &str) -> Option<String> {
    text.split_inclusive('\n').find_map(|line| line.strip_suffix('\n')?.strip_prefix(word).map(ToOwned::to_owned))
}

/// A server that was started on a port chosen for it, and may not answer yet.
#[derive(Debug)]
pub(super) struct Starting {
    record: Record,
    log: PathBuf,
    pub(super) address: String,
}

/// Starts the stand-in for the CloudWatch agent, and returns where it takes `DogStatsD` lines.
pub(super) fn start_agent(workspace: &Workspace, folder: &Folder, endpoints: &Endpoints) -> Result<String> {
    let mut command = Command::new(workspace.venv_program("python"));
    command.arg(workspace.file("infra/local/cloudwatch_agent.py"));
    command.arg(workspace.file("infra/deploy/cloudwatch-agent/agent.json"));
    command.args(["--listen", "127.0.0.1:0", "--interval", "1"]);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).envs(endpoints.variables());
    let record = Record::start("cloudwatch-agent", command, folder.path())?;
    let log = log_file(folder.path(), &record.name);
    until_ready(&record, &log, || told(&fs::read_to_string(&log).unwrap_or_default(), "statsd "))
}

/// Starts moto.
pub(super) fn start_moto(workspace: &Workspace, folder: &Folder) -> Result<Starting> {
    let port = free_port()?;
    let mut command = Command::new(workspace.venv_program("python"));
    command.arg(workspace.file("infra/local/moto_server.py")).arg(port.to_string());
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    Starting::begin("moto", command, folder, port)
}

/// Starts `MiniStack`. `certificates` is where its functions find those.
pub(super) fn start_ministack(workspace: &Workspace, folder: &Folder, certificates: &str) -> Result<Starting> {
    let scratch = folder.path().join("ministack");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(Failure::file("empty", &scratch))?;
    }
    fs::create_dir_all(&scratch).map_err(Failure::file("create", &scratch))?;
    let port = free_port()?;
    let mut command = ministack(workspace, &scratch, &format!("http://127.0.0.1:{port}"), port);
    command.envs(endpoints::of_certificates(certificates));
    Starting::begin("ministack", command, folder, port)
}

impl Starting {
    fn begin(name: &str, command: Command, folder: &Folder, port: u16) -> Result<Self> {
        let record = Record::start(name, command, folder.path())?;
        let log = log_file(folder.path(), &record.name);
        Ok(Self { record, log, address: format!("http://127.0.0.1:{port}") })
    }

    /// Waits until moto answers.
    pub(super) fn until_moto_answers(&self, client: &Client) -> Result<()> {
        until_ready(&self.record, &self.log, || {
            client.get(&format!("{}/moto-api/data.json", self.address)).ok().map(drop)
        })
    }

    /// Waits until `MiniStack` has all its services.
    pub(super) fn until_ministack_answers(&self, client: &Client) -> Result<()> {
        until_ready(&self.record, &self.log, || {
            let answer = client.get(&format!("{}/_ministack/ready", self.address)).ok()?;
            (answer.body.get("status")? == "completed").then_some(())
        })
    }
}

fn ministack(workspace: &Workspace, scratch: &Path, address: &str, port: u16) -> Command {
    let mut command = Command::new(workspace.venv_program("python"));
    command.arg(workspace.file("infra/local/ministack_server.py")).arg(port.to_string()).current_dir(scratch);
    // The functions inherit its environment, so it gets only what is meant for them and it.
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command
        .env("GATEWAY_PORT", port.to_string())
        .env("MINISTACK_HOST", "127.0.0.1")
        .env("MINISTACK_ACCOUNT_ID", ACCOUNT)
        .env("MINISTACK_REGION", REGION)
        .env("AWS_ENDPOINT_URL", address)
        .env("TMPDIR", scratch)
        .env("STATE_DIR", scratch.join("state"))
        .env("S3_DATA_DIR", scratch.join("s3"))
        // Listeners that nobody here needs, on ports that may be taken.
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        // It runs functions as processes; it must not look for a Docker daemon.
        .env("DOCKER_HOST", format!("unix://{}", scratch.join("none").display()));
    command
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    Ok(bound.map_err(Failure::file("bind", "127.0.0.1"))?.port())
}

pub(super) fn until_ready<T>(record: &Record, log: &Path, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let found = interrupt::poll(READY_WITHIN, || match look() {
        Some(found) => Ok(Some(found)),
        None if record.runs() => Ok(None),
        None => {
            let text = fs::read_to_string(log).unwrap_or_default();
            let tail = text.lines().rev().take(10).map(ToOwned::to_owned).collect::<Vec<_>>();
            let tail = tail.into_iter().rev().collect();
            Err(Failure::Command { command: record.name.clone(), status: "an early end".to_owned(), tail })
        }
    })?;
    found.ok_or_else(|| Failure::NotReady {
        what: record.name.clone(),
        seconds: READY_WITHIN.as_secs(),
        log: log.to_path_buf(),
    })
}
