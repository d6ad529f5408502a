//! Pods, and the patches or refusals that they lead to.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::*;
use crate::admission::{AdmissionVerdict, Review};
use crate::cluster::ClusterObjects;
use crate::fixture::{key, shop};
use crate::object::ObjectKind;

fn settings() -> InjectionSettings {
    InjectionSettings {
        envoy_image: "envoy:1".to_owned(),
        control_plane_image: "control-plane:1".to_owned(),
        redirect_image: "nft:1".to_owned(),
        xds: "mesh-xds.meshwarden:18000".to_owned(),
        tls_server_name: "mesh-xds.meshwarden".to_owned(),
        ca: "-----BEGIN CERTIFICATE-----\n".to_owned(),
        api: "https://mesh.meshwarden".to_owned(),
        audience: "mesh.internal".to_owned(),
        resources: ["100m", "64Mi", "", "256Mi"].map(str::to_owned),
    }
}

/// A cluster with injection in its namespace.
fn enabled() -> ClusterObjects {
    let mut cluster = shop();
    let labels = json!({"mesh": "shop", "appmesh.k8s.aws/sidecarInjectorWebhook": "enabled"});
    cluster.namespaces.insert("shop".to_owned(), labels);
    cluster
}

fn pod(app: &str, annotations: &Value) -> Value {
    json!({
        "metadata": {"labels": {"app": app}, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "app:1"}], "volumes": [{"name": "own", "emptyDir": {}}]},
    })
}

fn gateway_pod(annotations: &Value) -> Value {
    let mut pod = pod("edge", annotations);
    pod["spec"]["containers"] = json!([{"name": "envoy", "image": "own-envoy:1"}]);
    pod
}

fn verdict(pod: &Value, cluster: &ClusterObjects) -> AdmissionVerdict {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "operation": "CREATE", "kind": {"kind": "Pod"}, "namespace": "shop", "object": pod}});
    inject(&Review::parse(review.to_string().as_bytes()).unwrap(), cluster, &settings())
}

/// Applies the operations `add` of a JSON patch.
fn patched(pod: &Value, operations: &[Value]) -> Value {
    let mut pod = pod.clone();
    for operation in operations {
        assert_eq!(operation["op"], "add");
        let path = operation["path"].as_str().unwrap();
        let (parent, member) = path.rsplit_once('/').unwrap();
        let member = member.replace("~1", "/").replace("~0", "~");
        match pod.pointer_mut(parent).unwrap_or_else(|| panic!("{parent} does not exist")) {
            Value::Object(members) => drop(members.insert(member, operation["value"].clone())),
            Value::Array(items) => items.insert(member.parse().unwrap(), operation["value"].clone()),
            other => panic!("{parent} is {other}"),
        }
    }
    pod
}

fn injected(pod: &Value, cluster: &ClusterObjects) -> Value {
    match verdict(pod, cluster) {
        AdmissionVerdict::Allowed { patch, .. } => patched(pod, &patch),
        AdmissionVerdict::Refused { problems } => panic!("{problems:?}"),
    }
}

fn names(pod: &Value, list: &str) -> Vec<String> {
    pod["spec"][list].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn pod_of_a_virtual_node_gets_the_containers_of_the_sidecar_definition() {
    let mut given = pod("a", &Value::Null);
    given["spec"]["initContainers"] = json!([{"name": "migrate", "image": "app:1"}]);
    let pod = injected(&given, &enabled());
    assert_eq!(
        names(&pod, "initContainers"),
        [
            "meshwarden-redirect",
            "meshwarden-first-token",
            "meshwarden-bootstrap",
            "meshwarden-token",
            "envoy",
            "migrate"
        ]
    );
    assert_eq!(names(&pod, "volumes"), ["meshwarden-files", "meshwarden-envoy", "meshwarden-token", "own"]);
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["meshwarden.io/redirect-rules"], REDIRECT_RULES);
    let init = &pod["spec"]["initContainers"];
    assert_eq!(init[0]["command"], json!(["nft", "--define", "app_ports={ 8080 }", "--file", "/rules/redirect.nft"]));
    let args = init[2]["args"].as_array().unwrap();
    assert!(args.contains(&json!("--node=mesh/shop/virtualNode/a_shop")), "{args:?}");
    assert_eq!(
        init[4]["resources"],
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}})
    );
    assert_eq!(init[4]["securityContext"]["runAsUser"], 1337);
    // A second webhook call changes nothing.
    assert_eq!(injected(&pod, &enabled()), pod);
}

#[test]
fn injected_rules_and_command_are_those_of_the_sidecar_definition() {
    let definition = include_str!("../../../../infra/deploy/sidecar/kubernetes.yaml");
    for line in redirect_rules(true, &[], &[]).lines().filter(|line| !line.is_empty()) {
        assert!(definition.contains(line), "{line}");
    }
    let pod = injected(&pod("a", &Value::Null), &enabled());
    let command = pod["spec"]["initContainers"][0]["command"].as_array().unwrap();
    let command: Vec<&str> = command.iter().map(|word| word.as_str().unwrap()).collect();
    assert!(
        definition.contains(&format!("command: [nft, --define, \"{}\", --file, {}]", command[2], command[4])),
        "{command:?}"
    );
    for context in ["add: [NET_ADMIN]", "runAsUser: 1337, runAsGroup: 1337"] {
        assert!(definition.contains(context));
    }
}

#[test]
fn annotations_change_rules_ports_resources_and_secrets() {
    let annotations = json!({
        "appmesh.k8s.aws/ports": "9090, 8080",
        "appmesh.k8s.aws/egressIgnoredIPs": "10.0.0.0/8,192.0.2.1",
        "appmesh.k8s.aws/egressIgnoredPorts": "22, 5432",
        "appmesh.k8s.aws/cpuRequest": "250m",
        "appmesh.k8s.aws/memoryRequest": "96Mi",
        "appmesh.k8s.aws/cpuLimit": "1",
        "appmesh.k8s.aws/memoryLimit": "512Mi",
        "appmesh.k8s.aws/secretMounts": "a-tls:/certificates, b:/b",
        "appmesh.k8s.aws/mesh": "shop",
        "appmesh.k8s.aws/virtualNode": "b",
        "appmesh.k8s.aws/ignoredUID": "1337",
        "appmesh.k8s.aws/preview": "disabled",
        "example.com/other": "x",
    });
    let pod = injected(&pod("unknown", &annotations), &enabled());
    let init = &pod["spec"]["initContainers"];
    assert_eq!(init[0]["command"][2], "app_ports={ 8080, 9090 }");
    let rules = pod["metadata"]["annotations"]["meshwarden.io/redirect-rules"].as_str().unwrap();
    let after =
        |line: &str| rules.lines().skip_while(|one| one.trim() != line).nth(1).unwrap_or_default().trim().to_owned();
    assert_eq!(after("meta skuid 1337 return"), "ip daddr { 10.0.0.0/8, 192.0.2.1/32 } return");
    assert_eq!(after("meta skuid 1337 accept"), "tcp dport { 22, 5432 } accept");
    assert_eq!(rules.matches("tcp dport { 22, 5432 } return").count(), 1);
    assert_eq!(
        init[4]["resources"],
        json!({"requests": {"cpu": "250m", "memory": "96Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}})
    );
    assert_eq!(
        init[4]["volumeMounts"][2],
        json!({"name": "meshwarden-secret-0", "mountPath": "/certificates", "readOnly": true})
    );
    assert!(init[2]["args"].as_array().unwrap().contains(&json!("--node=mesh/shop/virtualNode/b_shop")));
}

#[test]
fn node_without_listeners_redirects_outgoing_traffic_only() {
    let mut cluster = enabled();
    cluster
        .objects
        .get_mut(&key(ObjectKind::VirtualNode, "a"))
        .unwrap()
        .spec
        .as_object_mut()
        .unwrap()
        .remove("listeners");
    let pod = injected(&pod("a", &Value::Null), &cluster);
    assert_eq!(pod["spec"]["initContainers"][0]["command"], json!(["nft", "--file", "/rules/redirect.nft"]));
    let rules = pod["metadata"]["annotations"]["meshwarden.io/redirect-rules"].as_str().unwrap();
    let used: Vec<&str> = rules.lines().filter(|line| line.contains("$app_ports")).collect();
    assert_eq!(used, Vec::<&str>::new());
    assert!(rules.contains("meta l4proto tcp redirect to :15001"));
    assert!(redirect_rules(true, &[(Ipv4Addr::LOCALHOST, 32)], &[]).contains("127.0.0.1/32"));
}

#[test]
fn envoy_of_a_virtual_gateway_is_configured_and_no_traffic_is_redirected() {
    let pod = injected(&gateway_pod(&Value::Null), &enabled());
    assert_eq!(names(&pod, "initContainers"), ["meshwarden-first-token", "meshwarden-bootstrap", "meshwarden-token"]);
    let envoy = &pod["spec"]["containers"][0];
    assert_eq!((envoy["image"].as_str(), envoy["args"][1].as_str()), (Some("envoy:1"), Some("/envoy/envoy.json")));
    let kept = json!({"appmesh.k8s.aws/virtualGatewaySkipImageOverride": "enabled"});
    assert_eq!(injected(&gateway_pod(&kept), &enabled())["spec"]["containers"][0]["image"], "own-envoy:1");
}

#[test]
fn pods_without_injection_stay_as_they_are() {
    let untouched = |pod: &Value, cluster: &ClusterObjects| match verdict(pod, cluster) {
        AdmissionVerdict::Allowed { patch, .. } => patch.is_empty(),
        AdmissionVerdict::Refused { problems } => panic!("{problems:?}"),
    };
    let inject = |value: &str| json!({"appmesh.k8s.aws/sidecarInjectorWebhook": value});
    assert!(untouched(&pod("a", &Value::Null), &shop()), "the namespace does not enable it");
    assert!(untouched(&pod("a", &inject("disabled")), &enabled()));
    assert!(untouched(&pod("unknown", &Value::Null), &enabled()), "no object selects it");
    assert!(untouched(&pod("a", &json!({"appmesh.k8s.aws/unknown": "x"})), &shop()), "outside the mesh");
    assert!(!untouched(&pod("a", &inject("enabled")), &shop()), "the pod enables it");
}

/// A change of a pod and of the cluster.
type Edit = fn(&mut Value, &mut ClusterObjects);

#[test]
fn unsupported_pods_are_refused_with_member_and_remedy() {
    fn annotate(pod: &mut Value, name: &str, value: &str) {
        pod["metadata"]["annotations"] = json!({format!("appmesh.k8s.aws/{name}"): value});
    }
    let table: [(Edit, &str); 17] = [
        (|pod, _| annotate(pod, "ports", "http"), "annotations[appmesh.k8s.aws/ports]: is `http`, expected ports"),
        (|pod, _| annotate(pod, "egressIgnoredIPs", "fd00::/8"), "expected IPv4 addresses or networks"),
        (|pod, _| annotate(pod, "cpuRequest", "much"), "expected a quantity"),
        (|pod, _| annotate(pod, "ignoredUID", "0"), "must be 1337"),
        (|pod, _| annotate(pod, "ignoredGID", "1337"), "remove it"),
        (|pod, _| annotate(pod, "appmeshCNI", "enabled"), "CNI plugin is not supported"),
        (|pod, _| annotate(pod, "sidecarEnv", "A=b"), "the injector does not support it"),
        (|pod, _| annotate(pod, "mesh", "other"), "is in the mesh `shop`"),
        (|pod, _| annotate(pod, "virtualNode", "missing"), "the VirtualNode `shop/missing` does not exist"),
        (|pod, _| annotate(pod, "virtualGatewaySkipImageOverride", "enabled"), "a VirtualNode selects the pod"),
        (|pod, _| pod["spec"]["hostNetwork"] = json!(true), "spec.hostNetwork"),
        (|pod, _| pod["spec"]["os"] = json!({"name": "windows"}), "spec.os.name"),
        (|pod, _| pod["spec"]["containers"][0]["name"] = json!("envoy"), "spec.containers[0].name: the injector uses"),
        (|pod, _| pod["spec"]["securityContext"] = json!({"runAsUser": 1337}), "use another user"),
        (
            |pod, _| {
                annotate(pod, "sidecarInjectorWebhook", "enabled");
                pod["metadata"]["labels"] = json!({"app": "unknown"});
            },
            "no VirtualNode and no VirtualGateway",
        ),
        (
            |_, cluster| {
                let mut second = cluster.objects[&key(ObjectKind::VirtualNode, "a")].clone();
                second.key.name = "second".to_owned();
                cluster.insert(second);
            },
            "VirtualNode/shop/a, VirtualNode/shop/second",
        ),
        (|_, cluster| drop(cluster.objects.remove(&key(ObjectKind::Mesh, "shop"))), "no mesh selects the namespace"),
    ];
    for (edit, text) in table {
        let (mut pod, mut cluster) = (pod("a", &Value::Null), enabled());
        edit(&mut pod, &mut cluster);
        match verdict(&pod, &cluster) {
            AdmissionVerdict::Refused { problems } => {
                assert!(problems.join("\n").contains(text), "{text}: {problems:?}");
            }
            AdmissionVerdict::Allowed { .. } => panic!("{text}: allowed"),
        }
    }
    for (edit, text) in [
        ((|pod, _| pod["spec"]["containers"][0]["name"] = json!("proxy")) as Edit, "needs a container named `envoy`"),
        (|pod, _| pod["spec"]["containers"][0]["args"] = json!(["-l"]), "spec.containers[0].args"),
        (|pod, _| annotate(pod, "ports", "80"), "no traffic of a virtual gateway is redirected"),
    ] {
        let (mut pod, mut cluster) = (gateway_pod(&Value::Null), enabled());
        edit(&mut pod, &mut cluster);
        match verdict(&pod, &cluster) {
            AdmissionVerdict::Refused { problems } => {
                assert!(problems.join("\n").contains(text), "{text}: {problems:?}");
            }
            AdmissionVerdict::Allowed { .. } => panic!("{text}: allowed"),
        }
    }
}
