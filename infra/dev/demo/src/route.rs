//! A route of the demo.

use std::fmt::Write;

use serde_json::Value;

use stack::demo_mesh::{MESH, weighted_targets};
use stack::http::segment;

/// The name of a route.
#[derive(Clone, Copy, Debug)]
pub(super) struct RouteName<'n> {
    pub(super) router: &'n str,
    pub(super) route: &'n str,
}

impl RouteName<'_> {
    /// Its path in the App Mesh API.
    pub(super) fn path(self) -> String {
        format!("/v20190125/meshes/{MESH}/virtualRouter/{}/routes/{}", segment(self.router), segment(self.route))
    }

    /// Its name in reports.
    pub(super) fn resource(self) -> String {
        format!("mesh/{MESH}/virtualRouter/{}/route/{}", self.router, self.route)
    }
}

/// A route as it was read.
#[derive(Clone, Debug)]
pub(super) struct Route {
    body: Value,
}

impl Route {
    pub(super) fn new(body: Value) -> Self {
        Self { body }
    }

    pub(super) fn version(&self) -> Option<u64> {
        self.body.pointer("/metadata/version")?.as_u64()
    }

    /// Virtual nodes with their weights, in the route's order.
    pub(super) fn weights(&self) -> Vec<(String, u64)> {
        weighted_targets(self.body.get("spec"))
            .filter_map(|target| {
                Some((target.get("virtualNode")?.as_str()?.to_owned(), target.get("weight")?.as_u64()?))
            })
            .collect()
    }

    /// The weight of a node; `None` if it is not a target.
    pub(super) fn weight(&self, node: &str) -> Option<u64> {
        self.weights().into_iter().find_map(|(name, weight)| (name == node).then_some(weight))
    }

    /// The route without its weights: a change of weights must not affect it.
    pub(super) fn all_but_weights(&self) -> Value {
        self.spec_with(|_| 0)
    }

    /// The spec with other weights.
    pub(super) fn spec_with(&self, weight_of: impl Fn(&str) -> u64) -> Value {
        let mut spec = self.body.get("spec").cloned().unwrap_or_default();
        let kinds = spec.as_object_mut().into_iter().flat_map(|spec| spec.values_mut());
        let targets = kinds.filter_map(|kind| kind.pointer_mut("/action/weightedTargets")?.as_array_mut()).flatten();
        for target in targets {
            let weight = target.get("virtualNode").and_then(Value::as_str).map(&weight_of);
            if let (Some(members), Some(weight)) = (target.as_object_mut(), weight) {
                members.insert("weight".to_owned(), weight.into());
            }
        }
        spec
    }
}

/// The weights of a route at several moments, as a table with one line for each moment.
pub(super) fn table(name: RouteName<'_>, moments: &[(&str, &Route)]) -> String {
    let nodes: Vec<String> = moments
        .first()
        .map(|(_, route)| route.weights().into_iter().map(|(node, _)| node).collect())
        .unwrap_or_default();
    let mut text = format!("    {:<34}", format!("{}/{}", name.router, name.route));
    for node in &nodes {
        write!(text, "  {node}").ok();
    }
    for (moment, route) in moments {
        write!(text, "\n    {moment:<34}").ok();
        for node in &nodes {
            let weight = route.weight(node).map_or_else(|| "-".to_owned(), |weight| weight.to_string());
            write!(text, "  {weight:>width$}", width = node.len()).ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NAME: RouteName<'static> = RouteName { router: "cart", route: "cart" };

    fn route(first: u64, second: u64) -> Route {
        Route::new(json!({
            "metadata": {"version": 3},
            "spec": {"priority": 7, "httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [
                {"virtualNode": "cart-a", "weight": first}, {"virtualNode": "cart-b", "weight": second},
            ]}}},
        }))
    }

    #[test]
    fn weights_are_read_and_replaced() {
        let before = route(60, 40);
        assert_eq!(before.weights(), [("cart-a".to_owned(), 60), ("cart-b".to_owned(), 40)]);
        let spec = before.spec_with(|node| if node == "cart-a" { 1 } else { 99 });
        assert_eq!(spec, route(1, 99).body["spec"]);
    }

    #[test]
    fn everything_but_the_weights_is_compared() {
        assert_eq!(route(60, 40).all_but_weights(), route(0, 100).all_but_weights());
        let mut other = route(60, 40);
        other.body["spec"]["priority"] = json!(8);
        assert_ne!(route(60, 40).all_but_weights(), other.all_but_weights());
    }

    #[test]
    fn weights_are_below_their_nodes() {
        let expected = "    cart/cart                           cart-a  cart-b\n    \
                        before                                  60      40\n    \
                        after                                    0     100";
        assert_eq!(table(NAME, &[("before", &route(60, 40)), ("after", &route(0, 100))]), expected);
    }
}
