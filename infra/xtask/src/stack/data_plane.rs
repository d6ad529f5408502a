//! The data plane: an Envoy for each virtual node and gateway of the demo mesh, and the applications behind them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;
use serde_json::{Value, json};

use super::folder::Folder;
use super::servers::until_ready;
use crate::demo_mesh::{self, MESH};
use crate::failure::{Failure, Result};
use crate::http::{Client, segment};
use crate::process::{Record, log_file};
use crate::programs::Programs;
use crate::workspace::Workspace;

/// A proxy that runs.
#[derive(Clone, Debug)]
pub(crate) struct RunningProxy {
    /// Its virtual node or gateway.
    pub(crate) name: String,
    /// Where its administration answers.
    pub(crate) admin: String,
}

/// All proxies, and the applications behind them.
#[derive(Clone, Debug)]
pub(crate) struct DataPlane {
    pub(crate) proxies: Vec<RunningProxy>,
    /// Where the applications are controlled.
    pub(crate) shop: String,
    /// Where the virtual gateway takes requests.
    pub(crate) gateway: String,
    /// Which loopback port is for what, for people.
    pub(crate) ports: Vec<String>,
}

/// Which ports one proxy was given.
#[derive(Debug)]
struct Ports {
    body: Value,
}

/// What the applications are started with.
#[derive(Debug, Serialize)]
struct Plan {
    gateway: String,
    nodes: Vec<Node>,
}

#[derive(Debug, Serialize)]
struct Node {
    name: String,
    protocol: String,
    application: u16,
    backends: BTreeMap<String, u16>,
}

/// What the proxies depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upstream<'a> {
    /// The App Mesh API.
    pub(super) app_mesh: &'a str,
    /// Where the control plane serves Envoys.
    pub(super) xds: &'a str,
    /// Where the CloudWatch agent takes their statistics.
    pub(super) statsd: &'a str,
}

/// Starts the proxies and applications, and waits until all of them take requests.
pub(super) fn start(
    workspace: &Workspace,
    folder: &Folder,
    programs: &Programs,
    client: &Client,
    upstream: Upstream<'_>,
) -> Result<DataPlane> {
    let shapes = demo_mesh::proxies(workspace)?;
    let mut plan = Plan { gateway: String::new(), nodes: Vec::new() };
    let mut ports = Vec::new();
    for shape in &shapes {
        let given = Ports::of(client, upstream.app_mesh, shape.kind, &shape.name)?;
        ports.extend(given.lines(&shape.name));
        if shape.kind == "virtualGateway" {
            plan.gateway = format!("127.0.0.1:{}", given.first("ingress")?);
        } else {
            plan.nodes.push(Node {
                name: shape.name.clone(),
                protocol: shape.protocol.clone(),
                application: given.first("application")?,
                backends: given.egress(),
            });
        }
    }
    let shop = start_shop(folder, programs.path("shop")?, &plan)?;
    let mut started = Vec::new();
    for shape in &shapes {
        started.push(start_proxy(
            workspace,
            folder,
            programs.path("control-plane")?,
            upstream,
            shape.kind,
            &shape.name,
        )?);
    }
    let mut proxies = Vec::new();
    for (record, admin_file, name) in started {
        let log = log_file(folder.path(), &record.name);
        let admin = until_ready(&record, &log, || {
            let admin = fs::read_to_string(&admin_file).ok().filter(|text| !text.is_empty())?;
            let admin = format!("http://{}", admin.trim());
            (client.get(&format!("{admin}/ready")).ok()?.status == 200).then_some(admin)
        })?;
        proxies.push(RunningProxy { name, admin });
    }
    Ok(DataPlane { proxies, shop, gateway: plan.gateway, ports })
}

fn start_shop(folder: &Folder, program: &Path, plan: &Plan) -> Result<String> {
    let file = folder.path().join("shop.json");
    fs::write(&file, json!(plan).to_string()).map_err(Failure::file("write", &file))?;
    let mut command = Command::new(program);
    command.arg(file);
    let record = Record::start("shop", command, folder.path())?;
    let log = log_file(folder.path(), &record.name);
    until_ready(&record, &log, || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.split_inclusive('\n')
            .find_map(|line| line.strip_suffix('\n')?.strip_prefix("shop ").map(ToOwned::to_owned))
    })
}

/// Stays as the parent of the program that it is given. An Envoy ends when its parent does, and the parent would be `cargo xtask
/// up`, which ends while the stack stays. The exit keeps the shell from turning into the program.
const PARENT: &str = r#""$0" "$@"; exit $?"#;

/// Starts an Envoy on a bootstrap that the control plane printed. It writes where its administration listens to the
/// file returned.
fn start_proxy(
    workspace: &Workspace,
    folder: &Folder,
    control_plane: &Path,
    upstream: Upstream<'_>,
    kind: &str,
    name: &str,
) -> Result<(Record, PathBuf, String)> {
    let bootstrap = folder.path().join(format!("envoy-{name}.json"));
    let admin = folder.path().join(format!("envoy-{name}.admin"));
    // One from a former run would be taken for this one's.
    fs::remove_file(&admin).ok();
    let node = format!("mesh/{MESH}/{kind}/{name}");
    let output = Command::new(control_plane)
        .args(["bootstrap", "--xds", upstream.xds, "--node", &node, "--admin", "127.0.0.1:0"])
        .args(["--statsd", upstream.statsd, "--statsd-interval", "1s"])
        .output()
        .map_err(|source| Failure::Start { command: "control-plane bootstrap".to_owned(), source })?;
    if !output.status.success() {
        let tail = String::from_utf8_lossy(&output.stderr).lines().map(ToOwned::to_owned).collect();
        let command = format!("control-plane bootstrap --node {node}");
        return Err(Failure::Command { command, status: output.status.to_string(), tail });
    }
    let configuration = with_handshakes(&output.stdout)
        .ok_or_else(|| Failure::Unreadable { path: bootstrap.clone(), why: "the bootstrap is not JSON".to_owned() })?;
    fs::write(&bootstrap, configuration.to_string()).map_err(Failure::file("write", &bootstrap))?;
    let mut command = Command::new("sh");
    command
        .args(["-c", PARENT])
        .arg(workspace.venv_program("envoy"))
        .arg("--config-path")
        .arg(&bootstrap)
        .arg("--admin-address-path")
        .arg(&admin)
        // Many Envoys of one machine: no shared memory between them, and one worker each.
        .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"]);
    let record = Record::start(&format!("envoy-{name}"), command, folder.path())?;
    Ok((record, admin, name.to_owned()))
}

/// A bootstrap whose Envoy also counts TLS handshakes, which the scenario on certificates reads. What is sent to CloudWatch
/// is only what alarms need, so by itself an Envoy keeps no others.
fn with_handshakes(bootstrap: &[u8]) -> Option<Value> {
    let mut bootstrap: Value = serde_json::from_slice(bootstrap).ok()?;
    let kept = "/stats_config/stats_matcher/inclusion_list/patterns";
    if let Some(patterns) = bootstrap.pointer_mut(kept).and_then(Value::as_array_mut) {
        patterns.push(json!({"safe_regex": {"regex": ".*ssl\\.(handshake|connection_error|fail_verify.*)"}}));
    }
    Some(bootstrap)
}

impl Ports {
    fn of(client: &Client, app_mesh: &str, kind: &str, name: &str) -> Result<Self> {
        let url = format!("{app_mesh}/proxies/{MESH}/{kind}/{}", segment(name));
        Ok(Self { body: client.get(&url)?.success(&format!("the ports of {name}"))? })
    }

    fn list(&self, side: &str) -> impl Iterator<Item = &Value> {
        self.body.pointer(&format!("/ports/{side}")).and_then(Value::as_array).into_iter().flatten()
    }

    fn first(&self, side: &str) -> Result<u16> {
        let found = self.list(side).find_map(port);
        found.ok_or_else(|| Failure::Refused {
            what: "the control plane".to_owned(),
            answer: format!("no {side} port in {}", self.body),
        })
    }

    fn egress(&self) -> BTreeMap<String, u16> {
        let entries =
            self.list("egress").filter_map(|entry| Some((entry.get("backend")?.as_str()?.to_owned(), port(entry)?)));
        entries.collect()
    }

    /// Every port in words.
    fn lines(&self, name: &str) -> Vec<String> {
        let line = |side: &'static str| {
            self.list(side).map(move |entry| {
                let backend = entry.get("backend").and_then(Value::as_str);
                let backend = backend.map(|backend| format!(" to {backend}")).unwrap_or_default();
                format!("{name:<24} {side:<11} 127.0.0.1:{}{backend}", port(entry).unwrap_or_default())
            })
        };
        ["ingress", "application", "egress"].into_iter().flat_map(line).collect()
    }
}

fn port(entry: &Value) -> Option<u16> {
    u16::try_from(entry.get("port")?.as_u64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read() {
        let ports = Ports {
            body: json!({"ports": {
                "ingress": [{"listener": 8080, "port": 20001}],
                "application": [{"listener": 8080, "port": 20002}],
                "egress": [{"backend": "cart.shop.local", "servicePort": 8080, "port": 20003}],
            }}),
        };
        assert_eq!(ports.first("ingress").unwrap(), 20001);
        assert_eq!(ports.egress(), BTreeMap::from([("cart.shop.local".to_owned(), 20003)]));
        assert_eq!(ports.lines("web").len(), 3);
        assert!(ports.first("loop").is_err());
    }
}
