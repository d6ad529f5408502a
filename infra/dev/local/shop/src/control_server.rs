//! The control server of the applications.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};

use crate::control::{Control, Load};
use crate::load;
use crate::tally::Tally;

pub(crate) fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/failing/{node}", put(set_failing))
        .route("/load", put(set_load).delete(end_load))
        .route("/tally", get(tally))
        .with_state(control)
}

async fn set_failing(State(control): State<Arc<Control>>, Path(node): Path<String>, Json(percent): Json<u32>) {
    control.set_failing(node, percent);
}

async fn set_load(State(control): State<Arc<Control>>, Json(load): Json<Load>) -> StatusCode {
    if load.per_second == 0 || load.paths.is_empty() {
        return StatusCode::BAD_REQUEST;
    }
    let running = tokio::spawn(load::run(Arc::clone(&control), load));
    control.set_load(Some(running));
    StatusCode::OK
}

async fn end_load(State(control): State<Arc<Control>>) {
    control.set_load(None);
}

async fn tally(State(control): State<Arc<Control>>) -> Json<Tally> {
    Json(control.tally().clone())
}
