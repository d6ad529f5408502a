//! The injected containers and volumes, as in `infra/deploy/sidecar/kubernetes.yaml`.

use serde_json::{Map, Value, json};

use super::annotations::Annotations;
use super::settings::InjectionSettings;

/// The user of Envoy and of the containers that prepare it, which the redirect rules except.
pub(super) const ENVOY_USER: i64 = 1337;

/// The annotations with the content of files.
pub(super) const RULES_ANNOTATION: &str = "meshwarden.io/redirect-rules";
pub(super) const CA_ANNOTATION: &str = "meshwarden.io/ca";

/// The annotation of a pod that has been injected.
pub(super) const INJECTED_ANNOTATION: &str = "meshwarden.io/injected";

/// The names of the volumes.
pub(super) const FILES: &str = "meshwarden-files";
pub(super) const STATE: &str = "meshwarden-envoy";
pub(super) const TOKEN: &str = "meshwarden-token";

/// The names of the containers. The name of Envoy's is the one that the App Mesh controller uses.
pub(super) const ENVOY: &str = "envoy";
const REDIRECT: &str = "meshwarden-redirect";
const FIRST_TOKEN: &str = "meshwarden-first-token";
const RENEWAL: &str = "meshwarden-token";
const BOOTSTRAP: &str = "meshwarden-bootstrap";

/// The redirection of a pod's traffic.
pub(super) fn redirect(settings: &InjectionSettings, ports: &[u16]) -> Value {
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let defined = format!("app_ports={{ {} }}", ports.join(", "));
    let command = if ports.is_empty() {
        json!(["nft", "--file", "/rules/redirect.nft"])
    } else {
        json!(["nft", "--define", defined, "--file", "/rules/redirect.nft"])
    };
    json!({
        "name": REDIRECT,
        "image": settings.redirect_image,
        "command": command,
        "securityContext": {
            "runAsUser": 0,
            "runAsNonRoot": false,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
        },
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
        "volumeMounts": [{"name": FILES, "mountPath": "/rules", "readOnly": true}],
    })
}

/// The containers that write the token and the bootstrap, and renew the token.
pub(super) fn preparation(settings: &InjectionSettings, node: &str) -> [Value; 3] {
    let token = |more: &[&str]| {
        let mut args = vec![
            "node-token".to_owned(),
            format!("--api={}", settings.api),
            format!("--node={node}"),
            "--service-account-token=/service-account/token".to_owned(),
            "--ca-file=/files/ca.crt".to_owned(),
            "--token-file=/envoy/token".to_owned(),
        ];
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args
    };
    let mounts = json!([
        {"name": STATE, "mountPath": "/envoy"},
        {"name": FILES, "mountPath": "/files", "readOnly": true},
        {"name": TOKEN, "mountPath": "/service-account", "readOnly": true},
    ]);
    let container = |name: &str, args: Value| {
        json!({
            "name": name,
            "image": settings.control_plane_image,
            "args": args,
            "securityContext": user(),
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
            "volumeMounts": mounts,
        })
    };
    let bootstrap = json!([
        "bootstrap",
        format!("--xds={}", settings.xds),
        format!("--node={node}"),
        "--delta",
        "--tls-ca=/files/ca.crt",
        format!("--tls-server-name={}", settings.tls_server_name),
        "--xds-auth=token",
        "--token-file=/envoy/token",
        "--prometheus=0.0.0.0:9103",
        "--output=/envoy/envoy.json",
    ]);
    let mut renewal = container(RENEWAL, json!(token(&[])));
    if let Some(members) = renewal.as_object_mut() {
        members.insert("restartPolicy".to_owned(), json!("Always"));
    }
    [container(FIRST_TOKEN, json!(token(&["--once"]))), container(BOOTSTRAP, bootstrap), renewal]
}

/// Envoy as a sidecar.
pub(super) fn envoy(settings: &InjectionSettings, annotations: &Annotations) -> Value {
    json!({
        "name": ENVOY,
        "image": settings.envoy_image,
        "restartPolicy": "Always",
        "args": envoy_args(),
        "securityContext": user(),
        "ports": [{"name": "envoy-metrics", "containerPort": 9103}],
        "startupProbe": startup_probe(),
        "resources": resources(settings, annotations),
        "volumeMounts": envoy_mounts(annotations),
    })
}

pub(super) fn envoy_args() -> Value {
    json!(["--config-path", "/envoy/envoy.json", "--concurrency", "2", "--log-level", "warning"])
}

/// The statistics are served once Envoy has its first configuration.
pub(super) fn startup_probe() -> Value {
    json!({"httpGet": {"path": "/stats/prometheus", "port": 9103}, "periodSeconds": 1, "failureThreshold": 60})
}

pub(super) fn user() -> Value {
    json!({
        "runAsUser": ENVOY_USER,
        "runAsGroup": ENVOY_USER,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

pub(super) fn envoy_mounts(annotations: &Annotations) -> Vec<Value> {
    let mut mounts = vec![
        json!({"name": STATE, "mountPath": "/envoy", "readOnly": true}),
        json!({"name": FILES, "mountPath": "/files", "readOnly": true}),
    ];
    let secrets = annotations.secrets.iter().enumerate();
    mounts.extend(
        secrets.map(|(index, (_, path))| json!({"name": secret_volume(index), "mountPath": path, "readOnly": true})),
    );
    mounts
}

/// The resources of Envoy: each annotation instead of the default. An empty text sets none.
pub(super) fn resources(settings: &InjectionSettings, annotations: &Annotations) -> Value {
    let given = annotations.resources.iter().zip(&settings.resources);
    let chosen = given.map(|(given, default)| given.as_ref().unwrap_or(default));
    let mut resources = Map::new();
    let places = [("requests", "cpu"), ("requests", "memory"), ("limits", "cpu"), ("limits", "memory")];
    for ((group, name), quantity) in places.into_iter().zip(chosen).filter(|(_, quantity)| !quantity.is_empty()) {
        let group = resources.entry(group).or_insert_with(|| Value::Object(Map::new()));
        if let Some(group) = group.as_object_mut() {
            group.insert(name.to_owned(), json!(quantity));
        }
    }
    Value::Object(resources)
}

/// The volumes of the containers.
pub(super) fn volumes(settings: &InjectionSettings, annotations: &Annotations, has_rules: bool) -> Vec<Value> {
    let file = |annotation: &str, path: &str| json!({"path": path, "fieldRef": {"fieldPath": format!("metadata.annotations['{annotation}']")}});
    let mut files = vec![file(CA_ANNOTATION, "ca.crt")];
    if has_rules {
        files.push(file(RULES_ANNOTATION, "redirect.nft"));
    }
    let token =
        json!({"serviceAccountToken": {"path": "token", "audience": settings.audience, "expirationSeconds": 3600}});
    let mut volumes = vec![
        json!({"name": FILES, "downwardAPI": {"items": files}}),
        json!({"name": STATE, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}),
        json!({"name": TOKEN, "projected": {"sources": [token]}}),
    ];
    let secrets = annotations.secrets.iter().enumerate();
    volumes.extend(secrets.map(|(index, (name, _))| {
        json!({"name": secret_volume(index), "secret": {"secretName": name, "defaultMode": 0o440}})
    }));
    volumes
}

fn secret_volume(index: usize) -> String {
    format!("meshwarden-secret-{index}")
}
