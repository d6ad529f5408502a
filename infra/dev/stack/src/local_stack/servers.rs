//! The servers: the control plane, `MiniStack`, moto, and the agent.

use std::fs;
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

/// The time limit of a server's start: it takes a second on an idle machine, and more on a busy one.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// The addresses of the control plane.
#[derive(Debug)]
pub(super) struct ControlPlane {
    /// The App Mesh API.
    pub(super) api: String,
    /// The ADS server: `127.0.0.1:41235`.
    pub(super) xds: String,
}

/// The loopback ports of proxies and applications, below the ephemeral range.
const PROXY_PORTS: &str = "explicit:21000-29999";

/// The names of secrets in the demo mesh, and their bundles, as in `infra/dev/local/demo-policy.yaml`.
const BUNDLES: [&str; 5] = [
    "catalog=shop/catalog",
    "recommendations-calls=shop/recommendations-calls",
    "storefront-calls=shop/storefront-calls",
    "shop-roots=shop/roots#trust",
    // No name of the mesh uses this bundle; it has the key of an imported certificate.
    "storefront=shop/storefront",
];

/// Starts it on free ports, and returns its addresses. `certificates` is the address of its sources of certificates,
/// which it polls every second to keep the demo short.
pub(super) fn start_control_plane(program: &Path, folder: &Folder, certificates: &str) -> Result<ControlPlane> {
    let mut command = Command::new(program);
    command.args(["--api", "127.0.0.1:0", "--xds", "127.0.0.1:0", "--listeners", PROXY_PORTS]);
    command.args(["--account", ACCOUNT, "--region", REGION]);
    command.args(["--certificates", "aws", "--certificate-refresh", "1s", "--sds", "ads"]);
    command.args(BUNDLES.iter().flat_map(|bundle| ["--bundle", bundle]));
    command.envs(endpoints::certificate_variables(certificates)).envs(endpoints::identity());
    let record = Record::start("control-plane", command, folder.path())?;
    let log = log_file(folder.path(), &record.name);
    until_ready(&record, &log, || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        Some(ControlPlane { api: rest_of_line(&text, "api ")?, xds: rest_of_line(&text, "xds ")? })
    })
}

/// The rest of the first complete line that begins with a word.
pub(super) fn rest_of_line(text: &str, word: &str) -> Option<String> {
    text.split_inclusive('\n').find_map(|line| line.strip_suffix('\n')?.strip_prefix(word).map(ToOwned::to_owned))
}

/// A server that has bound its port, and may not be ready yet.
#[derive(Debug)]
pub(super) struct StartingServer {
    record: Record,
    log: PathBuf,
    pub(super) address: String,
}

/// Starts the stand-in for the CloudWatch agent, and returns the address at which it accepts `DogStatsD` lines.
pub(super) fn start_agent(workspace: &Workspace, folder: &Folder, endpoints: &Endpoints) -> Result<String> {
    let mut command = Command::new(workspace.venv_program("python"));
    command.arg(workspace.file("infra/dev/local/cloudwatch_agent.py"));
    command.arg(workspace.file("infra/deploy/cloudwatch-agent/agent.json"));
    command.args(["--listen", "127.0.0.1:0", "--interval", "1"]);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).envs(endpoints.variables());
    let record = Record::start("cloudwatch-agent", command, folder.path())?;
    let log = log_file(folder.path(), &record.name);
    until_ready(&record, &log, || rest_of_line(&fs::read_to_string(&log).unwrap_or_default(), "statsd "))
}

/// Starts moto.
pub(super) fn start_moto(workspace: &Workspace, folder: &Folder) -> Result<StartingServer> {
    let mut command = Command::new(workspace.venv_program("python"));
    command.arg(workspace.file("infra/dev/local/moto_server.py"));
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    StartingServer::begin("moto", command, folder)
}

/// Starts `MiniStack`. `certificates` is the address of moto, which its functions use.
pub(super) fn start_ministack(workspace: &Workspace, folder: &Folder, certificates: &str) -> Result<StartingServer> {
    let scratch = folder.path().join("ministack");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(Failure::file("empty", &scratch))?;
    }
    fs::create_dir_all(&scratch).map_err(Failure::file("create", &scratch))?;
    let mut command = ministack(workspace, &scratch);
    command.envs(endpoints::certificate_variables(certificates));
    StartingServer::begin("ministack", command, folder)
}

impl StartingServer {
    /// Starts the process, and waits until it has printed the port that it bound.
    fn begin(name: &str, command: Command, folder: &Folder) -> Result<Self> {
        let record = Record::start(name, command, folder.path())?;
        let log = log_file(folder.path(), &record.name);
        let bound = || rest_of_line(&fs::read_to_string(&log).unwrap_or_default(), "listening ");
        let address = until_ready(&record, &log, bound)?;
        Ok(Self { record, log, address: format!("http://{address}") })
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

fn ministack(workspace: &Workspace, scratch: &Path) -> Command {
    let mut command = Command::new(workspace.venv_program("python"));
    command.arg(workspace.file("infra/dev/local/ministack_server.py")).current_dir(scratch);
    // The functions inherit its environment, so it contains only variables for them and for the server.
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command
        .env("MINISTACK_HOST", "127.0.0.1")
        .env("MINISTACK_ACCOUNT_ID", ACCOUNT)
        .env("MINISTACK_REGION", REGION)
        .env("TMPDIR", scratch)
        .env("STATE_DIR", scratch.join("state"))
        .env("S3_DATA_DIR", scratch.join("s3"))
        // These listeners are not needed, and their ports may be in use.
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        // It runs functions as processes, and must not use a Docker daemon.
        .env("DOCKER_HOST", format!("unix://{}", scratch.join("none").display()));
    command
}

pub(super) fn until_ready<T>(record: &Record, log: &Path, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let found = interrupt::poll(START_TIMEOUT, || match look() {
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
        service: record.name.clone(),
        seconds: START_TIMEOUT.as_secs(),
        log: log.to_path_buf(),
    })
}
