//! Examples that other authors wrote for App Mesh, in one mesh. They are not part of this repository.

use std::path::Path;

use mesh::name::ResourcePath;
use mesh::spec::Spec;
use serde_json::{Map, Value, json};

use crate::case::MESH;

/// Specs by path within the mesh.
pub(crate) type Specs = Map<String, Value>;

/// All examples, each with a generated name if it has none. They include the resources that they refer to, and a node
/// that calls every service. `None` if the corpus is not next to the repository.
pub(crate) fn corpus() -> Option<Specs> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let Ok(index) = std::fs::read_to_string(root.join("index.tsv")) else {
        println!("skipped in part: the corpus next to the repository is missing");
        return None;
    };
    let mut specs = Specs::new();
    for (row, line) in index.lines().enumerate() {
        let mut fields = line.split('\t');
        let (Some("json"), Some(kind), Some(file)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let text = std::fs::read_to_string(root.join(file)).expect("is readable");
        let Ok(body) = serde_json::from_str::<Value>(&text) else { continue };
        // A describe output of the CLI wraps the resource in its kind, an input is the resource, and some files are
        // only the spec.
        let resource = body.get(kind).unwrap_or(&body);
        let spec = resource.get("spec").unwrap_or(resource);
        let name = resource[format!("{kind}Name")].as_str().map_or_else(|| format!("{kind}-{row}"), ToOwned::to_owned);
        let path = match kind {
            "route" => {
                let router = json!({"virtualRouter": {"virtualRouterName": format!("router-{row}")}});
                specs.insert(format!("virtualService/routed-{row}"), json!({ "provider": router }));
                format!("virtualRouter/router-{row}/route/{name}")
            }
            "gatewayRoute" => format!("virtualGateway/front-{row}/gatewayRoute/{name}"),
            kind => format!("{kind}/{name}"),
        };
        if can_be_read(&path, spec) {
            specs.insert(path, spec.clone());
        }
    }
    let mut referred = Specs::new();
    for (path, spec) in &specs {
        if let Some((gateway, _)) = path.split_once("/gatewayRoute/") {
            let open = json!({"listeners": [{"portMapping": {"port": 8088, "protocol": "http"}}]});
            referred.insert(gateway.to_owned(), open);
        }
        add_referred(spec, &mut referred);
    }
    for (path, spec) in referred {
        specs.entry(path).or_insert(spec);
    }
    let services = specs.keys().filter_map(|path| path.strip_prefix("virtualService/"));
    let backends: Vec<Value> =
        services.map(|service| json!({"virtualService": {"virtualServiceName": service}})).collect();
    specs.insert("virtualNode/calls-everything".to_owned(), json!({ "backends": backends }));
    Some(specs)
}

/// Adds the resources that a spec refers to, each with a minimal spec.
fn add_referred(value: &Value, referred: &mut Specs) {
    match value {
        Value::Object(members) => {
            if let Some(service) = value["virtualServiceName"].as_str() {
                referred.entry(format!("virtualService/{service}")).or_insert(json!({}));
            }
            if let Some(node) = value["virtualNode"].as_str().or(value["virtualNodeName"].as_str()) {
                let port = value["port"].as_u64().unwrap_or(8080);
                let spec = json!({
                    "listeners": [{"portMapping": {"port": port, "protocol": "http"}}],
                    "serviceDiscovery": {"dns": {"hostname": "target.corpus.internal"}},
                });
                referred.entry(format!("virtualNode/{node}")).or_insert(spec);
            }
            members.values().for_each(|member| add_referred(member, referred));
        }
        Value::Array(items) => items.iter().for_each(|item| add_referred(item, referred)),
        _ => {}
    }
}

pub(crate) fn can_be_read(path: &str, spec: &Value) -> bool {
    path_of(path).is_ok_and(|path| Spec::read(path.kind(), spec).is_ok())
}

pub(crate) fn path_of(path: &str) -> Result<ResourcePath, mesh::name::PathError> {
    let separator = if path.is_empty() { "" } else { "/" };
    ResourcePath::parse(&format!("mesh/{MESH}{separator}{path}"))
}

#[test]
fn corpus_has_all_kinds() {
    let Some(specs) = corpus() else { return };
    let count = |kind: &str| specs.keys().filter(|path| path.contains(kind)).count();
    for (kind, least) in
        [("virtualNode/", 10), ("/route/", 10), ("virtualService/", 10), ("virtualGateway/", 5), ("/gatewayRoute/", 5)]
    {
        assert!(count(kind) >= least, "{} of {kind}", count(kind));
    }
}
