//! A real Envoy accepts the translations of the goldens. The tests are skipped without an Envoy.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value, json};
use xds::Translation;

use crate::goldens::cases;
use crate::printed::printed;

const FILE_LOG: &str = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";

/// The Envoy of the local stack, if it is installed.
pub(crate) fn envoy() -> Option<PathBuf> {
    let envoy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.local/venv/bin/envoy");
    if !envoy.is_file() {
        println!("skipped: .local contains no Envoy; `cargo xtask up` installs one");
        return None;
    }
    Some(envoy)
}

#[test]
fn envoy_accepts_the_goldens() {
    let Some(envoy) = envoy() else { return };
    for (name, case) in cases() {
        for proxy in &case.proxies {
            if let Err(why) = accepted_by_envoy(&envoy, &case.translate(proxy)) {
                panic!("{name}, {proxy}: {why}");
            }
        }
    }
}

/// Whether Envoy accepts a translation as its configuration; its error output if not.
pub(crate) fn accepted_by_envoy(envoy: &Path, translation: &Translation) -> Result<(), String> {
    validated(envoy, |secrets| standalone(&printed(translation), secrets))
}

/// Whether Envoy accepts a configuration, which is built with the path of a secrets file; its error output if not.
pub(crate) fn validated(envoy: &Path, configuration: impl FnOnce(&Path) -> Value) -> Result<(), String> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("meshwarden-xds-{}-{count}", std::process::id()));
    std::fs::create_dir(&folder).expect("is free");
    let secrets = folder.join("secrets.json");
    std::fs::write(&secrets, json!({"resources": []}).to_string()).expect("is writable");
    let bootstrap = folder.join("bootstrap.json");
    std::fs::write(&bootstrap, configuration(&secrets).to_string()).expect("is writable");
    let output = Command::new(envoy)
        .args(["--mode", "validate", "--log-level", "error", "--config-path"])
        .arg(&bootstrap)
        .output()
        .expect("Envoy runs");
    std::fs::remove_dir_all(&folder).expect("is ours");
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// A configuration that needs no control plane: resources from ADS are inlined or come from a file.
pub(crate) fn standalone(translation: &Value, secrets: &Path) -> Value {
    let member = |name: &str| translation[name].as_object().cloned().unwrap_or_default();
    let routes = member("routes");
    let resources = |name: &str| -> Vec<Value> {
        member(name).into_iter().map(|(_, resource)| inlined(resource, &routes, secrets)).collect()
    };
    static_configuration(resources("listeners"), resources("clusters"))
}

/// A configuration of these resources, with the static clusters that they may refer to.
pub(crate) fn static_configuration(listeners: Vec<Value>, clusters: Vec<Value>) -> Value {
    let mut socket = empty_cluster("static_cluster_sds_unix_socket");
    socket["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        },
    });
    let clusters: Vec<Value> = [empty_cluster("unreachable"), socket].into_iter().chain(clusters).collect();
    json!({
        "node": {"id": "test", "cluster": "test"},
        "dynamic_resources": {"ads_config": {
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "unreachable"}}],
        }},
        "layered_runtime": {"layers": [{
            "name": "expressions",
            "static_layer": {"re2.max_program_size.error_level": xds::LARGEST_EXPRESSION},
        }]},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    })
}

/// A cluster with only its name and no endpoints.
pub(crate) fn empty_cluster(name: &str) -> Value {
    json!({"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name}})
}

/// A resource with the resources that it names inlined.
pub(crate) fn inlined(value: Value, routes: &Map<String, Value>, secrets: &Path) -> Value {
    match value {
        Value::Object(mut members) => {
            if members.get("@type").is_some_and(|kind| kind == FILE_LOG) {
                // Envoy would open the log file at any path, and the result depends on the machine.
                members.insert("path".to_owned(), json!("/dev/null"));
            }
            let members = members.into_iter().map(|(name, value)| match name.as_str() {
                "rds" => {
                    let routes = value["route_config_name"].as_str().and_then(|name| routes.get(name));
                    ("route_config".to_owned(), routes.expect("is there").clone())
                }
                // Envoy 1.40 crashes on a secret over ADS that is named in a static resource.
                "sds_config" if value["ads"].is_object() => (name, json!({"path_config_source": {"path": secrets}})),
                _ => (name, inlined(value, routes, secrets)),
            });
            members.collect()
        }
        Value::Array(items) => items.into_iter().map(|item| inlined(item, routes, secrets)).collect(),
        other => other,
    }
}
