//! Many resources in one configuration, each with a unique name and port so that they do not conflict. A start of Envoy
//! takes longer than reading all of them. A refused batch is halved until the refused resource is found.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};
use xds::{Resource, ResourceType, Translation, Version};

use crate::printed::message;
use crate::taken::{empty_cluster, inlined, of, validated};

/// A resource to validate, and the description of its origin.
pub(crate) struct Tried {
    pub(crate) of: String,
    resource: Judged,
}

enum Judged {
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
pub(crate) fn unseen(
    translation: &Translation,
    before: &Translation,
    of: &str,
    seen: &mut BTreeSet<String>,
) -> Vec<Tried> {
    let mut tried = Vec::new();
    let mut take = |key: String, resource: &dyn Fn() -> Judged| {
        if seen.insert(key) {
            tried.push(Tried { of: of.to_owned(), resource: resource() });
        }
    };
    for (name, cluster) in &translation.clusters {
        if before.clusters.get(name) != Some(cluster) {
            let body = Resource::encode(cluster);
            take(body.version().to_string(), &|| Judged::Cluster(message(ResourceType::Cluster.url(), body.body())));
        }
    }
    for (name, endpoints) in &translation.endpoints {
        if before.endpoints.get(name) != Some(endpoints) {
            let body = Resource::encode(endpoints);
            take(body.version().to_string(), &|| Judged::Endpoints(message(ResourceType::Endpoint.url(), body.body())));
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
        take(key.join(" "), &|| Judged::Listener {
            listener: message(ResourceType::Listener.url(), body.body()),
            routes: routes.iter().map(printed).collect(),
            clusters: translation.clusters.keys().cloned().collect(),
        });
    }
    tried
}

/// Reports each resource that Envoy refuses, with its error output. Returns the number of Envoy starts.
pub(crate) fn judge(envoy: &Path, tried: &[Tried], refused: &impl Fn(&Tried, &str)) -> usize {
    let Err(why) = validated(envoy, |secrets| together(tried, secrets)) else { return 1 };
    match tried {
        [] => panic!("Envoy refuses nothing at all: {why}"),
        [one] => {
            refused(one, &why);
            1
        }
        several => {
            let (one, other) = several.split_at(several.len() / 2);
            1 + judge(envoy, one, refused) + judge(envoy, other, refused)
        }
    }
}

fn together(tried: &[Tried], secrets: &Path) -> Value {
    let (mut listeners, mut clusters, mut named) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (number, Tried { resource, .. }) in tried.iter().enumerate() {
        match resource {
            Judged::Cluster(cluster) => {
                let mut cluster = inlined(cluster.clone(), &Map::new(), secrets);
                cluster["name"] = json!(format!("{}#{number}", cluster["name"].as_str().expect("has a name")));
                clusters.push(cluster);
            }
            Judged::Endpoints(endpoints) => {
                let mut cluster = empty_cluster(&format!("endpoints#{number}"));
                cluster["load_assignment"] = endpoints.clone();
                clusters.push(cluster);
            }
            Judged::Listener { listener, routes, clusters } => {
                let mut listener = inlined(listener.clone(), routes, secrets);
                listener["name"] = json!(format!("{}#{number}", listener["name"].as_str().expect("has a name")));
                listener["address"]["socket_address"]["port_value"] = json!(1 + number);
                listeners.push(listener);
                named.extend(clusters);
            }
        }
    }
    clusters.extend(named.into_iter().map(|name| empty_cluster(name)));
    of(listeners, clusters)
}
