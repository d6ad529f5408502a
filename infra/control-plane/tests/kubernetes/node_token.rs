//! Node tokens in a file, for the Envoy of a pod.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use control_plane::kubernetes::NodeTokenFile;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn token_is_written_and_renewed_also_after_a_failure() {
    let folder = std::env::temp_dir().join(format!("meshwarden-node-token-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let service_account_token = folder.join("service-account");
    std::fs::write(&service_account_token, "pod\n").unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let issue = move |headers: HeaderMap| async move {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        if number == 0 || headers["authorization"] != "Bearer pod" {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let expires = jiff::Timestamp::now() + Duration::from_secs(2);
        axum::Json(json!({"token": format!("token-{number}"), "expires": expires.to_string()})).into_response()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, Router::new().route("/tokens", post(issue))).await });
    let file = NodeTokenFile {
        api,
        ca_file: None,
        service_account_token,
        node: "mesh/shop/virtualNode/front".to_owned(),
        token_file: folder.join("token"),
    };
    file.write_once().await.unwrap();
    assert_eq!(std::fs::read_to_string(&file.token_file).unwrap(), "token-1");
    let deadline = Instant::now() + Duration::from_secs(30);
    let is_renewed = async {
        while std::fs::read_to_string(&file.token_file).unwrap() != "token-3" {
            assert!(Instant::now() < deadline, "{} requests", requests.load(Ordering::SeqCst));
            sleep(Duration::from_millis(20)).await;
        }
    };
    file.renew(is_renewed).await.unwrap();
    server.abort();
    std::fs::remove_dir_all(&folder).unwrap();
}
