//! The servers: the control plane, `MiniStack`, and moto.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::endpoints::{self, ACCOUNT, REGION};
use super::folder::Folder;
use crate::command::Run;
use crate::console::step;
use crate::failure::{Failure, Result};
use crate::http::Client;
use crate::interrupt;
use crate::process::{Record, log_file};
use crate::workspace::Workspace;

/// Each is ready within a second on an idle machine; a busy one gets this.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// The programs of this workspace that the stack runs.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) control_plane: PathBuf,
    /// The demo's applications.
    pub(super) shop: PathBuf,
    /// The command for people.
    pub(super) meshwarden: PathBuf,
}

impl Programs {
    /// Builds all of them at once. With a test beside them they are what the tests build, with the same features of
    /// everything that they share, so that nobody who does both waits for it twice.
    pub(super) fn build(workspace: &Workspace) -> Result<Self> {
        let messages = step("build the control plane and what runs beside it", |progress| {
            Run::cargo(workspace.root())
                .args(["build", "--locked", "--workspace", "--test", "reports"])
                .args(["--bin", "control-plane", "--bin", "shop", "--bin", "meshwarden"])
                .args(["--message-format", "json-render-diagnostics"])
                .condensed(progress)
        })?;
        let program = |name: &str| {
            let executable = messages.iter().find_map(|message| {
                let message: Value = serde_json::from_str(message).ok()?;
                (message.get("target")?.get("name")? == name).then_some(())?;
                Some(PathBuf::from(message.get("executable")?.as_str()?))
            });
            executable.ok_or_else(|| Failure::Refused {
                what: "cargo build".to_owned(),
                answer: format!("without naming the executable of {name}"),
            })
        };
        Ok(Self {
            control_plane: program("control-plane")?,
            shop: program("shop")?,
            meshwarden: program("meshwarden")?,
        })
    }
}

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
pub(super) fn start_control_plane(program: &Path, folder: &Folder, certificates: Option<&str>) -> Result<ControlPlane> {
    let mut command = Command::new(program);
    command.args(["--api", "127.0.0.1:0", "--xds", "127.0.0.1:0", "--listeners", PROXY_PORTS]);
    command.args(["--account", ACCOUNT, "--region", REGION]);
    if let Some(address) = certificates {
        command.args(["--certificates", "aws", "--certificate-refresh", "1s", "--sds", "ads"]);
        command.args(BUNDLES.iter().flat_map(|bundle| ["--bundle", bundle]));
        command.envs(endpoints::of_certificates(address)).envs(endpoints::identity());
    }
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

/// Whether moto is in the Python environment.
pub(super) fn moto_is_installed(workspace: &Workspace) -> bool {
    workspace.venv_program("moto_server").is_file()
}

/// Starts it on a free port, and returns where it answers.
pub(super) fn start_moto(workspace: &Workspace, folder: &Folder, client: &Client) -> Result<String> {
    let port = free_port()?.to_string();
    let mut command = Command::new(workspace.venv_program("python"));
    command.arg(workspace.file("infra/local/moto_server.py")).arg(&port);
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    let address = format!("http://127.0.0.1:{port}");
    let record = Record::start("moto", command, folder.path())?;
    let log = log_file(folder.path(), &record.name);
    until_ready(&record, &log, || {
        client.get(&format!("{address}/moto-api/data.json")).ok()?;
        Some(address.clone())
    })
}

/// Starts it on a free port, and returns where it answers. `certificates` is where its functions find those.
pub(super) fn start_ministack(
    workspace: &Workspace,
    folder: &Folder,
    client: &Client,
    certificates: Option<&str>,
) -> Result<String> {
    let scratch = folder.path().join("ministack");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(Failure::file("empty", &scratch))?;
    }
    fs::create_dir_all(&scratch).map_err(Failure::file("create", &scratch))?;
    let port = free_port()?;
    let address = format!("http://127.0.0.1:{port}");
    let mut command = ministack(workspace, &scratch, &address, port);
    command.envs(certificates.into_iter().flat_map(endpoints::of_certificates));
    let record = Record::start("ministack", command, folder.path())?;
    let log = log_file(folder.path(), &record.name);
    until_ready(&record, &log, || {
        let answer = client.get(&format!("{address}/_ministack/ready")).ok()?;
        (answer.body.get("status")? == "completed").then(|| address.clone())
    })
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
