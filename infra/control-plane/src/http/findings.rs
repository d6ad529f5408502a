//! What the policy pack says of that which proxies are sent: not part of the App Mesh API, and served beside it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, Uri};
use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use mesh::name::MeshName;
use mesh::pack::{Evaluation, judge};
use mesh::policy::Policy;
use serde_json::{Value, json};

use super::{Api, answer};
use crate::percent;

/// `GET /findings/<mesh>`: judged is the mesh that the snapshots of its proxies are made from, by the policy that writes
/// are judged by, else by the built-in one.
pub(super) async fn of_mesh(State(api): State<Arc<Api>>, uri: Uri) -> Response<Body> {
    let (status, body) = match found(&api, uri.path()).await {
        Ok(Some(findings)) => (StatusCode::OK, findings),
        Ok(None) => {
            let message = format!("{} names no mesh that exists: GET /findings/<mesh>", uri.path());
            (StatusCode::NOT_FOUND, json!({ "message": message }))
        }
        Err(Unjudged) => {
            (StatusCode::INTERNAL_SERVER_ERROR, json!({ "message": "the mesh could not be judged; the log says why" }))
        }
    };
    answer::json_response(status, body.to_string())
}

/// Nobody knows how the mesh stands.
struct Unjudged;

async fn found(api: &Api, path: &str) -> Result<Option<Value>, Unjudged> {
    let Some(name) = mesh(path) else { return Ok(None) };
    let Some((model, left_out)) = api.proxies.model(&name).await else { return Ok(None) };
    let tagged = tagged(api, model);
    let policy = match &api.admission {
        Some(admission) => admission.policy(),
        None => Policy::built_in().map(Arc::new).map_err(|error| {
            tracing::error!(%error, "the built-in policy can't be used");
            Unjudged
        })?,
    };
    let readings = Readings { instances: api.proxies.known_instances(), ..Readings::default() };
    let judging = tokio::task::spawn_blocking(move || judge(&tagged, &readings, &policy, Timestamp::now()));
    let Evaluation { findings, waived } = judging.await.map_err(|error| {
        tracing::error!(%error, mesh = %name, "the policy pack ended early");
        Unjudged
    })?;
    Ok(Some(json!({ "mesh": name, "findings": findings, "waived": waived, "leftOut": left_out })))
}

/// Proxies are not told of tags: those are the store's.
fn tagged(api: &Api, mut mesh: Mesh) -> Mesh {
    let paths = mesh.paths();
    api.store.look(|state| {
        for path in paths {
            if let Some(resource) = state.find(&path) {
                mesh.set_tags(path, resource.tags.clone());
            }
        }
    });
    mesh
}

fn mesh(path: &str) -> Option<MeshName> {
    percent::decode(path.strip_prefix("/findings/")?)?.parse().ok()
}
