//! The contract of [`MeshReader`], [`RouteWriter`], [`MeshWriter`] and [`TagWriter`](ports::TagWriter).

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::future::join;
use mesh::name::{ResourceKind, ResourcePath, RouteId};
use mesh::resource::{Resource, RouteData};
use mesh::spec::RouteSpec;
use ports::{
    MeshReader, MeshWrite, MeshWriter, PortErrorKind, RouteWrite, RouteWriter, VirtualGatewayWrite, VirtualNodeWrite,
    Written,
};
use ports_memory::MemoryMesh;
use serde_json::{Map, Value, json};

use super::kind;

/// A test fixture that can set up meshes without the port.
#[async_trait]
pub trait MeshUnderTest: Sync {
    /// The port that reads meshes.
    fn reader(&self) -> &dyn MeshReader;
    /// The port that writes routes.
    fn writer(&self) -> &dyn RouteWriter;
    /// The port that writes meshes and virtual nodes.
    fn owner(&self) -> &dyn MeshWriter;
    /// Creates a resource.
    async fn create(&self, path: &ResourcePath, spec: &Value);
    /// Changes a route regardless of its version, as an operator does.
    async fn edit(&self, route: &RouteId, spec: &Value);
}

/// The fixture in memory.
#[derive(Debug)]
pub struct MeshInMemory(pub MemoryMesh);

#[async_trait]
impl MeshUnderTest for MeshInMemory {
    fn reader(&self) -> &dyn MeshReader {
        &self.0
    }

    fn writer(&self) -> &dyn RouteWriter {
        &self.0
    }

    fn owner(&self) -> &dyn MeshWriter {
        &self.0
    }

    async fn create(&self, path: &ResourcePath, spec: &Value) {
        self.0.put_spec(path, spec).unwrap();
    }

    async fn edit(&self, route: &RouteId, spec: &Value) {
        self.0.edit(route, serde_json::from_value(spec.clone()).unwrap());
    }
}

/// The fixture over the App Mesh API at `endpoint`.
#[derive(Debug)]
pub struct MeshOverApi {
    /// The adapter under test.
    pub mesh: aws::AppMesh,
    /// The endpoint of the API.
    pub endpoint: String,
}

impl MeshOverApi {
    async fn put(&self, uri: &str, body: &Value) {
        let url = format!("{}/v20190125/{uri}", self.endpoint);
        let answer = reqwest::Client::new().put(url).json(body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{uri}: {status} {text}");
    }
}

#[async_trait]
impl MeshUnderTest for MeshOverApi {
    fn reader(&self) -> &dyn MeshReader {
        &self.mesh
    }

    fn writer(&self) -> &dyn RouteWriter {
        &self.mesh
    }

    fn owner(&self) -> &dyn MeshWriter {
        &self.mesh
    }

    async fn create(&self, path: &ResourcePath, spec: &Value) {
        let mesh = path.mesh();
        let collection = match path {
            ResourcePath::Mesh(_) => "meshes".to_owned(),
            ResourcePath::VirtualNode(..) => format!("meshes/{mesh}/virtualNodes"),
            ResourcePath::VirtualGateway(..) => format!("meshes/{mesh}/virtualGateways"),
            ResourcePath::VirtualRouter(..) => format!("meshes/{mesh}/virtualRouters"),
            ResourcePath::VirtualService(..) => format!("meshes/{mesh}/virtualServices"),
            ResourcePath::Route(route) => format!("meshes/{mesh}/virtualRouter/{}/routes", route.router),
            ResourcePath::GatewayRoute(_, gateway, _) => {
                format!("meshes/{mesh}/virtualGateway/{gateway}/gatewayRoutes")
            }
        };
        let mut body = Map::from_iter([("spec".to_owned(), spec.clone())]);
        body.insert(format!("{}Name", path.kind()), json!(path.name()));
        self.put(&collection, &Value::Object(body)).await;
    }

    async fn edit(&self, route: &RouteId, spec: &Value) {
        let RouteId { mesh, router, route } = route;
        let uri = format!("meshes/{mesh}/virtualRouter/{router}/routes/{route}");
        self.put(&uri, &json!({ "spec": spec })).await;
    }
}

/// Runs every check, each with a separate mesh.
pub async fn all(fixture: &dyn MeshUnderTest) {
    spec_is_read_as_written(fixture).await;
    update_of_the_current_version_is_applied(fixture).await;
    update_of_an_older_version_changes_nothing(fixture).await;
    repeated_write_is_applied_once(fixture).await;
    one_of_two_concurrent_writers_wins(fixture).await;
    every_kind_of_route_is_written(fixture).await;
    missing_resource_is_not_found(fixture).await;
    lists_are_complete(fixture).await;
    tags_are_merged_and_removed(fixture).await;
    all_seven_kinds_are_tagged(fixture).await;
    mesh_and_node_updates_require_the_read_version(fixture).await;
    refused_updates_change_nothing(fixture).await;
}

fn path(text: &str) -> ResourcePath {
    ResourcePath::parse(text).unwrap()
}

fn spec(v1: u32, v2: u32) -> Value {
    json!({
        "priority": 0,
        "httpRoute": {
            "match": { "prefix": "/", "headers": [{ "name": "X-Beta", "invert": false }] },
            "action": { "weightedTargets": [{ "virtualNode": "v1", "weight": v1 }, { "virtualNode": "v2", "weight": v2 }] },
            "retryPolicy": { "maxRetries": 0, "perRetryTimeout": { "unit": "ms", "value": 250_000 },
                "httpRetryEvents": ["server-error"] },
            "timeout": { "idle": { "unit": "s", "value": 0 } },
        },
    })
}

fn routed(spec: &Value) -> RouteSpec {
    serde_json::from_value(spec.clone()).unwrap()
}

/// Creates a mesh with two nodes, a router for each protocol of a route, and one http route.
async fn prepared_route(fixture: &dyn MeshUnderTest, mesh: &str) -> RouteId {
    fixture.create(&path(&format!("mesh/{mesh}")), &json!({})).await;
    for node in ["v1", "v2"] {
        fixture.create(&path(&format!("mesh/{mesh}/virtualNode/{node}")), &json!({})).await;
    }
    let listeners = json!({ "listeners": [{ "portMapping": { "port": 8080, "protocol": "http" } }] });
    fixture.create(&path(&format!("mesh/{mesh}/virtualRouter/recs")), &listeners).await;
    fixture.create(&path(&format!("mesh/{mesh}/virtualRouter/recs/route/all")), &spec(60, 40)).await;
    RouteId::parse(&format!("{mesh}/recs/all")).unwrap()
}

async fn read(fixture: &dyn MeshUnderTest, route: &RouteId) -> Option<RouteData> {
    match fixture.reader().describe(&ResourcePath::Route(route.clone())).await.unwrap() {
        Resource::Route(data) => Some(data),
        _ => None,
    }
}

async fn found(fixture: &dyn MeshUnderTest, route: &RouteId) -> (i64, Value) {
    let data = read(fixture, route).await.unwrap();
    (data.metadata.version.get(), serde_json::to_value(&data.spec).unwrap())
}

fn write(route: &RouteId, if_version: u64, spec: &Value, token: &str) -> RouteWrite {
    RouteWrite {
        route: route.clone(),
        mesh_owner: None,
        spec: routed(spec),
        if_version,
        client_token: token.to_owned(),
    }
}

async fn spec_is_read_as_written(fixture: &dyn MeshUnderTest) {
    let route = prepared_route(fixture, "echo").await;
    assert_eq!(found(fixture, &route).await, (1, spec(60, 40)));
}

async fn update_of_the_current_version_is_applied(fixture: &dyn MeshUnderTest) {
    let route = prepared_route(fixture, "applied").await;
    let written = fixture.writer().update_route(&write(&route, 1, &spec(100, 0), "t-applied")).await.unwrap();
    assert_eq!(written, Written::Applied { version: 2 });
    assert_eq!(found(fixture, &route).await, (2, spec(100, 0)));
}

async fn update_of_an_older_version_changes_nothing(fixture: &dyn MeshUnderTest) {
    let route = prepared_route(fixture, "older").await;
    fixture.edit(&route, &spec(50, 50)).await;
    let written = fixture.writer().update_route(&write(&route, 1, &spec(100, 0), "t-older")).await.unwrap();
    assert_eq!(written, Written::Superseded);
    assert_eq!(found(fixture, &route).await, (2, spec(50, 50)));
}

async fn repeated_write_is_applied_once(fixture: &dyn MeshUnderTest) {
    let route = prepared_route(fixture, "twice").await;
    let write = write(&route, 1, &spec(100, 0), "t-twice");
    for _ in 0..2 {
        assert_eq!(fixture.writer().update_route(&write).await.unwrap(), Written::Applied { version: 2 });
    }
    assert_eq!(found(fixture, &route).await, (2, spec(100, 0)));
}

async fn one_of_two_concurrent_writers_wins(fixture: &dyn MeshUnderTest) {
    let route = prepared_route(fixture, "race").await;
    let (one, other) = (write(&route, 1, &spec(100, 0), "t-one"), write(&route, 1, &spec(0, 100), "t-other"));
    let (one, other) = join(fixture.writer().update_route(&one), fixture.writer().update_route(&other)).await;
    let (one, other) = (one.unwrap(), other.unwrap());
    let (winner, loser) = if one == Written::Superseded { (other, one) } else { (one, other) };
    assert_eq!((&winner, &loser), (&Written::Applied { version: 2 }, &Written::Superseded));
    assert_eq!(found(fixture, &route).await.0, 2);
}

async fn every_kind_of_route_is_written(fixture: &dyn MeshUnderTest) {
    prepared_route(fixture, "kinds").await;
    let action = |weight: u32| json!({ "weightedTargets": [{ "virtualNode": "v1", "weight": weight }, { "virtualNode": "v2", "weight": 1 }] });
    for (name, rule) in [
        ("http", json!({ "match": { "prefix": "/a" } })),
        ("http2", json!({ "match": { "prefix": "/b" } })),
        ("grpc", json!({ "match": { "serviceName": "shop.Recs" } })),
        ("tcp", json!({})),
    ] {
        let spec = |weight: u32| {
            let mut rule = rule.clone();
            rule["action"] = action(weight);
            Value::Object(Map::from_iter([(format!("{name}Route"), rule)]))
        };
        let route = RouteId::parse(&format!("kinds/recs/{name}")).unwrap();
        fixture.create(&ResourcePath::Route(route.clone()), &spec(7)).await;
        let token = format!("t-kind-{name}");
        let written = fixture.writer().update_route(&write(&route, 1, &spec(9), &token)).await.unwrap();
        assert_eq!(written, Written::Applied { version: 2 });
        assert_eq!(found(fixture, &route).await, (2, spec(9)));
    }
}

async fn missing_resource_is_not_found(fixture: &dyn MeshUnderTest) {
    let route = prepared_route(fixture, "missing").await;
    let arn = read(fixture, &route).await.unwrap().metadata.arn.to_string().replace("/all", "/none");
    let none = RouteId::parse("missing/recs/none").unwrap();
    let reader = fixture.reader();
    assert_eq!(kind(reader.describe(&ResourcePath::Route(none.clone())).await), PortErrorKind::NotFound);
    assert_eq!(kind(reader.list(&path("mesh/nowhere"), ResourceKind::VirtualNode).await), PortErrorKind::NotFound);
    assert_eq!(kind(reader.tags(&arn).await), PortErrorKind::NotFound);
    let write = write(&none, 1, &spec(1, 1), "t-none");
    assert_eq!(kind(fixture.writer().update_route(&write).await), PortErrorKind::NotFound);
    assert_eq!(kind(fixture.writer().untag(&arn, &["a".to_owned()]).await), PortErrorKind::NotFound);
}

async fn lists_are_complete(fixture: &dyn MeshUnderTest) {
    prepared_route(fixture, "many").await;
    // This is more than one page.
    for n in 0..120 {
        fixture.create(&path(&format!("mesh/many/virtualNode/n{n}")), &json!({})).await;
    }
    let reader = fixture.reader();
    let nodes = reader.list(&path("mesh/many"), ResourceKind::VirtualNode).await.unwrap();
    assert_eq!(nodes.len(), 122);
    assert!(nodes.iter().all(|node| node.version == 1 && node.mesh_owner.as_str() == super::super::stack::ACCOUNT));
    let routes = reader.list(&path("mesh/many/virtualRouter/recs"), ResourceKind::Route).await.unwrap();
    let paths: Vec<_> = routes.iter().map(|route| route.path.to_string()).collect();
    assert_eq!(paths, ["mesh/many/virtualRouter/recs/route/all"]);
    let services = reader.list(&path("mesh/many"), ResourceKind::VirtualService).await.unwrap();
    assert_eq!(services, []);
    let meshes = reader.meshes().await.unwrap();
    assert!(meshes.iter().any(|mesh| mesh.path == path("mesh/many")));
}

async fn tags_are_merged_and_removed(fixture: &dyn MeshUnderTest) {
    let route = prepared_route(fixture, "tags").await;
    let arn = read(fixture, &route).await.unwrap().metadata.arn.to_string();
    let tags = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    fixture.writer().tag(&arn, &tags(&[("team", "recs"), ("meshwarden:restore", "1.5.ab.60-40")])).await.unwrap();
    fixture.writer().tag(&arn, &tags(&[("team", ""), ("tier", "2")])).await.unwrap();
    let gone = ["meshwarden:restore".to_owned(), "never there".to_owned()];
    fixture.writer().untag(&arn, &gone).await.unwrap();
    assert_eq!(fixture.reader().tags(&arn).await.unwrap(), tags(&[("team", ""), ("tier", "2")]));
    assert_eq!(found(fixture, &route).await.0, 1, "a change of tags does not change the version");
}

async fn all_seven_kinds_are_tagged(fixture: &dyn MeshUnderTest) {
    prepared_route(fixture, "seven").await;
    let gateway = json!({ "listeners": [{ "portMapping": { "port": 80, "protocol": "http" } }] });
    fixture.create(&path("mesh/seven/virtualGateway/edge"), &gateway).await;
    let provider = json!({ "provider": { "virtualNode": { "virtualNodeName": "v1" } } });
    fixture.create(&path("mesh/seven/virtualService/recs.local"), &provider).await;
    let target = json!({ "virtualService": { "virtualServiceName": "recs.local" } });
    let route = json!({ "httpRoute": { "match": { "prefix": "/" }, "action": { "target": target } } });
    fixture.create(&path("mesh/seven/virtualGateway/edge/gatewayRoute/all"), &route).await;
    let tags = BTreeMap::from([("owner".to_owned(), "a b:/=+-@_.".to_owned())]);
    for resource in [
        "mesh/seven",
        "mesh/seven/virtualNode/v1",
        "mesh/seven/virtualService/recs.local",
        "mesh/seven/virtualRouter/recs",
        "mesh/seven/virtualRouter/recs/route/all",
        "mesh/seven/virtualGateway/edge",
        "mesh/seven/virtualGateway/edge/gatewayRoute/all",
    ] {
        let arn = fixture.reader().describe(&path(resource)).await.unwrap().metadata().arn.to_string();
        fixture.writer().tag(&arn, &tags).await.unwrap();
        assert_eq!(fixture.reader().tags(&arn).await.unwrap(), tags, "{resource}");
    }
}

async fn mesh_and_node_updates_require_the_read_version(fixture: &dyn MeshUnderTest) {
    prepared_route(fixture, "owned").await;
    let spec = |resource: &Resource| (resource.metadata().version.get(), resource.clone().into_spec().to_json());
    let found = async |resource: &str| spec(&fixture.reader().describe(&path(resource)).await.unwrap());

    let closed = json!({ "egressFilter": { "type": "DROP_ALL" } });
    let mesh = |if_version, token: &str, spec: &Value| MeshWrite {
        mesh: "owned".parse().unwrap(),
        spec: serde_json::from_value(spec.clone()).unwrap(),
        if_version,
        client_token: token.to_owned(),
    };
    for _ in 0..2 {
        let written = fixture.owner().update_mesh(&mesh(1, "t-mesh", &closed)).await.unwrap();
        assert_eq!(written, Written::Applied { version: 2 });
    }
    let late = fixture.owner().update_mesh(&mesh(1, "t-mesh-late", &json!({}))).await.unwrap();
    assert_eq!(late, Written::Superseded);
    assert_eq!(found("mesh/owned").await, (2, closed.clone()));

    let backend = json!({ "backends": [{ "virtualService": { "virtualServiceName": "pay.local" } }] });
    let node = |name: &str, if_version, token: &str, spec: &Value| VirtualNodeWrite {
        mesh: "owned".parse().unwrap(),
        virtual_node: name.parse().unwrap(),
        mesh_owner: None,
        spec: serde_json::from_value(spec.clone()).unwrap(),
        if_version,
        client_token: token.to_owned(),
    };
    let owner = fixture.owner();
    let written = owner.update_virtual_node(&node("v1", 1, "t-node", &backend)).await.unwrap();
    assert_eq!(written, Written::Applied { version: 2 });
    let late = owner.update_virtual_node(&node("v1", 1, "t-node-late", &json!({}))).await.unwrap();
    assert_eq!(late, Written::Superseded);
    assert_eq!(found("mesh/owned/virtualNode/v1").await, (2, backend.clone()));
    let nowhere = owner.update_virtual_node(&node("none", 1, "t-node-none", &backend)).await;
    assert_eq!(kind(nowhere), PortErrorKind::NotFound);

    let edge = json!({ "listeners": [{ "portMapping": { "port": 8443, "protocol": "http" } }] });
    fixture.create(&path("mesh/owned/virtualGateway/edge"), &edge).await;
    let wider = json!({ "listeners": [{ "portMapping": { "port": 8443, "protocol": "http2" } }] });
    let gateway = |name: &str, if_version, token: &str, spec: &Value| VirtualGatewayWrite {
        mesh: "owned".parse().unwrap(),
        virtual_gateway: name.parse().unwrap(),
        mesh_owner: None,
        spec: serde_json::from_value(spec.clone()).unwrap(),
        if_version,
        client_token: token.to_owned(),
    };
    for _ in 0..2 {
        let written = owner.update_virtual_gateway(&gateway("edge", 1, "t-gateway", &wider)).await.unwrap();
        assert_eq!(written, Written::Applied { version: 2 });
    }
    let late = owner.update_virtual_gateway(&gateway("edge", 1, "t-gateway-late", &edge)).await.unwrap();
    assert_eq!(late, Written::Superseded);
    assert_eq!(found("mesh/owned/virtualGateway/edge").await, (2, wider.clone()));
    let nowhere = owner.update_virtual_gateway(&gateway("none", 1, "t-gateway-none", &wider)).await;
    assert_eq!(kind(nowhere), PortErrorKind::NotFound);

    let nowhere = MeshWrite { mesh: "nowhere".parse().unwrap(), ..mesh(1, "t-mesh-none", &closed) };
    assert_eq!(kind(owner.update_mesh(&nowhere).await), PortErrorKind::NotFound);
}

/// Four updates are refused: one that breaks a rule of one resource, and one that a proxy could not use. The others
/// break a resource that refers to the updated one, or refer to a resource that does not exist.
async fn refused_updates_change_nothing(fixture: &dyn MeshUnderTest) {
    let route = prepared_route(fixture, "refused").await;
    let listening = |ports: &[u32]| {
        let listener = |port: &u32| json!({ "portMapping": { "port": port, "protocol": "http" } });
        let listeners: Vec<Value> = ports.iter().map(listener).collect();
        json!({ "listeners": listeners, "serviceDiscovery": { "dns": { "hostname": "v3.local" } } })
    };
    fixture.create(&path("mesh/refused/virtualNode/v3"), &listening(&[8080])).await;
    let to_v3 = json!({ "httpRoute": { "match": { "prefix": "/v3" },
        "action": { "weightedTargets": [{ "virtualNode": "v3", "weight": 1 }] } } });
    fixture.create(&path("mesh/refused/virtualRouter/recs/route/v3"), &to_v3).await;

    let changed = |pointer: &str, value: Value| {
        let mut changed = spec(60, 40);
        *changed.pointer_mut(pointer).unwrap() = value;
        changed
    };
    let cases = [
        ("prefix", changed("/httpRoute/match/prefix", json!("a")), PortErrorKind::Other),
        ("regex", changed("/httpRoute/match", json!({ "path": { "regex": "(?=a)" } })), PortErrorKind::Other),
        (
            "target",
            changed("/httpRoute/action/weightedTargets/0/virtualNode", json!("nowhere")),
            PortErrorKind::NotFound,
        ),
    ];
    for (what, refused, expected) in cases {
        let written = fixture.writer().update_route(&write(&route, 1, &refused, &format!("t-refused-{what}"))).await;
        assert_eq!(kind(written), expected, "{what}");
        assert_eq!(found(fixture, &route).await, (1, spec(60, 40)), "{what}");
    }

    let node = |spec: &Value, token: &str| VirtualNodeWrite {
        mesh: "refused".parse().unwrap(),
        virtual_node: "v3".parse().unwrap(),
        mesh_owner: None,
        spec: serde_json::from_value(spec.clone()).unwrap(),
        if_version: 1,
        client_token: token.to_owned(),
    };
    let two = fixture.owner().update_virtual_node(&node(&listening(&[8080, 9090]), "t-two")).await;
    let error = two.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Other);
    assert!(error.message.contains("refused/virtualRouter/recs/route/v3"), "{error}");
    let other = fixture.owner().update_virtual_node(&node(&listening(&[9090]), "t-other")).await.unwrap();
    assert_eq!(other, Written::Applied { version: 2 });
}
