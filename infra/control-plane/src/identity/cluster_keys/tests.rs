//! Keys at a URL: fetched once for many tokens, again for an unknown key, and kept while the cluster does not answer.

use std::sync::Mutex as SyncMutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde_json::json;

use super::*;

/// A cluster that publishes keys with these ids, or does not answer.
#[derive(Debug, Clone)]
struct Cluster {
    ids: Arc<SyncMutex<Vec<&'static str>>>,
    requests: Arc<AtomicUsize>,
}

impl Cluster {
    async fn start() -> (Self, String) {
        let cluster = Self { ids: Arc::default(), requests: Arc::default() };
        let answer = async |State(cluster): State<Self>, headers: HeaderMap| {
            cluster.requests.fetch_add(1, Ordering::SeqCst);
            let ids = cluster.ids.lock().unwrap().clone();
            let is_known = headers.get(AUTHORIZATION).is_some_and(|value| value == "Bearer token of this pod");
            if ids.is_empty() || !is_known {
                return (StatusCode::SERVICE_UNAVAILABLE, String::new());
            }
            let key =
                |id: &&str| json!({"kty": "EC", "crv": "P-256", "kid": id, "x": "A".repeat(43), "y": "A".repeat(43)});
            (StatusCode::OK, json!({"keys": ids.iter().map(key).collect::<Vec<_>>()}).to_string())
        };
        let router = Router::new().route("/openid/v1/jwks", get(answer)).with_state(cluster.clone());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/openid/v1/jwks", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (cluster, url)
    }

    fn publish(&self, ids: &[&'static str]) {
        *self.ids.lock().unwrap() = ids.to_vec();
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn unknown_key_is_fetched_and_fetches_are_bounded() {
    let (cluster, url) = Cluster::start().await;
    let token = std::env::temp_dir().join(format!("meshwarden-cluster-token-{}", std::process::id()));
    std::fs::write(&token, "token of this pod\n").unwrap();
    let keys = FetchedKeys::open(&url, None, Some(token.clone())).unwrap();
    let has = |keys: &FetchedKeys, id: &str| keys.younger_than(TOO_OLD).is_some_and(|keys| keys.find(id).is_some());
    // The time between two fetches has passed.
    let pass = async || *keys.attempted.lock().await = None;

    keys.prepare(Some("a")).await;
    assert!(keys.younger_than(TOO_OLD).is_none(), "the cluster does not answer");
    cluster.publish(&["a"]);
    keys.prepare(Some("a")).await;
    assert_eq!(cluster.requests(), 1, "the next fetch follows after a pause");
    pass().await;
    futures::future::join_all((0..20).map(|_| keys.prepare(Some("a")))).await;
    assert_eq!((cluster.requests(), has(&keys, "a")), (2, true), "one fetch serves all that wait");
    futures::future::join_all((0..20).map(|_| keys.prepare(Some("forged")))).await;
    assert_eq!(cluster.requests(), 2, "unknown keys cause no fetch within the pause");

    cluster.publish(&["b"]);
    pass().await;
    keys.prepare(Some("b")).await;
    assert_eq!((has(&keys, "a"), has(&keys, "b")), (false, true), "a removed key is unknown");
    cluster.publish(&[]);
    pass().await;
    keys.prepare(Some("c")).await;
    assert_eq!(
        (cluster.requests(), has(&keys, "b")),
        (4, true),
        "the last keys stay while the cluster does not answer"
    );
    // A day later, they are refused.
    let (at, known) = keys.fetched.read().unwrap().clone().unwrap();
    if let Some(at) = at.checked_sub(TOO_OLD) {
        *keys.fetched.write().unwrap() = Some((at, known));
        assert!(!has(&keys, "b"));
    }
    std::fs::remove_file(token).unwrap();
}

#[test]
fn keys_are_fetched_with_tls_or_from_this_machine() {
    for (url, is_accepted) in [
        ("https://kubernetes.default.svc/openid/v1/jwks", true),
        ("http://127.0.0.1:8001/openid/v1/jwks", true),
        ("http://[::1]:8001/", true),
        ("http://kubernetes.default.svc/openid/v1/jwks", false),
        ("ftp://127.0.0.1/", false),
        ("https://", false),
    ] {
        let opened = FetchedKeys::open(url, None, None);
        assert_eq!(opened.is_ok(), is_accepted, "{url}: {opened:?}");
    }
    let missing = FetchedKeys::open("https://cluster.local/", Some(Path::new("/nonexistent/ca.crt")), None);
    assert!(matches!(missing, Err(ClusterKeysError::Tls(_))), "{missing:?}");
}
