//! What clients have whose streams ended, until they come back.
//!
//! By state of the world a client says no more of its clusters than their version. Without what stood behind that, a
//! cluster that is gone meanwhile would be taken from it before the route that leads there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use xds::ProxyId;
use xds::ads::FormerClusters;

/// How long it is kept. A proxy tries to come back every few seconds; one that could not for an hour has missed more than
/// a cluster.
const KEPT: Duration = Duration::from_hours(1);

/// Sets of one proxy: its members mostly have the same one, and a few versions between.
const SETS: usize = 8;

/// Sets of clusters by proxy, the latest last.
#[derive(Debug, Default)]
pub(super) struct Gone(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    sets: BTreeMap<ProxyId, VecDeque<(Instant, FormerClusters)>>,
    swept: Option<Instant>,
}

impl Gone {
    /// Keeps what a client may have whose stream ended now.
    pub(super) fn keep(&self, id: &ProxyId, clusters: Vec<FormerClusters>, now: Instant) {
        if clusters.is_empty() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = kept.sets.entry(id.clone()).or_default();
        for former in clusters {
            sets.retain(|(_, other)| other.version != former.version);
            sets.push_back((now, former));
        }
        let over = sets.len().saturating_sub(SETS);
        sets.drain(..over);
        // Once in a while: thousands of streams may end together.
        if kept.swept.is_none_or(|swept| now.duration_since(swept) >= KEPT / 60) {
            kept.swept = Some(now);
            kept.sets.retain(|_, sets| {
                sets.retain(|(since, _)| now.duration_since(*since) < KEPT);
                !sets.is_empty()
            });
        }
    }

    /// What clients of a proxy may have.
    pub(super) fn of(&self, id: &ProxyId, now: Instant) -> Vec<FormerClusters> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = kept.sets.get(id).into_iter().flatten();
        sets.filter(|(since, _)| now.duration_since(*since) < KEPT).map(|(_, former)| former.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
    use xds::ads::SotwStream;
    use xds::{Resource, ResourceType, Snapshot};

    use super::*;

    fn sent(name: &str) -> Vec<FormerClusters> {
        let cluster = Cluster { name: name.to_owned(), ..Cluster::default() };
        let snapshot = Snapshot::new([(ResourceType::Cluster, name.to_owned(), Resource::encode(&cluster))]);
        let mut stream = SotwStream::new(Vec::new());
        let request =
            DiscoveryRequest { type_url: ResourceType::Cluster.url().to_owned(), ..DiscoveryRequest::default() };
        stream.on_request(&request, &snapshot);
        stream.clusters().collect()
    }

    fn id(node: &str) -> ProxyId {
        format!("mesh/shop/virtualNode/{node}").parse().unwrap()
    }

    #[test]
    fn each_set_is_kept_once_the_latest_of_many_and_none_for_ever() {
        let (gone, start) = (Gone::default(), Instant::now());
        gone.keep(&id("front"), Vec::new(), start);
        assert!(gone.0.lock().unwrap().sets.is_empty());
        for number in 0..SETS + 3 {
            gone.keep(&id("front"), sent(&number.to_string()), start);
            gone.keep(&id("front"), sent("all"), start);
        }
        let sets = gone.of(&id("front"), start);
        assert_eq!(sets.len(), SETS);
        assert!(sets.contains(&sent("all")[0]) && !sets.contains(&sent("0")[0]));
        assert!(gone.of(&id("other"), start).is_empty());
        assert!(gone.of(&id("front"), start + KEPT).is_empty());
        gone.keep(&id("other"), sent("all"), start + KEPT);
        assert_eq!(gone.0.lock().unwrap().sets.len(), 1, "what is too old goes when somebody else's comes");
    }
}
