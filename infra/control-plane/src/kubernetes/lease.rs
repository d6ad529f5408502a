//! The lease: of several processes, one writes.
//!
//! A process with an old copy of the objects would write an old spec over a new one, and the version of the resource would not
//! prevent it. So only the holder of the lease writes, and it stops before its lease can be taken over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::client::{KubeClient, KubeError, chain};
use super::metrics::KubernetesMetrics;

/// Where the lease is, and the name of this process in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSettings {
    /// The namespace of the lease.
    pub namespace: String,
    /// The name of the lease.
    pub name: String,
    /// The name of this process, unique among the processes of the lease.
    pub identity: String,
    /// The time after which another process takes over a lease that is not renewed; at least a second. The holder stops writing
    /// after two thirds of it.
    pub duration: Duration,
}

/// Whether this process may write. A clone shares the state.
#[derive(Debug, Clone, Default)]
pub(super) struct Leadership(Option<Arc<Mutex<Option<Instant>>>>);

impl Leadership {
    /// A leadership that depends on a lease.
    pub(super) fn by_lease() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whether this process may write now. Without a lease it always may.
    pub(super) fn is_held(&self) -> bool {
        self.0.as_ref().is_none_or(|until| {
            until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| Instant::now() < until)
        })
    }

    fn set(&self, until: Option<Instant>) {
        if let Some(held) = &self.0 {
            *held.lock().unwrap_or_else(PoisonError::into_inner) = until;
        }
    }
}

/// The last seen state of a lease of another process, and since when it is unchanged by the clock of this process.
struct Seen {
    version: String,
    since: Instant,
}

/// Acquires and renews the lease until the task is aborted.
pub(super) async fn keep(
    kube: Arc<KubeClient>,
    settings: LeaseSettings,
    leadership: Leadership,
    metrics: KubernetesMetrics,
) {
    let mut seen = None;
    let mut was_leader = false;
    loop {
        let began = Instant::now();
        match attempt(&kube, &settings, &mut seen).await {
            Ok(true) => leadership.set(Some(began + settings.duration * 2 / 3)),
            Ok(false) => leadership.set(None),
            // The lease stays valid until its end: a short failure of the API server moves no leadership.
            Err(error) => tracing::warn!(reason = chain(&error), "failed to renew lease"),
        }
        let is_leader = leadership.is_held();
        if is_leader != was_leader {
            tracing::info!(is_leader, identity = settings.identity, "leadership changed");
            metrics.leads(is_leader);
            was_leader = is_leader;
        }
        sleep(settings.duration / 7).await;
    }
}

/// Releases the lease, so that another process takes over at once.
pub(super) async fn release(kube: &KubeClient, settings: &LeaseSettings) {
    let Ok(mut lease) = kube.get(&path(settings)).await else { return };
    if holder(&lease) == settings.identity
        && let Some(spec) = lease.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.insert("holderIdentity".to_owned(), json!(""));
        // Without the release, another process takes over after the duration of the lease.
        drop(kube.replace(&path(settings), &lease).await);
    }
}

fn path(settings: &LeaseSettings) -> String {
    format!("{}/{}", collection(settings), settings.name)
}

fn collection(settings: &LeaseSettings) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", settings.namespace)
}

fn holder(lease: &Value) -> &str {
    lease.pointer("/spec/holderIdentity").and_then(Value::as_str).unwrap_or_default()
}

/// Acquires or renews the lease. Returns whether this process holds it.
async fn attempt(kube: &KubeClient, settings: &LeaseSettings, seen: &mut Option<Seen>) -> Result<bool, KubeError> {
    let now = time(Timestamp::now());
    let mut lease = match kube.get(&path(settings)).await {
        Ok(lease) => lease,
        Err(error) if error.is(404) => {
            let spec = spec(settings, &now, &now, 0);
            let metadata = json!({"name": settings.name, "namespace": settings.namespace});
            let lease =
                json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec});
            return match kube.create(&collection(settings), &lease).await {
                Ok(_) => Ok(true),
                Err(error) if error.is(409) => Ok(false),
                Err(error) => Err(error),
            };
        }
        Err(error) => return Err(error),
    };
    let is_own = holder(&lease) == settings.identity;
    if !is_own && !holder(&lease).is_empty() && !is_over(&lease, seen, settings.duration) {
        return Ok(false);
    }
    let text = |pointer: &str| lease.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let acquired = if is_own { text("/spec/acquireTime") } else { now.clone() };
    let changes = lease.pointer("/spec/leaseTransitions").and_then(Value::as_i64).unwrap_or_default();
    let spec = spec(settings, &acquired, &now, if is_own { changes } else { changes.saturating_add(1) });
    if let Some(members) = lease.as_object_mut() {
        members.insert("spec".to_owned(), spec);
    }
    match kube.replace(&path(settings), &lease).await {
        Ok(_) => Ok(true),
        Err(error) if error.is(409) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the lease of another process was not renewed for its duration, by the clock of this process.
fn is_over(lease: &Value, seen: &mut Option<Seen>, duration: Duration) -> bool {
    let version = lease.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
    match seen {
        Some(known) if known.version == version => known.since.elapsed() > duration,
        Some(_) | None => {
            *seen = Some(Seen { version: version.to_owned(), since: Instant::now() });
            false
        }
    }
}

fn spec(settings: &LeaseSettings, acquired: &str, renewed: &str, changes: i64) -> Value {
    json!({
        "holderIdentity": settings.identity,
        "leaseDurationSeconds": settings.duration.as_secs(),
        "acquireTime": acquired,
        "renewTime": renewed,
        "leaseTransitions": changes,
    })
}

/// A time with microseconds, as Kubernetes writes it in a lease.
fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
