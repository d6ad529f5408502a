//! The resources of clients whose streams ended, until they reconnect.
//!
//! A client reports only the versions of its resources. Without the clusters of a version, one that was deleted meanwhile
//! would be removed from the client before the route that uses it. Without the route configurations of a gateway, a target
//! could be removed before the gateway route that leads to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use xds::ProxyId;
use xds::ads::FormerResources;

/// How long they are remembered. A proxy tries to reconnect every few seconds; one that could not for an hour has
/// missed more than a cluster.
const RETENTION: Duration = Duration::from_hours(1);

/// The sets of one type and one proxy resource: its members mostly have the same one, and a few versions in between.
const SETS: usize = 8;

/// Sets of resources by proxy, latest last.
#[derive(Debug, Default)]
pub(super) struct EndedStreams(Mutex<EndedSets>);

#[derive(Debug, Default)]
struct EndedSets {
    sets: BTreeMap<ProxyId, VecDeque<(Instant, FormerResources)>>,
    swept: Option<Instant>,
}

impl EndedStreams {
    /// Remembers the resources of a client whose stream ended now.
    pub(super) fn keep(&self, id: &ProxyId, former: Vec<FormerResources>, now: Instant) {
        if former.is_empty() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = kept.sets.entry(id.clone()).or_default();
        for previous in former {
            let kind = previous.kind;
            sets.retain(|(_, other)| other.kind != kind || other.version != previous.version);
            sets.push_back((now, previous));
            if sets.iter().filter(|(_, other)| other.kind == kind).count() > SETS
                && let Some(oldest) = sets.iter().position(|(_, other)| other.kind == kind)
            {
                sets.remove(oldest);
            }
        }
        // At intervals only: thousands of streams may end together.
        if kept.swept.is_none_or(|swept| now.duration_since(swept) >= RETENTION / 60) {
            kept.swept = Some(now);
            kept.sets.retain(|_, sets| {
                sets.retain(|(since, _)| now.duration_since(*since) < RETENTION);
                !sets.is_empty()
            });
        }
    }

    /// The resources that clients of a proxy may have.
    pub(super) fn resources_of(&self, id: &ProxyId, now: Instant) -> Vec<FormerResources> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = kept.sets.get(id).into_iter().flatten();
        sets.filter(|(since, _)| now.duration_since(*since) < RETENTION).map(|(_, previous)| previous.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
    use xds::ads::SotwStream;
    use xds::{Resource, ResourceType, Snapshot};

    use super::*;

    fn sent(name: &str) -> Vec<FormerResources> {
        let cluster = Cluster { name: name.to_owned(), ..Cluster::default() };
        let snapshot = Snapshot::new([(ResourceType::Cluster, name.to_owned(), Resource::encode(&cluster))]);
        let mut stream = SotwStream::new(Vec::new());
        let request =
            DiscoveryRequest { type_url: ResourceType::Cluster.url().to_owned(), ..DiscoveryRequest::default() };
        stream.on_request(&request, &snapshot);
        stream.former().collect()
    }

    fn id(node: &str) -> ProxyId {
        format!("mesh/shop/virtualNode/{node}").parse().unwrap()
    }

    #[test]
    fn each_set_is_remembered_once_with_limits_on_number_and_time() {
        let (ended, start) = (EndedStreams::default(), Instant::now());
        ended.keep(&id("front"), Vec::new(), start);
        assert!(ended.0.lock().unwrap().sets.is_empty());
        for number in 0..SETS + 3 {
            ended.keep(&id("front"), sent(&number.to_string()), start);
            ended.keep(&id("front"), sent("all"), start);
        }
        let sets = ended.resources_of(&id("front"), start);
        assert_eq!(sets.len(), SETS);
        assert!(sets.contains(&sent("all")[0]) && !sets.contains(&sent("0")[0]));
        assert!(ended.resources_of(&id("other"), start).is_empty());
        assert!(ended.resources_of(&id("front"), start + RETENTION).is_empty());
        ended.keep(&id("other"), sent("all"), start + RETENTION);
        assert_eq!(ended.0.lock().unwrap().sets.len(), 1, "expired sets are removed when others are added");
    }
}
