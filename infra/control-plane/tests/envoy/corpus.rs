//! A real Envoy accepts every mesh of the corpus, and every kind of resource in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::proxy::{Envoy, Kind};
use crate::stage::{MESH, Stage, TIMEOUT};

/// The App Mesh examples of other projects; not part of this repository.
fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/json");
    folder.is_dir().then_some(folder)
}

/// The specs of a kind of resource, by file.
fn specs(folder: &Path, name_member: &str) -> BTreeMap<String, (String, Value)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let Ok(body) = serde_json::from_str::<Value>(&std::fs::read_to_string(entry.path()).unwrap()) else { continue };
        if let (Some(name), Some(spec)) = (body[name_member].as_str(), body.get("spec")) {
            let file = entry.file_name().to_string_lossy().into_owned();
            found.insert(file, (name.to_owned(), spec.clone()));
        }
    }
    found
}

/// Whether the API accepts the resource; it refuses the invalid ones of the corpus.
async fn put(stage: &Stage, path: &str, body: Value) -> bool {
    let url = format!("{}/v20190125/meshes/{MESH}/{path}", stage.api);
    stage.client.put(&url).body(body.to_string()).send().await.unwrap().status().is_success()
}

/// Creates every virtual node, router, service, route, gateway and gateway route of the corpus in one mesh, under new
/// names and with its references. Returns the number of accepted resources.
async fn fill(stage: &Stage, folder: &Path) -> usize {
    let mut accepted = 0;
    let mut count = |was_accepted: bool| accepted += usize::from(was_accepted);
    let services = |text: &str| -> Vec<String> {
        let mut rest = text;
        let mut names = Vec::new();
        while let Some((_, after)) = rest.split_once("\"virtualServiceName\":\"") {
            let (name, after) = after.split_once('"').unwrap();
            names.push(name.to_owned());
            rest = after;
        }
        names
    };
    for (_, spec) in specs(folder, "routeName").values() {
        for target in spec.as_object().unwrap().values().filter_map(|kind| kind.pointer("/action/weightedTargets")) {
            for target in target.as_array().unwrap() {
                let port = target["port"].as_u64().unwrap_or(8080);
                let node = json!({
                    "listeners": [{"portMapping": {"port": port, "protocol": "http"}}],
                    "serviceDiscovery": {"dns": {"hostname": "target.corpus.local"}},
                });
                let name = target["virtualNode"].as_str().unwrap();
                put(stage, "virtualNodes", json!({"virtualNodeName": name, "spec": node})).await;
            }
        }
    }
    for (index, (_, spec)) in specs(folder, "routeName").into_values().enumerate() {
        let kind = if spec.get("tcpRoute").is_some() { "tcp" } else { "http" };
        let (router, service) = (format!("router-{index}"), format!("routed-{index}.corpus.local"));
        let port = 8080;
        let listeners = json!({"listeners": [{"portMapping": {"port": port, "protocol": kind}}]});
        put(stage, "virtualRouters", json!({"virtualRouterName": router, "spec": listeners})).await;
        count(put(stage, &format!("virtualRouter/{router}/routes"), json!({"routeName": "route", "spec": spec})).await);
        let provider = json!({"provider": {"virtualRouter": {"virtualRouterName": router}}});
        put(stage, "virtualServices", json!({"virtualServiceName": service, "spec": provider})).await;
        let client = json!({"backends": [{"virtualService": {"virtualServiceName": service}}]});
        put(stage, "virtualNodes", json!({"virtualNodeName": format!("caller-{index}"), "spec": client})).await;
    }
    for (index, (_, spec)) in specs(folder, "virtualNodeName").into_values().enumerate() {
        for service in services(&spec.to_string()) {
            put(stage, "virtualServices", json!({"virtualServiceName": service, "spec": {}})).await;
        }
        count(put(stage, "virtualNodes", json!({"virtualNodeName": format!("node-{index}"), "spec": spec})).await);
    }
    for (index, (_, spec)) in specs(folder, "virtualGatewayName").into_values().enumerate() {
        let name = format!("gateway-{index}");
        count(put(stage, "virtualGateways", json!({"virtualGatewayName": name, "spec": spec})).await);
    }
    let open = json!({"listeners": [{"portMapping": {"port": 9000, "protocol": "http"}}]});
    for (index, (_, spec)) in specs(folder, "gatewayRouteName").into_values().enumerate() {
        for service in services(&spec.to_string()) {
            put(stage, "virtualServices", json!({"virtualServiceName": service, "spec": {}})).await;
        }
        let name = format!("front-{}", index / 8);
        put(stage, "virtualGateways", json!({"virtualGatewayName": name, "spec": open})).await;
        let path = format!("virtualGateway/{name}/gatewayRoutes");
        count(put(stage, &path, json!({"gatewayRouteName": format!("route-{index}"), "spec": spec})).await);
    }
    accepted
}

async fn names(stage: &Stage, collection: &str, member: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let url = format!("{}/v20190125/meshes/{MESH}/{collection}?limit=100{next}", stage.api);
        let page: Value = stage.client.get(&url).send().await.unwrap().json().await.unwrap();
        let refs = page[collection].as_array().unwrap();
        all.extend(refs.iter().map(|one| one[member].as_str().unwrap().to_owned()));
        match page["nextToken"].as_str() {
            Some(token) => next = format!("&nextToken={token}"),
            None => return all,
        }
    }
}

/// Runs an Envoy for each of the proxies; each accepts its complete configuration.
#[tokio::test]
async fn no_resource_of_the_corpus_is_rejected() {
    let Some(folder) = corpus() else {
        println!("skipped: the corpus of App Mesh examples is not next to this checkout");
        return;
    };
    let Some(stage) = Stage::set_with_ports(&[], 8).await else { return };
    assert!(fill(&stage, &folder).await > 0);
    let nodes = names(&stage, "virtualNodes", "virtualNodeName").await;
    let gateways = names(&stage, "virtualGateways", "virtualGatewayName").await;
    assert!(nodes.len() > 10, "{nodes:?}");
    let all = nodes.iter().map(|name| (Kind::Node, name)).chain(gateways.iter().map(|name| (Kind::Gateway, name)));
    let proxies: Vec<_> = all.collect();
    // A few at a time, since each is a process.
    for some in proxies.chunks(6) {
        let started = some.iter().map(|(kind, name)| {
            let id = format!("mesh/{MESH}/{}/{name}", kind.member());
            let stage = &stage;
            async move { Envoy::start_as(stage, &id, &[]).await }
        });
        let running = futures::future::join_all(started).await;
        for (kind, name) in some {
            until_answered(&stage, *kind, name).await;
        }
        drop(running);
    }
}

/// Waits until a proxy has acknowledged its listeners, and fails if it rejected any resource.
async fn until_answered(stage: &Stage, kind: Kind, name: &str) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let report = stage.report_of(kind, name).await;
        assert!(!report.to_string().contains("\"nack\":{"), "{name}: {report:#}");
        let streams = report["streams"].as_array().cloned().unwrap_or_default();
        let has_listeners = streams.iter().any(|stream| !stream["types"]["listeners"]["acknowledged"].is_null());
        if has_listeners {
            return;
        }
        assert!(Instant::now() < deadline, "{name} never acknowledged its listeners: {report:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
