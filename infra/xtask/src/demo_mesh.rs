//! The demo's meshes: the shop of infra/local/demo-mesh with an alarm for each target of its routes, and the kiosk of
//! infra/local/kiosk.json, which nobody looked after; both put through the App Mesh API.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::http::{Client, segment};
use crate::local_aws::LocalAws;
use crate::workspace::Workspace;

const FOLDER: &str = "infra/local/demo-mesh";

/// The mesh's name.
pub(crate) const MESH: &str = "shop";

/// A mesh that somebody left untagged, open and in plain text, for the scenario on that.
const KIOSK_FILE: &str = "infra/local/kiosk.json";

/// Its name.
pub(crate) const KIOSK: &str = "kiosk";

/// What the demo's alarms have before the name of the node.
const ALARM_PREFIX: &str = "shop-";

/// The namespace that the CloudWatch agent puts Envoy's metrics into.
const NAMESPACE: &str = "AppMesh";

/// What an alarm looks back on, in seconds: the shortest period that CloudWatch has.
const PERIOD: u32 = 10;

/// A resource kind: its member in the files, and where it is created. In the order in which the kinds refer to each
/// other.
struct Kind {
    member: &'static str,
    /// The collection's path, and the member that names the parent where there is one.
    collection: &'static str,
    parent: Option<&'static str>,
    children: &'static str,
}

const KINDS: [Kind; 6] = [
    Kind::of_mesh("virtualNodes"),
    Kind::of_mesh("virtualRouters"),
    Kind { member: "routes", collection: "virtualRouter", parent: Some("virtualRouterName"), children: "routes" },
    Kind::of_mesh("virtualServices"),
    Kind::of_mesh("virtualGateways"),
    Kind {
        member: "gatewayRoutes",
        collection: "virtualGateway",
        parent: Some("virtualGatewayName"),
        children: "gatewayRoutes",
    },
];

impl Kind {
    const fn of_mesh(name: &'static str) -> Self {
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

/// Creates the mesh and all that is in it. Returns how many resources there are.
pub(crate) fn load(workspace: &Workspace, client: &Client, app_mesh: &str) -> Result<usize> {
    create(client, app_mesh, MESH, &read(workspace)?)
}

/// Creates the kiosk. Returns how many resources there are.
pub(crate) fn load_kiosk(workspace: &Workspace, client: &Client, app_mesh: &str) -> Result<usize> {
    create(client, app_mesh, KIOSK, &[read_file(workspace.file(KIOSK_FILE))?])
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

/// A virtual node or gateway of the mesh, as somebody who starts its proxy needs to know it.
#[derive(Debug)]
pub(crate) struct Shape {
    /// `virtualNode` or `virtualGateway`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// What its listener speaks.
    pub(crate) protocol: String,
}

/// Every virtual node and gateway of the mesh.
pub(crate) fn proxies(workspace: &Workspace) -> Result<Vec<Shape>> {
    let files = read(workspace)?;
    let of = |members, kind, name_member| {
        bodies(&files, members).filter_map(move |body| {
            let protocol = body.pointer("/spec/listeners/0/portMapping/protocol")?.as_str()?.to_owned();
            Some(Shape { kind, name: body.get(name_member)?.as_str()?.to_owned(), protocol })
        })
    };
    let nodes = of("virtualNodes", "virtualNode", "virtualNodeName");
    Ok(nodes.chain(of("virtualGateways", "virtualGateway", "virtualGatewayName")).collect())
}

/// A target of a weighted route, and the caller by whose metrics it is judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// The virtual node whose health the alarm reports.
    pub(crate) node: String,
    /// The virtual service that the caller names.
    service: String,
    caller: String,
    /// Connections are counted instead of requests.
    is_tcp: bool,
    /// Its route: the virtual router, and the route's own name.
    pub(crate) route: (String, String),
}

/// The targets of all weighted routes.
pub(crate) fn targets(workspace: &Workspace) -> Result<Vec<Target>> {
    Ok(targets_of(&read(workspace)?))
}

fn targets_of(files: &[Value]) -> Vec<Target> {
    let mut all = Vec::new();
    for route in bodies(files, "routes") {
        let (Some(router), Some(name)) = (text(route, "virtualRouterName"), text(route, "routeName")) else { continue };
        let is_tcp = route.pointer("/spec/tcpRoute").is_some();
        let Some((service, caller)) = service_of(files, router).and_then(|one| Some((one, caller_of(files, one)?)))
        else {
            continue;
        };
        for target in weighted_targets(route.get("spec")) {
            let Some(node) = text(target, "virtualNode") else { continue };
            let (node, service, caller) = (node.to_owned(), service.to_owned(), caller.to_owned());
            all.push(Target { node, service, caller, is_tcp, route: (router.to_owned(), name.to_owned()) });
        }
    }
    all.sort();
    // A node that two routes of one router lead to is one target.
    all.dedup_by(|one, other| one.node == other.node);
    all
}

/// The virtual service that a router provides.
fn service_of<'a>(files: &'a [Value], router: &str) -> Option<&'a str> {
    let provider = "/spec/provider/virtualRouter/virtualRouterName";
    let found = bodies(files, "virtualServices").find(|body| body.pointer(provider).is_some_and(|name| name == router));
    text(found?, "virtualServiceName")
}

/// The virtual node that calls a service; the one with the most backends, through which most requests come.
fn caller_of<'a>(files: &'a [Value], service: &str) -> Option<&'a str> {
    let is_it = |one: &Value| one.pointer("/virtualService/virtualServiceName").is_some_and(|name| name == service);
    let callers = bodies(files, "virtualNodes").filter(|node| backends(node).iter().any(is_it));
    text(callers.max_by_key(|node| backends(node).len())?, "virtualNodeName")
}

fn backends(node: &Value) -> &[Value] {
    node.pointer("/spec/backends").and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
}

fn text<'a>(body: &'a Value, member: &str) -> Option<&'a str> {
    body.get(member)?.as_str()
}

impl Target {
    /// The metrics of all its requests and of those that failed, as the CloudWatch agent names them.
    const fn metrics(&self) -> (&'static str, &'static str) {
        if self.is_tcp {
            ("envoy_cluster_upstream_cx_total", "envoy_cluster_upstream_cx_connect_fail")
        } else {
            ("envoy_cluster_upstream_rq_completed", "envoy_cluster_upstream_rq_5xx")
        }
    }

    /// The dimensions of App Mesh's outbound metrics. The virtual node among them is the caller.
    fn dimensions(&self) -> Value {
        let all = [
            ("Mesh", MESH),
            ("VirtualNode", &self.caller),
            ("TargetVirtualService", &self.service),
            ("TargetVirtualNode", &self.node),
        ];
        all.iter().map(|(name, value)| json!({"Name": name, "Value": value})).collect()
    }

    /// So many requests, of which so many percent failed, as the agent puts them.
    pub(crate) fn requests(&self, count: u32, percent: u32) -> [Value; 2] {
        let (all, failed) = self.metrics();
        let datum = |name, value: u32| json!({"MetricName": name, "Dimensions": self.dimensions(), "Value": value, "Unit": "Count"});
        [datum(all, count), datum(failed, count * percent / 100)]
    }

    fn alarm(&self, topic: &str) -> Value {
        let (all, failed) = self.metrics();
        let sum = |id: &str, name: &str| {
            let metric = json!({"Namespace": NAMESPACE, "MetricName": name, "Dimensions": self.dimensions()});
            json!({"Id": id, "ReturnData": false, "MetricStat": {"Metric": metric, "Period": PERIOD, "Stat": "Sum"}})
        };
        // Envoy sends a counter only when it has grown: without failures there is no point, and zero is meant. Without
        // requests there is no point at all, and nothing is claimed.
        let ratio = json!({"Id": "ratio", "ReturnData": true, "Expression": "100 * FILL(failed, 0) / requests"});
        let node = &self.node;
        json!({
            "AlarmName": alarm_name(node),
            "AlarmDescription": format!("more than 5 % of the requests of {} to {node} fail", self.caller),
            "Metrics": [sum("requests", all), sum("failed", failed), ratio],
            "EvaluationPeriods": 1,
            "Threshold": 5.0,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "missing",
            "AlarmActions": [topic],
            "OKActions": [topic],
        })
    }
}

/// Gives each target of a weighted route an alarm on its error ratio that acts through the topic.
pub(crate) fn put_alarms(workspace: &Workspace, aws: &mut LocalAws, topic: &str) -> Result<usize> {
    let targets = targets(workspace)?;
    for target in &targets {
        aws.call("cloudwatch", "put_metric_alarm", &target.alarm(topic))?;
    }
    Ok(targets.len())
}

/// The scale-out alarm of a node: on the load that it takes itself, which says nothing about failures.
pub(crate) fn scale_out_alarm(node: &str, topic: &str) -> Value {
    let dimensions = json!([{"Name": "Mesh", "Value": MESH}, {"Name": "VirtualNode", "Value": node}]);
    json!({
        "AlarmName": scale_out_alarm_name(node),
        "AlarmDescription": format!("{node} takes more than 10 requests a second: add a task"),
        "Namespace": NAMESPACE,
        "MetricName": "RequestCount",
        "Dimensions": dimensions,
        "Statistic": "Sum",
        "Period": PERIOD,
        "EvaluationPeriods": 1,
        "Threshold": 100.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "missing",
        "AlarmActions": [topic],
    })
}

/// The name of a node's scale-out alarm.
pub(crate) fn scale_out_alarm_name(node: &str) -> String {
    format!("{ALARM_PREFIX}{node}-scale-out")
}

/// So many requests that a node itself has taken.
pub(crate) fn taken(node: &str, count: u32) -> Value {
    let dimensions = json!([{"Name": "Mesh", "Value": MESH}, {"Name": "VirtualNode", "Value": node}]);
    json!({"MetricName": "RequestCount", "Dimensions": dimensions, "Value": count, "Unit": "Count"})
}

/// This second of Unix time.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The parameters that put data into CloudWatch.
pub(crate) fn metric_data(data: &[Value]) -> Value {
    json!({"Namespace": NAMESPACE, "MetricData": data})
}

/// The name of a target's alarm.
pub(crate) fn alarm_name(node: &str) -> String {
    format!("{ALARM_PREFIX}{node}")
}

fn read(workspace: &Workspace) -> Result<Vec<Value>> {
    let folder = workspace.file(FOLDER);
    let entries = fs::read_dir(&folder).map_err(Failure::file("list", &folder))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    // The same order everywhere, whatever the file system's.
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

/// The weighted targets of a route's spec, of whatever kind it is.
pub(crate) fn weighted_targets(spec: Option<&Value>) -> impl Iterator<Item = &Value> {
    let kinds = spec.and_then(Value::as_object).into_iter().flat_map(|spec| spec.values());
    kinds.filter_map(|kind| kind.pointer("/action/weightedTargets")?.as_array()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_of_the_files_is_a_kind_that_is_created() {
        let workspace = Workspace::of_this_crate().unwrap();
        let mut files = read(&workspace).unwrap();
        assert!(!files.is_empty());
        files.push(read_file(workspace.file(KIOSK_FILE)).unwrap());
        for member in files.iter().filter_map(Value::as_object).flat_map(|file| file.keys()) {
            assert!(member == "mesh" || KINDS.iter().any(|kind| kind.member == member), "{member}");
        }
    }

    #[test]
    fn every_target_of_a_route_is_a_node() {
        let files = read(&Workspace::of_this_crate().unwrap()).unwrap();
        let nodes: Vec<&str> =
            bodies(&files, "virtualNodes").filter_map(|node| text(node, "virtualNodeName")).collect();
        let targets: Vec<&Value> =
            bodies(&files, "routes").flat_map(|route| weighted_targets(route.get("spec"))).collect();
        assert!(!targets.is_empty());
        for target in targets {
            assert!(nodes.contains(&target["virtualNode"].as_str().unwrap()), "{target}");
        }
    }

    #[test]
    fn every_target_has_one_alarm_by_the_metrics_of_its_caller() {
        let targets = targets_of(&read(&Workspace::of_this_crate().unwrap()).unwrap());
        let find = |node: &str| targets.iter().find(|target| target.node == node).unwrap();
        let catalog = find("catalog-v1");
        assert_eq!((catalog.caller.as_str(), catalog.service.as_str()), ("storefront", "catalog.shop.local"));
        assert!(!catalog.is_tcp && find("inventory-a").is_tcp);
        let names: std::collections::BTreeSet<&str> = targets.iter().map(|target| target.node.as_str()).collect();
        assert_eq!(names.len(), targets.len());
        let alarm = catalog.alarm("topic");
        let dimensions = alarm["Metrics"][0]["MetricStat"]["Metric"]["Dimensions"].as_array().unwrap();
        assert_eq!(dimensions[3], json!({"Name": "TargetVirtualNode", "Value": "catalog-v1"}));
        let [all, failed] = catalog.requests(50, 60);
        assert_eq!((&all["Value"], &failed["Value"]), (&json!(50), &json!(30)));
    }

    #[test]
    fn children_are_created_under_their_parent() {
        let body = json!({"virtualRouterName": "a b", "routeName": "r"});
        assert_eq!(KINDS[2].path(MESH, &body), "meshes/shop/virtualRouter/a%20b/routes");
    }
}
