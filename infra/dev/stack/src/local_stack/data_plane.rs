//! The data plane: an Envoy for each virtual node and gateway of the demo mesh, and their applications.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;
use serde_json::{Value, json};

use super::folder::Folder;
use super::proxy::Upstream;
use super::proxy::{self, Proxy};
use super::servers::until_ready;
use crate::demo_mesh::ProxyOwner;
use crate::failure::{Failure, Result};
use crate::http::{Client, segment};
use crate::process::{Record, log_file};
use crate::programs::Programs;
use crate::workspace::Workspace;

/// All proxies, and their applications.
#[derive(Clone, Debug)]
pub struct DataPlane {
    /// The proxies, in the order of their start.
    pub proxies: Vec<Proxy>,
    /// The address of the applications' control server.
    pub shop: String,
    /// The address at which the virtual gateway accepts requests.
    pub gateway: String,
    /// The use of each loopback port, as text.
    pub ports: Vec<String>,
}

/// The assigned ports of one proxy.
#[derive(Debug)]
struct AssignedPorts {
    body: Value,
}

/// The input of the applications.
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

/// Starts the proxies of a mesh and their applications, and waits until all of them accept requests.
pub(super) fn start(
    workspace: &Workspace,
    folder: &Folder,
    programs: &Programs,
    client: &Client,
    upstream: Upstream<'_>,
    (mesh, owners): (&str, &[ProxyOwner]),
) -> Result<DataPlane> {
    let mut plan = Plan { gateway: String::new(), nodes: Vec::new() };
    let mut ports = Vec::new();
    for owner in owners {
        let assigned = AssignedPorts::read(client, upstream.app_mesh, mesh, owner)?;
        ports.extend(assigned.lines(&owner.name));
        if owner.kind == "virtualGateway" {
            plan.gateway = format!("127.0.0.1:{}", assigned.first("ingress")?);
        } else {
            plan.nodes.push(Node {
                name: owner.name.clone(),
                protocol: owner.protocol.clone(),
                application: assigned.first("application")?,
                backends: assigned.egress(),
            });
        }
    }
    let shop = start_shop(folder, programs.path("shop")?, &plan)?;
    let mut proxies = Vec::new();
    for owner in owners {
        let node = format!("mesh/{mesh}/{}/{}", owner.kind, owner.name);
        let bootstrap = proxy::write_bootstrap(folder.path(), programs.path("control-plane")?, upstream, &node)?;
        proxies.push(Proxy::start(workspace.venv_program("envoy"), bootstrap, folder.path(), &owner.name)?);
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
    pub fn proxy(&mut self, name: &str) -> Result<&mut Proxy> {
        let found = self.proxies.iter_mut().find(|proxy| proxy.name == name);
        found.ok_or_else(|| Failure::Refused { what: "the data plane".to_owned(), answer: format!("no proxy {name}") })
    }
}

impl AssignedPorts {
    fn read(client: &Client, app_mesh: &str, mesh: &str, owner: &ProxyOwner) -> Result<Self> {
        let url = format!("{app_mesh}/proxies/{mesh}/{}/{}", owner.kind, segment(&owner.name));
        Ok(Self { body: client.get(&url)?.success(&format!("the ports of {}", owner.name))? })
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

    /// A line of text for every port.
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
        let ports = AssignedPorts {
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
