//! Small named changes of a mesh. A change leaves all other members as they are.

mod definition;
mod diff;
mod error;
mod resources;
mod tls;

use crate::graph::Mesh;
use crate::name::RouteId;
use crate::spec::{RouteSpec, Spec};
use crate::split::WeightSplit;

pub use definition::Change;
pub use diff::{Difference, diff, diff_meshes};
pub use error::ChangeError;

impl Change {
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
    fn inapplicable_change_leaves_the_spec_unchanged() {
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
