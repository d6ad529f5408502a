//! The data plane: an Envoy for each virtual node and gateway of the demo mesh, and the applications behind them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;
use serde_json::{Value, json};

use super::folder::Folder;
use super::proxy::{self, Proxy};
use super::servers::until_ready;
use crate::demo_mesh::{self, MESH};
use crate::failure::{Failure, Result};
use crate::http::{Client, segment};
use crate::process::{Record, log_file};
use crate::programs::Programs;
use crate::workspace::Workspace;

/// All proxies, and the applications behind them.
#[derive(Clone, Debug)]
pub(crate) struct DataPlane {
    pub(crate) proxies: Vec<Proxy>,
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
    let mut proxies = Vec::new();
    for shape in &shapes {
        let node = format!("mesh/{MESH}/{}/{}", shape.kind, shape.name);
        let bootstrap = proxy::write_bootstrap(folder.path(), programs.path("control-plane")?, upstream, &node)?;
        proxies.push(Proxy::start(workspace.venv_program("envoy"), bootstrap, folder.path(), &shape.name)?);
    }
    for proxy in &mut proxies {
        proxy.wait_until_ready(client)?;
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

impl DataPlane {
    /// The proxy of a virtual node or gateway.
    pub(crate) fn proxy(&mut self, name: &str) -> Result<&mut Proxy> {
        let found = self.proxies.iter_mut().find(|proxy| proxy.name == name);
        found.ok_or_else(|| Failure::Refused { what: "the data plane".to_owned(), answer: format!("no proxy {name}") })
    }
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
