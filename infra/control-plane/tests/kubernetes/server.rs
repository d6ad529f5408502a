//! A simulated Kubernetes API server: lists with pages, watches over HTTP/1.1, versions and conflicts, finalizers, the status
//! subresource, and faults.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures::stream;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app_mesh::Kill;

/// The address of an object: plural, namespace, name.
type Address = (String, String, String);

/// One event: version, plural, type, object.
type Event = (u64, String, &'static str, Value);

#[derive(Debug, Default)]
struct Contents {
    version: u64,
    objects: BTreeMap<Address, Value>,
    events: Vec<Event>,
    /// The oldest version that a watch may start from.
    oldest: u64,
    faults: Faults,
    uids: u64,
}

/// The faults of the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    /// Each watch ends in the middle of an event, after this number of events.
    pub(crate) break_watch_after: Option<usize>,
    /// Watches send this number of bytes at a time.
    pub(crate) piece: Option<usize>,
    /// The status of the next requests, for reads and writes.
    pub(crate) next: Vec<u16>,
    /// The largest page of a list.
    pub(crate) page: Option<usize>,
}

/// A running server, which ends with the test.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    contents: Mutex<Contents>,
    changed: watch::Sender<u64>,
    kill: Mutex<Kill>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared {
            contents: Mutex::default(),
            changed: watch::Sender::new(0),
            kill: Mutex::new(Kill::never()),
        });
        let group = "/apis/appmesh.k8s.aws/v1beta2";
        let leases = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases";
        let router = Router::new()
            .route("/api/v1/namespaces", get(namespaces))
            .route(&format!("{group}/{{plural}}"), get(list))
            .route(&format!("{group}/{{plural}}/{{name}}"), get(read_mesh).patch(patch_mesh))
            .route(&format!("{group}/{{plural}}/{{name}}/status"), axum::routing::patch(patch_mesh_status))
            .route(&format!("{group}/namespaces/{{namespace}}/{{plural}}/{{name}}"), get(read).patch(patch))
            .route(
                &format!("{group}/namespaces/{{namespace}}/{{plural}}/{{name}}/status"),
                axum::routing::patch(patch_status),
            )
            .route(leases, axum::routing::post(create_lease))
            .route(&format!("{leases}/{{name}}"), get(read_lease).put(replace_lease))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, task }
    }

    pub(crate) fn set_kill(&self, kill: Kill) {
        *self.shared.kill.lock().unwrap() = kill;
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.shared.contents.lock().unwrap().faults = faults;
    }

    /// Forgets all events, so that each watch from an older version is answered with 410.
    pub(crate) fn compact(&self) {
        self.shared.edit(|contents| {
            contents.version += 1;
            contents.oldest = contents.version;
            contents.events.clear();
        });
    }

    /// Creates an object, or replaces its spec. The namespace of a mesh is empty.
    pub(crate) fn apply(&self, plural: &str, kind: &str, namespace: &str, name: &str, spec: &Value) {
        self.shared.edit(|contents| {
            let address = (plural.to_owned(), namespace.to_owned(), name.to_owned());
            let known = contents.objects.get(&address).cloned();
            let object = if let Some(mut object) = known {
                if object["spec"] == *spec {
                    return;
                }
                object["spec"] = spec.clone();
                object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap() + 1);
                object
            } else {
                contents.uids += 1;
                json!({"apiVersion": "appmesh.k8s.aws/v1beta2", "kind": kind, "spec": spec, "metadata": {
                        "name": name, "namespace": namespace, "uid": format!("uid-{}", contents.uids), "generation": 1,
                        "creationTimestamp": "2026-11-30T10:00:00Z"}})
            };
            contents.store(address, object);
        });
    }

    /// Deletes an object, which exists until its last finalizer is removed.
    pub(crate) fn delete(&self, plural: &str, namespace: &str, name: &str) {
        self.shared.edit(|contents| {
            let address = (plural.to_owned(), namespace.to_owned(), name.to_owned());
            let Some(mut object) = contents.objects.get(&address).cloned() else { return };
            if object["metadata"].get("deletionTimestamp").is_some() {
                return;
            }
            object["metadata"]["deletionTimestamp"] = json!("2026-12-01T10:00:00Z");
            contents.store(address, object);
        });
    }

    /// Removes an object without its finalizers.
    pub(crate) fn remove(&self, plural: &str, namespace: &str, name: &str) {
        self.shared.edit(|contents| {
            let address = (plural.to_owned(), namespace.to_owned(), name.to_owned());
            if let Some(mut object) = contents.objects.get(&address).cloned() {
                object["metadata"]["finalizers"] = json!([]);
                object["metadata"]["deletionTimestamp"] = json!("2026-12-01T10:00:00Z");
                contents.store(address, object);
            }
        });
    }

    pub(crate) fn label_namespace(&self, name: &str, labels: &Value) {
        self.shared.edit(|contents| {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
            contents.store(("namespaces".to_owned(), String::new(), name.to_owned()), object);
        });
    }

    /// All objects of the group.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let contents = self.shared.contents.lock().unwrap();
        let objects = contents.objects.iter().filter(|((plural, ..), _)| plural != "namespaces" && plural != "leases");
        objects.map(|(_, object)| object.clone()).collect()
    }

    pub(crate) fn object(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let address = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        self.shared.contents.lock().unwrap().objects.get(&address).cloned()
    }
}

impl Shared {
    fn edit<T>(&self, edit: impl FnOnce(&mut Contents) -> T) -> T {
        let result = edit(&mut self.contents.lock().unwrap());
        self.changed.send_modify(|number| *number += 1);
        result
    }

    /// The status of a request that fails, if this one does.
    fn fault(&self) -> Option<Response> {
        let mut contents = self.contents.lock().unwrap();
        let status = contents.faults.next.pop()?;
        Some(error(status, "Fault"))
    }

    /// Executes a write. The process may end before it, or after it.
    async fn write(&self, write: impl FnOnce(&mut Contents) -> Response) -> Response {
        if let Some(response) = self.fault() {
            return response;
        }
        let kill = self.kill.lock().unwrap().clone();
        kill.around(async { self.edit(write) }).await
    }
}

impl Contents {
    /// Stores an object with a new version, and records the event. A deleted object without finalizers is removed.
    fn store(&mut self, address: Address, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let is_deleted = object["metadata"].get("deletionTimestamp").is_some();
        let has_finalizers = object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        let is_known = self.objects.contains_key(&address);
        let plural = address.0.clone();
        let kind = if is_deleted && !has_finalizers {
            self.objects.remove(&address);
            "DELETED"
        } else {
            self.objects.insert(address, object.clone());
            if is_known { "MODIFIED" } else { "ADDED" }
        };
        self.events.push((self.version, plural, kind, object.clone()));
        object
    }

    fn patch(&mut self, address: Address, patch: &Value, only_status: bool) -> Response {
        let Some(mut object) = self.objects.get(&address).cloned() else { return error(404, "NotFound") };
        if let Some(version) = patch.pointer("/metadata/resourceVersion")
            && *version != object["metadata"]["resourceVersion"]
        {
            return error(409, "Conflict");
        }
        let before = object.clone();
        if only_status {
            merge(&mut object["status"], &patch["status"]);
        } else {
            let mut patch = patch.clone();
            patch.as_object_mut().unwrap().remove("status");
            merge(&mut object, &patch);
        }
        if before == object {
            return axum::Json(object).into_response();
        }
        axum::Json(self.store(address, object)).into_response()
    }
}

/// A merge patch by RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (name, value) in members {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}

fn error(code: u16, reason: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason});
    (StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}

type Parameters = Query<BTreeMap<String, String>>;

async fn namespaces(State(shared): State<Arc<Shared>>, parameters: Parameters) -> Response {
    collection(shared, "namespaces".to_owned(), &parameters)
}

async fn list(State(shared): State<Arc<Shared>>, Path(plural): Path<String>, parameters: Parameters) -> Response {
    collection(shared, plural, &parameters)
}

fn collection(shared: Arc<Shared>, plural: String, parameters: &Parameters) -> Response {
    if let Some(response) = shared.fault() {
        return response;
    }
    if parameters.contains_key("watch") {
        let from: u64 = parameters["resourceVersion"].parse().unwrap();
        return follow(shared, plural, from);
    }
    let contents = shared.contents.lock().unwrap();
    let items: Vec<&Value> =
        contents.objects.iter().filter(|((of, ..), _)| *of == plural).map(|(_, object)| object).collect();
    let limit: usize = parameters["limit"].parse().unwrap();
    let page = contents.faults.page.unwrap_or(limit).min(limit);
    let from: usize = parameters.get("continue").map_or(0, |from| from.trim_start_matches("from ").parse().unwrap());
    let rest = items.len().saturating_sub(from + page);
    let next = if rest > 0 { format!("from {}", from + page) } else { String::new() };
    let items: Vec<&&Value> = items.iter().skip(from).take(page).collect();
    let metadata = json!({"resourceVersion": contents.version.to_string(), "continue": next});
    axum::Json(json!({"kind": "List", "metadata": metadata, "items": items})).into_response()
}

/// The state of one watch.
struct Following {
    shared: Arc<Shared>,
    plural: String,
    from: u64,
    changed: watch::Receiver<u64>,
    sent: usize,
    /// Bytes that were not sent yet.
    rest: Vec<u8>,
    is_over: bool,
}

fn follow(shared: Arc<Shared>, plural: String, from: u64) -> Response {
    let changed = shared.changed.subscribe();
    let state = Following { shared, plural, from, changed, sent: 0, rest: Vec::new(), is_over: false };
    let body = stream::unfold(state, |mut state| async move {
        let bytes = state.next().await?;
        Some((Ok::<_, Infallible>(bytes), state))
    });
    Body::from_stream(body).into_response()
}

impl Following {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let (piece, break_after) = {
                let faults = &self.shared.contents.lock().unwrap().faults;
                (faults.piece, faults.break_watch_after)
            };
            if !self.rest.is_empty() {
                let size = piece.unwrap_or(self.rest.len()).min(self.rest.len());
                return Some(self.rest.drain(..size).collect::<Vec<u8>>().into());
            }
            if self.is_over {
                return None;
            }
            let event = {
                let contents = self.shared.contents.lock().unwrap();
                if self.from < contents.oldest {
                    self.is_over = true;
                    let status = json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"});
                    Some((0, json!({"type": "ERROR", "object": status})))
                } else {
                    let found = contents
                        .events
                        .iter()
                        .find(|(version, plural, ..)| *version > self.from && *plural == self.plural);
                    found.map(|(version, _, kind, object)| (*version, json!({"type": kind, "object": object})))
                }
            };
            let Some((version, event)) = event else {
                self.changed.changed().await.ok()?;
                continue;
            };
            self.from = self.from.max(version);
            self.rest = format!("{event}\n").into_bytes();
            self.sent += 1;
            if break_after.is_some_and(|after| self.sent > after) {
                self.rest.truncate(self.rest.len() / 2);
                self.is_over = true;
            }
        }
    }
}

async fn read(
    State(shared): State<Arc<Shared>>,
    Path((namespace, plural, name)): Path<(String, String, String)>,
) -> Response {
    read_object(&shared, &(plural, namespace, name))
}

async fn read_mesh(State(shared): State<Arc<Shared>>, Path((plural, name)): Path<(String, String)>) -> Response {
    read_object(&shared, &(plural, String::new(), name))
}

fn read_object(shared: &Shared, address: &Address) -> Response {
    if let Some(response) = shared.fault() {
        return response;
    }
    match shared.contents.lock().unwrap().objects.get(address) {
        Some(object) => axum::Json(object.clone()).into_response(),
        None => error(404, "NotFound"),
    }
}

async fn patch(
    State(shared): State<Arc<Shared>>,
    Path((namespace, plural, name)): Path<(String, String, String)>,
    body: axum::body::Bytes,
) -> Response {
    shared.write(|contents| contents.patch((plural, namespace, name), &parsed(&body), false)).await
}

async fn patch_status(
    State(shared): State<Arc<Shared>>,
    Path((namespace, plural, name)): Path<(String, String, String)>,
    body: axum::body::Bytes,
) -> Response {
    shared.write(|contents| contents.patch((plural, namespace, name), &parsed(&body), true)).await
}

async fn patch_mesh(
    State(shared): State<Arc<Shared>>,
    Path((plural, name)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> Response {
    shared.write(|contents| contents.patch((plural, String::new(), name), &parsed(&body), false)).await
}

async fn patch_mesh_status(
    State(shared): State<Arc<Shared>>,
    Path((plural, name)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> Response {
    shared.write(|contents| contents.patch((plural, String::new(), name), &parsed(&body), true)).await
}

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

async fn read_lease(State(shared): State<Arc<Shared>>, Path((namespace, name)): Path<(String, String)>) -> Response {
    read_object(&shared, &("leases".to_owned(), namespace, name))
}

async fn create_lease(
    State(shared): State<Arc<Shared>>,
    Path(namespace): Path<String>,
    body: axum::body::Bytes,
) -> Response {
    let object = parsed(&body);
    let address = ("leases".to_owned(), namespace, object["metadata"]["name"].as_str().unwrap().to_owned());
    shared.edit(|contents| {
        if contents.objects.contains_key(&address) {
            return error(409, "AlreadyExists");
        }
        axum::Json(contents.store(address, object)).into_response()
    })
}

async fn replace_lease(
    State(shared): State<Arc<Shared>>,
    Path((namespace, name)): Path<(String, String)>,
    body: axum::body::Bytes,
) -> Response {
    let object = parsed(&body);
    let address = ("leases".to_owned(), namespace, name);
    shared.edit(|contents| {
        let Some(known) = contents.objects.get(&address) else { return error(404, "NotFound") };
        if known["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return error(409, "Conflict");
        }
        axum::Json(contents.store(address, object)).into_response()
    })
}
