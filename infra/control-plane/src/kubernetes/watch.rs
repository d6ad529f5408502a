//! Lists and watches: a copy of the objects of a cluster that follows the Kubernetes API.
//!
//! ```text
//!   list, page by page ──▶ replace the kind ──▶ watch from its version ──▶ events change the copy
//!        ▲                                          │  end: watch again from the last version
//!        └── 410 Gone, invalid event, failure ◀─────┘
//! ```

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt as _;
use kubernetes::{ClusterObjects, Object, ObjectKey, ObjectKind};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::client::{KubeClient, KubeError};
use super::metrics::KubernetesMetrics;

/// The most objects of one response.
const PAGE: usize = 500;

/// The longest event, in bytes: the largest object that etcd stores, as JSON.
const MAX_EVENT: usize = 8 * 1024 * 1024;

/// The pauses after failures. A stream without failures for the longest pause resets them.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One watched type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watched {
    /// The namespaces with their labels.
    Namespaces,
    /// A kind of App Mesh objects.
    Objects(ObjectKind),
}

impl Watched {
    /// Every watched type.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        ObjectKind::ALL.into_iter().map(Self::Objects).chain([Self::Namespaces])
    }

    fn path(self) -> String {
        match self {
            Self::Namespaces => "/api/v1/namespaces".to_owned(),
            Self::Objects(kind) => format!("/apis/{}/{}", kubernetes::API_VERSION, kind.plural()),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Objects(kind) => kind.plural(),
        }
    }
}

/// A copy of the objects of a cluster.
#[derive(Debug)]
pub(crate) struct ClusterCopy {
    state: Mutex<CopyState>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct CopyState {
    cluster: ClusterObjects,
    listed: BTreeSet<Watched>,
}

impl Default for ClusterCopy {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl ClusterCopy {
    /// The objects; `None` until every type was listed once.
    pub(crate) fn get(&self) -> Option<ClusterObjects> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Watched::all().all(|watched| state.listed.contains(&watched)).then(|| state.cluster.clone())
    }

    /// Changes with every event.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut CopyState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|number| *number = number.wrapping_add(1));
    }

    fn replace(&self, watched: Watched, items: &[Value]) {
        self.change(|state| {
            match watched {
                Watched::Namespaces => state.cluster.namespaces.clear(),
                Watched::Objects(kind) => state.cluster.objects.retain(|key, _| key.kind != kind),
            }
            for item in items {
                set(&mut state.cluster, watched, item);
            }
            state.listed.insert(watched);
        });
    }
}

/// Adds or replaces an object. One without a name cannot exist in a cluster.
fn set(cluster: &mut ClusterObjects, watched: Watched, object: &Value) {
    match watched {
        Watched::Namespaces => {
            if let Some(name) = object.pointer("/metadata/name").and_then(Value::as_str) {
                let labels = object.pointer("/metadata/labels").cloned().unwrap_or(Value::Null);
                cluster.namespaces.insert(name.to_owned(), labels);
            }
        }
        Watched::Objects(kind) => {
            if let Ok(object) = Object::from_json(kind, object) {
                cluster.insert(object);
            }
        }
    }
}

fn remove(cluster: &mut ClusterObjects, watched: Watched, object: &Value) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    match watched {
        Watched::Namespaces => drop(cluster.namespaces.remove(name)),
        Watched::Objects(kind) => drop(cluster.objects.remove(&ObjectKey::new(kind, namespace, name))),
    }
}

/// The reason why a watch ended.
enum WatchEnd {
    /// The server ended it, as it does after some minutes.
    Ended,
    /// The version is too old: the objects have to be listed again.
    Expired,
}

/// Keeps the copy of one type current until the task is aborted.
pub(crate) async fn follow(
    client: Arc<KubeClient>,
    copy: Arc<ClusterCopy>,
    watched: Watched,
    longest_watch: Duration,
    metrics: KubernetesMetrics,
) {
    let mut pause = FIRST_PAUSE;
    let mut version: Option<String> = None;
    loop {
        let began = Instant::now();
        let result = match version.clone() {
            None => list(&client, &copy, watched).await.map(|listed| version = Some(listed)),
            Some(_) => match watch_events(&client, &copy, watched, &mut version, longest_watch).await {
                Ok(WatchEnd::Ended) => {
                    metrics.watch_ended("ended");
                    // A server that ends each watch at once must not be called in a busy loop.
                    if began.elapsed() < FIRST_PAUSE {
                        sleep(FIRST_PAUSE).await;
                    }
                    Ok(())
                }
                Ok(WatchEnd::Expired) => {
                    metrics.watch_ended("expired");
                    version = None;
                    if began.elapsed() < FIRST_PAUSE {
                        sleep(FIRST_PAUSE).await;
                    }
                    Ok(())
                }
                Err(error) => {
                    version = None;
                    Err(error)
                }
            },
        };
        match result {
            Ok(()) => {
                if began.elapsed() > LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
            }
            // Objects of a type that is not installed do not exist. It can be installed later.
            Err(error) if error.is(404) && matches!(watched, Watched::Objects(_)) => {
                tracing::debug!(types = watched.name(), "custom resource definition is not installed");
                metrics.watch_ended("not_installed");
                copy.replace(watched, &[]);
                sleep(LONGEST_PAUSE).await;
            }
            Err(error) => {
                metrics.watch_ended("failed");
                let reason = super::client::chain(&error);
                tracing::warn!(types = watched.name(), reason, "failed to follow Kubernetes objects");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Lists all objects of a type, and returns the version of the list.
async fn list(client: &KubeClient, copy: &ClusterCopy, watched: Watched) -> Result<String, KubeError> {
    let mut items = Vec::new();
    let mut next = String::new();
    loop {
        let from = if next.is_empty() { String::new() } else { format!("&continue={}", crate::percent::encode(&next)) };
        let mut page = client.get(&format!("{}?limit={PAGE}{from}", watched.path())).await?;
        let Some(Value::Array(found)) = page.get_mut("items").map(Value::take) else {
            return Err(KubeError::Format("expected a list with `items`".to_owned()));
        };
        items.extend(found);
        let text = |pointer: &str| page.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        text("/metadata/continue").clone_into(&mut next);
        if next.is_empty() {
            let version = text("/metadata/resourceVersion").to_owned();
            if version.is_empty() {
                return Err(KubeError::Format("expected a list with `metadata.resourceVersion`".to_owned()));
            }
            copy.replace(watched, &items);
            return Ok(version);
        }
    }
}

/// Applies the events of one watch. `version` becomes the version of the last event.
async fn watch_events(
    client: &KubeClient,
    copy: &ClusterCopy,
    watched: Watched,
    version: &mut Option<String>,
    longest: Duration,
) -> Result<WatchEnd, KubeError> {
    let from = version.clone().unwrap_or_default();
    let path = format!(
        "{}?watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}",
        watched.path(),
        crate::percent::encode(&from),
        longest.as_secs().max(1),
    );
    let mut stream = match client.watch(&path).await {
        Ok(stream) => stream,
        Err(error) if error.is(410) => return Ok(WatchEnd::Expired),
        Err(error) => return Err(error),
    };
    // A connection that a firewall dropped without a packet would never end.
    let deadline = Instant::now() + longest + Duration::from_secs(10);
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        let Ok(frame) = tokio::time::timeout_at(deadline, stream.frame()).await else { return Ok(WatchEnd::Ended) };
        let Some(frame) = frame else { return Ok(WatchEnd::Ended) };
        let frame = frame.map_err(|error| KubeError::Transport(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        buffer.extend_from_slice(&data);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let event: Value = serde_json::from_slice(&line).map_err(|error| KubeError::Format(error.to_string()))?;
            if let Some(end) = apply(copy, watched, &event, version)? {
                return Ok(end);
            }
        }
        if buffer.len() > MAX_EVENT {
            return Err(KubeError::Format(format!("expected events of at most {MAX_EVENT} bytes")));
        }
    }
}

fn apply(
    copy: &ClusterCopy,
    watched: Watched,
    event: &Value,
    version: &mut Option<String>,
) -> Result<Option<WatchEnd>, KubeError> {
    let (Some(kind), Some(object)) = (event.get("type").and_then(Value::as_str), event.get("object")) else {
        return Err(KubeError::Format("expected an event with `type` and `object`".to_owned()));
    };
    match kind {
        "ADDED" | "MODIFIED" => copy.change(|state| set(&mut state.cluster, watched, object)),
        "DELETED" => copy.change(|state| remove(&mut state.cluster, watched, object)),
        "BOOKMARK" => {}
        "ERROR" if object.get("code").and_then(Value::as_u64) == Some(410) => return Ok(Some(WatchEnd::Expired)),
        "ERROR" => {
            let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let code = object.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            return Err(KubeError::Status {
                code: code.unwrap_or_default(),
                reason: text("reason"),
                message: text("message"),
            });
        }
        _ => return Err(KubeError::Format(format!("unknown type of event `{kind}`"))),
    }
    if let Some(seen) = object.pointer("/metadata/resourceVersion").and_then(Value::as_str) {
        *version = Some(seen.to_owned());
    }
    Ok(None)
}
