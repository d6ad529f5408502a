//! Small named changes of a mesh. A change leaves all other members as they are.

mod diff;
mod resources;
mod tls;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::certificates::{AuthorityArn, CertificateArn, SpecLocation};
use crate::graph::Mesh;
use crate::name::{MeshName, ResourcePath, RouteId, VirtualNodeName, VirtualServiceName};
use crate::spec::{EgressFilterType, IpPreference, Port, RouteRule, RouteSpec, Spec, TlsMode};
use crate::weights::WeightSplit;

pub use diff::{Difference, diff, diff_meshes};

/// A change of one resource, as part of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "camelCase")]
pub enum Change {
    /// Sets the weights of a route's targets. The targets stay the same.
    SetRouteWeights {
        /// The route.
        route: RouteId,
        /// Its targets with their new weights.
        split: WeightSplit,
    },
    /// Sets tags of a resource. Its other tags stay.
    SetTags {
        /// The resource.
        resource: ResourcePath,
        /// Keys and values.
        tags: BTreeMap<String, String>,
    },
    /// Sets the egress filter of a mesh.
    SetEgressFilter {
        /// The mesh.
        mesh: MeshName,
        /// The type of the filter.
        filter: EgressFilterType,
    },
    /// Removes a virtual service from the backends of a virtual node, at every position.
    RemoveBackend {
        /// The mesh.
        mesh: MeshName,
        /// The node.
        virtual_node: VirtualNodeName,
        /// The service.
        virtual_service: VirtualServiceName,
    },
    /// Enables the access log of a virtual node or gateway, in its present format.
    SetAccessLog {
        /// The virtual node or gateway.
        resource: ResourcePath,
        /// The file.
        path: String,
    },
    /// Sets the TLS mode of a listener, which must have TLS settings.
    SetListenerTlsMode {
        /// The virtual node or gateway.
        resource: ResourcePath,
        /// The listener.
        port: Port,
        /// The mode.
        mode: TlsMode,
    },
    /// Enforces TLS in a client policy, which must have TLS settings.
    EnforceClientTls {
        /// The virtual node or gateway.
        resource: ResourcePath,
        /// The backend with the policy; the node's default policy if absent.
        backend: Option<VirtualServiceName>,
    },
    /// Sets the IP preference of a mesh, or of a virtual node's service discovery.
    SetIpPreference {
        /// The mesh or the virtual node.
        resource: ResourcePath,
        /// The IP preference.
        preference: IpPreference,
    },
    /// Sets the ACM certificate of a listener.
    SetListenerCertificate {
        /// The virtual node or gateway.
        resource: ResourcePath,
        /// The listener's port.
        port: Port,
        /// The certificate.
        certificate: CertificateArn,
    },
    /// Sets the private CAs that a client policy trusts. Without a policy, one is created that does not enforce TLS,
    /// like a client without a policy.
    SetTrust {
        /// The virtual node or gateway.
        resource: ResourcePath,
        /// The location of the policy.
        #[serde(flatten)]
        place: SpecLocation,
        /// The CAs, one to three.
        authorities: Vec<AuthorityArn>,
        /// The names that a new policy accepts; empty for the name of the server's service discovery.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        names: Vec<String>,
    },
}

impl Change {
    /// The resource that is changed.
    #[must_use]
    pub fn resource(&self) -> ResourcePath {
        match self {
            Self::SetRouteWeights { route, .. } => ResourcePath::Route(route.clone()),
            Self::SetEgressFilter { mesh, .. } => ResourcePath::Mesh(mesh.clone()),
            Self::RemoveBackend { mesh, virtual_node, .. } => {
                ResourcePath::VirtualNode(mesh.clone(), virtual_node.clone())
            }
            Self::SetTags { resource, .. }
            | Self::SetAccessLog { resource, .. }
            | Self::SetListenerTlsMode { resource, .. }
            | Self::EnforceClientTls { resource, .. }
            | Self::SetIpPreference { resource, .. }
            | Self::SetListenerCertificate { resource, .. }
            | Self::SetTrust { resource, .. } => resource.clone(),
        }
    }

    /// Applies the change to the model. On an error the model is unchanged.
    pub fn apply(&self, mesh: &mut Mesh) -> Result<(), ChangeError> {
        match self {
            Self::SetRouteWeights { route, .. } => {
                let spec = mesh.route_mut(route).ok_or_else(|| ChangeError::NoRoute { route: route.clone() })?;
                self.apply_to_spec(spec)
            }
            Self::SetTags { .. }
            | Self::SetEgressFilter { .. }
            | Self::RemoveBackend { .. }
            | Self::SetAccessLog { .. }
            | Self::SetListenerTlsMode { .. }
            | Self::EnforceClientTls { .. }
            | Self::SetIpPreference { .. } => resources::apply(self, mesh),
            Self::SetListenerCertificate { resource, .. } | Self::SetTrust { resource, .. } => {
                tls::in_mesh(mesh, resource, |spec| self.apply_to(spec))
            }
        }
    }

    /// Applies a change of a route to its spec. On an error the spec is unchanged.
    pub fn apply_to_spec(&self, spec: &mut RouteSpec) -> Result<(), ChangeError> {
        match self {
            Self::SetRouteWeights { route, split } => set_weights(route, spec, split),
            Self::SetTags { .. }
            | Self::SetEgressFilter { .. }
            | Self::RemoveBackend { .. }
            | Self::SetAccessLog { .. }
            | Self::SetListenerTlsMode { .. }
            | Self::EnforceClientTls { .. }
            | Self::SetIpPreference { .. }
            | Self::SetListenerCertificate { .. }
            | Self::SetTrust { .. } => Err(ChangeError::OtherKind { resource: self.resource() }),
        }
    }

    /// Applies the change to the spec of its resource. On an error the spec is unchanged.
    pub fn apply_to(&self, spec: &mut Spec) -> Result<(), ChangeError> {
        match (self, spec) {
            (Self::SetRouteWeights { .. }, Spec::Route(spec)) => self.apply_to_spec(spec),
            (Self::SetRouteWeights { .. }, _) => Err(ChangeError::OtherKind { resource: self.resource() }),
            (Self::SetListenerCertificate { resource, port, certificate }, spec) => {
                tls::set_certificate(resource, spec, *port, certificate)
            }
            (Self::SetTrust { resource, place, authorities, names }, spec) => {
                tls::set_trust(resource, spec, place, authorities, names)
            }
            (Self::SetTags { .. }, _) => Err(self.impossible("tags are not in its spec")),
            (
                Self::SetEgressFilter { .. }
                | Self::RemoveBackend { .. }
                | Self::SetAccessLog { .. }
                | Self::SetListenerTlsMode { .. }
                | Self::EnforceClientTls { .. }
                | Self::SetIpPreference { .. },
                spec,
            ) => self.apply_alone(spec),
        }
    }

    /// Applies a change of a mesh to a model with only this resource.
    fn apply_alone(&self, spec: &mut Spec) -> Result<(), ChangeError> {
        let resource = self.resource();
        let mut mesh = Mesh::new(resource.mesh().clone());
        let inserted = mesh.insert(resource.clone(), spec.clone());
        inserted.map_err(|_| ChangeError::OtherKind { resource: resource.clone() })?;
        self.apply(&mut mesh)?;
        if let Some((_, changed)) = mesh.resources().into_iter().find(|(path, _)| *path == resource) {
            *spec = changed;
        }
        Ok(())
    }

    fn impossible(&self, problem: &'static str) -> ChangeError {
        ChangeError::Impossible { resource: self.resource(), problem }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetRouteWeights { route, split } => {
                write!(f, "set the weights of route {route} to {split}")
            }
            Self::SetTags { resource, tags } => {
                let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "tag {resource} with {}", tags.join(", "))
            }
            Self::SetEgressFilter { mesh, filter } => write!(f, "set the egress filter of mesh {mesh} to {filter}"),
            Self::RemoveBackend { mesh, virtual_node, virtual_service } => {
                write!(f, "remove backend {virtual_service} from virtual node {mesh}/{virtual_node}")
            }
            Self::SetAccessLog { resource, path } => write!(f, "log the requests of {resource} to {path}"),
            Self::SetListenerTlsMode { resource, port, mode } => {
                write!(f, "set the TLS mode of listener {port} of {resource} to {mode}")
            }
            Self::EnforceClientTls { resource, backend: None } => {
                write!(f, "enforce TLS in the backend defaults of {resource}")
            }
            Self::EnforceClientTls { resource, backend: Some(backend) } => {
                write!(f, "enforce TLS from {resource} to backend {backend}")
            }
            Self::SetIpPreference { resource, preference } => {
                write!(f, "set the IP preference of {resource} to {preference}")
            }
            Self::SetListenerCertificate { resource, port, certificate } => {
                write!(f, "set the certificate of listener {port} of {resource} to {certificate}")
            }
            Self::SetTrust { resource, place, authorities, .. } => {
                let authorities: Vec<&str> = authorities.iter().map(AuthorityArn::as_str).collect();
                write!(f, "let the {place} of {resource} trust {}", authorities.join(", "))
            }
        }
    }
}

fn set_weights(route: &RouteId, spec: &mut RouteSpec, split: &WeightSplit) -> Result<(), ChangeError> {
    let current = spec.split().ok_or_else(|| ChangeError::UnknownRouteKind { route: route.clone() })?;
    if !current.same_targets(split) {
        return Err(ChangeError::TargetsDiffer { route: route.clone(), current, given: split.clone() });
    }
    let entries = spec.rule.action_mut().into_iter().flat_map(|action| &mut action.weighted_targets);
    for (entry, target) in entries.zip(split.targets()) {
        entry.weight = target.weight;
    }
    Ok(())
}

/// The reason why a change cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// The route does not exist in the mesh.
    #[error("route {route} does not exist")]
    NoRoute {
        /// The route.
        route: RouteId,
    },
    /// The route's targets differ from the targets of the weights.
    #[error("route {route} has the targets {current}, but the weights are for {given}")]
    TargetsDiffer {
        /// The route.
        route: RouteId,
        /// The targets of the route.
        current: WeightSplit,
        /// The targets of the weights.
        given: WeightSplit,
    },
    /// The kind of the route is unknown.
    #[error("route {route} has an unknown kind; known kinds are {}", known_kinds())]
    UnknownRouteKind {
        /// The route.
        route: RouteId,
    },
    /// The resource does not exist in the mesh, or lacks the changed member.
    #[error("failed to change {resource}: {problem}")]
    Impossible {
        /// The resource.
        resource: ResourcePath,
        /// The problem.
        problem: &'static str,
    },
    /// The resource does not exist in the mesh.
    #[error("{resource} does not exist")]
    NoResource {
        /// The resource.
        resource: ResourcePath,
    },
    /// The change does not apply to this kind of resource.
    #[error("the change does not apply to {resource}")]
    OtherKind {
        /// The resource.
        resource: ResourcePath,
    },
    /// The resource has no listener with an ACM certificate on this port.
    #[error("{resource} has no listener {port} with a certificate from ACM")]
    NoAcmListener {
        /// The resource.
        resource: ResourcePath,
        /// The port.
        port: Port,
    },
    /// The resource has no such policy, and cannot have one.
    #[error("{resource} has no place for this policy: {place}")]
    NoPlace {
        /// The resource.
        resource: ResourcePath,
        /// The location of the policy.
        place: SpecLocation,
    },
    /// The policy trusts files or a secret discovery service.
    #[error("the {place} of {resource} doesn't trust private CAs by their ARNs")]
    OtherTrust {
        /// The resource.
        resource: ResourcePath,
        /// The location of the policy.
        place: SpecLocation,
    },
    /// App Mesh permits one to three CAs.
    #[error("invalid number of private CAs for {resource}: expected 1 to 3, got {given}")]
    AuthorityLimit {
        /// The resource.
        resource: ResourcePath,
        /// The given number.
        given: usize,
    },
}

fn known_kinds() -> String {
    <RouteRule as crate::spec::wire::Union>::MEMBERS.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::name::ResourceKind;
    use crate::spec::Spec;

    fn id() -> RouteId {
        RouteId::parse("shop/recs/all").unwrap()
    }

    fn split(weights: [u8; 2]) -> WeightSplit {
        let [one, two] = weights;
        serde_json::from_value(
            json!([{"virtualNode": "v1", "weight": one, "port": 80}, {"virtualNode": "v2", "weight": two}]),
        )
        .unwrap()
    }

    /// A route of each kind with all members of its kind, and unknown members at every level.
    fn routes() -> Vec<(&'static str, Value)> {
        let targets =
            json!([{"virtualNode": "v1", "weight": 100, "port": 80, "zone": "a"}, {"virtualNode": "v2", "weight": 0}]);
        let action = json!({"weightedTargets": targets, "mirror": {"virtualNode": "v3"}});
        let headers = json!([{"name": "X-Canary", "invert": false, "match": {"range": {"start": -1, "end": 9}}}]);
        let retry = json!({"maxRetries": 0, "perRetryTimeout": {"unit": "ms", "value": 250_000}, "httpRetryEvents": ["gateway-error"], "budget": 3});
        let timeout = json!({"idle": {"unit": "s", "value": 0}, "perRequest": {"unit": "s", "value": 15}});
        let http = json!({"action": action, "match": {"prefix": "/", "headers": headers, "cookie": "c"}, "retryPolicy": retry, "timeout": timeout});
        let grpc = json!({"action": action, "match": {"serviceName": "s", "metadata": [{"name": "m"}]}, "retryPolicy": retry, "timeout": timeout});
        let tcp = json!({"action": action, "match": {"port": 80}, "timeout": {"idle": {}}});
        [("httpRoute", http.clone()), ("http2Route", http), ("grpcRoute", grpc), ("tcpRoute", tcp)]
            .map(|(kind, rule)| (kind, json!({kind: rule, "priority": 0, "owner": "team"})))
            .into()
    }

    #[test]
    fn weights_change_and_nothing_else_on_all_four_kinds() {
        for (kind, before) in routes() {
            let mut mesh = Mesh::new("shop".parse().unwrap());
            mesh.insert(id().into(), Spec::read(ResourceKind::Route, &before).unwrap()).unwrap();
            let change = Change::SetRouteWeights { route: id(), split: split([5, 95]) };
            change.apply(&mut mesh).unwrap();

            let after = mesh.route(&id()).unwrap().to_json();
            let mut expected = before.clone();
            expected[kind]["action"]["weightedTargets"][0]["weight"] = json!(5);
            expected[kind]["action"]["weightedTargets"][1]["weight"] = json!(95);
            assert_eq!(after, expected);
            let paths: Vec<String> = diff(&before, &after).into_iter().map(|difference| difference.path).collect();
            let weight = |index| format!("spec.{kind}.action.weightedTargets[{index}].weight");
            assert_eq!(paths, [weight(0), weight(1)]);
        }
    }

    #[test]
    fn what_can_not_be_changed_is_left_alone() {
        let (_, spec) = routes().swap_remove(0);
        let mut mesh = Mesh::new("shop".parse().unwrap());
        mesh.insert(id().into(), Spec::read(ResourceKind::Route, &spec).unwrap()).unwrap();
        let unknown = RouteId::parse("shop/recs/new-kind").unwrap();
        mesh.insert(unknown.clone().into(), Spec::read(ResourceKind::Route, &json!({"quicRoute": {}})).unwrap())
            .unwrap();
        let before = mesh.clone();
        let swapped: WeightSplit = serde_json::from_value(
            json!([{"virtualNode": "v2", "weight": 1}, {"virtualNode": "v1", "weight": 1, "port": 80}]),
        )
        .unwrap();
        let elsewhere = RouteId::parse("other/recs/all").unwrap();
        let table = [
            (elsewhere.clone(), split([1, 1]), ChangeError::NoRoute { route: elsewhere }),
            (unknown.clone(), split([1, 1]), ChangeError::UnknownRouteKind { route: unknown }),
            (
                id(),
                swapped.clone(),
                ChangeError::TargetsDiffer { route: id(), current: split([100, 0]), given: swapped },
            ),
        ];
        for (route, split, error) in table {
            assert_eq!(Change::SetRouteWeights { route, split }.apply(&mut mesh), Err(error));
            assert_eq!(mesh, before);
        }
    }

    #[test]
    fn a_change_is_data() {
        let change = Change::SetRouteWeights { route: id(), split: split([5, 95]) };
        let json = json!({"change": "setRouteWeights", "route": "shop/recs/all", "split": split([5, 95])});
        assert_eq!(serde_json::to_value(&change).unwrap(), json);
        assert_eq!(serde_json::from_value::<Change>(json).unwrap(), change);
        assert_eq!(change.to_string(), "set the weights of route shop/recs/all to v1@80:5 v2:95");
        assert_eq!(change.resource().to_string(), "mesh/shop/virtualRouter/recs/route/all");
    }
}
