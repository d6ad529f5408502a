//! The patch of a pod.

use std::collections::BTreeMap;

use mesh::name::ResourcePath;
use serde_json::{Value, json};

use super::annotations::{Annotations, INJECT};
use super::containers::{
    self, CA_ANNOTATION, ENVOY, ENVOY_USER, INJECTED_ANNOTATION, RULES_ANNOTATION, envoy_mounts, preparation, redirect,
    volumes,
};
use super::rules::redirect_rules;
use super::settings::InjectionSettings;
use crate::admission::{AdmissionVerdict, Operation, Review};
use crate::cluster::ClusterObjects;
use crate::declared::Declarations;
use crate::object::{Object, ObjectKey, ObjectKind};

/// Injects Envoy into a new pod.
#[must_use]
pub fn inject(review: &Review, cluster: &ClusterObjects, settings: &InjectionSettings) -> AdmissionVerdict {
    if review.kind != "Pod" || review.operation != Operation::Create || !review.subresource.is_empty() {
        return AdmissionVerdict::allowed();
    }
    let pod = Pod { review, annotations: texts(&review.object, "/metadata/annotations") };
    let annotations = match Annotations::parse(&pod.annotations) {
        Ok(annotations) => annotations,
        // A pod outside the mesh keeps the annotations of another controller.
        Err(_) if pod.annotations.get(INJECT).is_none_or(|value| value != "enabled") && !pod.is_enabled_by(cluster) => {
            return AdmissionVerdict::allowed();
        }
        Err(problems) => return AdmissionVerdict::Refused { problems },
    };
    if !annotations.inject.unwrap_or_else(|| pod.is_enabled_by(cluster)) {
        return AdmissionVerdict::allowed();
    }
    if pod.annotations.contains_key(INJECTED_ANNOTATION) {
        return AdmissionVerdict::allowed();
    }
    match pod.selected(cluster, &annotations) {
        Ok(Some(object)) => pod.patched(object, cluster, &annotations, settings),
        Ok(None) if annotations.inject == Some(true) => AdmissionVerdict::refused(format!(
            "metadata.labels: no VirtualNode and no VirtualGateway of the namespace `{}` selects the pod; correct the labels or \
             `spec.podSelector`, or set the annotation {INJECT} to `disabled`",
            review.namespace
        )),
        Ok(None) => AdmissionVerdict::Allowed {
            patch: Vec::new(),
            warnings: vec!["no VirtualNode and no VirtualGateway selects the pod, so it gets no Envoy".to_owned()],
        },
        Err(problem) => AdmissionVerdict::refused(problem),
    }
}

/// A pod that is created.
struct Pod<'r> {
    review: &'r Review,
    annotations: BTreeMap<String, String>,
}

impl Pod<'_> {
    fn spec(&self, pointer: &str) -> Option<&Value> {
        self.review.object.pointer(&format!("/spec{pointer}"))
    }

    /// Whether the namespace enables injection.
    fn is_enabled_by(&self, cluster: &ClusterObjects) -> bool {
        let labels = cluster.namespaces.get(&self.review.namespace);
        labels.and_then(|labels| labels.get(INJECT)).and_then(Value::as_str) == Some("enabled")
    }

    /// The virtual node or virtual gateway of the pod.
    fn selected<'c>(
        &self,
        cluster: &'c ClusterObjects,
        annotations: &Annotations,
    ) -> Result<Option<&'c Object>, String> {
        let namespace = &self.review.namespace;
        for (kind, name) in [
            (ObjectKind::VirtualNode, &annotations.virtual_node),
            (ObjectKind::VirtualGateway, &annotations.virtual_gateway),
        ] {
            let Some(name) = name else { continue };
            let found = cluster.objects.get(&ObjectKey::new(kind, namespace, name)).filter(|object| !object.is_deleted);
            return found.map(Some).ok_or_else(|| {
                format!(
                    "metadata.annotations: the {} `{namespace}/{name}` does not exist; create it first",
                    kind.as_str()
                )
            });
        }
        let labels = texts(&self.review.object, "/metadata/labels");
        let selects = |object: &&Object| {
            let is_kind = matches!(object.key.kind, ObjectKind::VirtualNode | ObjectKind::VirtualGateway);
            is_kind
                && object.key.namespace == *namespace
                && !object.is_deleted
                && readers::selects(object.spec.get("podSelector"), &labels)
        };
        let selecting: Vec<&Object> = cluster.objects.values().filter(selects).collect();
        match selecting.as_slice() {
            [] => Ok(None),
            [object] => Ok(Some(object)),
            [..] => {
                let names: Vec<String> = selecting.iter().map(|object| object.key.to_string()).collect();
                Err(format!(
                    "metadata.labels: several objects select the pod: {}; correct `spec.podSelector` of all but one",
                    names.join(", ")
                ))
            }
        }
    }

    fn patched(
        &self,
        object: &Object,
        cluster: &ClusterObjects,
        annotations: &Annotations,
        settings: &InjectionSettings,
    ) -> AdmissionVerdict {
        let is_gateway = object.key.kind == ObjectKind::VirtualGateway;
        let mut problems = self.unsupported(is_gateway, annotations);
        let declarations = Declarations::new(cluster);
        // A missing target of the object does not change its names.
        let of_object = declarations.problems.get(&object.key).into_iter().flatten();
        let lasting = of_object.filter(|problem| !problem.code.may_resolve_later());
        problems.extend(lasting.map(|problem| format!("{} selects the pod: {problem}", object.key)));
        let path = declarations.path_of(&object.key);
        if path.is_none() && problems.is_empty() {
            problems.push(format!("{} selects the pod and is not readable; correct it", object.key));
        }
        if let (Some(path), Some(mesh)) = (path, &annotations.mesh)
            && path.mesh().as_str() != mesh
        {
            problems.push(format!(
                "metadata.annotations[appmesh.k8s.aws/mesh]: is `{mesh}`, and {} is in the mesh `{}`; correct it or remove it",
                object.key,
                path.mesh()
            ));
        }
        match path {
            Some(path) if problems.is_empty() => {
                let changes = if is_gateway {
                    self.gateway_patch(path, annotations, settings)
                } else {
                    self.node_patch(path, object, annotations, settings)
                };
                AdmissionVerdict::Allowed { patch: changes, warnings: Vec::new() }
            }
            Some(_) | None => AdmissionVerdict::Refused { problems },
        }
    }

    /// The members of the pod that injection does not support.
    fn unsupported(&self, is_gateway: bool, annotations: &Annotations) -> Vec<String> {
        let mut problems = Vec::new();
        if self.spec("/hostNetwork").and_then(Value::as_bool) == Some(true) && !is_gateway {
            problems.push(
                "spec.hostNetwork: the redirect rules would apply to the whole machine; remove it, or disable injection".to_owned(),
            );
        }
        if self.spec("/os/name").and_then(Value::as_str) == Some("windows") {
            problems.push("spec.os.name: the redirect rules need Linux; disable injection".to_owned());
        }
        let user = self.spec("/securityContext/runAsUser").and_then(Value::as_i64);
        let containers = ["containers", "initContainers"].into_iter().flat_map(|list| {
            let items = self.spec(&format!("/{list}")).and_then(Value::as_array).into_iter().flatten();
            items.enumerate().map(move |(index, container)| (format!("spec.{list}[{index}]"), container))
        });
        let mut has_envoy = false;
        for (place, container) in containers {
            let text = |pointer: &str| container.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let is_envoy = text("/name") == ENVOY;
            if is_gateway && is_envoy && place.starts_with("spec.containers") {
                has_envoy = true;
                for member in ["command", "args"] {
                    if container.get(member).is_some() {
                        problems.push(format!("{place}.{member}: the injector sets it; remove it"));
                    }
                }
                continue;
            }
            if is_envoy || text("/name").starts_with("meshwarden-") {
                problems.push(format!(
                    "{place}.name: the injector uses the name `{}`; rename the container",
                    text("/name")
                ));
            }
            let runs_as = container.pointer("/securityContext/runAsUser").and_then(Value::as_i64).or(user);
            if runs_as == Some(ENVOY_USER) {
                problems.push(format!(
                    "{place}.securityContext.runAsUser: the traffic of user {ENVOY_USER} passes Envoy and its egress filter; use another user"
                ));
            }
        }
        if is_gateway && !has_envoy {
            problems
                .push("spec.containers: a pod of a virtual gateway needs a container named `envoy`; add it".to_owned());
        }
        if is_gateway {
            let given = [
                ("ports", annotations.ports.is_some()),
                ("egressIgnoredIPs", !annotations.ignored_networks.is_empty()),
                ("egressIgnoredPorts", !annotations.ignored_ports.is_empty()),
            ];
            for (name, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
                problems.push(format!(
                    "metadata.annotations[appmesh.k8s.aws/{name}]: no traffic of a virtual gateway is redirected; remove it"
                ));
            }
        } else if annotations.keeps_image {
            problems.push(
                "metadata.annotations[appmesh.k8s.aws/virtualGatewaySkipImageOverride]: a VirtualNode selects the pod; remove it"
                    .to_owned(),
            );
        }
        problems
    }

    fn node_patch(
        &self,
        path: &ResourcePath,
        object: &Object,
        annotations: &Annotations,
        settings: &InjectionSettings,
    ) -> Vec<Value> {
        let ports = annotations.ports.clone().unwrap_or_else(|| listener_ports(object));
        let networks: Vec<_> = annotations.ignored_networks.iter().map(|one| (one.address, one.prefix)).collect();
        let rules = redirect_rules(!ports.is_empty(), &networks, &annotations.ignored_ports);
        let [first_token, bootstrap, renewal] = preparation(settings, &path.to_string());
        let injected =
            [redirect(settings, &ports), first_token, bootstrap, renewal, containers::envoy(settings, annotations)];
        let mut changes = self.annotated(settings, Some(&rules));
        changes.extend(self.inserted("initContainers", &injected));
        changes.extend(self.inserted("volumes", &volumes(settings, annotations, true)));
        changes
    }

    fn gateway_patch(
        &self,
        path: &ResourcePath,
        annotations: &Annotations,
        settings: &InjectionSettings,
    ) -> Vec<Value> {
        let mut changes = self.annotated(settings, None);
        changes.extend(self.inserted("initContainers", &preparation(settings, &path.to_string())));
        changes.extend(self.inserted("volumes", &volumes(settings, annotations, false)));
        let containers = self.spec("/containers").and_then(Value::as_array).into_iter().flatten();
        for (index, container) in
            containers.enumerate().filter(|(_, one)| one.get("name").is_some_and(|name| name == ENVOY))
        {
            let at = |member: &str| format!("/spec/containers/{index}/{member}");
            if !annotations.keeps_image {
                changes.push(add(&at("image"), &json!(settings.envoy_image)));
            }
            changes.push(add(&at("args"), &containers::envoy_args()));
            changes.push(add(&at("securityContext"), &containers::user()));
            changes.push(add(&at("startupProbe"), &containers::startup_probe()));
            if container.get("resources").is_none() || annotations.resources.iter().any(Option::is_some) {
                changes.push(add(&at("resources"), &containers::resources(settings, annotations)));
            }
            let known = container.get("volumeMounts").and_then(Value::as_array).cloned().unwrap_or_default();
            let mounts: Vec<Value> = known.into_iter().chain(envoy_mounts(annotations)).collect();
            changes.push(add(&at("volumeMounts"), &json!(mounts)));
        }
        changes
    }

    /// Adds the annotations with the content of files, and the mark of an injected pod.
    fn annotated(&self, settings: &InjectionSettings, rules: Option<&str>) -> Vec<Value> {
        let mut added = vec![(INJECTED_ANNOTATION, "true"), (CA_ANNOTATION, settings.ca.as_str())];
        added.extend(rules.map(|rules| (RULES_ANNOTATION, rules)));
        let mut changes = Vec::new();
        if self.review.object.pointer("/metadata/annotations").is_none_or(Value::is_null) {
            changes.push(add("/metadata/annotations", &json!({})));
        }
        changes.extend(added.into_iter().map(|(key, value)| {
            add(&format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1")), &json!(value))
        }));
        changes
    }

    /// Inserts items at the start of a list: containers start in the order of the list, and those of the pod after Envoy.
    fn inserted(&self, list: &str, items: &[Value]) -> Vec<Value> {
        let path = format!("/spec/{list}");
        if self.spec(&format!("/{list}")).is_none_or(|known| !known.is_array()) {
            return vec![add(&path, &json!(items))];
        }
        items.iter().enumerate().map(|(index, item)| add(&format!("{path}/{index}"), item)).collect()
    }
}

/// The ports of the listeners of a virtual node.
fn listener_ports(object: &Object) -> Vec<u16> {
    let listeners = object.spec.get("listeners").and_then(Value::as_array).into_iter().flatten();
    let port = |listener: &Value| u16::try_from(listener.pointer("/portMapping/port")?.as_u64()?).ok();
    let mut ports: Vec<u16> = listeners.filter_map(port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The texts of an object in a document.
fn texts(document: &Value, pointer: &str) -> BTreeMap<String, String> {
    let members = document.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn add(path: &str, value: &Value) -> Value {
    json!({"op": "add", "path": path, "value": value})
}
