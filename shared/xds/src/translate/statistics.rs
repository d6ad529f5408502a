//! What statistics are named and tagged by.
//!
//! Envoy counts by cluster, and a cluster stands for a virtual node. Which virtual service was called is known to the
//! route only, so a cluster's statistics carry the service in their name: `cds_egress_shop_catalog-v2_http_8080/` +
//! `catalog.shop.local` + `/`. The bootstrap's tag extraction (`control-plane bootstrap --statsd`, `--prometheus`)
//! takes such a name apart again. A virtual node's name never contains a slash, so it can be taken apart exactly.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::Metadata;
use envoy_types::pb::google::protobuf::{Struct, Value, value};
use mesh::name::VirtualServiceName;
use serde_json::json;

/// What the statistics of the nodes that a proxy calls are named by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatNames {
    /// By the cluster and the virtual service that was called, for the tags `target_virtual_node` and
    /// `target_virtual_service`. A node that is called as several services has a cluster for each.
    #[default]
    Service,
    /// By the cluster alone, as App Mesh had it: for proxies whose bootstrap is not this project's.
    Cluster,
}

impl StatNames {
    /// The name that a cluster's statistics have; empty where it is the cluster's own.
    pub(super) fn of_cluster(self, cluster: &str, service: &VirtualServiceName) -> String {
        match self {
            Self::Service => format!("{cluster}/{service}/"),
            Self::Cluster => String::new(),
        }
    }
}

/// The member of the metadata that the metrics extension of App Mesh's Envoy image reads.
const EXTENSION: &str = "aws.appmesh.aggregate_stats";

/// Metadata for the metrics extension of App Mesh's Envoy image: what it tags a resource's metrics with. It reads a JSON
/// text. A listener has no tags of its own, but is counted only with the member present.
pub(super) fn extension_metadata(tags: &[(&str, &str)]) -> Metadata {
    let tags: Vec<_> = tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    let text = json!({ "tags": tags }).to_string();
    let config = Value { kind: Some(value::Kind::StringValue(text)) };
    let fields = Struct { fields: HashMap::from([("config".to_owned(), config)]) };
    Metadata { filter_metadata: HashMap::from([(EXTENSION.to_owned(), fields)]), ..Metadata::default() }
}
