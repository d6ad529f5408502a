//! The request for the proxies, and the parsing of the response.

use std::collections::BTreeMap;

use crate::canned::{CannedResponse, CannedServer};
use ports::PortErrorKind;
use ports::certificates::{AcknowledgedSecrets, ProxyEvidence, SeenCertificate, SeenSecret};
use serde_json::{Value, json};

fn stream(certificates: &Value) -> Value {
    json!({
        "id": "mesh/shop/virtualNode/orders",
        "resource": "mesh/shop/virtualNode/orders",
        "cluster": "shop",
        "peer": "127.0.0.1:40000",
        "since": "2026-03-01T10:00:00Z",
        "userAgent": "envoy 1.40.0",
        "protocol": "sotw",
        "upToDate": true,
        "types": {},
        "certificates": certificates,
        "findings": [],
    })
}

#[tokio::test]
async fn each_secret_has_its_known_certificates() {
    let held = json!([{ "fingerprint": "0a0b", "notAfter": "2026-09-01T00:00:00Z" }]);
    let known = json!({
        "taken": { "source": "sent", "acknowledged": true, "certificates": held },
        "on-its-way": { "source": "sent", "acknowledged": false, "certificates": held },
        "file:/a,/b": { "source": "besideProxy", "acknowledged": true },
        "awaited": { "source": "missing", "acknowledged": false },
        "newer": { "source": "thin air" },
    });
    let streams = json!({ "proxies": [stream(&known), stream(&Value::Null)] });
    let server = CannedServer::start([CannedResponse::ok(streams)]).await;
    let proxies = server.aws().await.mesh().proxies().await.unwrap();
    let certificates =
        vec![SeenCertificate { fingerprint: "0a0b".into(), not_after: "2026-09-01T00:00:00Z".parse().unwrap() }];
    let expected = [
        ("taken", SeenSecret::Acknowledged { certificates: certificates.clone() }),
        ("on-its-way", SeenSecret::Outstanding { certificates }),
        ("file:/a,/b", SeenSecret::BesideProxy),
        ("awaited", SeenSecret::Missing),
        ("newer", SeenSecret::Unrecognised("thin air".into())),
    ];
    let expected: BTreeMap<_, _> = expected.into_iter().map(|(name, seen)| (name.to_owned(), seen)).collect();
    assert_eq!(proxies[0].secrets, AcknowledgedSecrets::Known(expected));
    assert_eq!(proxies[0].proxy.to_string(), "mesh/shop/virtualNode/orders");
    assert_eq!(proxies[0].peer, "127.0.0.1:40000");
    assert!(proxies[0].up_to_date);
    assert_eq!(proxies[1].secrets, AcknowledgedSecrets::Unknown);
    let requests = server.requests();
    assert_eq!((requests[0].method.as_str(), requests[0].uri.path()), ("GET", "/proxies"));
    assert_eq!(requests[0].header("x-meshwarden-evidence"), Some("2"));
    // The request has the same signature as every other request to the control plane.
    assert!(requests[0].header("authorization").unwrap().contains("/appmesh/aws4_request"));
}

#[tokio::test]
async fn unknown_proxies_are_reported() {
    let unknown = json!([
        { "replica": "r1", "reason": "silent", "resources": ["*"] },
        { "replica": "r2", "reason": "other-secret", "secret": "s", "resources": ["mesh/shop/virtualNode/front"] },
        { "resource": "mesh/shop/virtualNode/orders", "instance": "i", "reason": "left", "lastSeen": "2026-03-01T10:00:00Z" },
        { "reason": "a reason of a later release" },
    ]);
    let answer = json!({ "complete": false, "proxies": [stream(&Value::Null)], "unknown": unknown });
    let responses = [answer.clone(), answer].map(CannedResponse::ok);
    let server = CannedServer::start(responses).await;
    let mesh = server.aws().await.mesh();
    let report = mesh.report().await.unwrap();
    let about: Vec<_> = report.unknown.iter().map(|unknown| (unknown.proxies.clone(), unknown.disconnected)).collect();
    let path = |text: &str| Some(vec![mesh::name::ResourcePath::parse(text).unwrap()]);
    let expected = [
        (None, false),
        (path("mesh/shop/virtualNode/front"), false),
        (path("mesh/shop/virtualNode/orders"), true),
        (None, false),
    ];
    assert_eq!(about, expected);
    assert!(report.unknown[0].reason.contains("r1") && report.unknown[0].reason.contains("silent"));
    // A caller that needs all streams gets none.
    assert_eq!(mesh.proxies().await.unwrap_err().kind, PortErrorKind::Unavailable);
}

#[tokio::test]
async fn unreadable_proxy_is_an_error() {
    let mut broken = stream(&Value::Null);
    broken["upToDate"] = Value::Null;
    for (answer, kind) in [
        (CannedResponse::ok(json!({ "proxies": [stream(&Value::Null), broken] })), PortErrorKind::Other),
        (CannedResponse::ok(json!({ "meshes": [] })), PortErrorKind::Other),
        (CannedResponse::ok(json!({ "proxies": [], "complete": false })), PortErrorKind::Other),
        (CannedResponse::ok(json!({ "proxies": [], "unknown": [{ "resources": ["*"] }] })), PortErrorKind::Other),
        (CannedResponse::ok(json!({ "proxies": [], "unknown": "*" })), PortErrorKind::Other),
        (CannedResponse::error(404, "NotFoundException", json!({})), PortErrorKind::NotFound),
    ] {
        let server = CannedServer::start([answer]).await;
        assert_eq!(server.aws().await.mesh().proxies().await.unwrap_err().kind, kind);
    }
}

/// A gateway in front of several control planes has a path for each.
#[tokio::test]
async fn an_endpoint_may_have_a_path_like_that_of_the_api() {
    let server =
        CannedServer::start([CannedResponse::ok(json!({ "proxies": [] }))]).await.below("/v20190125/meshes-of-shop");
    assert_eq!(server.aws().await.mesh().proxies().await.unwrap(), []);
    assert_eq!(server.requests()[0].uri.path(), "/v20190125/meshes-of-shop/proxies");
}
