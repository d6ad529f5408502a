//! Many resources in one configuration, each with a unique name and port so that they do not conflict. A start of Envoy
//! takes longer than reading all of them. A refused batch is halved until the refused resource is found.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};
use xds::{Resource, ResourceType, Translation, Version};

use crate::envoy::{empty_cluster, inlined, static_configuration, validated};
use crate::printed::message;

/// A resource to validate, and the description of its origin.
pub(crate) struct Tried {
    pub(crate) origin: String,
    resource: TriedResource,
}

enum TriedResource {
    Cluster(Value),
    Endpoints(Value),
    /// A listener, with the route configurations that it names and the clusters that they may name.
    Listener {
        listener: Value,
        routes: Map<String, Value>,
        clusters: BTreeSet<String>,
    },
}

/// The resources of a translation that differ from `before` and are not yet in `seen`.
pub(crate) fn new_resources(
    translation: &Translation,
    before: &Translation,
    origin: &str,
    seen: &mut BTreeSet<String>,
) -> Vec<Tried> {
    let mut tried = Vec::new();
    let mut add_if_new = |key: String, resource: &dyn Fn() -> TriedResource| {
        if seen.insert(key) {
            tried.push(Tried { origin: origin.to_owned(), resource: resource() });
        }
    };
    for (name, cluster) in &translation.clusters {
        if before.clusters.get(name) != Some(cluster) {
            let body = Resource::encode(cluster);
            add_if_new(body.version().to_string(), &|| {
                TriedResource::Cluster(message(ResourceType::Cluster.url(), body.body()))
            });
        }
    }
    for (name, endpoints) in &translation.endpoints {
        if before.endpoints.get(name) != Some(endpoints) {
            let body = Resource::encode(endpoints);
            add_if_new(body.version().to_string(), &|| {
                TriedResource::Endpoints(message(ResourceType::Endpoint.url(), body.body()))
            });
        }
    }
    for (name, listener) in &translation.listeners {
        let body = Resource::encode(listener);
        // The name of a route configuration is unencoded in the listener's bytes.
        let text = String::from_utf8_lossy(body.body());
        let routes: Vec<_> = translation.routes.iter().filter(|(name, _)| text.contains(*name)).collect();
        let same = routes.iter().all(|(name, route)| before.routes.get(*name) == Some(*route));
        if same && before.listeners.get(name) == Some(listener) {
            continue;
        }
        let routes: Vec<_> = routes.into_iter().map(|(name, route)| (name, Resource::encode(route))).collect();
        let versions = routes.iter().map(|(_, route)| route.version());
        let key: Vec<&str> = [body.version()].into_iter().chain(versions).map(Version::as_str).collect();
        let printed =
            |(name, route): &(&String, Resource)| ((*name).clone(), message(ResourceType::Route.url(), route.body()));
        add_if_new(key.join(" "), &|| TriedResource::Listener {
            listener: message(ResourceType::Listener.url(), body.body()),
            routes: routes.iter().map(printed).collect(),
            clusters: translation.clusters.keys().cloned().collect(),
        });
    }
    tried
}

/// Reports each resource that Envoy refuses, with its error output. Returns the number of Envoy starts.
pub(crate) fn validate_batch(envoy: &Path, tried: &[Tried], refused: &impl Fn(&Tried, &str)) -> usize {
    let Err(why) = validated(envoy, |secrets| combined_configuration(tried, secrets)) else { return 1 };
    match tried {
        [] => panic!("Envoy refuses an empty configuration: {why}"),
        [one] => {
            refused(one, &why);
            1
        }
        several => {
            let (one, other) = several.split_at(several.len() / 2);
            1 + validate_batch(envoy, one, refused) + validate_batch(envoy, other, refused)
        }
    }
}

fn combined_configuration(tried: &[Tried], secrets: &Path) -> Value {
    let (mut listeners, mut clusters, mut named) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (number, Tried { resource, .. }) in tried.iter().enumerate() {
        match resource {
            TriedResource::Cluster(cluster) => {
                let mut cluster = inlined(cluster.clone(), &Map::new(), secrets);
                cluster["name"] = json!(format!("{}#{number}", cluster["name"].as_str().expect("has a name")));
                clusters.push(cluster);
            }
            TriedResource::Endpoints(endpoints) => {
                let mut cluster = empty_cluster(&format!("endpoints#{number}"));
                cluster["load_assignment"] = endpoints.clone();
                clusters.push(cluster);
            }
            TriedResource::Listener { listener, routes, clusters } => {
                let mut listener = inlined(listener.clone(), routes, secrets);
                listener["name"] = json!(format!("{}#{number}", listener["name"].as_str().expect("has a name")));
                listener["address"]["socket_address"]["port_value"] = json!(1 + number);
                listeners.push(listener);
                named.extend(clusters);
            }
        }
    }
    clusters.extend(named.into_iter().map(|name| empty_cluster(name)));
    static_configuration(listeners, clusters)
}
