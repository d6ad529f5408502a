//! Three replicas of the control plane on the local `DynamoDB`, behind one name, with the proxies of the market.
//!
//! ```text
//!   Envoys of the market ── control-plane.market.internal ──▶ 127.0.0.2, 127.0.0.3, 127.0.0.4 ──▶ table in DynamoDB
//! ```

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::data_plane::{self, DataPlane};
use super::folder::{EndOnDrop, Folder};
use super::proxy::Upstream;
use super::resolver::Resolver;
use super::servers::{rest_of_line, until_ready};
use super::{Endpoints, Stack, endpoints};
use crate::console::step;
use crate::demo_mesh::{self, MARKET};
use crate::failure::{Failure, Result};
use crate::http::Client;
use crate::process::{Record, log_file};
use crate::workspace::Workspace;

/// The name at which the proxies look for the control plane.
pub const NAME: &str = "control-plane.market.internal";

/// The table of the log.
const TABLE: &str = "meshwarden-control-plane";

/// The stack of the market's alarms.
const ALARMS_STACK: &str = "market-alarms";

/// The addresses of the replicas. Outgoing connections have the address 127.0.0.1, so the port of a killed replica stays
/// free until it returns.
const ADDRESSES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(127, 0, 0, 4)];

/// The loopback ports of the market's proxies and applications: other ones than those of the shop.
const PROXY_PORTS: &str = "explicit:30000-31999";

/// The header of clients that understand the member `unknown` of `GET /proxies`.
const EVIDENCE: (&str, &str) = ("x-meshwarden-evidence", "2");

/// One replica.
#[derive(Debug)]
pub struct Replica {
    /// `replica-1` for the first one.
    pub name: String,
    /// The address of its API.
    pub api: String,
    /// The address of its xDS server.
    xds: SocketAddrV4,
    /// Its ids in `GET /proxies`; each process draws one. The last one is the present.
    pub ids: Vec<String>,
    record: Record,
}

/// The replicas, with the proxies and applications of the market. All processes end when this is dropped.
#[derive(Debug)]
pub struct Replicas {
    /// The replicas.
    pub all: Vec<Replica>,
    /// The proxies and applications of the market.
    pub data_plane: DataPlane,
    program: PathBuf,
    client: Client,
    variables: Vec<(String, String)>,
    folder: EndOnDrop,
    _resolver: Resolver,
}

/// Whether this machine has the addresses of the replicas. Linux has all of 127.0.0.0/8; macOS needs aliases.
#[must_use]
pub fn are_addresses_available() -> bool {
    ADDRESSES.iter().all(|address| TcpListener::bind((*address, 0)).is_ok())
}

impl Replicas {
    /// Creates the table, starts the replicas, loads the market through the first one, and starts its proxies.
    ///
    /// # Errors
    ///
    /// A process, the table or the mesh cannot be created.
    pub fn start(workspace: &Workspace, stack: &mut Stack) -> Result<Self> {
        let folder = Folder::lock(workspace.local("demo-replicas"))?.end_on_drop();
        folder.get().end()?;
        let client = stack.client.clone();
        let program = stack.programs.path("control-plane")?.to_path_buf();
        let variables = stack.endpoints.variables();
        let mut all: Vec<Replica> = Vec::new();
        step("start three replicas on one table of DynamoDB", |_| {
            create_table(stack)?;
            for (number, address) in (1..).zip(ADDRESSES) {
                // All of them have the port of the first one, as behind one name.
                let port = all.first().map_or(0, |first| first.xds.port());
                let address = SocketAddrV4::new(address, port);
                let name = format!("replica-{number}");
                let mut replica = start_replica(&program, &variables, folder.get().path(), &name, address)?;
                replica.ids.push(own_id(&client, &replica.api, &ids(&all))?);
                all.push(replica);
            }
            Ok(())
        })?;
        let first = all.first().map(|replica| replica.api.clone()).unwrap_or_default();
        let port = all.first().map_or(0, |replica| replica.xds.port());
        step("load the market", |_| demo_mesh::load_market(workspace, &client, &first))?;
        let resolver = Resolver::start(ADDRESSES.to_vec())?;
        let data_plane = step("start its Envoys and applications", |_| {
            let xds = format!("{NAME}:{port}");
            let resolver = Some(resolver.address);
            let upstream = Upstream { app_mesh: &first, xds: &xds, statsd: &stack.statsd, resolver };
            let owners = demo_mesh::market_proxies(workspace)?;
            data_plane::start(workspace, folder.get(), &stack.programs, &client, upstream, (MARKET, &owners))
        })?;
        Ok(Self { all, data_plane, program, client, variables, folder, _resolver: resolver })
    }

    /// Creates the alarms that `meshwarden alarms` writes for the market.
    ///
    /// # Errors
    ///
    /// The alarms are refused.
    pub fn deploy_alarms(&self, workspace: &Workspace, stack: &mut Stack) -> Result<()> {
        let market = self.get(0)?.api.clone();
        let shop = std::mem::replace(&mut stack.endpoints.app_mesh, market);
        let alarms = stack.deploy_alarms(workspace, self.folder.get(), MARKET, ALARMS_STACK);
        stack.endpoints.app_mesh = shop;
        alarms.map(drop)
    }

    /// Kills a replica, which gets no chance to end its streams.
    ///
    /// # Errors
    ///
    /// The process cannot be killed.
    pub fn kill(&self, replica: usize) -> Result<()> {
        let replica = self.get(replica)?;
        let group = i32::try_from(replica.record.pid).map(Pid::from_raw);
        group
            .is_ok_and(|group| killpg(group, Signal::SIGKILL).is_ok())
            .then_some(())
            .ok_or_else(|| Failure::Refused { what: replica.name.clone(), answer: "it cannot be killed".to_owned() })
    }

    /// Starts a killed replica again, at its addresses.
    ///
    /// # Errors
    ///
    /// The process does not get ready.
    pub fn restart(&mut self, replica: usize) -> Result<()> {
        let (program, variables, folder) = (&self.program, &self.variables, self.folder.get().path());
        let previous = self.all.get_mut(replica).ok_or_else(|| missing(replica))?;
        let mut next = start_replica(program, variables, folder, &previous.name, previous.xds)?;
        next.ids.clone_from(&previous.ids);
        *previous = next;
        Ok(())
    }

    /// Reads the id of a restarted replica.
    ///
    /// # Errors
    ///
    /// The replica does not answer, or is not in its own report.
    pub fn learn_id(&mut self, replica: usize) -> Result<()> {
        let id = own_id(&self.client, &self.get(replica)?.api, &ids(&self.all))?;
        self.all.get_mut(replica).ok_or_else(|| missing(replica))?.ids.push(id);
        Ok(())
    }

    /// A replica by its position.
    ///
    /// # Errors
    ///
    /// No replica has this position.
    pub fn get(&self, replica: usize) -> Result<&Replica> {
        self.all.get(replica).ok_or_else(|| missing(replica))
    }

    /// `GET /proxies` of a replica, with the unknown proxies.
    ///
    /// # Errors
    ///
    /// The replica does not answer.
    pub fn proxies(&self, replica: usize) -> Result<Value> {
        proxies(&self.client, &self.get(replica)?.api)
    }

    /// The name of the replica with an id.
    #[must_use]
    pub fn name_of(&self, id: &str) -> &str {
        let found = self.all.iter().find(|replica| replica.ids.iter().any(|own| own == id));
        found.map_or("another replica", |replica| replica.name.as_str())
    }
}

fn missing(replica: usize) -> Failure {
    Failure::Refused { what: "the replicas".to_owned(), answer: format!("replica {} does not exist", replica + 1) }
}

fn ids(replicas: &[Replica]) -> Vec<String> {
    replicas.iter().flat_map(|replica| replica.ids.clone()).collect()
}

fn proxies(client: &Client, api: &str) -> Result<Value> {
    // A replica that has just lost another one may answer late, but does answer.
    client.get_with(&format!("{api}/proxies"), EVIDENCE.0, EVIDENCE.1)?.success("GET /proxies")
}

/// The id of a replica: the one that no earlier process has.
fn own_id(client: &Client, api: &str, known: &[String]) -> Result<String> {
    let report = proxies(client, api)?;
    let listed = report.get("replicas").and_then(Value::as_array).into_iter().flatten();
    let mut new = listed.filter_map(|replica| replica.get("id")?.as_str()).filter(|id| !known.iter().any(|k| k == id));
    new.next().map(ToOwned::to_owned).ok_or_else(|| Failure::Refused {
        what: "the control plane".to_owned(),
        answer: format!("without a new replica in {report}"),
    })
}

fn create_table(stack: &mut Stack) -> Result<()> {
    let keys = [("pk", "HASH"), ("sk", "RANGE")];
    let request = json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": keys.map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind})),
        "AttributeDefinitions": keys.map(|(name, _)| json!({"AttributeName": name, "AttributeType": "S"})),
    });
    stack.aws.call("dynamodb", "create_table", &request).map(drop)
}

fn start_replica(
    program: &Path,
    variables: &[(String, String)],
    folder: &Path,
    name: &str,
    xds: SocketAddrV4,
) -> Result<Replica> {
    let mut command = Command::new(program);
    command.args(["--account", endpoints::ACCOUNT, "--region", endpoints::REGION]);
    command.args(["--store", &format!("dynamodb:{TABLE}"), "--role", "replica"]);
    command.args(["--api", &format!("{}:0", xds.ip()), "--xds", &xds.to_string(), "--listeners", PROXY_PORTS]);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let record = Record::start(name, command, folder)?;
    let log = log_file(folder, name);
    let (api, xds) = until_ready(&record, &log, || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        Some((rest_of_line(&text, "api ")?, rest_of_line(&text, "xds ")?.parse().ok()?))
    })?;
    Ok(Replica { name: name.to_owned(), api, xds, ids: Vec::new(), record })
}

impl Endpoints {
    /// The variable by which functions find the App Mesh API.
    pub const APP_MESH_VARIABLE: &str = "AWS_ENDPOINT_URL_APP_MESH";
}
