//! The names and tags of statistics.
//!
//! Envoy counts by cluster, and a cluster represents a virtual node. Only the route knows which virtual service was
//! called, so the name of a cluster's statistics contains the service: `cds_egress_shop_catalog-v2_http_8080/` +
//! `catalog.shop.local` + `/`. The bootstrap's tag extraction (`control-plane bootstrap --statsd`, `--prometheus`)
//! splits such a name again. The split is exact, because the name of a virtual node never contains a slash.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::Metadata;
use envoy_types::pb::google::protobuf::{Struct, Value, value};
use mesh::name::VirtualServiceName;
use serde_json::json;

/// The naming of the statistics of nodes that a proxy calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatNames {
    /// By the cluster and the called virtual service, for the tags `target_virtual_node` and `target_virtual_service`.
    /// A node that is called as several services has a cluster for each.
    #[default]
    Service,
    /// By the cluster alone, as in App Mesh: for proxies with a bootstrap that this project did not write.
    Cluster,
}

impl StatNames {
    /// The name of a cluster's statistics; empty if it is the name of the cluster.
    pub(super) fn of_cluster(self, cluster: &str, service: &VirtualServiceName) -> String {
        match self {
            Self::Service => format!("{cluster}/{service}/"),
            Self::Cluster => String::new(),
        }
    }
}

/// The metadata member that the metrics extension of App Mesh's Envoy image reads.
const EXTENSION: &str = "aws.appmesh.aggregate_stats";

/// Metadata for the metrics extension of App Mesh's Envoy image: the tags of a resource's metrics, as a JSON text. A
/// listener has no tags, but its metrics are counted only if the member is present.
pub(super) fn extension_metadata(tags: &[(&str, &str)]) -> Metadata {
    let tags: Vec<_> = tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    let text = json!({ "tags": tags }).to_string();
    let config = Value { kind: Some(value::Kind::StringValue(text)) };
    let fields = Struct { fields: HashMap::from([("config".to_owned(), config)]) };
    Metadata { filter_metadata: HashMap::from([(EXTENSION.to_owned(), fields)]), ..Metadata::default() }
}
