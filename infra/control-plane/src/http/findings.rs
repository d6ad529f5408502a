//! The findings of the policy pack on the served mesh: an addition to the App Mesh API.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, Uri};
use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use policy::Policy;
use rules::pack::{Evaluation, judge};
use serde_json::{Value, json};

use super::answer;
use super::api::Api;
use super::needed::mesh_of_uri;

/// `GET /findings/<mesh>`: the findings on the mesh that the proxy snapshots are built from, by the policy of
/// admission, or else by the built-in one.
pub(super) async fn of_mesh(State(api): State<Arc<Api>>, uri: Uri) -> Response<Body> {
    let (status, body) = match evaluate(&api, uri.path()).await {
        Ok(Some(findings)) => (StatusCode::OK, findings),
        Ok(None) => {
            let message = format!("{} does not name an existing mesh; use GET /findings/<mesh>", uri.path());
            (StatusCode::NOT_FOUND, json!({ "message": message }))
        }
        Err(NotEvaluated) => {
            let message = "failed to evaluate the mesh; the server's log has the reason";
            (StatusCode::INTERNAL_SERVER_ERROR, json!({ "message": message }))
        }
    };
    answer::json_response(status, body.to_string())
}

/// The evaluation failed, so the findings are unknown.
struct NotEvaluated;

async fn evaluate(api: &Api, path: &str) -> Result<Option<Value>, NotEvaluated> {
    let Some(name) = mesh_of_uri(path) else { return Ok(None) };
    let Some((model, left_out)) = api.proxies.model(&name).await else { return Ok(None) };
    let tagged = tagged(api, model);
    let policy = match &api.admission {
        Some(admission) => admission.policy(),
        None => Policy::built_in().map(Arc::new).map_err(|error| {
            tracing::error!(%error, "failed to read built-in policy");
            NotEvaluated
        })?,
    };
    let readings = Readings { instances: api.proxies.known_instances(), ..Readings::default() };
    let judging = tokio::task::spawn_blocking(move || judge(&tagged, &readings, &policy, Timestamp::now()));
    let Evaluation { findings, waived } = judging.await.map_err(|error| {
        tracing::error!(%error, mesh = %name, "evaluation of policy pack panicked");
        NotEvaluated
    })?;
    Ok(Some(json!({ "mesh": name, "findings": findings, "waived": waived, "leftOut": left_out })))
}

/// Adds the tags from the store, since the xDS model has none.
fn tagged(api: &Api, mut mesh: Mesh) -> Mesh {
    let paths = mesh.paths();
    api.store.inspect(|state| {
        for path in paths {
            if let Some(resource) = state.find(&path) {
                mesh.set_tags(path, resource.tags.clone());
            }
        }
    });
    mesh
}
