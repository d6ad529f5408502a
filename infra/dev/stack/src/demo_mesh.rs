//! The demo's meshes: the shop of infra/dev/local/demo-mesh, the kiosk of infra/dev/local/kiosk.json, which has the
//! faults of a neglected mesh, and the market of infra/dev/local/market.json, which three replicas serve. All are created
//! through the App Mesh API.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::http::{Client, segment};
use crate::workspace::Workspace;

const FOLDER: &str = "infra/dev/local/demo-mesh";

/// The name of the shop's mesh.
pub const MESH: &str = "shop";

/// A mesh without tags, with an open egress filter and in plain text, for the scenario on compliance.
const KIOSK_FILE: &str = "infra/dev/local/kiosk.json";

/// The name of the kiosk's mesh.
pub const KIOSK: &str = "kiosk";

/// A small mesh for the scenario on replicas.
const MARKET_FILE: &str = "infra/dev/local/market.json";

/// The name of the market's mesh.
pub const MARKET: &str = "market";

/// The namespace of Envoy's metrics, which the CloudWatch agent writes.
const NAMESPACE: &str = "AppMesh";

/// The period of the demo's alarms, in seconds: `failover.alarms` in the demo's policy.
pub const PERIOD: u32 = 10;

/// A resource kind: its member in the files, and the path of its collection. Kinds are listed before the kinds that
/// refer to them.
struct CollectionKind {
    member: &'static str,
    /// The path of the collection, and the member that names the parent, if it has one.
    collection: &'static str,
    parent: Option<&'static str>,
    children: &'static str,
}

const KINDS: [CollectionKind; 6] = [
    CollectionKind::in_mesh("virtualNodes"),
    CollectionKind::in_mesh("virtualRouters"),
    CollectionKind {
        member: "routes",
        collection: "virtualRouter",
        parent: Some("virtualRouterName"),
        children: "routes",
    },
    CollectionKind::in_mesh("virtualServices"),
    CollectionKind::in_mesh("virtualGateways"),
    CollectionKind {
        member: "gatewayRoutes",
        collection: "virtualGateway",
        parent: Some("virtualGatewayName"),
        children: "gatewayRoutes",
    },
];

impl CollectionKind {
    const fn in_mesh(name: &'static str) -> Self {
        Self { member: name, collection: name, parent: None, children: "" }
    }

    fn path(&self, mesh: &str, body: &Value) -> String {
        match self.parent {
            None => format!("meshes/{mesh}/{}", self.collection),
            Some(parent) => {
                let parent = body.get(parent).and_then(Value::as_str).unwrap_or_default();
                format!("meshes/{mesh}/{}/{}/{}", self.collection, segment(parent), self.children)
            }
        }
    }
}

/// Creates the mesh with its resources, and returns their number.
pub fn load(workspace: &Workspace, client: &Client, app_mesh: &str) -> Result<usize> {
    create(client, app_mesh, MESH, &read(workspace)?)
}

/// Creates the kiosk with its resources, and returns their number.
pub fn load_kiosk(workspace: &Workspace, client: &Client, app_mesh: &str) -> Result<usize> {
    create(client, app_mesh, KIOSK, &[read_file(workspace.file(KIOSK_FILE))?])
}

/// Creates the market with its resources, and returns their number.
pub fn load_market(workspace: &Workspace, client: &Client, app_mesh: &str) -> Result<usize> {
    create(client, app_mesh, MARKET, &[read_file(workspace.file(MARKET_FILE))?])
}

fn create(client: &Client, app_mesh: &str, mesh: &str, files: &[Value]) -> Result<usize> {
    let mut created = 0;
    let mut create = |path: &str, body: &Value| {
        created += 1;
        client.put(&format!("{app_mesh}/v20190125/{path}"), body)?.success(path)
    };
    for mesh in files.iter().filter_map(|file| file.get("mesh")) {
        create("meshes", mesh)?;
    }
    for kind in &KINDS {
        for body in bodies(files, kind.member) {
            let path = kind.path(mesh, body);
            let mut body = body.clone();
            if let (Some(parent), Some(members)) = (kind.parent, body.as_object_mut()) {
                members.shift_remove(parent);
            }
            create(&path, &body)?;
        }
    }
    Ok(created)
}

/// A virtual node or gateway of the mesh that needs a proxy.
#[derive(Debug)]
pub struct ProxyOwner {
    /// `virtualNode` or `virtualGateway`.
    pub kind: &'static str,
    /// The name.
    pub name: String,
    /// The protocol of its listener.
    pub protocol: String,
}

/// Every virtual node and gateway of the mesh.
///
/// # Errors
///
/// A file of the mesh cannot be read.
pub fn proxies(workspace: &Workspace) -> Result<Vec<ProxyOwner>> {
    Ok(proxies_of(&read(workspace)?))
}

/// Every virtual node and gateway of the market.
///
/// # Errors
///
/// The file of the mesh cannot be read.
pub fn market_proxies(workspace: &Workspace) -> Result<Vec<ProxyOwner>> {
    Ok(proxies_of(&[read_file(workspace.file(MARKET_FILE))?]))
}

fn proxies_of(files: &[Value]) -> Vec<ProxyOwner> {
    let of = |members, kind, name_member| {
        bodies(files, members).filter_map(move |body| {
            let protocol = body.pointer("/spec/listeners/0/portMapping/protocol")?.as_str()?.to_owned();
            Some(ProxyOwner { kind, name: body.get(name_member)?.as_str()?.to_owned(), protocol })
        })
    };
    let nodes = of("virtualNodes", "virtualNode", "virtualNodeName");
    nodes.chain(of("virtualGateways", "virtualGateway", "virtualGatewayName")).collect()
}

/// The protocol of a virtual node's listener.
pub fn protocol(workspace: &Workspace, node: &str) -> Result<String> {
    let found = proxies(workspace)?.into_iter().find(|owner| owner.kind == "virtualNode" && owner.name == node);
    found.map(|owner| owner.protocol).ok_or_else(|| Failure::Unreadable {
        path: workspace.file(FOLDER),
        why: format!("it has no virtual node {node}"),
    })
}

/// The scale-out alarm of `caller`: on the number of its requests to a service, which is about load, not about
/// failures. Its metrics are collected by the agent, with all four dimensions of App Mesh's outbound metrics.
#[must_use]
pub fn scale_out_alarm(caller: &str, service: &str, targets: [&str; 2], topic: &str) -> Value {
    let requests = |id: &str, target: &str| {
        let dimensions =
            [("Mesh", MESH), ("VirtualNode", caller), ("TargetVirtualService", service), ("TargetVirtualNode", target)]
                .map(|(name, value)| json!({"Name": name, "Value": value}));
        let metric = json!({
            "Namespace": NAMESPACE, "MetricName": "envoy_cluster_upstream_rq_completed", "Dimensions": dimensions,
        });
        json!({"Id": id, "ReturnData": false, "MetricStat": {"Metric": metric, "Period": PERIOD, "Stat": "Sum"}})
    };
    let [first, second] = targets;
    json!({
        "AlarmName": scale_out_alarm_name(caller),
        "AlarmDescription": format!("{caller} makes more than 5 requests a second to {service}: add a task"),
        "Metrics": [
            requests("first", first),
            requests("second", second),
            {"Id": "requests", "ReturnData": true, "Expression": "first + second"},
        ],
        "EvaluationPeriods": 1,
        "Threshold": 50.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": [topic],
    })
}

/// The name of a node's scale-out alarm.
#[must_use]
pub fn scale_out_alarm_name(node: &str) -> String {
    format!("{node}-scale-out")
}

/// The current Unix time in seconds.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The current Unix time in milliseconds.
#[must_use]
pub fn now_in_milliseconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// The name of a target's composite alarm, which has the actions.
#[must_use]
pub fn alarm_name(node: &str) -> String {
    format!("meshwarden/{MESH}/{node}")
}

fn read(workspace: &Workspace) -> Result<Vec<Value>> {
    let folder = workspace.file(FOLDER);
    let entries = fs::read_dir(&folder).map_err(Failure::file("list", &folder))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    // A fixed order, independent of the file system.
    paths.sort();
    paths.into_iter().map(read_file).collect()
}

fn read_file(path: PathBuf) -> Result<Value> {
    let text = fs::read_to_string(&path).map_err(Failure::file("read", &path))?;
    serde_json::from_str(&text).map_err(|why| Failure::Unreadable { path, why: why.to_string() })
}

fn bodies<'a>(files: &'a [Value], member: &'static str) -> impl Iterator<Item = &'a Value> {
    files.iter().filter_map(move |file| file.get(member)?.as_array()).flatten()
}

/// The weighted targets of a route's spec, of any kind.
pub fn weighted_targets(spec: Option<&Value>) -> impl Iterator<Item = &Value> {
    let kinds = spec.and_then(Value::as_object).into_iter().flat_map(|spec| spec.values());
    kinds.filter_map(|kind| kind.pointer("/action/weightedTargets")?.as_array()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_of_the_files_is_a_kind_that_is_created() {
        let workspace = Workspace::find().unwrap();
        let mut files = read(&workspace).unwrap();
        assert!(!files.is_empty());
        files.extend([KIOSK_FILE, MARKET_FILE].map(|file| read_file(workspace.file(file)).unwrap()));
        for member in files.iter().filter_map(Value::as_object).flat_map(|file| file.keys()) {
            assert!(member == "mesh" || KINDS.iter().any(|kind| kind.member == member), "{member}");
        }
    }

    #[test]
    fn every_target_of_a_route_is_a_node() {
        let workspace = Workspace::find().unwrap();
        let mut files = read(&workspace).unwrap();
        files.push(read_file(workspace.file(MARKET_FILE)).unwrap());
        let nodes: Vec<&str> =
            bodies(&files, "virtualNodes").filter_map(|node| node["virtualNodeName"].as_str()).collect();
        let targets: Vec<&Value> =
            bodies(&files, "routes").flat_map(|route| weighted_targets(route.get("spec"))).collect();
        assert!(!targets.is_empty());
        for target in targets {
            assert!(nodes.contains(&target["virtualNode"].as_str().unwrap()), "{target}");
        }
    }

    #[test]
    fn children_are_created_under_their_parent() {
        let body = json!({"virtualRouterName": "a b", "routeName": "r"});
        assert_eq!(KINDS[2].path(MESH, &body), "meshes/shop/virtualRouter/a%20b/routes");
    }
}
