//! `GET /proxies` for all replicas.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mesh::name::ResourcePath;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;
use xds::ProxyId;

use super::AdsState;
use super::certificate_report::{AcknowledgedSecrets, certificates};
use super::evidence_of_streams::snapshot_version;
use super::proxy_snapshot::Served;
use super::report::findings;
use crate::evidence::{
    GateLimits, InstanceFacts, MergedEvidence, ReplicaReport, SecretFacts, Unknown, UnknownReason, merge,
};
use crate::secrets::ServedCertificate;
use crate::storage::{LogError, ReplicaState, Sequence};

/// How long a report waits for replicas that have not reported the head of the log yet. They do within about a second.
const SETTLE: Duration = Duration::from_millis(2500);

/// How often the reports are read meanwhile.
const READ_AGAIN: Duration = Duration::from_millis(200);

/// How long a report waits for the snapshots of proxies that this replica does not serve.
const BUILD: Duration = Duration::from_secs(2);

/// The report on proxies.
#[derive(Debug)]
pub(crate) struct ProxiesReport {
    /// The report.
    pub(crate) body: Value,
    /// Whether nothing is unknown.
    pub(crate) complete: bool,
}

impl AdsState {
    /// All streams of all replicas. `is_head` says whether the state is that of the log's head at the request.
    pub(crate) async fn proxies(self: &Arc<Self>, is_head: bool) -> Result<ProxiesReport, LogError> {
        let head = self.registry.store().sequence();
        let merged = self.merged(head, is_head).await?;
        let complete = merged.unknown.is_empty();
        let mut body = json!({"sequence": head, "complete": complete});
        if let Some(members) = body.as_object_mut() {
            members.extend(frame(&merged));
            members.insert("proxies".to_owned(), self.streams(&merged, |_| true).await.into());
        }
        Ok(ProxiesReport { body, complete })
    }

    /// One proxy, connected or not. `None` if its resource does not exist.
    pub(crate) async fn proxy(
        self: &Arc<Self>,
        path: &ResourcePath,
        is_head: bool,
    ) -> Result<Option<ProxiesReport>, LogError> {
        let Ok(id) = path.to_string().parse::<ProxyId>() else { return Ok(None) };
        let mut merged = self.merged(self.registry.store().sequence(), is_head).await?;
        let id = id.to_string();
        merged.unknown.retain(|unknown| unknown.ids.as_ref().is_none_or(|ids| ids.contains(&id)));
        let streams = self.streams(&merged, |other| *other == id).await;
        let complete = merged.unknown.is_empty();
        let report = self.described(path, streams).await.map(|mut body| {
            if let Some(members) = body.as_object_mut() {
                members.insert("complete".to_owned(), complete.into());
                members.extend(frame(&merged));
            }
            ProxiesReport { body, complete }
        });
        Ok(report)
    }

    /// The evidence of all replicas, once the live ones have reported the head, or after some time.
    async fn merged(self: &Arc<Self>, head: Sequence, is_head: bool) -> Result<MergedEvidence, LogError> {
        let store = self.registry.store();
        // The report includes all earlier writes.
        self.cache.settle().await;
        let Some(id) = store.replica_id() else { return Ok(MergedEvidence::default()) };
        let deadline = Instant::now() + SETTLE;
        loop {
            let own = ReplicaReport {
                id,
                state: ReplicaState::Live,
                sequence: head,
                unchanged: Duration::ZERO,
                serve_stale: Duration::ZERO,
                facts: self.collect_facts().await.map(Arc::new),
            };
            let mut reports = vec![own];
            reports.extend(store.other_reports().await?);
            let mut merged = merge(head, &reports, GateLimits::default());
            if !merged.is_settling() || Instant::now() >= deadline {
                if !is_head {
                    merged.unknown.push(Unknown { replica: Some(id), reason: UnknownReason::Behind, ids: None });
                }
                return Ok(merged);
            }
            sleep(READ_AGAIN).await;
        }
    }

    /// The reports on streams: of this replica from memory, of others by their facts and the snapshots of this one.
    async fn streams(&self, merged: &MergedEvidence, wanted: impl Fn(&String) -> bool) -> Vec<Value> {
        let own = self.registry.store().replica_id();
        let mut streams: Vec<(String, Value)> = Vec::new();
        for entry in self.registry.entries() {
            let id = entry.who.id.to_string();
            if wanted(&id) {
                let mut stream = self.stream(&entry);
                if let (Some(own), Some(members)) = (own, stream.as_object_mut()) {
                    members.insert("replica".to_owned(), own.to_string().into());
                    members.insert("instance".to_owned(), entry.who.instance.as_str().into());
                }
                streams.push((id, stream));
            }
        }
        let others = merged.connected.iter().filter(|(replica, one)| Some(*replica) != own && wanted(&one.id));
        let others: Vec<&(Uuid, InstanceFacts)> = others.collect();
        let ids: BTreeSet<ProxyId> = others.iter().filter_map(|(_, one)| one.id.parse().ok()).collect();
        let snapshots = self.others.snapshots(ids, &self.cache, Instant::now() + BUILD).await;
        for (replica, instance) in others {
            streams.push((instance.id.clone(), stream_of_other(*replica, instance, &snapshots)));
        }
        streams.sort_by(|(a, _), (b, _)| a.cmp(b));
        streams.into_iter().map(|(_, stream)| stream).collect()
    }
}

/// The replicas, and the unknown proxies.
fn frame(merged: &MergedEvidence) -> Map<String, Value> {
    let replicas = merged.replicas.iter().map(
        |(id, condition, sequence)| json!({"id": id.to_string(), "state": condition.name(), "sequence": sequence}),
    );
    let unknown = merged.unknown.iter().flat_map(unknown);
    Map::from_iter([
        ("replicas".to_owned(), replicas.collect::<Vec<_>>().into()),
        ("unknown".to_owned(), unknown.collect::<Vec<_>>().into()),
    ])
}

fn unknown(unknown: &Unknown) -> Vec<Value> {
    let path = |id: &String| id.parse::<ProxyId>().map_or_else(|_| id.clone(), |id| id.path().to_string());
    let resources: Vec<String> =
        unknown.ids.as_ref().map_or_else(|| vec!["*".to_owned()], |ids| ids.iter().map(path).collect());
    let reason = unknown.reason.name();
    let replica = unknown.replica.map(|id| id.to_string());
    match &unknown.reason {
        UnknownReason::Silent | UnknownReason::Behind | UnknownReason::Unreadable => {
            vec![json!({"replica": replica, "reason": reason, "resources": resources})]
        }
        UnknownReason::OtherSecret(name) => {
            vec![json!({"replica": replica, "reason": reason, "secret": name, "resources": resources})]
        }
        UnknownReason::Left { instance, at } => resources
            .iter()
            .map(|resource| {
                json!({"resource": resource, "instance": instance, "reason": reason, "lastSeen": at.to_string()})
            })
            .collect(),
    }
}

/// The secrets that a proxy of another replica has acknowledged.
struct ReportedSecrets<'f>(&'f BTreeMap<String, SecretFacts>);

impl AcknowledgedSecrets for ReportedSecrets<'_> {
    fn version(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|secret| secret.version.as_str())
    }

    fn certificates(&self, name: &str) -> Option<Vec<ServedCertificate>> {
        let certificates = self.0.get(name)?.certificates.as_ref()?.iter();
        let one = |(fingerprint, not_after): &(String, jiff::Timestamp)| ServedCertificate {
            fingerprint: fingerprint.clone(),
            not_after: *not_after,
        };
        Some(certificates.map(one).collect())
    }
}

/// The report on a stream of another replica, judged by the snapshot that this replica would send to it.
fn stream_of_other(replica: Uuid, instance: &InstanceFacts, snapshots: &BTreeMap<ProxyId, Served>) -> Value {
    let id = instance.id.parse::<ProxyId>().ok();
    let snapshot = id.as_ref().and_then(|id| snapshots.get(id)).and_then(Served::proxy_snapshot);
    let is_current = snapshot.is_some_and(|snapshot| instance.snapshot.as_ref() == Some(&snapshot_version(snapshot)));
    let secrets = instance.secrets.iter().map(|(name, secret)| (name.clone(), secret.version.as_str().into()));
    let secrets = Value::Object(secrets.collect());
    let types = instance.types.iter().map(|(kind, facts)| {
        let nack = facts.nack.as_ref().map(|nack| json!({"version": nack.version, "message": nack.message}));
        let resources = if kind == "secrets" { secrets.clone() } else { Value::Null };
        let value =
            json!({"sent": facts.sent, "acknowledged": facts.acknowledged, "resources": resources, "nack": nack});
        (kind.clone(), value)
    });
    json!({
        "id": instance.id,
        "resource": id.map_or_else(|| instance.id.clone(), |id| id.path().to_string()),
        "cluster": instance.cluster,
        "peer": instance.peer,
        "since": instance.since.to_string(),
        "userAgent": instance.user_agent,
        "protocol": instance.protocol,
        "upToDate": is_current && instance.up_to_date,
        "types": Value::Object(types.collect()),
        // The files of another machine are not visible here.
        "certificates": snapshot.map(|snapshot| certificates(snapshot, &ReportedSecrets(&instance.secrets), None)),
        "findings": snapshot.map(|snapshot| findings(&snapshot.findings)),
        "replica": replica.to_string(),
        "instance": instance.instance,
    })
}
