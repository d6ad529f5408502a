//! Reports the streams of this replica to the others, through the registry of the shared store.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use xds::ads::Status;
use xds::{ResourceType, Version};

use super::AdsState;
use super::ads_stream::stopped;
use super::proxy_snapshot::ProxySnapshot;
use super::registry::RegisteredStream;
use super::report::{kind_name, up_to_date};
use crate::evidence::{self, InstanceFacts, NackFacts, ReplicaFacts, SecretFacts, TypeFacts};

/// How often changes are looked for.
const CHECK: Duration = Duration::from_millis(200);

/// The shortest interval between two reports.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The longest interval between two reports, for what changes without a stream: instances that left long ago.
const MAX_INTERVAL: Duration = Duration::from_secs(30);

impl AdsState {
    /// Reports the streams after each change of them, of the state, or of secrets, until the server stops.
    pub(super) async fn report_streams(self: &Arc<Self>) {
        let (store, secrets) = (self.registry.store(), self.secrets.changes());
        let (mut reported, mut stop) = (None, self.stop.clone());
        loop {
            let current = (self.registry.revision(), store.sequence(), *secrets.borrow());
            let is_due = reported.is_none_or(|(last, at): (_, Instant)| {
                let age = at.elapsed();
                age >= MAX_INTERVAL || (age >= MIN_INTERVAL && last != current)
            });
            if is_due {
                self.publish_streams().await;
                self.others.remove_unused();
                reported = Some((current, Instant::now()));
            }
            tokio::select! {
                () = sleep(CHECK) => {}
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// Reports the streams now. The sequence is read first: every stream that opens later gets at least this state.
    pub(super) async fn publish_streams(self: &Arc<Self>) {
        let sequence = self.registry.store().sequence();
        self.cache.settle().await;
        let state = Arc::clone(self);
        let encoded = tokio::task::spawn_blocking(move || evidence::encode(state.facts())).await;
        match encoded.map_err(io::Error::other).flatten() {
            Ok(chunks) => self.registry.store().publish_evidence(sequence, chunks),
            Err(error) => {
                tracing::error!(%error, "failed to encode evidence; the proxies of this replica are unknown");
            }
        }
    }

    /// The facts about all streams, collected by another thread: thousands of streams take a while. Without them, nothing is
    /// known about the proxies.
    pub(super) async fn collect_facts(self: &Arc<Self>) -> Option<ReplicaFacts> {
        let state = Arc::clone(self);
        tokio::task::spawn_blocking(move || state.facts()).await.ok()
    }

    /// The facts about all streams of this replica. A stream that ends meanwhile is among the left ones, or in both lists.
    fn facts(&self) -> ReplicaFacts {
        let mut versions = BTreeMap::new();
        let instances = self.registry.entries().iter().map(|entry| self.instance(entry, &mut versions)).collect();
        let reports = self.secrets.reports().into_iter().filter(|report| !report.certificates.is_empty());
        let secrets = reports.map(|report| {
            let fingerprints = report.certificates.into_iter().map(|certificate| certificate.fingerprint);
            (report.name, fingerprints.collect())
        });
        ReplicaFacts { instances, secrets: secrets.collect(), left: self.registry.left() }
    }

    /// `versions` are the versions of snapshots that were computed before: streams of one resource share theirs.
    fn instance(&self, entry: &RegisteredStream, versions: &mut BTreeMap<String, String>) -> InstanceFacts {
        let (who, status) = (&entry.who, entry.acknowledged.status());
        let current = self.cache.served(&who.id).unwrap_or_default();
        let id = who.id.to_string();
        let snapshot = current
            .proxy_snapshot()
            .map(|snapshot| versions.entry(id.clone()).or_insert_with(|| snapshot_version(snapshot)).clone());
        InstanceFacts {
            instance: who.instance.clone(),
            peer: who.peer.address.to_string(),
            since: who.since,
            cluster: who.cluster.clone(),
            user_agent: who.user_agent.clone(),
            protocol: who.protocol.to_owned(),
            snapshot,
            up_to_date: up_to_date(&current, &status, entry),
            types: types(&status),
            secrets: secrets(&status, entry),
            id,
        }
    }
}

/// The version of a whole snapshot. It follows from the content, so replicas of one release have equal ones.
pub(super) fn snapshot_version(snapshot: &ProxySnapshot) -> String {
    let resources = ResourceType::ALL.iter().flat_map(|kind| snapshot.snapshot.of(*kind).map(move |one| (*kind, one)));
    let parts = resources.flat_map(|(kind, (name, resource))| {
        [kind_name(kind).as_bytes(), name.as_bytes(), resource.version().as_str().as_bytes()]
    });
    Version::from_parts(parts).to_string()
}

fn types(status: &Status) -> BTreeMap<String, TypeFacts> {
    let one = |version: &Version| version.as_str().to_owned();
    let types = status.types.iter().map(|(kind, status)| {
        let nack = status.nack.as_ref();
        let facts = TypeFacts {
            sent: status.sent.as_ref().map(one),
            acknowledged: status.acknowledged.as_ref().map(one),
            nack: nack.map(|nack| NackFacts { version: one(&nack.version), message: nack.message.clone() }),
        };
        (kind_name(*kind).to_owned(), facts)
    });
    types.collect()
}

fn secrets(status: &Status, entry: &RegisteredStream) -> BTreeMap<String, SecretFacts> {
    let Some(secrets) = status.types.get(&ResourceType::Secret) else { return BTreeMap::new() };
    let one = |(name, version): (&String, &Version)| {
        let certificates = entry.acknowledged.certificates(name, version).map(|certificates| {
            certificates.into_iter().map(|certificate| (certificate.fingerprint, certificate.not_after)).collect()
        });
        (name.clone(), SecretFacts { version: version.as_str().to_owned(), certificates })
    };
    secrets.resources.iter().map(one).collect()
}
